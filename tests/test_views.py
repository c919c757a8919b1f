"""The edges that the outside world sees: row W of the fault matrix, and who may download."""

import json
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery.signals import before_task_publish
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Permission
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.urls import reverse

from django_docraptor.callback_urls import make_token
from django_docraptor.lifecycle.submission import claim_for_slots, prepare_batch
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import FINAL_STATES, State
from tests.support.jobs import run_until_finished, enqueue, event_kinds

pytestmark = pytest.mark.django_db

PDF = b"%PDF-1.7\n" + b"x" * 100_000 + b"\n%%EOF\n"
WOKEN = {State.QUEUED, State.WORKING, State.UNCONFIRMED}


def put(state: State, **columns: Any) -> RenderJob:
    """A job in any state, as some earlier process left it."""
    job = enqueue()
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    RenderJob.objects.filter(pk=job.pk).update(
        **{"state": state, "attempt": 1, "due_at": due_at, "lease_token": "", **columns}
    )
    return RenderJob.objects.get(pk=job.pk)


def row(job: RenderJob) -> dict[str, Any]:
    """The row as it is in the database."""
    return RenderJob.objects.filter(pk=job.pk).values().get()


def is_due(job: RenderJob) -> bool:
    """Whether somebody would look at the job now."""
    return RenderJob.objects.due().filter(pk=job.pk).exists()


def callback_path(job: RenderJob | uuid.UUID, attempt: int = 1) -> str:
    """Where DocRaptor calls back."""
    key = job if isinstance(job, uuid.UUID) else job.pk
    return reverse("django_docraptor:callback", args=[make_token(key, attempt)])


@pytest.fixture
def docraptor() -> Client:
    """Somebody without cookies, as DocRaptor is, and CSRF protection on."""
    return Client(enforce_csrf_checks=True)


class Unreadable:
    """A body that nobody may read."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")

    readline = readlines = __iter__ = read


# --- callback: answers -----------------------------------------------------------------------


def test_callback_valid(docraptor: Client) -> None:
    """W1: an authentic callback gets an empty 204, which no cache keeps."""
    response = docraptor.post(callback_path(put(State.WORKING)))
    assert (response.status_code, response.content) == (204, b"")
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "é",
        "%00",
        "a" * 3000,
        f"{uuid.UUID(int=17).hex}-1.1tcXJs.AAAA",
        "{hex}-1",
        "{token}x",
        "{token}%00",
        "{token}%0A",
    ],
)
def test_callback_forged(docraptor: Client, token: str) -> None:
    """W4: whatever is not ours gets 404 without a reason, and changes nothing."""
    job = put(State.WORKING)
    token = token.replace("{token}", make_token(job.pk, 1)).replace("{hex}", job.pk.hex)
    before = row(job)
    response = docraptor.post(f"/docraptor/callback/{token}/")
    assert (response.status_code, response.content) == (404, b"")
    assert row(job) == before


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_callback_other_methods(docraptor: Client, method: str) -> None:
    """Only POST: link scanners change nothing."""
    job = put(State.WORKING)
    before = row(job)
    response = getattr(docraptor, method)(callback_path(job))
    assert response.status_code == 405
    assert response["Allow"] == "POST"
    assert row(job) == before
    assert event_kinds(job) == ["enqueued"]


def test_callback_unknown_job(docraptor: Client, published_tasks: list[str]) -> None:
    """A job that was deleted: authentic, so 204, again and again, and nothing is rung."""
    path = callback_path(uuid.uuid4())
    assert [docraptor.post(path).status_code for _ in range(3)] == [204] * 3
    assert published_tasks == []


def test_callback_login_required_middleware(docraptor: Client, settings) -> None:
    """A site that asks everybody to log in does not ask DocRaptor."""
    middleware = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
    job = put(State.WORKING)
    assert docraptor.post(callback_path(job)).status_code == 204
    assert is_due(job)
    assert docraptor.post("/docraptor/callback/forged/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_callback_atomic_requests(
    docraptor: Client, published_tasks: list[str], monkeypatch
) -> None:
    """With ATOMIC_REQUESTS the hint is committed before the worker is rung."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    job = put(State.WORKING)
    published_tasks.clear()
    inside: list[bool] = []

    def look(**kwargs: Any) -> None:
        inside.append(connection.in_atomic_block)

    before_task_publish.connect(look)
    try:
        assert docraptor.post(callback_path(job)).status_code == 204
    finally:
        before_task_publish.disconnect(look)
    assert is_due(job)
    assert inside == [False]


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.django_db(transaction=True)
def test_callback_database_down(
    docraptor: Client, published_tasks, error: type[Exception], caplog
) -> None:
    """While the database is down: 503, in case they try again; then it works."""
    job = put(State.WORKING)
    published_tasks.clear()
    path = callback_path(job)

    def fail(*args: Any) -> None:
        raise error("the server has gone away")

    with connection.execute_wrapper(fail):
        assert docraptor.post(path).status_code == 503
    assert published_tasks == []
    assert not is_due(job)
    assert docraptor.post(path).status_code == 204
    assert is_due(job)


