"""The view that the callback view is compared with."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from django_docraptor.models import RenderJob


@csrf_exempt
def one_select(request: HttpRequest, key: uuid.UUID) -> HttpResponse:
    """Do the minimum for a view with a database: one indexed SELECT."""
    RenderJob.objects.filter(pk=key).values_list("state", flat=True).first()
    return HttpResponse(status=204)
