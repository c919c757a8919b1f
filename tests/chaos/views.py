"""What happens in web requests: customers order documents, a person retries one."""

import json
import uuid

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from benchmarks.content import content_of
from django_docraptor import shortcuts
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import JobSpec
from tests.apps.baseline.models import Document
from tests.apps.baseline.tasks import make


@csrf_exempt
def order(request: HttpRequest) -> JsonResponse:
    """Order documents by name; the name is the key, so that a repeated request orders no more."""
    orders = [
        JobSpec(name=name, content=content_of(name), idempotency_key=name)
        for name in json.loads(request.body)
    ]
    half = len(orders) // 2
    shortcuts.enqueue_many(orders[:half])
    for one in orders[half:]:
        shortcuts.enqueue_many([one])
    return JsonResponse({"ordered": len(orders)})


@csrf_exempt
def order_naively(request: HttpRequest) -> JsonResponse:
    """The same for the usual way: a row, and a task when the row is committed."""
    names = json.loads(request.body)
    for name in names:
        with transaction.atomic():
            document, created = Document.objects.get_or_create(name=name)
            if created:
                make.delay_on_commit(document.pk)
    return JsonResponse({"ordered": len(names)})


@csrf_exempt
def retry(request: HttpRequest, key: uuid.UUID, attempt: int) -> JsonResponse:
    """A person retries the attempt that the person has looked at."""
    job = RenderJob.objects.filter(pk=key, attempt=attempt).first()
    return JsonResponse({"retried": job is not None and shortcuts.retry(job)})
