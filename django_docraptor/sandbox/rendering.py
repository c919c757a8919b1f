"""From options to a finished document, by the renderer that the settings name.

Knows which renderer makes what; no HTTP server, no state.
"""

from dataclasses import replace

from django_docraptor.sandbox.canned import canned_pdf, canned_xlsx
from django_docraptor.sandbox.options import Options
from django_docraptor.sandbox.outgoing import FetchError, fetch_source
from django_docraptor.sandbox.output import Output
from django_docraptor.sandbox.pdf import PaperError, print_pdf
from django_docraptor.sandbox.settings import Settings
from django_docraptor.sandbox.spreadsheet import NoTableError, tables_to_xlsx


class RenderError(Exception):
    """A document could not be made; `reasons` are for the caller."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


def render(options: Options, settings: Settings) -> Output:
    """Return the finished document; raise RenderError with the reasons if there is none."""
    try:
        if options.url and not options.content:
            options = replace(options, content=fetch_source(options.url, options.referrer))
        return _render(options, settings)
    except (FetchError, PaperError, NoTableError) as error:
        raise RenderError(str(error)) from error


def _render(options: Options, settings: Settings) -> Output:
    if settings.renderer == "canned":
        if options.document_type == "xlsx":
            return canned_xlsx(options)
        return canned_pdf(options, settings.canned_bytes)
    if options.document_type == "xlsx":
        return tables_to_xlsx(options.content, test=options.test)
    return print_pdf(options)
