"""An error of one job does not affect the other jobs of its batch."""

import json
from contextlib import suppress
from typing import Any

import pytest

from django_docraptor import lifecycle, registry
from django_docraptor.client import Client
from django_docraptor.client.parsing import LogEntry, RemoteStatus, require_id
from django_docraptor.exceptions import RateLimitError
from django_docraptor.lifecycle import polling, submission
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import FINAL_STATES, State
from tests.support.jobs import (
    WorkerKilled,
    current_state,
    enqueue,
    event_kinds,
    run_until_finished,
    skip_time,
)

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "x" * 300


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (r'{"status": "failed", "validation_errors": "half \ud83d a pair"}', "failed"),
        (r'{"status": "failed", "validation_errors": "a \u0000 NUL"}', "failed"),
        (r'{"status": "completed", "download_id": "d", "number_of_pages": 9999999999}', "any"),
        (r'{"status": "completed", "download_id": "d", "number_of_pages": 1e400}', "any"),
        (r'{"status": "completed", "download_id": "d", "message": "\ud83d\u0000"}', "any"),
        (f'{{"status": "completed", "download_id": "{LONG}"}}', "failed"),
    ],
)
def test_status_with_unstorable_values_does_not_stop_the_batch(
    sandbox: Sandbox, documents_dir, monkeypatch, answer: str, ends: str
) -> None:
    """Values that no database stores are dropped or fail the job, and the other jobs go on."""
    odd, *others = [enqueue() for _ in range(3)]
    lifecycle.submit()
    odd.refresh_from_db()
    real = Client.get_status

    def get_status(client: Client, status_id: str) -> RemoteStatus:
        if status_id == odd.status_id:
            return RemoteStatus.from_json(json.loads(answer))
        return real(client, status_id)

    monkeypatch.setattr(Client, "get_status", get_status)
    assert [run_until_finished(job).state for job in others] == [State.COMPLETED] * 2
    state = run_until_finished(odd).state
    assert state in FINAL_STATES if ends == "any" else state == ends


def test_unsaveable_status_is_retried_a_bounded_number_of_times(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """A job whose status cannot be saved is retried until it fails; the other jobs go on."""
    broken, *others = [enqueue() for _ in range(3)]
    lifecycle.submit()
    real = polling.handle_status

    def handle_status(job: RenderJob, *arguments: Any, **options: Any) -> None:
        if job.pk == broken.pk:
            job.state = State.COMPLETED  # as a write that fails half-way may leave it
            raise ValueError("no database takes this")
        real(job, *arguments, **options)

    monkeypatch.setattr(polling, "handle_status", handle_status)
    assert [run_until_finished(job).state for job in others] == [State.COMPLETED] * 2
    assert run_until_finished(broken, rounds=60).error_code in ("status_unavailable", "timed_out")


def test_unsaveable_create_response_is_found_by_tag(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """An accepted create call whose response cannot be saved is looked up in the log."""
    real = submission.mark_accepted
    broken, other = enqueue(), enqueue()

    def accepted(job: RenderJob, status_id: str) -> bool:
        if job.pk == broken.pk:
            raise ValueError("no database takes this")
        return real(job, status_id)

    monkeypatch.setattr(submission, "mark_accepted", accepted)
    lifecycle.submit()
    assert [current_state(broken), current_state(other)] == [State.UNCONFIRMED, State.QUEUED]
    monkeypatch.undo()
    assert run_until_finished(broken).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 2


def test_overlong_status_id_is_discarded() -> None:
    """A status ID too long for its column is discarded; a cut one would be another document's."""
    assert LogEntry.from_json({"status_id": LONG}).status_id == ""
    with pytest.raises(ValueError, match="no valid status_id"):
        require_id({"status_id": LONG}, "status_id")


class Deadly:
    """A document whose template kills the process that renders it."""

    retention = None
    template_name = "deadly.html"
    renders = 0

    def render(self, job: RenderJob, stored: Any) -> str:
        type(self).renders += 1
        raise WorkerKilled

    def deliver(self, job: RenderJob) -> None:
        """Nothing."""


class Unstorable(Deadly):
    """A document whose template raises an error with text that no database stores."""

    def render(self, job: RenderJob, stored: Any) -> str:
        raise ValueError("a \x00 NUL and half \ud83d a pair")


@pytest.fixture
def registered_document() -> Any:
    """Return a function that registers a document for a test."""
    made: list[str] = []

    def register(document: type[Deadly]) -> str:
        made.append(f"tests.{document.__name__}")
        registry.register(made[-1], document())
        return made[-1]

    yield register
    for one in made:
        registry.unregister(one)


def test_template_that_kills_workers_fails_after_some_deaths(
    sandbox: Sandbox, documents_dir, settings, registered_document
) -> None:
    """A template that kills its worker costs no other job, and fails after MAX_SUBMIT_FAILURES."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_SUBMIT_FAILURES": 4}
    before = [enqueue() for _ in range(3)]
    deadly = enqueue(document=registered_document(Deadly), content="")
    after = [enqueue() for _ in range(3)]
    Deadly.renders = 0
    for _ in range(12):
        with suppress(WorkerKilled):
            lifecycle.run_once()
        skip_time(130)
    assert [run_until_finished(job).state for job in (*before, *after)] == [State.COMPLETED] * 6
    deadly.refresh_from_db()
    assert (deadly.state, deadly.error_code) == (State.FAILED, "template_error")
    assert "4 workers died" in deadly.errors
    assert Deadly.renders == 4
    assert len(sandbox.ledger.accepted()) == 6


def test_unstorable_template_error_is_sanitized(
    sandbox: Sandbox, documents_dir, registered_document
) -> None:
    """The job fails with the storable part of the error, and its neighbour completes."""
    odd, other = enqueue(document=registered_document(Unstorable), content=""), enqueue()
    assert run_until_finished(other).state == State.COMPLETED
    odd.refresh_from_db()
    assert odd.error_code == "template_error"
    assert "NUL and half" in odd.errors


def test_retry_after_zero_uses_backoff_delay(sandbox: Sandbox, monkeypatch) -> None:
    """`Retry-After: 0` gets the back-off delay instead of a burst of calls."""
    job = enqueue()
    lifecycle.submit()
    skip_time(60)
    calls = []

    def get_status(client: Client, status_id: str) -> RemoteStatus:
        calls.append(status_id)
        raise RateLimitError("slow down", status=429, retry_after=0.0)

    monkeypatch.setattr(Client, "get_status", get_status)
    for _ in range(10):
        lifecycle.poll()
    assert len(calls) == 1
    job.refresh_from_db()
    assert event_kinds(job)[-1] == "step_failed"
