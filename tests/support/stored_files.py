"""Completed jobs with a stored file, without the engine."""

from typing import Any

from django.core.files.base import ContentFile

from django_docraptor.models import RenderJob
from django_docraptor.states import State
from tests.support.jobs import create_job

PDF = b"%PDF-1.7\n" + b"x" * 100_000 + b"\n%%EOF\n"


def completed_job(**columns: Any) -> RenderJob:
    """Return a completed job whose file is in the storage."""
    job = create_job(State.COMPLETED, file_size=len(PDF), **columns)
    job.file.save(f"docraptor/2031/01/{job.pk.hex}.pdf", ContentFile(PDF), save=False)
    RenderJob.objects.filter(pk=job.pk).update(file=job.file.name)
    return RenderJob.objects.get(pk=job.pk)
