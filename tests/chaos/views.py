"""Views of the simulated users: request documents, retry a job."""

import json
import uuid

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from django_docraptor import shortcuts
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import JobSpec
from tests.apps.baseline.models import Document
from tests.apps.baseline.tasks import render_document
from tests.chaos.accounts import LOCKED_ACCOUNT, LOCKED_JOBS, locked_name
from tests.support.documents import document_html


@csrf_exempt
def enqueue(request: HttpRequest) -> JsonResponse:
    """Enqueue documents by name, half of them together and half one by one.

    The name is the idempotency key, so that a repeated request enqueues nothing.
    """
    specs = [
        JobSpec(name=name, content=document_html(name), idempotency_key=name)
        for name in json.loads(request.body)
    ]
    half = len(specs) // 2
    shortcuts.enqueue_many(specs[:half])
    for spec in specs[half:]:
        shortcuts.enqueue_many([spec])
    return JsonResponse({"enqueued": len(specs)})


@csrf_exempt
def enqueue_locked(request: HttpRequest) -> JsonResponse:
    """Enqueue the documents of the account whose key is wrong."""
    names = [locked_name(number) for number in range(LOCKED_JOBS)]
    specs = [
        JobSpec(
            name=name, content=document_html(name), idempotency_key=name, account=LOCKED_ACCOUNT
        )
        for name in names
    ]
    shortcuts.enqueue_many(specs)
    return JsonResponse({"enqueued": len(specs)})


@csrf_exempt
def enqueue_baseline(request: HttpRequest) -> JsonResponse:
    """Enqueue documents for the baseline: a row each, and a task after its commit."""
    names = json.loads(request.body)
    for name in names:
        with transaction.atomic():
            document, created = Document.objects.get_or_create(name=name)
            if created:
                render_document.delay_on_commit(document.pk)
    return JsonResponse({"enqueued": len(names)})


@csrf_exempt
def retry(request: HttpRequest, key: uuid.UUID, attempt: int) -> JsonResponse:
    """Retry a job if its attempt is still the one that was checked."""
    job = RenderJob.objects.filter(pk=key, attempt=attempt).first()
    return JsonResponse({"retried": job is not None and shortcuts.retry(job)})


@csrf_exempt
def enqueue_for(request: HttpRequest) -> JsonResponse:
    """Enqueue documents of one account."""
    wanted = json.loads(request.body)
    specs = [
        JobSpec(
            name=name,
            content=document_html(name),
            idempotency_key=name,
            account=wanted["account"],
        )
        for name in wanted["names"]
    ]
    shortcuts.enqueue_many(specs)
    return JsonResponse({"enqueued": len(specs)})


@csrf_exempt
def cancel_all(request: HttpRequest) -> JsonResponse:
    """Cancel the unfinished jobs of an account."""
    jobs = RenderJob.objects.active().filter(account=json.loads(request.body))
    return JsonResponse({"cancelled": sum(map(shortcuts.cancel, jobs))})


@csrf_exempt
def resume(request: HttpRequest) -> JsonResponse:
    """Let an account go on at once."""
    return JsonResponse({"due": shortcuts.resume_account(json.loads(request.body)).due})
