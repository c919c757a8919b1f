"""The callback view: responses, and effects on the job."""

import json
import socket
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from celery.signals import before_task_publish
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.urls import reverse

from django_docraptor.callback_urls import make_token
from django_docraptor.lifecycle.submission import claim_for_slots, prepare_batch
from django_docraptor.lifecycle.transitions import mark_accepted
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.jobs import create_job, enqueue, event_kinds, read_row, run_until_finished

pytestmark = pytest.mark.django_db
PDF = b"%PDF-1.7\n" + b"x" * 100_000 + b"\n%%EOF\n"
WOKEN = {State.QUEUED, State.WORKING, State.UNCONFIRMED}


def is_due(job: RenderJob) -> bool:
    """Return whether the job is due."""
    return RenderJob.objects.due().filter(pk=job.pk).exists()


def callback_path(job: RenderJob | uuid.UUID, attempt: int = 1) -> str:
    """Return the path that DocRaptor calls back."""
    key = job if isinstance(job, uuid.UUID) else job.pk
    return reverse("django_docraptor:callback", args=[make_token(key, attempt)])


@pytest.fixture
def callback_client() -> Client:
    """A client like DocRaptor's: without cookies, and with CSRF checks enforced."""
    return Client(enforce_csrf_checks=True)


class Unreadable:
    """A request body that must not be read."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")

    readline = readlines = __iter__ = read


# --- callback: responses ---------------------------------------------------------------------


@pytest.mark.fault("W1")
def test_valid_callback_gets_an_empty_204(callback_client: Client) -> None:
    """A valid callback gets an empty 204 response that is not cached."""
    response = callback_client.post(callback_path(create_job(State.WORKING)))
    assert (response.status_code, response.content) == (204, b"")
    assert "no-store" in response["Cache-Control"]


@pytest.mark.fault("W4")
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
def test_forged_callback_gets_404_and_changes_nothing(callback_client: Client, token: str) -> None:
    """An invalid token gets 404 without a reason, and no row changes."""
    job = create_job(State.WORKING)
    token = token.replace("{token}", make_token(job.pk, 1)).replace("{hex}", job.pk.hex)
    before = read_row(job)
    response = callback_client.post(f"/docraptor/callback/{token}/")
    assert (response.status_code, response.content) == (404, b"")
    assert read_row(job) == before


@pytest.mark.fault("W4")
@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_callback_accepts_only_post(callback_client: Client, method: str) -> None:
    """Other methods get 405, so link scanners change nothing."""
    job = create_job(State.WORKING)
    before = read_row(job)
    response = getattr(callback_client, method)(callback_path(job))
    assert response.status_code == 405
    assert response["Allow"] == "POST"
    assert read_row(job) == before
    assert event_kinds(job) == ["enqueued"]


def test_callback_for_a_deleted_job_gets_204(
    callback_client: Client, published_tasks: list[str]
) -> None:
    """A valid token for a deleted job gets 204 each time, and no worker is notified."""
    path = callback_path(uuid.uuid4())
    assert [callback_client.post(path).status_code for _ in range(3)] == [204] * 3
    assert published_tasks == []


def test_callback_needs_no_login_under_login_required_middleware(
    callback_client: Client, settings
) -> None:
    """LoginRequiredMiddleware does not redirect callbacks."""
    middleware = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
    job = create_job(State.WORKING)
    assert callback_client.post(callback_path(job)).status_code == 204
    assert is_due(job)
    assert callback_client.post("/docraptor/callback/forged/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_callback_commits_before_notifying_under_atomic_requests(
    callback_client: Client, published_tasks: list[str], monkeypatch
) -> None:
    """With ATOMIC_REQUESTS the row is committed before the worker is notified."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    job = create_job(State.WORKING)
    published_tasks.clear()
    inside: list[bool] = []

    def look(**kwargs: Any) -> None:
        inside.append(connection.in_atomic_block)

    before_task_publish.connect(look)
    try:
        assert callback_client.post(callback_path(job)).status_code == 204
    finally:
        before_task_publish.disconnect(look)
    assert is_due(job)
    assert inside == [False]


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.django_db(transaction=True)
def test_callback_gets_503_while_the_database_is_down(
    callback_client: Client, published_tasks, error: type[Exception], caplog
) -> None:
    """While the database is down the callback gets 503; afterwards it works."""
    job = create_job(State.WORKING)
    published_tasks.clear()
    path = callback_path(job)

    def fail(*args: Any) -> None:
        raise error("the server has gone away")

    with connection.execute_wrapper(fail):
        assert callback_client.post(path).status_code == 503
    assert published_tasks == []
    assert not is_due(job)
    assert callback_client.post(path).status_code == 204
    assert is_due(job)


# --- callback: effects -----------------------------------------------------------------------


@pytest.mark.fault("W1", "W3", "W5")
@pytest.mark.parametrize("state", sorted(State))
def test_callback_makes_jobs_due_that_wait_for_docraptor(
    callback_client: Client, published_tasks: list[str], state: State
) -> None:
    """A callback makes jobs due that wait for DocRaptor, and no others.

    The worker is notified without reading the row; a run that finds nothing does nothing.
    """
    job = create_job(state, lease_token="a worker's")
    before = read_row(job)
    published_tasks.clear()
    assert callback_client.post(callback_path(job)).status_code == 204
    now = read_row(job)
    assert is_due(job) == (state in WOKEN)
    assert published_tasks == ["django_docraptor.poll"]
    assert now["callback_at"] is not None
    assert now["state"] == state
    if state not in WOKEN:
        assert (now["due_at"], now["lease_token"]) == (before["due_at"], before["lease_token"])
    assert event_kinds(job) == ["enqueued", "callback"]


