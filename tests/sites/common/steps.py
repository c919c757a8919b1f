"""What every story does: users, the engine, and downloads by the right and the wrong user."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from django_docraptor.models import RenderJob


def user(name: str, **values: Any) -> Any:
    """Create a user whose password is the name."""
    return get_user_model().objects.create_user(
        name, email=f"{name}@example.com", password=name, **values
    )


def client_of(person: Any) -> Client:
    """Return a client that is logged in."""
    client = Client()
    client.force_login(person)
    return client


def run_engine() -> None:
    """Process every job, as the worker of a real site does."""
    call_command("docraptor_tick", until_idle=True, interval=0.1, timeout=60, verbosity=0)


def completed_job(**lookup: Any) -> RenderJob:
    """Run the engine; return the only job, whose file is in the storage and nowhere public."""
    run_engine()
    job: RenderJob = RenderJob.objects.get(**lookup)
    assert job.state == "completed", (job.state, job.error_code, job.errors)
    path = Path(job.file.path)
    assert path.is_relative_to(settings.BASE_DIR / "documents"), path
    assert path.read_bytes().startswith(b"%PDF-"), path
    return job


def assert_pdf(response: Any) -> None:
    """Assert that a response is a PDF."""
    assert response.status_code == 200, response.status_code
    assert response["Content-Type"] == "application/pdf", response["Content-Type"]
    content = b"".join(response.streaming_content)
    assert content.startswith(b"%PDF-"), content[:20]


def assert_downloads(job: RenderJob, *, owner: Any, other: Any) -> None:
    """Assert that the owner gets the document, and that others learn nothing of it."""
    url = job.get_absolute_url()
    assert_pdf(client_of(owner).get(url))
    assert client_of(other).get(url).status_code == 404
    assert Client().get(url).status_code in (302, 404)
    status = reverse("django_docraptor:status", args=[job.pk])
    assert client_of(other).get(status).status_code == 404
