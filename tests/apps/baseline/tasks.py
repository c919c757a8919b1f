"""Create with the official client, poll in a loop, and save the file.

Uses all Celery options that look safe.
"""

import time
from typing import Any

import docraptor
from celery import shared_task
from celery.contrib.django.task import DjangoTask
from django.conf import settings
from django.core.files.base import ContentFile

from tests.apps.baseline.models import Document
from tests.support.documents import document_html


class RenderingFailedError(Exception):
    """DocRaptor reports that the document cannot be rendered."""


class ErrorRecordingTask(DjangoTask):
    """Save the last error in the row, which most projects omit."""

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Save the error of the last attempt."""
        Document.objects.filter(pk=args[0]).update(error=repr(exc) or "unknown")


@shared_task(
    bind=True,
    base=ErrorRecordingTask,
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(Exception,),
    retry_backoff=True,
    retry_kwargs={"max_retries": 5},
)
def render_document(self: Any, pk: int) -> None:
    """Render one document."""
    document = Document.objects.get(pk=pk)
    api = docraptor_api()
    created = api.create_async_doc(
        {
            "name": document.name,
            "document_type": "pdf",
            "document_content": document_html(document.name),
            "test": False,
        }
    )
    while (status := api.get_async_doc_status(created.status_id)).status != "completed":
        if status.status == "failed":
            raise RenderingFailedError(status.validation_errors)
        time.sleep(1)
    document.file.save(document.name, ContentFile(api.get_async_doc(status.download_id)))


def docraptor_api() -> Any:
    """Return the official client, configured for the sandbox."""
    api = docraptor.DocApi()
    api.api_client.configuration.username = settings.DOCRAPTOR["API_KEY"]
    api.api_client.configuration.host = settings.SANDBOX
    return api
