"""The PDF or spreadsheet of a preview, made in this process."""

import sys

import pytest

from django_docraptor.payloads import DocumentRequest
from django_docraptor.previews.failures import PreviewError
from django_docraptor.previews.files import file_type, has_renderer, render_file


def test_same_document_is_rendered_once() -> None:
    """The page, its frame and a download share one file; another document is another file."""
    request = DocumentRequest(name="a.pdf", content="<h1>One</h1>", test=True)
    first = render_file(request)
    assert first.output.pages == 1
    assert render_file(request) is first
    other = DocumentRequest(name="a.pdf", content="<h1>Other</h1>", test=True)
    assert render_file(other).output.sha256() != first.output.sha256()


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message says how to install it."""
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(PreviewError, match=r"pip install 'django-docraptor\[sandbox\]'"):
        render_file(DocumentRequest(name="a.pdf", content="<p>without the extra"))


def test_reasons_are_those_of_the_sandbox() -> None:
    """What DocRaptor would refuse, the sandbox refuses."""
    with pytest.raises(PreviewError, match="File system access is not allowed"):
        render_file(DocumentRequest(name="a.pdf", content="<img src='logo.png'>"))
    with pytest.raises(PreviewError, match="no table found"):
        render_file(DocumentRequest(name="a.xlsx", document_type="xlsx", content="<p>"))


def test_excel_97_is_made_as_xlsx() -> None:
    """The sandbox makes no .xls; the tables are the same."""
    content = "<table><tr><td>1</table>"
    request = DocumentRequest(name="a.xls", document_type="xls", content=content)
    assert render_file(request).output.document_type == file_type("xls") == "xlsx"
    assert has_renderer("xls")