@pytest.mark.fault("W5")
@pytest.mark.parametrize("state", sorted(State))
def test_replayed_callback_changes_nothing(
    callback_client: Client, published_tasks: list[str], state: State
) -> None:
    """Two hundred replays change no row, add no event and notify no worker."""
    job = create_job(state)
    path = callback_path(job)
    callback_client.post(path)
    before, events = read_row(job), event_kinds(job)
    published_tasks.clear()
    codes = {callback_client.post(path).status_code for _ in range(200)}
    assert codes == {204}
    assert (read_row(job), event_kinds(job), published_tasks) == (before, events, [])


@pytest.mark.fault("W5")
def test_replayed_callback_after_a_poll_changes_nothing(
    callback_client: Client, published_tasks: list[str]
) -> None:
    """A replay after the poll does not make the job due again."""
    job = create_job(State.WORKING)
    callback_client.post(callback_path(job))
    RenderJob.objects.update(due_at=seconds_from_now(60))
    published_tasks.clear()
    callback_client.post(callback_path(job))
    assert not is_due(job)
    assert published_tasks == []


def test_callback_for_an_old_attempt_is_recorded_once(
    callback_client: Client, published_tasks: list[str]
) -> None:
    """A callback for an old attempt adds one event and does not make the current attempt due."""
    job = create_job(State.QUEUED, attempt=2)
    before = read_row(job)
    published_tasks.clear()
    for _ in range(3):
        assert callback_client.post(callback_path(job, 1)).status_code == 204
    assert read_row(job) == before
    assert published_tasks == []
    (event,) = job.events.filter(kind="callback")
    assert (event.attempt, event.detail) == (1, {"current_attempt": 2})


def test_callback_for_a_future_attempt_changes_nothing(callback_client: Client) -> None:
    """A callback for an attempt that does not exist changes nothing."""
    job = create_job(State.QUEUED, attempt=2)
    before = read_row(job)
    assert callback_client.post(callback_path(job, 3)).status_code == 204
    assert read_row(job) == before
    assert event_kinds(job) == ["enqueued"]


@pytest.mark.fault("W2")
@pytest.mark.django_db(transaction=True)
def test_callback_before_the_create_response_is_not_lost(
    callback_client: Client, sandbox: Sandbox
) -> None:
    """A callback that arrives before the create response makes the first poll due."""
    job = enqueue()
    (claimed,) = claim_for_slots("default", 1).jobs
    ((item,), _copies) = prepare_batch([claimed])
    before = read_row(job)
    assert callback_client.post(callback_path(job)).status_code == 204
    assert (read_row(job)["state"], read_row(job)["due_at"]) == (State.SUBMITTING, before["due_at"])
    mark_accepted(item.job, "status-id")
    assert read_row(job)["state"] == State.QUEUED
    assert is_due(job)


@pytest.mark.fault("W2")
@pytest.mark.django_db(transaction=True)
def test_first_poll_waits_without_a_callback(sandbox: Sandbox) -> None:
    """Without a callback the first poll waits for its interval."""
    job = enqueue()
    (claimed,) = claim_for_slots("default", 1).jobs
    ((item,), _copies) = prepare_batch([claimed])
    mark_accepted(item.job, "status-id")
    assert not is_due(job)


def test_callback_without_a_runner_makes_the_job_due(
    callback_client: Client, published_tasks: list[str], settings
) -> None:
    """Without a runner the job is due and the next tick finds it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    job = create_job(State.WORKING)
    assert callback_client.post(callback_path(job)).status_code == 204
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


@pytest.mark.fault("W6")
@pytest.mark.parametrize("body", BODIES)
def test_callback_accepts_any_body(callback_client: Client, body: str) -> None:
    """Whatever the body is, the callback counts and its content does not."""
    data, content_type = BODIES[body]()
    job = create_job(State.WORKING)
    response = callback_client.generic("POST", callback_path(job), data, content_type=content_type)
    assert response.status_code == 204
    assert is_due(job)
    assert read_row(job)["state"] == State.WORKING


@pytest.mark.fault("W6")
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_callback_body_is_never_read(callback_client: Client, content_type: str) -> None:
    """No byte of the body is read, with a valid or an invalid token."""
    environ = {"wsgi.input": Unreadable(), "CONTENT_LENGTH": "50000000"}
    good = callback_path(create_job(State.WORKING))
    for path, status in [(good, 204), ("/docraptor/callback/forged/", 404)]:
        response = callback_client.generic("POST", path, b"x", content_type=content_type, **environ)
        assert response.status_code == status


@pytest.mark.fault("W7")
@pytest.mark.django_db(transaction=True)
def test_callback_download_url_is_never_contacted(
    callback_client: Client, sandbox: Sandbox, documents_dir
) -> None:
    """A posted URL of another host is never called."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/document.pdf"
        job = enqueue()
        run_until_finished(job, until=lambda job: job.state == State.QUEUED)
        calls = len(sandbox.calls)
        body = {"download_url": url, "status": "completed", "download_id": "stolen"}
        assert callback_client.post(callback_path(job), body).status_code == 204
        assert len(sandbox.calls) == calls
        job = run_until_finished(job)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert job.state == State.COMPLETED
    assert job.download_id != "stolen"
