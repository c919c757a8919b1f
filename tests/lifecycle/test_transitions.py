"""Every arrow of the state diagram, by its function."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_docraptor import states
from django_docraptor.client import RemoteStatus
from django_docraptor.exceptions import CallError, Sent
from django_docraptor.lifecycle import transitions
from django_docraptor.lifecycle.isolation import save_outcome
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.models.statements import database_now
from django_docraptor.states import ErrorCode, EventKind, State
from tests.support.jobs import create_job, event_kinds, read_row
from tests.support.state_diagram import parse_state_diagram
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

ERROR = CallError("HTTP 500")
REMOTE = RemoteStatus(status="completed", download_id="d", download_url="https://example.com/d")


def _retry_together(job: RenderJob) -> bool:
    transitions.retry_together([job], "Ann", read_at=database_now(using="default"))
    return job.state != State.FAILED


# How a step calls each function.
CALLS: dict[str, Callable[[RenderJob], object]] = {
    "begin_attempts": lambda job: transitions.begin_attempts([job]),
    "mark_accepted": lambda job: transitions.mark_accepted(job, "status"),
    "return_to_pending": lambda job: transitions.return_to_pending(job, ERROR, "no", delay=9),
    "mark_unconfirmed": lambda job: transitions.mark_unconfirmed(job, ERROR),
    "mark_interrupted": transitions.mark_interrupted,
    "resubmit_unconfirmed": lambda job: transitions.resubmit_unconfirmed(
        job, "It is not listed.", evidence="proof"
    ),
    "return_refused": lambda job: transitions.return_refused(job, "Account suspended."),
    "fail_unconfirmed": lambda job: transitions.fail_unconfirmed(job, "It is not listed."),
    "mark_reused": lambda job: transitions.mark_reused(
        job, RenderJob(request_hash="h"), file="a", kind=EventKind.REUSED
    ),
    "mark_working": transitions.mark_working,
    "mark_rendered": lambda job: transitions.mark_rendered(job, REMOTE, keep_claim=False),
    "mark_completed": lambda job: transitions.mark_completed(job, file="a", size=1, sha256="b"),
    "mark_published": lambda job: transitions.mark_published(job, REMOTE),
    "fail": lambda job: transitions.fail(job, ErrorCode.TIMED_OUT, "Too late."),
    "mark_cancelled": lambda job: transitions.mark_cancelled(job, "Ann"),
    "retry_from_start": lambda job: transitions.retry_from_start(job, "Ann"),
    "resume_polling": lambda job: transitions.resume_polling(job, "Ann"),
    "resume_download": lambda job: transitions.resume_download(job, "Ann"),
    "retry_together": _retry_together,
}
# What a failed job has that is resumed in each state, by a function that decides on its own.
RESUMED: dict[State, dict[str, str]] = {
    State.QUEUED: {"error_code": ErrorCode.TIMED_OUT, "status_id": "s"},
    State.DOWNLOADING: {"error_code": ErrorCode.STORAGE_ERROR, "download_id": "d"},
}
ARROWS = [
    (function, *arrow)
    for function, arrows in parse_state_diagram(states.__doc__ or "").items()
    for arrow in sorted(arrows)
]
# These need no lease: a late response, and operations of people.
NEED_NO_LEASE = {
    "mark_accepted",
    "mark_cancelled",
    "retry_from_start",
    "resume_polling",
    "resume_download",
}


def _job_before(function: str, from_state: State, to_state: State) -> RenderJob:
    columns: dict[str, Any] = {"hosted": True} if function == "mark_published" else {}
    if function == "retry_together":
        columns = RESUMED.get(to_state, {}) | {"finished_at": Now()}
    return create_job(from_state, lease_token="mine", **columns)


@pytest.mark.parametrize(("function", "from_state", "to_state"), ARROWS)
def test_arrow_moves_the_job(function: str, from_state: State, to_state: State) -> None:
    """Each function moves the job along its arrow and records one event."""
    job = _job_before(function, from_state, to_state)
    assert CALLS[function](job)
    assert read_row(job)["state"] == to_state
    event = job.events.last()
    assert (event.from_state, event.to_state) == (from_state, to_state)
    assert len(event_kinds(job)) == 2


@pytest.mark.parametrize(("function", "from_state", "to_state"), ARROWS)
def test_arrow_needs_the_lease(function: str, from_state: State, to_state: State) -> None:
    """A worker that lost its lease moves nothing, unless the arrow does not need a lease."""
    job = _job_before(function, from_state, to_state)
    RenderJob.objects.filter(pk=job.pk).update(lease_token="theirs")
    assert bool(CALLS[function](job)) == (function in NEED_NO_LEASE)
    assert read_row(job)["state"] == (to_state if function in NEED_NO_LEASE else from_state)


OF_PEOPLE = sorted(NEED_NO_LEASE - {"mark_accepted"} | {"retry_together"})


@pytest.mark.parametrize(
    ("function", "from_state", "to_state"), [arrow for arrow in ARROWS if arrow[0] in OF_PEOPLE]
)
def test_operation_of_a_person_is_recorded_with_its_note(
    function: str, from_state: State, to_state: State
) -> None:
    """The history tells who has cancelled or retried a job."""
    job = _job_before(function, from_state, to_state)
    assert CALLS[function](job)
    assert job.events.last().message == "Ann"


def test_failure_is_recorded_with_its_code() -> None:
    """The history keeps why a job failed, also when a retry has succeeded since."""
    job = create_job(State.QUEUED, lease_token="mine")
    assert transitions.fail(job, ErrorCode.TIMED_OUT, "Too late.")
    event = job.events.get(kind=EventKind.FAILED)
    assert (event.message, event.detail) == ("Too late.", {"reason": "timed_out"})


OTHER_STATES = [State.QUEUED, State.DOWNLOADING, State.COMPLETED, State.FAILED]


@pytest.mark.parametrize("state", [State.SUBMITTING, State.UNCONFIRMED])
@pytest.mark.parametrize("other_state", OTHER_STATES)
def test_status_id_of_another_job_fails_the_job(
    state: State, other_state: State, caplog: pytest.LogCaptureFixture
) -> None:
    """A job that is given another's status_id fails without it, and the log names both jobs."""
    other = create_job(other_state, status_id="theirs")
    before = read_row(other)
    job = create_job(state, lease_token="lost")
    job.lease_token = "mine"
    assert not transitions.mark_accepted(job, "theirs")
    job.refresh_from_db()
    assert (job.state, job.error_code, job.status_id) == (State.FAILED, "submit_unconfirmed", "")
    assert str(other.pk) in job.errors
    (logged,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert str(job.pk) in logged
    assert str(other.pk) in logged
    assert (job.resume_state, job.may_have_been_billed) == (None, True)
    assert read_row(other) == before
    assert event_kinds(job) == ["enqueued", "failed"]


@pytest.mark.django_db(transaction=True)
def test_status_id_that_two_workers_save_at_once_is_one_jobs() -> None:
    """However close together two workers save one status_id, one job gets it, the other fails."""
    for number in range(5):
        jobs = iter([create_job(State.SUBMITTING) for _ in range(4)])
        saved = run_in_threads(4, lambda: _accept(next(jobs), f"theirs-{number}"))  # noqa: B023
        assert sorted(saved) == [False, False, False, True]
    states = RenderJob.objects.values_list("state", flat=True)
    assert sorted(states) == [State.FAILED] * 15 + [State.QUEUED] * 5


def _accept(job: RenderJob, status_id: str) -> bool:
    """Save a status_id as a step does, which repeats what a deadlock has ended."""
    results: list[bool] = []
    save_outcome(
        job,
        lambda job: results.append(transitions.mark_accepted(job, status_id)),
        lambda job, error: None,
    )
    return results[-1]


def test_late_status_id_of_another_job_is_not_saved() -> None:
    """A late response with the status_id of another job changes nothing."""
    create_job(State.COMPLETED, status_id="theirs")
    job = create_job(State.FAILED, error_code=ErrorCode.SUBMIT_UNCONFIRMED)
    before = read_row(job)
    assert not transitions.mark_accepted(job, "theirs")
    assert read_row(job) == before


def test_own_status_id_is_accepted_once() -> None:
    """A job's own status_id is no other's, and nothing is read to know it."""
    job = create_job(State.SUBMITTING)
    with CaptureQueriesContext(connection) as queries:
        assert transitions.mark_accepted(job, "mine")
    assert not [query for query in queries if query["sql"].startswith("SELECT")]
    assert not transitions.mark_accepted(job, "mine")
    assert read_row(job)["state"] == State.QUEUED


@pytest.mark.parametrize(
    ("error", "failures", "details"),
    [
        (ValueError("odd"), 0, {"error": "ValueError"}),
        (ValueError("odd"), 2, {"error": "ValueError", "failures": 2}),
        (CallError("no", sent=Sent.YES), 1, {"error": "call_failed", "sent": "yes"}),
        (
            CallError("no", sent=Sent.NO, status=503, request_id="r-1", body="busy"),
            3,
            {
                "error": "call_failed",
                "sent": "no",
                "status": 503,
                "request_id": "r-1",
                "body": "busy",
                "failures": 3,
            },
        ),
    ],
    ids=str,
)
def test_details_say_what_is_known_of_an_error(
    error: Exception, failures: int, details: dict[str, Any]
) -> None:
    """What is not known is left out, and so is the first of several failures."""
    assert transitions.error_details(error, failures) == details
