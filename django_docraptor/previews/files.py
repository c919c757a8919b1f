"""Internal. The PDF or spreadsheet of a preview, made in this process by the sandbox's renderer.

Needs the extra ``[sandbox]``. Nothing is sent, and nothing is loaded but what is embedded.
"""

import hashlib
import importlib.util
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django_docraptor.payloads import DocumentRequest
from django_docraptor.preflight.errors import last_line
from django_docraptor.previews.failures import PreviewError

if TYPE_CHECKING:
    from django_docraptor.sandbox.output import Output

# What the extra installs for each type. Excel 97 (xls) is shown as xlsx.
_MODULES: Final = {"pdf": "weasyprint", "xlsx": "xlsxwriter", "xls": "xlsxwriter"}
# Seconds for which a preview waits for another one.
MAX_WAIT_SECONDS: Final = 30.0
# A larger file is rendered again when it is asked for again.
MAX_KEPT_BYTES: Final = 16 * 1024 * 1024

# One document at a time: a person looks at one, and rendering occupies a processor and memory.
_lock = threading.Lock()
# The digest of the latest request, and its file: the page, its frame and a download show the same.
_latest: "tuple[str, RenderedFile] | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A finished document.

    Args:
        output: the file, and the number of its pages.
        seconds: for which it was rendered.
    """

    output: "Output"
    seconds: float


def has_renderer(document_type: str) -> bool:
    """Return whether the renderer for this type of document is installed."""
    return importlib.util.find_spec(_MODULES[document_type]) is not None


def file_type(document_type: str) -> str:
    """Return the type that the sandbox makes instead of another."""
    return "xlsx" if document_type == "xls" else document_type


def render_file(request: DocumentRequest) -> RenderedFile:
    """Return the finished document.

    Raises:
        PreviewError: it cannot be rendered, or another one takes too long.
    """
    global _latest
    body = {**request.to_json(), "type": file_type(str(request.document_type)), "test": False}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    if not _lock.acquire(timeout=MAX_WAIT_SECONDS):
        raise PreviewError("Another preview is being rendered. Try again when it is finished.")
    try:
        if _latest and _latest[0] == digest:
            return _latest[1]
        began = time.monotonic()
        output = _render(body)
        rendered = RenderedFile(output=output, seconds=time.monotonic() - began)
        _latest = (digest, rendered) if output.size <= MAX_KEPT_BYTES else None
        return rendered
    finally:
        _lock.release()


def _render(body: dict[str, object]) -> "Output":
    try:
        from django_docraptor.sandbox import pdf, rendering
        from django_docraptor.sandbox.options import options_from_json, validation_errors
        from django_docraptor.sandbox.settings import Settings

        pdf.load_weasyprint()
    except (ImportError, OSError) as error:  # OSError: WeasyPrint without Pango
        raise PreviewError(
            "The sandbox's renderer is not complete. Install it with pip install "
            f"'django-docraptor[sandbox]', and Pango for PDFs: {error}"
        ) from error
    options = options_from_json(body)
    if reasons := validation_errors(options):
        raise PreviewError("\n".join(reasons))
    try:
        return rendering.render(options, Settings(renderer="weasyprint"))
    except rendering.RenderError as error:
        raise PreviewError("\n".join(error.reasons)) from error
    except Exception as error:
        raise PreviewError(
            f"The sandbox's renderer has failed, which says nothing about DocRaptor's: "
            f"{last_line(error)}"
        ) from error
