"""Internal. The file of a group, and its state."""

import uuid

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_docraptor.models import RenderGroup
from django_docraptor.responses import errors_as_json, group_file_response, group_status_response


@login_not_required
@require_safe
@never_cache
@errors_as_json
def group_download(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Return the file of a group to users who may have it, and 404 to all others.

    If there is none, the state as JSON.
    """
    return group_file_response(request, get_object_or_404(RenderGroup, pk=pk))


@login_not_required
@require_safe
@never_cache
@errors_as_json
def group_status(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Return the state of a group as JSON to users who may have its file, and 404 to all others."""
    return group_status_response(request, get_object_or_404(RenderGroup, pk=pk))
