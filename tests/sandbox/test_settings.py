"""The settings: one list of names, in every place that has them."""

from dataclasses import asdict, fields
from pathlib import Path

import pytest

from django_docraptor.sandbox import Sandbox, SettingError
from django_docraptor.sandbox.settings import TYPES, Settings, SettingValues

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sandbox.md"


def test_every_setting_has_a_type_and_a_row_in_the_documents():
    """The checks, the arguments of `Sandbox` and the reference know the same settings."""
    names = {field.name for field in fields(Settings)}
    assert set(TYPES) == names
    assert set(SettingValues.__annotations__) == names
    page = PAGE.read_text()
    assert [name for name in names if page.count(f"\n| `{name}` |") != 1] == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"other_time_forms": "guess"}, "other_time_forms"),
        ({"status_id_form": "roman"}, "status_id_form"),
        ({"document_limit": "5"}, "document_limit"),
        ({"document_limit": -1}, "document_limit"),
        ({"refusal": None}, "refusal"),
        ({"download_url_base": 5}, "download_url_base"),
        ({"delay": True}, "delay"),
        ({"clock_offset": "1"}, "clock_offset"),
    ],
)
def test_error_of_an_invalid_setting_names_it(values, field):
    """The message begins with the name, and nothing has changed."""
    settings = Settings()
    before = asdict(settings)
    with pytest.raises(SettingError, match=rf"^{field}: "):
        settings.change(delay=9.0, **values) if field != "delay" else settings.change(**values)
    assert asdict(settings) == before
    with pytest.raises(SettingError, match=rf"^{field}: "):
        Sandbox(**values)


def test_unknown_argument_is_refused():
    """A misspelt argument must not be ignored."""
    with pytest.raises(TypeError, match="dellay"):
        Sandbox(dellay=1)
