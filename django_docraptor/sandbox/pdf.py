"""Real PDFs by WeasyPrint, which never reaches the network.

Only `data:` URLs are resolved. Knows WeasyPrint; no HTTP, no state.
"""

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

# Pango keeps state that is shared by all threads of a process.
_one_at_a_time = threading.Lock()


class PaperError(ValueError):
    """The document cannot be printed; the text is the reason for the caller."""


def load_weasyprint() -> Any:
    """Import WeasyPrint; raise ImportError without the package, OSError without Pango."""
    return importlib.import_module("weasyprint")


def print_pdf(options: Options) -> Output:
    """Return the PDF of the document; raise PaperError if a resource is missing and required."""
    with _one_at_a_time:
        return _print(load_weasyprint(), options)


def _print(weasyprint: Any, options: Options) -> Output:
    fatal = weasyprint.urls.FatalURLFetchingError
    fetcher = weasyprint.urls.URLFetcher(
        allowed_protocols=("data",), fail_on_errors=not options.ignore_resource_errors
    )
    try:
        return _render(weasyprint, options, fetcher)
    except fatal as error:
        raise PaperError(str(error)) from error


def _render(weasyprint: Any, options: Options, fetcher: Any) -> Output:
    css = [weasyprint.CSS(string=WATERMARK_CSS)] if options.test else []
    html = weasyprint.HTML(
        string=options.content,
        base_url=str(options.prince_options.get("baseurl") or "") or None,
        url_fetcher=fetcher,
        media_type=str(options.prince_options.get("media") or "print"),
    )
    document = html.render(stylesheets=css)
    if title := options.prince_options.get("pdf_title"):
        document.metadata.title = str(title)
    buffer = io.BytesIO()
    document.write_pdf(buffer)
    return Output(document_type="pdf", head=buffer.getvalue(), pages=len(document.pages))
