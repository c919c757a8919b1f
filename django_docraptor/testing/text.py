"""Internal. The text of HTML, and of finished documents."""

import importlib
import io
from typing import Any

from django_docraptor.models import RenderJob
from django_docraptor.preflight.parser import TolerantParser

HIDDEN = frozenset({"head", "script", "style", "template"})
# Elements after which a word ends.
INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "mark", "s", "small"}
    | {"span", "strong", "sub", "sup", "u"}
)


class _TextParser(TolerantParser):
    """Collects the text outside of hidden elements."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in HIDDEN:
            self._hidden.append(tag)
        elif tag == "body":  # ends a head that is not closed
            self._hidden.clear()
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag == self._hidden[-1]:
            self._hidden.pop()
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)

    def _separate(self, tag: str) -> None:
        if tag not in INLINE:
            self.parts.append(" ")


def html_text(html: str) -> str:
    """Return the visible text of HTML, with single spaces."""
    parser = _TextParser()
    parser.feed(f"{html}\n")  # or text such as "R&D" at its end would be incomplete
    parser.close()
    return " ".join("".join(parser.parts).split())


def document_text(job: RenderJob) -> str:
    """Return the text of a job's finished file, for tests with a real renderer.

    Args:
        job: completed. A PDF needs the package pypdf, a workbook openpyxl.

    Raises:
        ValueError: the job has no file.
        ImportError: the package is not installed.
    """
    job.refresh_from_db()
    if not job.file:
        raise ValueError(f"{job} has no file: {job.errors or 'run docraptor.render() first.'}")
    with job.file.open("rb") as file:
        content = io.BytesIO(file.read())
    return _pdf_text(content) if job.document_type == "pdf" else _workbook_text(content)


def _pdf_text(content: io.BytesIO) -> str:
    reader = _import("pypdf").PdfReader(content)
    return "\n".join(page.extract_text() for page in reader.pages)


def _workbook_text(content: io.BytesIO) -> str:
    workbook = _import("openpyxl").load_workbook(content)
    rows = (row for sheet in workbook for row in sheet.iter_rows(values_only=True))
    return "\n".join("\t".join("" if cell is None else str(cell) for cell in row) for row in rows)


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        message = f"document_text() reads this file with {package}: pip install {package}"
        raise ImportError(message) from error
