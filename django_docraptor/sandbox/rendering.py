"""Render a document with the renderer chosen in the settings."""

from dataclasses import replace

from django_docraptor.sandbox.canned import canned_document
from django_docraptor.sandbox.options import Options
from django_docraptor.sandbox.outgoing import FetchError, fetch_document_url
from django_docraptor.sandbox.output import Output
from django_docraptor.sandbox.pdf import PdfError, render_pdf
from django_docraptor.sandbox.settings import Settings
from django_docraptor.sandbox.spreadsheet import NoTableError, tables_to_xlsx


class RenderError(Exception):
    """A document could not be rendered; `reasons` are returned to the client."""

    def __init__(self, *reasons: str) -> None:
        """Fail with these texts."""
        super().__init__("\n".join(reasons))
        self.reasons = reasons


def render(options: Options, settings: Settings) -> Output:
    """Render a document.

    Raises:
        RenderError: it could not be rendered.
    """
    try:
        if options.url and not options.content:
            content = fetch_document_url(options.url, options.referrer, options.user_agent_token)
            options = replace(options, content=content)
        return _render(options, settings)
    except (FetchError, PdfError, NoTableError) as error:
        raise RenderError(str(error)) from error


def _render(options: Options, settings: Settings) -> Output:
    if settings.renderer == "canned":
        return canned_document(options, settings.canned_bytes)
    if options.document_type == "xlsx":
        return tables_to_xlsx(options.content, test=options.test)
    return render_pdf(options)
