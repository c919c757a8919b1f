"""Create through the official client, sleep and poll, save: with every option that sounds safe."""

import time
from typing import Any

import docraptor
from celery import shared_task
from celery.contrib.django.task import DjangoTask
from django.conf import settings
from django.core.files.base import ContentFile

from benchmarks.content import content_of
from tests.apps.baseline.models import Document


class RenderingFailedError(Exception):
    """DocRaptor says that the document cannot be made."""


class Recorded(DjangoTask):
    """Most people leave this out: the last error is kept in the row."""

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Note why the document was given up."""
        Document.objects.filter(pk=args[0]).update(error=repr(exc) or "unknown")


@shared_task(
    bind=True,
    base=Recorded,
    acks_late=True,
    reject_on_worker_lost=True,
    autoretry_for=(Exception,),
    retry_backoff=True,
    retry_kwargs={"max_retries": 5},
)
def make(self: Any, pk: int) -> None:
    """Make one document."""
    document = Document.objects.get(pk=pk)
    api = client()
    created = api.create_async_doc(
        {
            "name": document.name,
            "document_type": "pdf",
            "document_content": content_of(document.name),
            "test": False,
        }
    )
    while (status := api.get_async_doc_status(created.status_id)).status != "completed":
        if status.status == "failed":
            raise RenderingFailedError(status.validation_errors)
        time.sleep(1)
    document.file.save(document.name, ContentFile(api.get_async_doc(status.download_id)))


def client() -> Any:
    """The official client, pointed at the sandbox."""
    api = docraptor.DocApi()
    api.api_client.configuration.username = settings.DOCRAPTOR["API_KEY"]
    api.api_client.configuration.host = settings.SANDBOX
    return api
