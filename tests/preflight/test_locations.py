"""Where a problem of the rendered HTML is in its templates."""

from pathlib import Path
from typing import Any

import pytest

from django_docraptor.preflight import find_problems
from django_docraptor.preflight.locations import find_locations


@pytest.fixture(autouse=True)
def _template(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "head.html").write_text("<p>Us</p>\n<img alt='' src='/logo.png'>")
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path]}]


def test_url_is_found_with_its_line(tmp_path: Path) -> None:
    """The location is the file and the line of the template."""
    (problem,) = find_problems("<img src='/logo.png'>")
    assert list(map(str, find_locations("head.html", problem))) == [f"{tmp_path / 'head.html'}:2"]


def test_short_url_is_not_found_inside_another() -> None:
    """A URL is found as a whole, and not as a part of another."""
    (problem,) = find_problems("<img src='go.png'>")
    assert find_locations("head.html", problem) == []
