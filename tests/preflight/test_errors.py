"""Where an error of a template or of the project's code was raised."""

from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string

from django_docraptor.preflight.errors import code_location, last_line, template_location


@pytest.fixture(params=[True, False], ids=["debug", "production"])
def templates(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Path:
    """A directory of templates, with and without the engine's ``debug`` option."""
    (engine,) = settings.TEMPLATES
    options = {**engine["OPTIONS"], "debug": request.param}
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path], "OPTIONS": options}]
    return tmp_path


def explode() -> None:
    """Raise what a project's code may raise."""
    raise RuntimeError("no such total")


def error_of(template: str, **context: Any) -> Exception:
    """Return the error that a template raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any kind of error
        render_to_string(template, context)
    return caught.value


def test_line_of_an_included_template_is_found(templates: Path) -> None:
    """The location is the innermost tag, in the file that has it."""
    (templates / "outer.html").write_text("<p>\n{% include 'inner.html' %}")
    (templates / "inner.html").write_text("<p>\n\n{{ explode }}")
    error = error_of("outer.html", explode=explode)
    assert str(template_location(error)) == f"{templates / 'inner.html'}:3"
    assert last_line(error) == "RuntimeError: no such total"


def test_line_of_a_syntax_error_is_found(templates: Path) -> None:
    """A template that cannot be compiled has a location, too."""
    (templates / "page.html").write_text("<p>\n{% unknown %}")
    error = error_of("page.html")
    assert str(template_location(error)) == f"{templates / 'page.html'}:2"


def test_line_of_the_own_code_is_found(templates: Path) -> None:
    """The line of Python is the project's, not one of Django or of a library."""
    (templates / "page.html").write_text("{{ explode }}")
    location = code_location(error_of("page.html", explode=explode))
    assert location is not None
    assert location.file == __file__
    assert location.line == explode.__code__.co_firstlineno + 2


def test_error_without_a_template_has_no_template_location() -> None:
    """An error of a hook has a line of Python alone."""
    with pytest.raises(RuntimeError) as caught:
        explode()
    assert template_location(caught.value) is None
    assert code_location(caught.value) is not None
