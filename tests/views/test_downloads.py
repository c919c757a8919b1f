"""The download view: permissions, headers, signed URLs."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Permission
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.test import Client
from django.urls import reverse

from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.states import FINAL_STATES, State
from tests.support.jobs import create_job

pytestmark = pytest.mark.django_db
PDF = b"%PDF-1.7\n" + b"x" * 100_000 + b"\n%%EOF\n"


class SigningStorage(FileSystemStorage):
    """A storage whose URLs expire, as those of S3 do."""

    def url(self, name: str, parameters: Any = None, expire: int | None = None) -> str:
        return f"https://files.example/{name}?expires={expire}&{urlencode(parameters or {})}"


class MissingFileStorage(FileSystemStorage):
    """A storage that has lost its files."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise FileNotFoundError(name)


def create_user(name: str, **fields: Any) -> AbstractBaseUser:
    """Return a new user."""
    return get_user_model().objects.create_user(name, password="pw", **fields)


@pytest.fixture
def job(owner: AbstractBaseUser, documents_dir: Path) -> RenderJob:
    """A completed job with its file."""
    made = create_job(State.COMPLETED, owner=owner)
    made.file.save("docraptor/2031/01/unguessable-1.pdf", ContentFile(PDF), save=False)
    RenderJob.objects.filter(pk=made.pk).update(file=made.file.name)
    return RenderJob.objects.get(pk=made.pk)


@pytest.fixture
def use_storage(settings, documents_dir: Path) -> Callable[[type[FileSystemStorage]], None]:
    """Return a function that changes the storage's class; the files stay where they are."""

    def use(storage: type[FileSystemStorage]) -> None:
        backend = {
            "BACKEND": f"{__name__}.{storage.__name__}",
            "OPTIONS": {"location": documents_dir},
        }
        settings.STORAGES = settings.STORAGES | {"docraptor": backend}

    return use


def download_status(user: AbstractBaseUser | None, job: RenderJob, method: str = "get") -> int:
    """Return the status code that a user gets for a download."""
    client = Client()
    if user is not None:
        client.force_login(user)
    response = getattr(client, method)(job.get_absolute_url())
    response.getvalue()  # a file is closed when it was read
    return response.status_code


def test_owner_downloads_an_uncached_attachment(
    job: RenderJob, owner: AbstractBaseUser, client: Client
) -> None:
    """The owner gets the file as an attachment that is neither sniffed nor cached."""
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.getvalue() == PDF
    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == 'attachment; filename="hello.pdf"'
    assert response["Content-Length"] == str(len(PDF))
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]


def test_view_permission_allows_download(job: RenderJob) -> None:
    """Users with `view_renderjob` may download; another permission is not enough."""
    user = create_user("clerk")
    user.user_permissions.add(Permission.objects.get(codename="retry_renderjob"))
    assert download_status(user, job) == 404
    user.user_permissions.add(Permission.objects.get(codename="view_renderjob"))
    assert download_status(get_user_model().objects.get(pk=user.pk), job) == 200


def test_superuser_may_download(job: RenderJob) -> None:
    """A superuser may download any document."""
    assert download_status(create_user("root", is_superuser=True), job) == 200


@pytest.mark.parametrize("fields", [{}, {"is_staff": True}])
def test_other_users_get_404(job: RenderJob, fields: dict[str, bool]) -> None:
    """Other users, including staff, get 404."""
    assert download_status(create_user("other", **fields), job) == 404


def test_anonymous_user_gets_404(job: RenderJob) -> None:
    """An anonymous user gets 404, even for a job without an owner."""
    assert download_status(None, job) == 404
    RenderJob.objects.update(owner=None)
    assert download_status(None, job) == 404


def test_inactive_owner_gets_404(job: RenderJob, owner: AbstractBaseUser) -> None:
    """An inactive owner gets 404, even with an old session."""
    client = Client()
    client.force_login(owner)
    get_user_model().objects.update(is_active=False)
    assert client.get(job.get_absolute_url()).status_code == 404


