"""An error of one job does not affect the other jobs of its batch."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from django_docraptor import lifecycle, registry
from django_docraptor.client import Client
from django_docraptor.client.parsing import LogEntry, RemoteStatus, require_id
from django_docraptor.exceptions import RateLimitError
from django_docraptor.lifecycle import isolation, polling, submission
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import FINAL_STATES, State
from tests.support.databases import writes
from tests.support.jobs import (
    WorkerKilled,
    current_state,
    enqueue,
    event_kinds,
    run_until_finished,
    run_until_given_up,
    skip_time,
)
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

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


def test_unsaveable_status_is_retried_for_a_bounded_time(
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
    assert run_until_given_up(broken).error_code in ("status_unavailable", "timed_out")


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


def saved_while_one_call_waits(call: Any, state: State, count: int) -> Any:
    """Return a call that, for the slow document, waits until the others' outcomes are saved."""

    def slow_call(client: Client, argument: Any) -> Any:
        if getattr(argument, "name", argument).startswith("slow"):
            try:
                for _ in range(100):
                    if RenderJob.objects.filter(state=state).count() == count:
                        break
                    time.sleep(0.05)
                else:
                    raise AssertionError("the other outcomes were not saved")
            finally:
                connection.close()
            if argument == "slow-id":
                return RemoteStatus(status="completed", download_id="d")
        return call(client, argument)

    return slow_call


