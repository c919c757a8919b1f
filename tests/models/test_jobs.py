"""State changes, updates under a lease, and properties of a job."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from django_docraptor.lifecycle.accounts import claim
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.conflicts import RowsChangedError
from django_docraptor.states import (
    ACTIVE_STATES,
    FINAL_STATES,
    TRANSITIONS,
    ErrorCode,
    EventKind,
    State,
)
from tests.support.jobs import complete_job, create_job, event_kinds, read_row
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

FORBIDDEN = [(a, b) for a in State for b in State if b not in TRANSITIONS[a]]
ALLOWED = [(a, b) for a in State for b in State if b in TRANSITIONS[a]]


# --- moves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("from_state", "to_state"), ALLOWED)
def test_allowed_move_changes_the_row_and_adds_an_event(from_state: State, to_state: State) -> None:
    """A move in the table of transitions changes the row and adds one event."""
    job = create_job(from_state)
    extra = {} if to_state in FINAL_STATES else {"due_at": seconds_from_now(60)}
    assert job.move(to_state, kind=EventKind.WORKING, note="because", **extra)
    event = job.events.last()
    assert read_row(job)["state"] == job.state == to_state
    assert (event.from_state, event.to_state, event.message) == (from_state, to_state, "because")
    assert job.events.count() == 2


@pytest.mark.parametrize(("from_state", "to_state"), FORBIDDEN)
def test_forbidden_move_raises_and_changes_nothing(from_state: State, to_state: State) -> None:
    """A move that is not in the table of transitions raises and changes nothing."""
    job = create_job(from_state)
    before = read_row(job)
    with pytest.raises(ValueError, match=f"{from_state.value} to {to_state.value}"):
        job.move(to_state, kind=EventKind.WORKING)
    assert read_row(job) == before
    assert job.events.count() == 1


def test_move_from_an_outdated_state_changes_nothing() -> None:
    """A move from a state that the row has left changes nothing and adds no event."""
    job = create_job(State.QUEUED)
    late = RenderJob.objects.get(pk=job.pk)
    assert job.move(State.WORKING, kind=EventKind.WORKING, due_at=seconds_from_now(1))
    before = read_row(job)
    assert not late.move(State.FAILED, kind=EventKind.FAILED)
    assert read_row(job) == before
    assert event_kinds(job) == ["enqueued", "working"]
    assert late.state == State.QUEUED


def test_move_of_an_old_attempt_changes_nothing() -> None:
    """A response for an old attempt changes nothing, even if the state is the same."""
    job = create_job(State.SUBMITTING, attempt=2)
    job.attempt = 1
    assert not job.move(State.QUEUED, kind=EventKind.ACCEPTED, due_at=seconds_from_now(1))
    assert event_kinds(job) == ["enqueued"]


def test_move_without_a_required_lease_changes_nothing() -> None:
    """A move that requires the lease changes nothing if the lease was lost."""
    job = create_job(State.QUEUED, lease_token="theirs")
    job.lease_token = "mine"
    assert not job.move(
        State.WORKING, kind=EventKind.WORKING, require_lease=True, due_at=seconds_from_now(1)
    )
    assert event_kinds(job) == ["enqueued"]
    assert job.move(State.WORKING, kind=EventKind.WORKING, due_at=seconds_from_now(1))


@pytest.mark.parametrize("together", [False, True])
def test_erased_job_does_not_move(together: bool) -> None:
    """A failed job that was erased after it had been read stays as it is."""
    job = create_job(State.FAILED)
    RenderJob.objects.update(erased_at=seconds_from_now(0))
    before = read_row(job)
    changes: dict[str, Any] = {"kind": EventKind.RETRIED, "due_at": seconds_from_now(0)}
    if together:
        with pytest.raises(RowsChangedError):
            RenderJob.move_all([job], State.PENDING, **changes)
    else:
        assert not job.move(State.PENDING, **changes)
    assert read_row(job) == before


def test_move_does_not_recreate_a_deleted_row() -> None:
    """A deleted row is not created again."""
    job = create_job(State.DOWNLOADING)
    RenderJob.objects.filter(pk=job.pk).delete()
    assert not complete_job(job)
    assert not RenderJob.objects.exists()


def test_move_clears_lease_and_failures() -> None:
    """A move ends the lease and resets the count of failures."""
    job = create_job(State.QUEUED, lease_token="mine", failures=4)
    job.move(State.WORKING, kind=EventKind.WORKING, require_lease=True, due_at=seconds_from_now(1))
    assert (read_row(job)["lease_token"], read_row(job)["failures"]) == ("", 0)


def test_move_to_a_final_state_sets_finished_at() -> None:
    """A final state has a time by the database's clock, and the job is not due."""
    job = create_job(State.DOWNLOADING)
    assert read_row(job)["finished_at"] is None
    complete_job(job)
    assert read_row(job)["finished_at"] is not None
    assert read_row(job)["due_at"] is None


@pytest.mark.django_db(transaction=True)
def test_rollback_undoes_move_and_event() -> None:
    """The row and its event change together or not at all."""
    job = create_job(State.DOWNLOADING)
    with transaction.atomic():
        assert complete_job(job)
        transaction.set_rollback(True)
    assert read_row(job)["state"] == State.DOWNLOADING
    assert event_kinds(job) == ["enqueued"]


