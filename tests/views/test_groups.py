"""The file of a group, and its state, over HTTP."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser, User
from django.test import Client
from django.urls import reverse

from django_docraptor import Document, RenderGroup, enqueue_group
from django_docraptor.models import RenderJob
from django_docraptor.states import State
from tests.test_groups import end_jobs, merge, settled_group, specs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def anna() -> User:
    """The owner."""
    return User.objects.create_user("anna")


@pytest.fixture
def client(anna: User) -> Client:
    """Anna's browser."""
    client = Client()
    client.force_login(anna)
    return client


def status_of(group: RenderGroup) -> str:
    """Return the URL of a group's state."""
    return reverse("django_docraptor:group-status", args=[group.pk])


def test_owner_downloads_the_zip(client: Client, anna: User, documents_dir: Path) -> None:
    """The owner gets the file under the group's name, and the download is counted."""
    group = settled_group(owner=anna, name="Invoices 2026/11")
    response = client.get(group.get_absolute_url())
    assert response["Content-Type"] == "application/zip"
    assert response["Content-Disposition"] == 'attachment; filename="Invoices 2026-11.zip"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    with zipfile.ZipFile(BytesIO(response.getvalue())) as archive:
        assert archive.namelist() == ["Invoice 1.pdf", "Invoice 2.pdf"]
    group.refresh_from_db()
    assert group.downloads == 1


def test_state_while_documents_are_unfinished(
    client: Client, anna: User, documents_dir: Path
) -> None:
    """Until there is a file, both URLs tell how far the group is."""
    group = enqueue_group(specs(3), name="Invoices", merge="zip", owner=anna)
    end_jobs(group, State.COMPLETED, State.FAILED)
    for url in (group.get_absolute_url(), status_of(group)):
        response = client.get(url)
        assert (response.status_code, response["Retry-After"]) == (202, "5")
        state = response.json()
        counts = {name: state[name] for name in ("total", "completed", "failed", "unfinished")}
        assert counts == {"total": 3, "completed": 1, "failed": 1, "unfinished": 1}
        assert state["download_url"] is None


def test_group_without_a_file_is_a_conflict(
    client: Client, anna: User, documents_dir: Path
) -> None:
    """Who asks for the file of a partial group gets 409, and its state gets 200."""
    group = enqueue_group(specs(2), name="Invoices", merge="zip", owner=anna)
    end_jobs(group, State.COMPLETED, State.FAILED)
    merge(group)
    assert client.get(group.get_absolute_url()).status_code == 409
    response = client.get(status_of(group))
    assert (response.status_code, response.json()["state"]) == (200, "partial")


def test_rule_of_a_document_is_respected(client: Client, anna: User, documents_dir: Path) -> None:
    """If the rule of one document refuses the user, the file that has it is refused, too."""

    class PaidPDF(Document[Any]):
        """Registered during the test."""

        template_name = "shop/invoice.html"

        @classmethod
        def may_download(cls, user: AbstractBaseUser, job: RenderJob) -> bool:
            """Return whether the invoice is paid."""
            return "unpaid" not in job.name

    group = settled_group(owner=anna)
    jobs = RenderJob.objects.filter(group=group)
    jobs.update(document=PaidPDF.label)
    assert client.get(status_of(group)).status_code == 200
    jobs.filter(group_position=1).update(name="unpaid")
    assert client.get(status_of(group)).status_code == 404
    assert client.get(group.get_absolute_url()).status_code == 404
