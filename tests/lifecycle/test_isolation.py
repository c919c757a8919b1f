"""One job's trouble stays its own: whatever comes of it, the others of its batch go on."""

import json
from contextlib import suppress
from typing import Any

import pytest

from django_docraptor import lifecycle, registry
from django_docraptor.client import Client
from django_docraptor.client.answers import LogEntry, RemoteStatus, read_id
from django_docraptor.exceptions import RateLimitError
from django_docraptor.lifecycle import polling, submission
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import FINAL_STATES, State
from tests.support.jobs import Killed, drive, enqueue, kinds, skip_time, state_of

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
def test_an_odd_status_is_noted(
    sandbox: Sandbox, documents, monkeypatch, answer: str, ends: str
) -> None:
    """What no database takes is left out; the job goes on, and so do the others."""
    odd, *others = [enqueue() for _ in range(3)]
    lifecycle.submit()
    odd.refresh_from_db()
    real = Client.get_status

    def get_status(client: Client, status_id: str) -> RemoteStatus:
        if status_id == odd.status_id:
            return RemoteStatus.from_answer(json.loads(answer))
        return real(client, status_id)

    monkeypatch.setattr(Client, "get_status", get_status)
    assert [drive(job).state for job in others] == [State.COMPLETED] * 2
    state = drive(odd).state
    assert state in FINAL_STATES if ends == "any" else state == ends


def test_a_job_whose_answer_cannot_be_written(sandbox: Sandbox, documents, monkeypatch) -> None:
    """It tries again a bounded number of times; nobody else is kept waiting."""
    broken, *others = [enqueue() for _ in range(3)]
    lifecycle.submit()
    real = polling.answered

    def answered(job: RenderJob, *arguments: Any, **options: Any) -> None:
        if job.pk == broken.pk:
            job.state = State.COMPLETED  # as a write that fails half-way may leave it
            raise ValueError("no database takes this")
        real(job, *arguments, **options)

    monkeypatch.setattr(polling, "answered", answered)
    assert [drive(job).state for job in others] == [State.COMPLETED] * 2
    assert drive(broken, rounds=60).error_code in ("status_unavailable", "timed_out")


def test_an_accepted_create_whose_answer_cannot_be_written(
    sandbox: Sandbox, documents, monkeypatch
) -> None:
    """It is looked up in the log, as any answer that was lost."""
    real = submission.accepted
    broken, other = enqueue(), enqueue()

    def accepted(job: RenderJob, status_id: str) -> bool:
        if job.pk == broken.pk:
            raise ValueError("no database takes this")
        return real(job, status_id)

    monkeypatch.setattr(submission, "accepted", accepted)
    lifecycle.submit()
    assert [state_of(broken), state_of(other)] == [State.UNCONFIRMED, State.QUEUED]
    monkeypatch.undo()
    assert drive(broken).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 2


def test_a_status_id_that_no_column_holds() -> None:
    """It is as good as none: cut, it would be another document's."""
    assert LogEntry.from_answer({"status_id": LONG}).status_id == ""
    with pytest.raises(ValueError, match="no status_id of at most 200"):
        read_id({"status_id": LONG}, "status_id")


class Deadly:
    """A document whose template kills the process that renders it."""

    retention = None
    template_name = "deadly.html"
    renders = 0

    def render(self, job: RenderJob, stored: Any) -> str:
        type(self).renders += 1
        raise Killed

    def deliver(self, job: RenderJob) -> None:
        """Nothing."""


class Odd(Deadly):
    """A document whose template fails with words that no database takes."""

    def render(self, job: RenderJob, stored: Any) -> str:
        raise ValueError("a \x00 NUL and half \ud83d a pair")


@pytest.fixture
def label() -> Any:
    """Register a document for a test."""
    made: list[str] = []

    def register(document: type[Deadly]) -> str:
        made.append(f"tests.{document.__name__}")
        registry.register(made[-1], document())
        return made[-1]

    yield register
    for one in made:
        registry.unregister(one)


def test_a_template_that_kills_its_worker(sandbox: Sandbox, documents, settings, label) -> None:
    """It costs no other job, and is given up after MAX_SUBMIT_FAILURES workers."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_SUBMIT_FAILURES": 4}
    before = [enqueue() for _ in range(3)]
    deadly = enqueue(document=label(Deadly), content="")
    after = [enqueue() for _ in range(3)]
    Deadly.renders = 0
    for _ in range(12):
        with suppress(Killed):
            lifecycle.run()
        skip_time(130)
    assert [drive(job).state for job in (*before, *after)] == [State.COMPLETED] * 6
    deadly.refresh_from_db()
    assert (deadly.state, deadly.error_code) == (State.FAILED, "template_error")
    assert "4 workers died" in deadly.errors
    assert Deadly.renders == 4
    assert len(sandbox.ledger.accepted()) == 6


def test_a_template_error_that_no_database_takes(sandbox: Sandbox, documents, label) -> None:
    """The job fails with what can be told of it; its neighbour is made."""
    odd, other = enqueue(document=label(Odd), content=""), enqueue()
    assert drive(other).state == State.COMPLETED
    odd.refresh_from_db()
    assert odd.error_code == "template_error"
    assert "NUL and half" in odd.errors


def test_retry_after_zero_is_no_haste(sandbox: Sandbox, monkeypatch) -> None:
    """``Retry-After: 0`` gets the delay that grows, not twenty calls in a second."""
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
    assert kinds(job)[-1] == "try_failed"