@pytest.mark.django_db(transaction=True)
def test_parallel_moves_have_one_winner() -> None:
    """Of four parallel moves from one state, one succeeds and adds one event."""
    job = create_job(State.DOWNLOADING)
    seen = [RenderJob.objects.get(pk=job.pk) for _ in range(4)]
    won = run_in_threads(4, lambda: complete_job(seen.pop()))
    assert sorted(won) == [False, False, False, True]
    assert event_kinds(job) == ["enqueued", "completed"]


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_database_refuses_a_final_row_that_is_due(state: State) -> None:
    """A constraint refuses a finished job that is due."""
    job = create_job(State.QUEUED)
    with pytest.raises(IntegrityError), transaction.atomic():
        RenderJob.objects.filter(pk=job.pk).update(state=state)


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_database_refuses_an_active_row_that_is_never_due(state: State) -> None:
    """A constraint refuses an unfinished job that is never due."""
    job = create_job(State.FAILED)
    with pytest.raises(IntegrityError), transaction.atomic():
        RenderJob.objects.filter(pk=job.pk).update(state=state)


@pytest.mark.django_db(transaction=True)
def test_time_set_by_the_database_is_read_on_access() -> None:
    """A time set by the database's clock is read when it is first accessed."""
    job = create_job(State.DOWNLOADING)
    assert complete_job(job)
    assert "finished_at" not in job.__dict__
    assert job.finished_at == read_row(job)["finished_at"]


# --- updates without a state change ----------------------------------------------------------


def test_update_leased_changes_row_and_instance() -> None:
    """With the lease, other columns change in the row and in the instance."""
    job = create_job(State.QUEUED, lease_token="mine")
    assert job.update_leased(failures=3, due_at=seconds_from_now(5))
    assert read_row(job)["failures"] == job.failures == 3


@pytest.mark.parametrize(
    "theirs",
    [{"lease_token": "theirs"}, {"attempt": 2}, {"state": State.WORKING}],
)
def test_update_leased_requires_lease_attempt_and_state(theirs: dict[str, Any]) -> None:
    """If the lease, the attempt or the state has changed, nothing is updated."""
    job = create_job(State.QUEUED, lease_token="mine")
    RenderJob.objects.filter(pk=job.pk).update(**theirs)
    assert not job.update_leased(failures=3)
    assert read_row(job)["failures"] == job.failures == 0


def test_update_leased_refuses_the_state() -> None:
    """The state can only be changed by a move."""
    job = create_job(State.QUEUED)
    with pytest.raises(ValueError, match="move"):
        job.update_leased(state=State.WORKING)
    assert read_row(job)["state"] == State.QUEUED


# --- properties ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "resumes"),
    [
        ({"error_code": ErrorCode.STORAGE_ERROR, "download_id": "d"}, State.DOWNLOADING),
        ({"error_code": ErrorCode.STORAGE_ERROR, "status_id": "s"}, State.QUEUED),
        ({"error_code": ErrorCode.STORAGE_ERROR}, None),
        ({"error_code": ErrorCode.STATUS_UNAVAILABLE, "status_id": "s"}, State.QUEUED),
        ({"error_code": ErrorCode.STATUS_UNAVAILABLE, "download_id": "d"}, None),
        ({"error_code": ErrorCode.TIMED_OUT, "status_id": "s"}, State.QUEUED),
        (
            {"error_code": ErrorCode.DOWNLOAD_REFUSED, "status_id": "s", "download_id": "d"},
            State.QUEUED,
        ),
        ({"error_code": ErrorCode.SUBMIT_UNCONFIRMED}, None),
        ({"error_code": ErrorCode.DOCUMENT_GONE, "status_id": "s", "download_id": "d"}, None),
        ({"error_code": ErrorCode.RENDER_FAILED, "status_id": "s", "download_id": "d"}, None),
        ({"error_code": ErrorCode.REJECTED, "status_id": "s"}, None),
        ({"error_code": "", "status_id": "s"}, None),
    ],
)
def test_resume_state_needs_docraptors_id(columns: dict[str, str], resumes: State | None) -> None:
    """A retry resumes an attempt only if DocRaptor's ID for it is known."""
    assert create_job(State.FAILED, **columns).resume_state == resumes


def test_unfinished_job_has_no_resume_state() -> None:
    """An unfinished job has no resume state, whatever its columns say."""
    job = create_job(State.QUEUED, error_code=ErrorCode.STATUS_UNAVAILABLE, status_id="s")
    assert job.resume_state is None


@pytest.mark.parametrize("reason", sorted(ErrorCode))
def test_may_have_been_billed_depends_on_the_error_code(reason: str) -> None:
    """Only a failed job that DocRaptor accepted, or may have accepted, may have been billed."""
    codes = {"submit_unconfirmed", "timed_out", "status_unavailable", "download_refused"}
    codes |= {"document_gone", "download_failed", "not_a_document", "document_too_large"}
    codes |= {"post_process_failed"}
    codes |= {"storage_error", "killed_its_worker"}
    assert create_job(State.FAILED, error_code=reason).may_have_been_billed == (reason in codes)
    assert not create_job(State.QUEUED, error_code=reason).may_have_been_billed


def test_tag_has_job_id_and_attempt() -> None:
    """Every attempt has its own tag."""
    job = create_job(State.QUEUED, attempt=3)
    assert job.tag == f"{job.pk.hex}:3"


def test_unclaimed_job_has_no_age() -> None:
    """Age and deadline are unknown without the database's time."""
    job = create_job(
        State.QUEUED, sent_at=seconds_from_now(-100), deadline_at=seconds_from_now(-50)
    )
    assert (job.attempt_age, job.is_past_deadline) == (0.0, False)


def test_claimed_job_has_its_age() -> None:
    """Age and deadline are computed with the database's time at the claim."""
    create_job(
        State.QUEUED,
        due_at=seconds_from_now(-1),
        sent_at=seconds_from_now(-100),
        deadline_at=seconds_from_now(-50),
    )
    (job,) = claim([State.QUEUED], limit=1, lease=9)
    assert job.attempt_age == pytest.approx(100, abs=5)
    assert job.is_past_deadline