# --- callback: effects -----------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(State))
def test_callback_in_each_state(
    docraptor: Client, published_tasks: list[str], state: State
) -> None:
    """W1, W3, W5: it wakes who waits for DocRaptor, and leaves alone all others.

    The bell is rung without asking the row: a run that finds nothing does nothing.
    """
    job = put(state, lease_token="a worker's")
    before = row(job)
    published_tasks.clear()
    assert docraptor.post(callback_path(job)).status_code == 204
    now = row(job)
    assert is_due(job) == (state in WOKEN)
    assert published_tasks == ["django_docraptor.poll"]
    assert now["callback_at"] is not None
    assert now["state"] == state
    if state not in WOKEN:
        assert (now["due_at"], now["lease_token"]) == (before["due_at"], before["lease_token"])
    assert event_kinds(job) == ["enqueued", "callback"]


@pytest.mark.parametrize("state", sorted(State))
def test_callback_replay(docraptor: Client, published_tasks: list[str], state: State) -> None:
    """W5: two hundred replays change nothing after the first: no row, no event, no ring."""
    job = put(state)
    path = callback_path(job)
    docraptor.post(path)
    before, events = row(job), event_kinds(job)
    published_tasks.clear()
    codes = {docraptor.post(path).status_code for _ in range(200)}
    assert codes == {204}
    assert (row(job), event_kinds(job), published_tasks) == (before, events, [])


def test_callback_replay_after_a_poll(docraptor: Client, published_tasks: list[str]) -> None:
    """A replay after the poll that it caused makes the job due no second time."""
    job = put(State.WORKING)
    docraptor.post(callback_path(job))
    RenderJob.objects.update(due_at=seconds_from_now(60))
    published_tasks.clear()
    docraptor.post(callback_path(job))
    assert not is_due(job)
    assert published_tasks == []


def test_callback_for_an_old_attempt(docraptor: Client, published_tasks: list[str]) -> None:
    """It is put on record once, and hurries nobody: the present attempt is another one."""
    job = put(State.QUEUED, attempt=2)
    before = row(job)
    published_tasks.clear()
    for _ in range(3):
        assert docraptor.post(callback_path(job, 1)).status_code == 204
    assert row(job) == before
    assert published_tasks == []
    (event,) = job.events.filter(kind="callback")
    assert (event.attempt, event.detail) == (1, {"current_attempt": 2})


def test_callback_for_a_future_attempt(docraptor: Client) -> None:
    """An attempt that was never made changes nothing."""
    job = put(State.QUEUED, attempt=2)
    before = row(job)
    assert docraptor.post(callback_path(job, 3)).status_code == 204
    assert row(job) == before
    assert event_kinds(job) == ["enqueued"]


@pytest.mark.django_db(transaction=True)
def test_callback_before_the_create_returned(docraptor: Client, sandbox: Sandbox) -> None:
    """W2: a callback that overtakes the create's own answer is not lost."""
    job = enqueue()
    (claimed,) = claim_for_slots("default", 1).jobs
    (item,) = prepare_batch([claimed])
    before = row(job)
    assert docraptor.post(callback_path(job)).status_code == 204
    assert (row(job)["state"], row(job)["due_at"]) == (State.SUBMITTING, before["due_at"])
    mark_accepted(item.job, "status-id")
    assert row(job)["state"] == State.QUEUED
    assert is_due(job)


@pytest.mark.django_db(transaction=True)
def test_create_without_callback_waits(sandbox: Sandbox) -> None:
    """The other side of W2: without a callback the first poll has its wait."""
    job = enqueue()
    (claimed,) = claim_for_slots("default", 1).jobs
    (item,) = prepare_batch([claimed])
    mark_accepted(item.job, "status-id")
    assert not is_due(job)


