"""What the callback view is compared with."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from django_docraptor.models import RenderJob


@csrf_exempt
def one_select(request: HttpRequest, key: uuid.UUID) -> HttpResponse:
    """The least that a view with a database does: one SELECT by an index."""
    RenderJob.objects.filter(pk=key).values_list("state", flat=True).first()
    return HttpResponse(status=204)