@pytest.mark.parametrize("state", sorted(set(State) - {State.COMPLETED}))
def test_document_that_is_not_completed_leads_to_the_status_page(
    job: RenderJob, owner: AbstractBaseUser, client: Client, state: State
) -> None:
    """A job that is not completed has no download, whatever its row says: its page says why."""
    due_at = None if state in FINAL_STATES else seconds_from_now(60)
    RenderJob.objects.update(state=state, due_at=due_at)
    client.force_login(owner)
    response = client.get(job.get_absolute_url(), follow=True)
    assert response.redirect_chain == [(reverse("django_docraptor:status", args=[job.pk]), 302)]
    assert (response.status_code, response.context["job"].state) == (200, state)


def test_unfinished_document_of_another_user_gets_404(job: RenderJob) -> None:
    """The redirect to the status page does not tell others that a job exists."""
    RenderJob.objects.update(state=State.QUEUED, due_at=seconds_from_now(60))
    assert download_status(create_user("other"), job) == 404
    assert download_status(None, job) == 404


def test_unknown_document_gets_404(owner: AbstractBaseUser) -> None:
    """An unknown job ID gets 404."""
    assert download_status(owner, RenderJob(pk=uuid.uuid4())) == 404


def test_download_answers_head_with_headers_only(job: RenderJob, owner: AbstractBaseUser) -> None:
    """HEAD gets the headers without the content."""
    client = Client()
    client.force_login(owner)
    response = client.head(job.get_absolute_url())
    assert (response.status_code, response.getvalue()) == (200, b"")
    assert response["Content-Length"] == str(len(PDF))


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_download_accepts_only_get_and_head(
    job: RenderJob, owner: AbstractBaseUser, method: str
) -> None:
    """Other methods get 405."""
    assert download_status(owner, job, method) == 405


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ('the "best".pdf', 'attachment; filename="the -best-.pdf"'),
        (r"back\slash.pdf", 'attachment; filename="back-slash.pdf"'),
        (
            "größte.pdf",
            "attachment; filename=\"gro_te.pdf\"; filename*=UTF-8''gr%C3%B6%C3%9Fte.pdf",
        ),
        ("a\r\nSet-Cookie: x=1.pdf", 'attachment; filename="a Set-Cookie- x=1.pdf"'),
        ("line\n", 'attachment; filename="line.pdf"'),
        ("../../etc/passwd", 'attachment; filename="_-..-etc-passwd.pdf"'),
        ("FV 17/11/2026.pdf", 'attachment; filename="FV 17-11-2026.pdf"'),
        ("invoice 17", 'attachment; filename="invoice 17.pdf"'),
        ("INVOICE.PDF", 'attachment; filename="INVOICE.PDF"'),
        ("page.html", 'attachment; filename="page.html.pdf"'),
    ],
)
def test_download_filename_is_quoted_and_has_an_extension(
    job: RenderJob, owner, client: Client, name: str, header: str
) -> None:
    """The document's name is quoted (RFC 6266), has its extension, and injects no header."""
    RenderJob.objects.update(name=name)
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response["Content-Disposition"] == header
    assert response["Content-Type"] == "application/pdf"
    assert "Set-Cookie" not in response
    assert response.getvalue() == PDF


def test_download_redirects_to_a_signed_url(
    job: RenderJob, owner, client: Client, use_storage
) -> None:
    """A storage that signs URLs serves the file itself, for a minute."""
    use_storage(SigningStorage)
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.status_code == 302
    assert response["Location"].startswith(f"https://files.example/{job.file.name}?expires=60&")
    assert "filename%3D%22" in response["Location"]
    assert "no-store" in response["Cache-Control"]


def test_other_users_get_no_signed_url(job: RenderJob, use_storage) -> None:
    """Other users are not redirected to a signed URL."""
    use_storage(SigningStorage)
    assert download_status(create_user("other"), job) == 404
    assert download_status(None, job) == 404


def test_download_streams_from_a_storage_without_signed_urls(
    job: RenderJob, owner, client: Client
) -> None:
    """If a storage's URLs do not expire, the file is streamed in pieces."""
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.streaming
    sizes = [len(chunk) for chunk in response.streaming_content]
    assert sum(sizes) == len(PDF)
    assert max(sizes) < len(PDF)


def test_download_of_a_missing_file_gets_404(job: RenderJob, owner, use_storage) -> None:
    """A file that is missing in the storage gets 404."""
    use_storage(MissingFileStorage)
    assert download_status(owner, job) == 404