def test_callback_without_broker(docraptor: Client, published_tasks: list[str], settings) -> None:
    """A site that runs from cron has no broker to ring: the tick finds the job due."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    job = put(State.WORKING)
    assert docraptor.post(callback_path(job)).status_code == 204
    assert is_due(job)
    assert published_tasks == []


# --- callback: the body ----------------------------------------------------------------------

BODIES: dict[str, Callable[[], tuple[bytes, str]]] = {
    "empty": lambda: (b"", "application/x-www-form-urlencoded"),
    "50 MB": lambda: (b"a" * 50_000_000, "application/x-www-form-urlencoded"),
    "50 MB file": lambda: (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        + b"a" * 50_000_000
        + b"\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    ),
    "10,000 fields": lambda: (
        "&".join(f"f{number}=1" for number in range(10_000)).encode(),
        "application/x-www-form-urlencoded",
    ),
    "broken multipart": lambda: (b"--b\r\nContent-Dispo", "multipart/form-data; boundary=b"),
    "no boundary": lambda: (b"--b\r\n\r\nx", "multipart/form-data"),
    "wrong charset": lambda: (
        b"\xff\xfe\xe9",
        "application/x-www-form-urlencoded; charset=no-such",
    ),
    "not UTF-8": lambda: (b"a=\xff\xfe", "application/x-www-form-urlencoded; charset=utf-8"),
    "NUL bytes": lambda: (b"\x00" * 1000, "application/x-www-form-urlencoded"),
    "JSON": lambda: (json.dumps({"status": "failed"}).encode(), "application/json"),
    "broken JSON": lambda: (b'{"status": ', "application/json"),
    "no type": lambda: (b"status=completed", ""),
}


@pytest.mark.parametrize("body", BODIES)
def test_callback_any_body(docraptor: Client, body: str) -> None:
    """W6: whatever the body is, the callback counts, and its content does not."""
    data, content_type = BODIES[body]()
    job = put(State.WORKING)
    response = docraptor.generic("POST", callback_path(job), data, content_type=content_type)
    assert response.status_code == 204
    assert is_due(job)
    assert row(job)["state"] == State.WORKING


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_callback_body_is_never_read(docraptor: Client, content_type: str) -> None:
    """W6: not one byte of the body is read, for a good token and for a bad one."""
    environ = {"wsgi.input": Unreadable(), "CONTENT_LENGTH": "50000000"}
    good = callback_path(put(State.WORKING))
    for path, status in [(good, 204), ("/docraptor/callback/forged/", 404)]:
        response = docraptor.generic("POST", path, b"x", content_type=content_type, **environ)
        assert response.status_code == status


@pytest.mark.django_db(transaction=True)
def test_callback_download_url_is_never_contacted(
    docraptor: Client, sandbox: Sandbox, documents_dir
) -> None:
    """W7: a posted address of another host is not called, now or later."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/document.pdf"
        job = enqueue()
        run_until_finished(job, until=lambda job: job.state == State.QUEUED)
        calls = len(sandbox.calls)
        body = {"download_url": url, "status": "completed", "download_id": "stolen"}
        assert docraptor.post(callback_path(job), body).status_code == 204
        assert len(sandbox.calls) == calls
        job = run_until_finished(job)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert job.state == State.COMPLETED
    assert job.download_id != "stolen"


# --- download --------------------------------------------------------------------------------


class SigningStorage(FileSystemStorage):
    """A storage whose addresses expire, as that of S3."""

    def url(self, name: str, expire: int | None = None) -> str:
        return f"https://files.example/{name}?expires={expire}"


class FailingStorage(FileSystemStorage):
    """A storage that has lost its files."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise FileNotFoundError(name)


def user_named(name: str, **fields: Any) -> AbstractBaseUser:
    """A user."""
    return get_user_model().objects.create_user(name, password="pw", **fields)


@pytest.fixture
def owner() -> AbstractBaseUser:
    """Whose document it is."""
    return user_named("owner")


@pytest.fixture
def job(owner: AbstractBaseUser, documents_dir: Path) -> RenderJob:
    """A finished job with its file."""
    made = put(State.COMPLETED, owner=owner)
    made.file.save("docraptor/2031/01/unguessable-1.pdf", ContentFile(PDF), save=False)
    RenderJob.objects.filter(pk=made.pk).update(file=made.file.name)
    return RenderJob.objects.get(pk=made.pk)


@pytest.fixture
def storing(settings, documents_dir: Path) -> Callable[[type[FileSystemStorage]], None]:
    """Change the storage's class; the files stay where they are."""

    def use(storage: type[FileSystemStorage]) -> None:
        backend = {
            "BACKEND": f"{__name__}.{storage.__name__}",
            "OPTIONS": {"location": documents_dir},
        }
        settings.STORAGES = settings.STORAGES | {"docraptor": backend}

    return use


def status(user: AbstractBaseUser | None, job: RenderJob, method: str = "get") -> int:
    """What a user gets."""
    client = Client()
    if user is not None:
        client.force_login(user)
    response = getattr(client, method)(job.get_absolute_url())
    response.getvalue()  # a file is closed when it was read
    return response.status_code


def test_download_owner(job: RenderJob, owner: AbstractBaseUser, client: Client) -> None:
    """The owner gets the file, as an attachment that no browser interprets or caches."""
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.getvalue() == PDF
    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == 'attachment; filename="hello.pdf"'
    assert response["Content-Length"] == str(len(PDF))
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]


