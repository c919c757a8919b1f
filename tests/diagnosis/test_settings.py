"""The probe of the settings tells what the system checks of this app say."""

from django_docraptor.diagnosis.settings import probe_settings
from tests.diagnosis.conftest import Configure, only, statuses


def test_good_settings() -> None:
    """Messages of other apps are not told."""
    assert only(probe_settings())[0] == "ok"


def test_mistakes_are_told_with_their_hints(configure: Configure) -> None:
    """An error is a failure, and a warning a warning; what another probe tells is left out."""
    configure(BASE_URL="http://shop.example", CALLBACK_BASE_URL="https://shop.example")
    results = list(probe_settings())
    assert statuses(results) == [("settings", "warn"), ("settings", "warn")]
    assert results[0].text.startswith("W010: ")
    configure(API_KEY="")
    assert any(result.text.startswith("E004: ") for result in probe_settings())
    configure(API_KEYS="x")
    status, text = only(probe_settings())
    assert (status, text) == (
        "fail",
        "E002: DOCRAPTOR contains an unknown setting, 'API_KEYS'. Did you mean 'API_KEY'?",
    )
