"""The views that the callback view is compared with."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from django_docraptor.models import RenderJob
from django_docraptor.states import State
from tests.apps.baseline.tasks import render_document


@csrf_exempt
def one_select(request: HttpRequest, key: uuid.UUID) -> HttpResponse:
    """Do the minimum for a view with a database: one indexed SELECT."""
    RenderJob.objects.filter(pk=key).values_list("state", flat=True).first()
    return HttpResponse(status=204)


@csrf_exempt
def one_update(request: HttpRequest, key: uuid.UUID) -> HttpResponse:
    """Do the minimum for a callback: note it in one row, and send a message to a worker."""
    RenderJob.objects.filter(pk=key, state=State.QUEUED).update(priority=1)
    render_document.delay(1)
    return HttpResponse(status=204)