@pytest.mark.fault("S20")
def test_slow_create_does_not_delay_the_other_outcomes(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """The status IDs of the others are saved while one create call is still waiting."""
    create = saved_while_one_call_waits(Client.create_async_doc, State.QUEUED, 5)
    monkeypatch.setattr(Client, "create_async_doc", create)
    jobs = [enqueue(name=name) for name in ("slow", "a", "b", "c", "d", "e")]
    lifecycle.submit()
    assert [current_state(job) for job in jobs] == [State.QUEUED] * 6
    assert len(sandbox.ledger.accepted()) == 6


def test_slow_status_does_not_delay_the_other_outcomes(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """The statuses of the others are saved while one status call is still waiting."""
    jobs = [enqueue() for _ in range(4)]
    lifecycle.submit()
    RenderJob.objects.filter(pk=jobs[0].pk).update(status_id="slow-id")
    get_status = saved_while_one_call_waits(Client.get_status, State.DOWNLOADING, 3)
    monkeypatch.setattr(Client, "get_status", get_status)
    skip_time(10)
    lifecycle.poll()
    assert [current_state(job) for job in jobs] == [State.DOWNLOADING] * 4


class FailingStatements:
    """Makes the first statements with a text and a parameter fail, as a deadlock does.

    Args:
        times: how many of them fail.
    """

    def __init__(self, text: str, parameter: str, times: int, error: Any = OperationalError):
        self.text, self.parameter, self.times, self.error = text, parameter, times, error
        self.seen = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if writes(sql, self.text) and self.parameter in map(str, params or ()):
            self.seen += 1
            if self.seen <= self.times:
                raise self.error("deadlock detected")
        return execute(sql, params, many, context)


@pytest.mark.fault("S20")
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("text", ["UPDATE", "INSERT"])
@pytest.mark.parametrize("times", [1, 3])
def test_outcome_of_a_create_is_saved_again_after_a_database_error(
    sandbox: Sandbox, documents_dir, monkeypatch, text: str, times: int, error: Any
) -> None:
    """A passing database error loses no status ID, of this job or another of the batch."""
    monkeypatch.setattr(isolation, "RETRY_DELAYS", (0.001,) * 3)
    jobs = [enqueue(test=False) for _ in range(4)]
    parameter = "queued" if text == "UPDATE" else "accepted"
    failing = FailingStatements(text, parameter, times, error)
    with connection.execute_wrapper(failing):
        lifecycle.submit()
    assert failing.seen == len(jobs) + times
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, bool(job.status_id)) == (State.QUEUED, True)
        assert event_kinds(job) == ["enqueued", "submitting", "accepted"]
    assert len(sandbox.ledger.accepted()) == len(jobs)


@pytest.mark.parametrize("keep_rendered", [False, True])
def test_outcome_of_a_poll_is_saved_again_after_a_database_error(
    sandbox: Sandbox, documents_dir, monkeypatch, keep_rendered: bool
) -> None:
    """A passing error between the row's update and its event leaves no trace in the job."""
    monkeypatch.setattr(isolation, "RETRY_DELAYS", (0.001,))
    job = enqueue()
    lifecycle.submit()
    skip_time(10)
    with connection.execute_wrapper(FailingStatements("INSERT", "rendered", 1)):
        result = lifecycle.poll(keep_rendered=keep_rendered)
    assert current_state(job) == State.DOWNLOADING
    assert event_kinds(job) == ["enqueued", "submitting", "accepted", "rendered"]
    assert bool(result.rendered_job) == keep_rendered


def test_outcome_of_a_log_check_is_saved_again_after_a_database_error(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """A passing error while the log's answer is saved does not end the step."""
    monkeypatch.setattr(isolation, "RETRY_DELAYS", (0.001,))
    sandbox.add_fault(Fault(on="create", action="reset", accept=True))
    jobs = [enqueue(test=False) for _ in range(3)]
    lifecycle.submit()
    skip_time(11)
    with connection.execute_wrapper(FailingStatements("UPDATE", "queued", 1)):
        lifecycle.reconcile()
    assert [current_state(job) for job in jobs] == [State.QUEUED] * 3


def test_lasting_database_error_ends_the_step(sandbox: Sandbox, documents_dir, monkeypatch) -> None:
    """The repetitions are bounded; what was accepted is found in the log, and sent once."""
    monkeypatch.setattr(isolation, "RETRY_DELAYS", (0.001,) * 3)
    jobs = [enqueue(test=False) for _ in range(2)]
    failing = FailingStatements("UPDATE", "queued", 1000)
    with connection.execute_wrapper(failing), pytest.raises(OperationalError):
        lifecycle.submit()
    assert failing.seen == 4
    skip_time(181)
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 2
    assert len(sandbox.ledger.accepted()) == 2


def end_session() -> None:
    """End the session of this thread's connection, as the restart of a database does."""
    session = connection.connection
    if connection.vendor == "postgresql":
        sql = f"SELECT pg_terminate_backend({session.info.backend_pid})"
    else:
        sql = f"KILL {session.thread_id()}"
    run_in_threads(1, lambda: connection.cursor().execute(sql))


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no connection to lose")
def test_lost_connection_is_opened_again(sandbox: Sandbox, documents_dir, monkeypatch) -> None:
    """If the connection dies before an outcome is saved, another one is opened for it."""
    monkeypatch.setattr(isolation, "RETRY_DELAYS", (0.001,) * 2)
    jobs = [enqueue(test=False) for _ in range(4)]
    closed: list[bool] = []

    def close(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not closed and writes(sql, "UPDATE") and "queued" in map(str, params or ()):
            closed.append(True)
            end_session()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(close):
        lifecycle.submit()
    assert closed
    assert [current_state(job) for job in jobs] == [State.QUEUED] * 4


def test_database_error_in_a_transaction_is_not_repeated(sandbox: Sandbox) -> None:
    """A broken transaction of the caller is not continued."""
    job, calls = enqueue(), []

    def save(job: RenderJob) -> None:
        calls.append(job)
        raise OperationalError("deadlock detected")

    with pytest.raises(OperationalError), transaction.atomic():
        isolation.save_outcome(job, save, lambda job, error: None)
    assert len(calls) == 1


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
    sandbox: Sandbox, documents_dir, registered_document
) -> None:
    """A template that kills its worker costs no other job, and fails after five workers."""
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
    assert (deadly.state, deadly.error_code) == (State.FAILED, "killed_its_worker")
    assert "5 workers in a row died or hung while rendering its template" in deadly.errors
    assert not deadly.may_have_been_billed
    assert Deadly.renders == 5
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
