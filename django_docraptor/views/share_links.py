"""Internal. The page of a share link, and the download behind its button.

Mail scanners and chat programs open each link that they see. So the link opens a page, which counts
nothing; its button leads to ``?download``, which counts and sends the file.

The URL is a secret: the token is taken out of the request. What does not work looks the same,
whatever the reason is.
"""

from typing import Any, Final, cast

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from django_docraptor.models import ShareLink
from django_docraptor.responses import file_response, record_download
from django_docraptor.responses.files import gives_document, is_viewable
from django_docraptor.secret_text import SecretText
from django_docraptor.share_urls import read_share_token
from django_docraptor.views.error_responses import unlogged_error
from django_docraptor.views.secret_urls import hide_in_path

# Query parameters: send the file, to be saved or to be shown.
DOWNLOAD: Final = "download"
INLINE: Final = "inline"


@login_not_required
@transaction.non_atomic_requests
def shared_document(request: HttpRequest, token: str) -> HttpResponseBase:
    """Show what a share link gives; with ``?download`` or ``?inline``, send it and count.

    HEAD counts if it gets the file's URL.

    Returns:
        404 for a link that is expired, revoked, used up, forged or unknown, or whose file is gone,
        always with the same page; 405 for methods other than GET and HEAD.
    """
    token = SecretText(token)
    hide_in_path(request, token)
    if request.method not in ("GET", "HEAD"):
        return _keep_private(unlogged_error(405, Allow="GET, HEAD"))
    link = _find_link(token)
    response = _respond(request, link) if link is not None else None
    return _keep_private(response or _refusal(request))


def _find_link(token: str) -> ShareLink | None:
    link_id = read_share_token(token)
    return None if link_id is None else ShareLink.find_active(link_id)


def _respond(request: HttpRequest, link: ShareLink) -> HttpResponseBase | None:
    """Return the page or the file; ``None`` if the file, or its last download, has gone."""
    if DOWNLOAD not in request.GET and INLINE not in request.GET:
        return _render(request, "shared.html", _page_context(link))
    as_attachment = INLINE not in request.GET or not is_viewable(link.job)
    try:
        response = file_response(link.job, as_attachment=as_attachment)
    except Http404:
        return None
    if not gives_document(request, response):
        return response
    if not _count_download(link, response):
        return None
    note = f"by share link {link.short_id}"
    record_download(link.job, by=note, as_attachment=as_attachment, link=link)
    return response


def _count_download(link: ShareLink, response: HttpResponseBase) -> bool:
    """Count a download before a byte of it is sent, so that of two last ones one is refused."""
    is_counted = False
    try:
        is_counted = link.count_download()
    finally:
        file = getattr(response, "file_to_stream", None)
        if file is not None and not is_counted:
            file.close()  # response.close() would end the request
    return is_counted


def _refusal(request: HttpRequest) -> HttpResponseBase:
    response: Any = _render(request, "shared_gone.html", {}, status=404)
    response._has_been_logged = True  # as for `unlogged_error`
    return cast(HttpResponseBase, response)


def _page_context(link: ShareLink) -> dict[str, Any]:
    limit = link.max_downloads
    return {
        "job": link.job,
        "link": link,
        "may_be_shown": is_viewable(link.job),
        "downloads_left": None if limit is None else limit - link.downloads,
    }


def _render(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    return render(request, f"django_docraptor/{template}", context, status=status)


def _keep_private(response: HttpResponseBase) -> HttpResponseBase:
    """Keep a response from caches and search engines, and its URL from other sites."""
    add_never_cache_headers(response)
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow"
    response["X-Content-Type-Options"] = "nosniff"
    return response
