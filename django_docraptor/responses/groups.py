"""Internal. Serve the file of a group, and its state as JSON."""

from typing import Any, Final

from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from django_docraptor.models import RenderGroup
from django_docraptor.responses.files import gives_document, stored_file_response
from django_docraptor.responses.permissions import may_download_group

# Seconds after which a client asks again.
RETRY_AFTER: Final = 5


def group_file_response(
    request: HttpRequest, group: RenderGroup, *, as_attachment: bool = True
) -> HttpResponseBase:
    """Return the file of a group, for a view of your own that authenticates its clients.

    If there is none, all clients get the state as JSON: 202 while it is made, or else 409.

    Args:
        request: Django's, or one of Django REST framework; ``request.user`` is the client's user.
        group: the group.
        as_attachment: whether the browser saves the file instead of showing it.

    Raises:
        Http404: the user may not have the file, or the storage has lost it.
    """
    if not may_download_group(request, group):
        raise Http404
    if not group.file:
        return _state_response(request, group, final_status=409)
    response = stored_file_response(group, as_attachment=as_attachment)
    if gives_document(request, response):
        RenderGroup.objects.filter(pk=group.pk).update(downloads=F("downloads") + 1)
    return response


def group_status_response(request: HttpRequest, group: RenderGroup) -> HttpResponseBase:
    """Return the state of a group as JSON, for a view of your own.

    Raises:
        Http404: the user may not have the file.
    """
    if not may_download_group(request, group):
        raise Http404
    return _state_response(request, group, final_status=200)


def _state_response(
    request: HttpRequest, group: RenderGroup, *, final_status: int
) -> HttpResponseBase:
    response = JsonResponse(_state(request, group), status=final_status if group.is_final else 202)
    if not group.is_final:
        response["Retry-After"] = str(RETRY_AFTER)
    add_never_cache_headers(response)
    return response


def _state(request: HttpRequest, group: RenderGroup) -> dict[str, Any]:
    """Return what the owner of a group may know of it."""
    progress = group.progress()
    status_url = reverse("django_docraptor:group-status", args=[group.pk])
    return {
        "id": str(group.pk),
        "name": group.name,
        "state": group.state,
        "is_final": group.is_final,
        "label": str(group.get_state_display()),
        "total": progress.total,
        "completed": progress.completed,
        "failed": progress.failed,
        "cancelled": progress.cancelled,
        "missing": progress.missing,
        "unfinished": progress.unfinished,
        "created_at": group.created_at.isoformat(),
        "status_url": request.build_absolute_uri(status_url),
        "download_url": request.build_absolute_uri(group.get_absolute_url())
        if group.file
        else None,
    }
