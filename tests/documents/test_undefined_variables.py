"""Undefined variables of a template are found with their template, line and nearest name."""

from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from django.template.loader import render_to_string

from django_docraptor.documents.undefined_variables import render_template, trace_variables

INVOICE = SimpleNamespace(number="17", customer=None, notes=[], data={"total": 5})
CONTEXT = {"invoice": INVOICE, "object": INVOICE, "source": INVOICE, "params": {}}


@pytest.fixture
def templates(settings: Any, tmp_path: Path) -> Path:
    """A directory of templates."""
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path]}]
    return tmp_path


def found_in(templates: Path, text: str) -> list[tuple[str, int, str]]:
    """Render a template; return what is undefined. The HTML must be Django's."""
    (templates / "page.html").write_text(text)
    expected = render_to_string("page.html", {**CONTEXT})  # a tag may add to the dict
    with trace_variables() as found:
        assert render_template("page.html", CONTEXT) == expected
    return [(Path(item.file).name, item.line, item.message) for item in found]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "<p>\n{{ invoce.number }}",
            2,
            "{{ invoce.number }} is not in the context. Did you mean in",
        ),
        (
            "{{ invoice.numbr }}",
            1,
            "is undefined: SimpleNamespace has no 'numbr'. Did you mean numb",
        ),
        ("{{ invoice.data.totl }}", 1, "is undefined: the dict has no 'totl'. Did you mean total?"),
        ("{{ invoice.qqq }}", 1, "has no 'qqq'. It is rendered as nothing."),
        ("{{ invoice.numbr|upper }}", 1, "{{ invoice.numbr }} is undefined"),
        ("\n{% for note in invoice.nots %}{% endfor %}", 2, "Did you mean notes?"),
        ("{% for a in 'x' %}\n\n{{ a.b.c }}{% endfor %}", 3, "str has no 'b'"),
        ("{% with x=invoice.numbr %}{{ x }}{% endwith %}", 1, "invoice.numbr"),
        ("{% if invoice %}{{ invoice.numbr }}{% endif %}", 1, "invoice.numbr"),
        ("{% regroup invoice.nots by a as b %}", 1, "invoice.nots"),
        ("{% cycle invoice.numbr 'b' %}", 1, "invoice.numbr"),
        ("{% include 'part.html' with x=invoice.numbr %}", 1, "invoice.numbr"),
    ],
)
def test_undefined_variable_is_found(templates: Path, text: str, line: int, message: str) -> None:
    """It is named with its line, and with a name that is near; no value is shown."""
    (templates / "part.html").write_text("")
    ((file, found_line, found),) = found_in(templates, text)
    assert (file, found_line) == ("page.html", line)
    assert message in found
    assert "17" not in found


@pytest.mark.parametrize(
    "text",
    [
        "{{ invoice.number }} {{ object.number }} {{ source.number }} {{ params }}",
        "{{ invoice.numbr|default:'-' }} {{ invoice.numbr|default_if_none:'-' }}",
        "{% if invoice.numbr %}x{% elif invce %}y{% endif %}",
        "{% firstof invoice.numbr invoice.number %}",
        "{{ invoice.customer.name }}",  # there is no customer: that depends on the data
        "{% for n in invoice.notes %}{{ n }}{% empty %}none{% endfor %}",
        "{% for a in 'xy' %}{{ forloop.counter }}{{ a }}{% endfor %}",
        "{% load i18n %}{% translate 'x' %}{{ 'text' }}{{ 5 }}{{ _('y') }}",
        "{% extends 'base.html' %}{% block main %}{{ block.super }}{% endblock %}",
    ],
)
def test_defined_variables_are_not_reported(templates: Path, text: str) -> None:
    """Whatever has a value, a default, or may be missing is no mistake."""
    (templates / "base.html").write_text("{% block main %}base{% endblock %}")
    assert found_in(templates, text) == []


def test_inherited_and_included_templates_are_searched(templates: Path) -> None:
    """Each variable is reported in the file in which it is written."""
    (templates / "base.html").write_text("\n{{ titel }}{% block main %}{% endblock %}")
    (templates / "part.html").write_text("\n\n{{ invoice.part }}")
    found = found_in(
        templates,
        "{% extends 'base.html' %}{% block main %}\n{{ x }}{% include 'part.html' %}{% endblock %}",
    )
    assert [(file, line) for file, line, _message in found] == [
        ("base.html", 2),
        ("page.html", 2),
        ("part.html", 3),
    ]


def test_repeated_variable_is_reported_once(templates: Path) -> None:
    """A loop does not repeat the mistake."""
    assert len(found_in(templates, "{% for a in 'xyz' %}{{ b }}{% endfor %}")) == 1


def test_nothing_is_traced_outside(templates: Path) -> None:
    """Other renderings, before, after and in other threads, leave no trace."""
    (templates / "page.html").write_text("{{ missing }}")
    with trace_variables() as found:
        thread = Thread(target=render_template, args=("page.html", {}))
        thread.start()
        thread.join()
        assert render_to_string("page.html", {}) == ""
    assert render_template("page.html", {}) == ""
    assert list(found) == []
