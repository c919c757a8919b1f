"""Internal. A page of this site as the current user sees it, for documents that are made of one.

The page is requested within this process, with the session of the person who previews it: that
person could open it as well. DocRaptor sees it as the owner of a job does.
"""

import re
from io import BytesIO
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes, urlsplit

from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import get_script_prefix, get_urlconf, set_urlconf
from django.utils import timezone, translation

from django_docraptor.previews.failures import PreviewError

# Marks the request of a page, so that a page cannot be a preview of itself.
MARK: Final = "django_docraptor.preview"
# What a page sees of the request for its preview, beside its headers.
_COPIED: Final = ("REMOTE_ADDR", "REMOTE_USER", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
# Headers that would make something else of the response than the page.
_NOT_COPIED: Final = re.compile(r"HTTP_(IF_.*|RANGE|ACCEPT_ENCODING|ACCEPT|X_REQUESTED_WITH|HX_.*)")


def is_request_of_page(request: HttpRequest) -> bool:
    """Return whether a request was made by :func:`fetch_page`."""
    return MARK in request.META


def fetch_page(request: HttpRequest, url: str) -> str:
    """Return the HTML of a page of this site.

    Args:
        request: for the preview.
        url: path of the page, with the script prefix, and query.

    Raises:
        PreviewError: the response is not a page.
    """
    handler = BaseHandler()
    handler.load_middleware()
    urlconf, zone = get_urlconf(), timezone.get_current_timezone()
    with translation.override(translation.get_language()), timezone.override(zone):
        try:
            response = handler.get_response(_page_request(request, url))
        finally:
            set_urlconf(urlconf)
    return _read(response, url)


def _page_request(request: HttpRequest, url: str) -> WSGIRequest:
    parts = urlsplit(url)
    prefix = get_script_prefix()
    path = "/" + parts.path.removeprefix(prefix)
    environ: dict[str, Any] = {
        name: value
        for name, value in request.META.items()
        if name in _COPIED or (name.startswith("HTTP_") and not _NOT_COPIED.fullmatch(name))
    }
    environ |= {
        MARK: "1",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": prefix.rstrip("/"),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "HTTP_ACCEPT": "text/html",
        "wsgi.input": BytesIO(),
        "wsgi.url_scheme": request.scheme,
    }
    return WSGIRequest(environ)


def _read(response: HttpResponseBase, url: str) -> str:
    shown = url.partition("?")[0][:200]
    if 300 <= response.status_code < 400:
        target = response.get("Location", "").partition("?")[0][:200]
        raise PreviewError(
            f"The page {shown} redirects to {target}. If it needs a login, log in to this site: "
            "the preview shows the page as you see it."
        )
    if response.status_code != 200:
        raise PreviewError(
            f"The page {shown} responds with status {response.status_code}. The preview shows the "
            "page as you see it: open it in your browser to find out why."
        )
    kind = response.get("Content-Type", "").partition(";")[0]
    if kind not in ("text/html", "application/xhtml+xml"):
        raise PreviewError(f"The page {shown} is {kind or 'of an unknown type'} instead of HTML.")
    if response.streaming:
        raise PreviewError(f"The page {shown} is streamed, which the preview does not read.")
    return cast(HttpResponse, response).content.decode(response.charset, "replace")
