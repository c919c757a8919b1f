"""The keywords of everything that enqueues: one truth, and a TypeError for each that is unknown."""

import asyncio
import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from io import BytesIO
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from django.db.models.signals import post_save

from django_docraptor import (
    DocumentOptions,
    EnqueueOptions,
    JobSpec,
    QuerysetDocument,
    ReportOptions,
    TriggerOptions,
    aenqueue,
    arender_now,
    enqueue,
    render_now,
)
from django_docraptor.documents.triggers import S
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
# A document class takes content from its template, and the source as an argument.
NOT_OF_DOCUMENTS = {"content", "url", "document", "source"}
INVOICE = Invoice(pk=1, number="17")


class Report(QuerysetDocument[Invoice]):
    """A report that is not registered, since it has no template."""

    model = Invoice


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "enqueue()": enqueue,
    "render_now()": lambda **kwargs: render_now(BytesIO(), **kwargs),
    "aenqueue()": lambda **kwargs: asyncio.run(aenqueue(**kwargs)),
    "arender_now()": lambda **kwargs: asyncio.run(arender_now(BytesIO(), **kwargs)),
}
METHODS: dict[str, Callable[..., Any]] = {
    "enqueue": lambda **kwargs: InvoicePDF.enqueue(INVOICE, **kwargs),
    "aenqueue": lambda **kwargs: asyncio.run(InvoicePDF.aenqueue(INVOICE, **kwargs)),
    "enqueue_many": lambda **kwargs: InvoicePDF.enqueue_many([INVOICE], **kwargs),
    "render_now": lambda **kwargs: InvoicePDF.render_now(INVOICE, **kwargs),
    "preview_html": lambda **kwargs: InvoicePDF.preview_html(INVOICE, **kwargs),
    "spec": lambda **kwargs: InvoicePDF.spec(INVOICE, **kwargs),
    "on": lambda **kwargs: InvoicePDF.on(post_save, **kwargs),
    "on_save": lambda **kwargs: InvoicePDF.on_save(**kwargs),
    "report": lambda **kwargs: Report.enqueue(**kwargs),
    "report's spec": lambda **kwargs: Report.spec(**kwargs),
}


# --- one truth -------------------------------------------------------------------------------


def test_keywords_are_the_fields_of_a_spec() -> None:
    """EnqueueOptions has JobSpec's fields and types; what has no default is required."""
    assert get_type_hints(EnqueueOptions) == get_type_hints(JobSpec)
    required = {
        field.name
        for field in fields(JobSpec)
        if field.default is MISSING and field.default_factory is MISSING
    }
    assert required == EnqueueOptions.__required_keys__


def test_keywords_of_documents_are_those_of_enqueue() -> None:
    """A document class takes them with the same types, but for what it provides itself."""
    expected = {
        name: hint
        for name, hint in get_type_hints(EnqueueOptions).items()
        if name not in NOT_OF_DOCUMENTS
    }
    assert get_type_hints(DocumentOptions) == expected
    assert not DocumentOptions.__required_keys__


def test_keywords_of_reports_are_those_of_documents() -> None:
    """A report takes filters, too."""
    assert get_type_hints(ReportOptions).keys() - get_type_hints(DocumentOptions) == {"filters"}


def test_keywords_of_triggers_are_those_of_documents_or_functions() -> None:
    """A trigger takes each keyword as a value or as a function of the source; and ``snapshot``."""
    hints = {**get_type_hints(DocumentOptions), "snapshot": bool}
    assert get_type_hints(TriggerOptions) == {
        name: hint | Callable[[S], hint]  # type: ignore[valid-type, operator]
        for name, hint in hints.items()
    }


def test_reference_lists_the_keywords() -> None:
    """The table of ``enqueue`` has a row for each keyword, with its default."""
    table = (REFERENCE / "jobs.md").read_text().partition("\n## ")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (\S+) \|", table, re.MULTILINE)
    documented = {name: default for names, default in rows for name in re.findall(r"\w+", names)}
    assert documented == {field.name: default_of(field) for field in fields(JobSpec)}


def default_of(field: Any) -> str:
    """Return a field's default as the reference writes it."""
    if field.default is not MISSING:
        return f"`{field.default!r}`".replace("'", '"')
    return "required" if field.default_factory is MISSING else f"`{field.default_factory()!r}`"


def test_reference_lists_the_keywords_of_documents() -> None:
    """The paragraph on a document's keywords names them all, and no other."""
    page = (REFERENCE / "documents.md").read_text()
    sentence = page.partition("`options` are the keywords")[2].partition(", which override")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == set(get_type_hints(DocumentOptions))


def test_docstring_describes_the_keywords() -> None:
    """The docstring of ``enqueue`` describes each keyword, in the order of the fields."""
    # Python 3.13 removes a docstring's indentation, which getdoc() does on every version.
    arguments = (inspect.getdoc(enqueue) or "").partition("Args:")[2].partition("Returns:")[0]
    described = re.findall(r"^    (\w+): ", arguments, re.MULTILINE)
    assert sorted(described) == sorted(field.name for field in fields(JobSpec))


# --- unknown keywords ------------------------------------------------------------------------


@pytest.mark.parametrize("callee", FUNCTIONS)
def test_function_names_the_nearest_keyword(callee: str) -> None:
    """A misspelt keyword of a function is a TypeError that names the right one."""
    with pytest.raises(TypeError) as caught:
        FUNCTIONS[callee](nmae="a.pdf", content="<p>")
    problem = "got an unexpected keyword argument 'nmae'. Did you mean 'name'?"
    assert str(caught.value) == f"{callee.removeprefix('a')} {problem}"


@pytest.mark.parametrize("callee", FUNCTIONS)
def test_function_needs_a_name(callee: str) -> None:
    """A missing name is a TypeError, too."""
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'name'"):
        FUNCTIONS[callee](content="<p>")


@pytest.mark.parametrize("method", METHODS)
def test_method_names_the_nearest_keyword(method: str) -> None:
    """A misspelt keyword of a document is a TypeError that names the class and the right one."""
    with pytest.raises(TypeError) as caught:
        METHODS[method](ownr=None)
    message = str(caught.value)
    assert message.endswith("got an unexpected keyword argument 'ownr'. Did you mean 'owner'?")
    assert message.startswith("Report" if method.startswith("report") else "InvoicePDF")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["content", "document", "url"])
def test_method_refuses_what_the_class_provides(method: str, name: str) -> None:
    """A document class provides the content itself."""
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        METHODS[method](**{name: "x"})


def test_distant_keyword_has_no_hint() -> None:
    """A keyword that resembles none is refused without a guess."""
    with pytest.raises(TypeError) as caught:
        enqueue(name="a.pdf", zzz=1)
    assert str(caught.value) == "enqueue() got an unexpected keyword argument 'zzz'."
