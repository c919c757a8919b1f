"""Render PDFs with WeasyPrint, without network access: only `data:` URLs are loaded."""

import importlib
import io
import threading
from typing import Any

from django_docraptor.sandbox.canned import WATERMARK
from django_docraptor.sandbox.options import Options
from django_docraptor.sandbox.output import Output

WATERMARK_CSS = f"""
html::before {{
  content: "{WATERMARK}"; position: fixed; top: 40%; left: 0; right: 0; text-align: center;
  font: bold 36pt sans-serif; white-space: nowrap; color: rgba(200, 0, 0, 0.25);
  transform: rotate(-35deg); z-index: 2147483647;
}}
"""

# Pango's state is shared by all threads of a process.
_render_lock = threading.Lock()


class PdfError(ValueError):
    """The document cannot be rendered; the message is returned to the client."""


def load_weasyprint() -> Any:
    """Import WeasyPrint.

    Raises:
        ImportError: the package is missing.
        OSError: Pango is missing.
    """
    return importlib.import_module("weasyprint")


def render_pdf(options: Options) -> Output:
    """Render the document as a PDF.

    Raises:
        PdfError: a required resource is missing.
    """
    with _render_lock:
        weasyprint = load_weasyprint()
        try:
            return _render_pdf(weasyprint, options)
        except weasyprint.urls.FatalURLFetchingError as error:
            raise PdfError(str(error)) from error


def _render_pdf(weasyprint: Any, options: Options) -> Output:
    css = [weasyprint.CSS(string=WATERMARK_CSS)] if options.test else []
    html = weasyprint.HTML(
        string=options.content,
        base_url=str(options.prince_options.get("baseurl") or "") or None,
        url_fetcher=weasyprint.urls.URLFetcher(
            allowed_protocols=("data",), fail_on_errors=not options.ignore_resource_errors
        ),
        media_type=str(options.prince_options.get("media") or "print"),
    )
    document = html.render(stylesheets=css)
    if title := options.prince_options.get("pdf_title"):
        document.metadata.title = str(title)
    buffer = io.BytesIO()
    document.write_pdf(buffer)
    return Output(document_type="pdf", head=buffer.getvalue(), pages=len(document.pages))
