"""Internal. The pages of the previews: for developers with ``DEBUG``, and for permitted staff.

Each page has a strict Content-Security-Policy. The HTML of a document is shown in a sandboxed frame
under a policy of its own. Only a POST request sends anything.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from io import BytesIO
from typing import Any, Final, cast
from urllib.parse import urlsplit

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.cache import get_conditional_response, set_response_etag
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST, require_safe

from django_docraptor.page_urls import is_page
from django_docraptor.previews import catalogue, files
from django_docraptor.previews.access_log import hide_polls
from django_docraptor.previews.digests import preview_digests
from django_docraptor.previews.failures import PreviewError, describe_failure
from django_docraptor.previews.loading import html_with_base
from django_docraptor.previews.pages import fetch_page, is_request_of_page
from django_docraptor.previews.rendering import Preview, refresh_templates, render_preview
from django_docraptor.previews.selection import Selection, UnknownSampleError, select
from django_docraptor.responses import DocumentResponse
from django_docraptor.responses.permissions import may_preview
from django_docraptor.views.preview_pages import PreviewPage

NOTHING: Final = "There is no HTML to show. The page of the preview says why."
# Seconds after which to try again if another test document is being generated.
RETRY_AFTER: Final = 10
# One test document at a time in this process.
_test_document_lock = threading.Lock()

View = Callable[..., HttpResponseBase]


def _preview_view(view: View) -> View:
    """Make a view one of previews: 404 for all others, and a strict policy."""

    @login_not_required
    @never_cache
    @transaction.non_atomic_requests
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if is_request_of_page(request) or not may_preview(request):
            raise Http404
        refresh_templates()
        response = view(request, *args, **kwargs)
        response.headers.setdefault("Content-Security-Policy", _page_policy())
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response["X-Content-Type-Options"] = "nosniff"
        return response

    return wrapper


@_preview_view
@require_safe
def preview_list(request: HttpRequest) -> HttpResponse:
    """List the documents of the project."""
    context = {"apps": catalogue.entries_by_app()}
    return render(request, "django_docraptor/previews/index.html", context)


@_preview_view
@require_safe
def preview(request: HttpRequest, label: str) -> HttpResponse:
    """Show the document of a sample: the PDF, the HTML or its source, and the problems."""
    selection = _selection(request, label)
    return _document_page(request, selection, _render(request, selection))


@_preview_view
@require_safe
@xframe_options_sameorigin
def preview_html(request: HttpRequest, label: str) -> HttpResponse:
    """Return the HTML of a sample, for a sandboxed frame."""
    rendered = _render(request, _selection(request, label))
    if rendered.request is None or not rendered.html:
        return _refusal(NOTHING)
    base = request.build_absolute_uri(rendered.page) if is_page(rendered.page) else ""
    response = HttpResponse(_encode(html_with_base(rendered.request, base)))
    response["Content-Security-Policy"] = document_policy(
        request, loads_others="external" in request.GET
    )
    return response


@_preview_view
@require_safe
@xframe_options_sameorigin
def preview_file(request: HttpRequest, label: str) -> HttpResponseBase:
    """Return the PDF or spreadsheet of a sample, made by the sandbox's renderer."""
    document_request = _render(request, _selection(request, label)).request
    if document_request is None or not document_request.content:
        return _refusal(NOTHING)
    try:
        output = files.render_file(document_request).output
    except PreviewError as error:
        return _refusal(str(error))
    response = DocumentResponse(
        BytesIO(b"".join(output.chunks())),
        name=document_request.name,
        document_type=output.document_type,
    )
    # Nothing else: a browser's viewer of PDFs loads parts of its own.
    response["Content-Security-Policy"] = "frame-ancestors 'self'"
    return response


@_preview_view
@require_safe
def preview_state(request: HttpRequest, label: str) -> HttpResponseBase:
    """Return digests by which the page learns that the document or a template has changed."""
    hide_polls()
    selection = _selection(request, label)
    response = JsonResponse(preview_digests(selection, _render(request, selection)))
    set_response_etag(response)
    found = get_conditional_response(request, etag=response["ETag"], response=response)
    return cast("HttpResponseBase", found)


@_preview_view
@require_POST
@csrf_protect
def preview_test_document(request: HttpRequest, label: str) -> HttpResponseBase:
    """Generate a free test document by one synchronous call to DocRaptor, and return it."""
    selection = _selection(request, label)
    rendered = _render(request, selection)
    if rendered.spec is None:
        return _document_page(request, selection, rendered, status=422)
    if not _test_document_lock.acquire(blocking=False):
        busy = PreviewError(
            "Another test document is being generated. Try again when it is finished."
        )
        response = _document_page(request, selection, _failed(busy), status=409)
        response["Retry-After"] = str(RETRY_AFTER)
        return response
    try:
        # The spec says so already. Whatever changes there: a preview is never billed.
        return DocumentResponse.render_now(replace(rendered.spec, test=True, hosted=False))
    except Exception as error:  # noqa: BLE001 - hooks are the project's, the rest is DocRaptor's
        return _document_page(request, selection, _failed(error), status=502)
    finally:
        _test_document_lock.release()


def _selection(request: HttpRequest, label: str) -> Selection:
    """Return what the URL selects.

    Raises:
        Http404: there is no such document, or no such sample.
    """
    document = catalogue.find_document(label)
    if document is None:
        raise Http404
    try:
        return select(document, request.GET)
    except UnknownSampleError:
        raise Http404 from None


def _render(request: HttpRequest, selection: Selection) -> Preview:
    """Return the preview of a selection; an empty one if nothing can be rendered yet."""
    if selection.sample is None or selection.params is None or selection.failure:
        return Preview(failure=selection.failure)
    return render_preview(
        selection.document, selection.sample, selection.params, partial(fetch_page, request)
    )


def _failed(error: Exception) -> Preview:
    return Preview(failure=describe_failure(error))


def _refusal(message: str) -> HttpResponse:
    """Return a response for what the preview's page would explain."""
    return HttpResponse(message, status=422, content_type="text/plain; charset=utf-8")


def _document_page(
    request: HttpRequest, selection: Selection, rendered: Preview, *, status: int = 200
) -> HttpResponse:
    context = PreviewPage(request, selection, rendered).context()
    text = render_to_string("django_docraptor/previews/document.html", context, request)
    return HttpResponse(_encode(text), status=status)


def _encode(text: str) -> bytes:
    """Return UTF-8, although a document may contain what cannot be encoded."""
    return text.encode("utf-8", "replace")


def _page_policy() -> str:
    """Return the policy of our own pages: no inline code, nothing of another site."""
    # Static files may be on a host of the project's own.
    parts = urlsplit(static("django_docraptor/previews.css"))
    host = f" {parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""
    return f"default-src 'self'{host}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


def document_policy(request: HttpRequest, *, loads_others: bool) -> str:
    """Return the policy of a document's HTML: no scripts, no forms, not the origin of the site.

    Args:
        request: for the HTML.
        loads_others: whether images, styles and fonts of other sites are loaded.
    """
    hosts = "https: http:" if loads_others else f"{request.scheme}://{request.get_host()}"
    return (
        f"sandbox; default-src 'none'; img-src {hosts} data:; font-src {hosts} data:; "
        f"style-src {hosts} data: 'unsafe-inline'; form-action 'none'; base-uri https: http:; "
        "frame-ancestors 'self'"
    )