def test_download_permission(job: RenderJob) -> None:
    """Who may view jobs may download what they made; another permission does not do."""
    user = user_named("clerk")
    user.user_permissions.add(Permission.objects.get(codename="retry_renderjob"))
    assert status(user, job) == 404
    user.user_permissions.add(Permission.objects.get(codename="view_renderjob"))
    assert status(get_user_model().objects.get(pk=user.pk), job) == 200


def test_download_superuser(job: RenderJob) -> None:
    """A superuser has every permission."""
    assert status(user_named("root", is_superuser=True), job) == 200


@pytest.mark.parametrize("fields", [{}, {"is_staff": True}])
def test_download_other_user(job: RenderJob, fields: dict[str, bool]) -> None:
    """For others, staff too, there is no such document."""
    assert status(user_named("other", **fields), job) == 404


def test_download_anonymous(job: RenderJob) -> None:
    """Without a login there is no such document, not even one without an owner."""
    assert status(None, job) == 404
    RenderJob.objects.update(owner=None)
    assert status(None, job) == 404


def test_download_inactive(job: RenderJob, owner: AbstractBaseUser) -> None:
    """An owner who was locked out gets nothing, with an old session either."""
    client = Client()
    client.force_login(owner)
    get_user_model().objects.update(is_active=False)
    assert client.get(job.get_absolute_url()).status_code == 404


@pytest.mark.parametrize("state", sorted(set(State) - {State.COMPLETED}))
def test_download_unfinished(job: RenderJob, owner: AbstractBaseUser, state: State) -> None:
    """What is not completed is not there, whatever its row says of a file."""
    due_at = None if state in FINAL_STATES else seconds_from_now(60)
    RenderJob.objects.update(state=state, due_at=due_at)
    assert status(owner, job) == 404


def test_download_unknown(owner: AbstractBaseUser) -> None:
    """A key that was never given."""
    assert status(owner, RenderJob(pk=uuid.uuid4())) == 404


def test_download_head(job: RenderJob, owner: AbstractBaseUser) -> None:
    """HEAD is answered with the headers alone."""
    client = Client()
    client.force_login(owner)
    response = client.head(job.get_absolute_url())
    assert (response.status_code, response.getvalue()) == (200, b"")
    assert response["Content-Length"] == str(len(PDF))


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_download_other_methods(job: RenderJob, owner: AbstractBaseUser, method: str) -> None:
    """Reading is all that there is."""
    assert status(owner, job, method) == 405


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ('the "best".pdf', r'attachment; filename="the \"best\".pdf"'),
        (r"back\slash.pdf", r'attachment; filename="back\\slash.pdf"'),
        ("größte.pdf", "attachment; filename*=utf-8''gr%C3%B6%C3%9Fte.pdf"),
        (
            "a\r\nSet-Cookie: x=1.pdf",
            "attachment; filename*=utf-8''a%0D%0ASet-Cookie%3A%20x%3D1.pdf",
        ),
        ("line\n", "attachment; filename*=utf-8''line%0A.pdf"),
        ("../../etc/passwd", 'attachment; filename="passwd.pdf"'),
        ("invoice 17", 'attachment; filename="invoice 17.pdf"'),
        ("INVOICE.PDF", 'attachment; filename="INVOICE.PDF"'),
        ("page.html", 'attachment; filename="page.html.pdf"'),
    ],
)
def test_download_filename(job: RenderJob, owner, client: Client, name: str, header: str) -> None:
    """The document's name arrives whole (RFC 6266), with its ending, and injects nothing."""
    RenderJob.objects.update(name=name)
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response["Content-Disposition"] == header
    assert response["Content-Type"] == "application/pdf"
    assert "Set-Cookie" not in response
    assert response.getvalue() == PDF


def test_download_signed_url(job: RenderJob, owner, client: Client, storing) -> None:
    """A storage that signs addresses serves the file itself, for a minute."""
    storing(SigningStorage)
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.status_code == 302
    assert response["Location"] == f"https://files.example/{job.file.name}?expires=60"
    assert "no-store" in response["Cache-Control"]


def test_download_signed_url_is_for_the_owner(job: RenderJob, storing) -> None:
    """Nobody else is given a signed address."""
    storing(SigningStorage)
    assert status(user_named("other"), job) == 404
    assert status(None, job) == 404


def test_download_streams(job: RenderJob, owner, client: Client) -> None:
    """A storage whose addresses do not expire is not linked to: the file comes in pieces."""
    client.force_login(owner)
    response = client.get(job.get_absolute_url())
    assert response.streaming
    sizes = [len(chunk) for chunk in response.streaming_content]
    assert sum(sizes) == len(PDF)
    assert max(sizes) < len(PDF)


def test_download_file_gone(job: RenderJob, owner, storing) -> None:
    """A file that somebody has removed from the storage is a document that is not there."""
    storing(FailingStorage)
    assert status(owner, job) == 404
