"""The one write path for state, and what a job says of itself."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.states import (
    ACTIVE_STATES,
    FINAL_STATES,
    TRANSITIONS,
    ErrorCode,
    EventKind,
    State,
)
from tests.support.jobs import complete, kinds, put, row
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db

FORBIDDEN = [(a, b) for a in State for b in State if b not in TRANSITIONS[a]]
ALLOWED = [(a, b) for a in State for b in State if b in TRANSITIONS[a]]


# --- moves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "to"), ALLOWED)
def test_move_allowed(source: State, to: State) -> None:
    """A move that the table has changes the row and writes one line of history."""
    job = put(source)
    extra = {} if to in FINAL_STATES else {"due_at": seconds_from_now(60)}
    assert job.move(to, kind=EventKind.WORKING, note="because", **extra)
    event = job.events.last()
    assert row(job)["state"] == job.state == to
    assert (event.from_state, event.to_state, event.message) == (source, to, "because")
    assert job.events.count() == 2


@pytest.mark.parametrize(("source", "to"), FORBIDDEN)
def test_move_forbidden(source: State, to: State) -> None:
    """A move that the table has not is a programming error, and changes nothing."""
    job = put(source)
    before = row(job)
    with pytest.raises(ValueError, match=f"{source.value} to {to.value}"):
        job.move(to, kind=EventKind.WORKING)
    assert row(job) == before
    assert job.events.count() == 1


def test_move_from_a_state_that_is_past() -> None:
    """Whoever saw an older state moves nothing and writes no history."""
    job = put(State.QUEUED)
    late = RenderJob.objects.get(pk=job.pk)
    assert job.move(State.WORKING, kind=EventKind.WORKING, due_at=seconds_from_now(1))
    before = row(job)
    assert not late.move(State.FAILED, kind=EventKind.FAILED)
    assert row(job) == before
    assert kinds(job) == ["enqueued", "working"]
    assert late.state == State.QUEUED


def test_move_of_another_attempt() -> None:
    """An answer for an older attempt moves nothing, though the state is the same."""
    job = put(State.SUBMITTING, attempt=2)
    job.attempt = 1
    assert not job.move(State.QUEUED, kind=EventKind.ACCEPTED, due_at=seconds_from_now(1))
    assert kinds(job) == ["enqueued"]


def test_move_without_the_lease() -> None:
    """Whoever has lost the lease moves nothing where the lease counts."""
    job = put(State.QUEUED, lease_token="theirs")
    job.lease_token = "mine"
    assert not job.move(
        State.WORKING, kind=EventKind.WORKING, require_lease=True, due_at=seconds_from_now(1)
    )
    assert kinds(job) == ["enqueued"]
    assert job.move(State.WORKING, kind=EventKind.WORKING, due_at=seconds_from_now(1))


def test_move_of_a_deleted_row() -> None:
    """A row that is gone is not made again."""
    job = put(State.DOWNLOADING)
    RenderJob.objects.filter(pk=job.pk).delete()
    assert not complete(job)
    assert not RenderJob.objects.exists()


def test_move_ends_lease_and_failures() -> None:
    """A step that led on is a fresh start for the next one."""
    job = put(State.QUEUED, lease_token="mine", failures=4)
    job.move(State.WORKING, kind=EventKind.WORKING, require_lease=True, due_at=seconds_from_now(1))
    assert (row(job)["lease_token"], row(job)["failures"]) == ("", 0)


def test_move_to_the_end_says_when() -> None:
    """A final state has its time, by the database's clock, and nothing is due."""
    job = put(State.DOWNLOADING)
    assert row(job)["finished_at"] is None
    complete(job)
    assert row(job)["finished_at"] is not None
    assert row(job)["due_at"] is None


@pytest.mark.django_db(transaction=True)
def test_move_rolls_back_with_its_history() -> None:
    """Row and history change together or not at all."""
    job = put(State.DOWNLOADING)
    with transaction.atomic():
        assert complete(job)
        transaction.set_rollback(True)
    assert row(job)["state"] == State.DOWNLOADING
    assert kinds(job) == ["enqueued"]


@pytest.mark.django_db(transaction=True)
def test_move_race_has_one_winner() -> None:
    """Four that saw the same state: one moves it, one line of history, one signal due."""
    job = put(State.DOWNLOADING)
    seen = [RenderJob.objects.get(pk=job.pk) for _ in range(4)]
    won = at_once(4, lambda: complete(seen.pop()))
    assert sorted(won) == [False, False, False, True]
    assert kinds(job) == ["enqueued", "completed"]


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_database_refuses_a_final_row_that_is_due(state: State) -> None:
    """A finished job that somebody would still look at cannot be written."""
    job = put(State.QUEUED)
    with pytest.raises(IntegrityError), transaction.atomic():
        RenderJob.objects.filter(pk=job.pk).update(state=state)


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_database_refuses_an_active_row_that_is_never_due(state: State) -> None:
    """An unfinished job that nobody would look at again cannot be written."""
    job = put(State.FAILED)
    with pytest.raises(IntegrityError), transaction.atomic():
        RenderJob.objects.filter(pk=job.pk).update(state=state)


@pytest.mark.django_db(transaction=True)
def test_move_shows_what_the_database_worked_out() -> None:
    """A moment by the database's clock is read when somebody asks for it."""
    job = put(State.DOWNLOADING)
    assert complete(job)
    assert "finished_at" not in job.__dict__
    assert job.finished_at == row(job)["finished_at"]


# --- changes without a move ------------------------------------------------------------------


def test_set_holds() -> None:
    """With the lease, other columns change, in the row and in the object."""
    job = put(State.QUEUED, lease_token="mine")
    assert job.update_leased(failures=3, due_at=seconds_from_now(5))
    assert row(job)["failures"] == job.failures == 3


@pytest.mark.parametrize(
    "theirs",
    [{"lease_token": "theirs"}, {"attempt": 2}, {"state": State.WORKING}],
)
def test_set_guard(theirs: dict[str, Any]) -> None:
    """Without the lease, or after a move, nothing changes."""
    job = put(State.QUEUED, lease_token="mine")
    RenderJob.objects.filter(pk=job.pk).update(**theirs)
    assert not job.update_leased(failures=3)
    assert row(job)["failures"] == job.failures == 0


def test_set_refuses_the_state() -> None:
    """The state has one write path, and this is not it."""
    job = put(State.QUEUED)
    with pytest.raises(ValueError, match="move"):
        job.update_leased(state=State.WORKING)
    assert row(job)["state"] == State.QUEUED


# --- what a job says of itself ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "resumes"),
    [
        ({"error_code": ErrorCode.STORAGE_ERROR, "download_id": "d"}, State.DOWNLOADING),
        ({"error_code": ErrorCode.STORAGE_ERROR, "status_id": "s"}, None),
        ({"error_code": ErrorCode.STATUS_UNAVAILABLE, "status_id": "s"}, State.QUEUED),
        ({"error_code": ErrorCode.STATUS_UNAVAILABLE, "download_id": "d"}, None),
        ({"error_code": ErrorCode.RENDER_FAILED, "status_id": "s", "download_id": "d"}, None),
        ({"error_code": "", "status_id": "s"}, None),
    ],
)
def test_resumes_at(columns: dict[str, str], resumes: State | None) -> None:
    """A retry takes an attempt up only where DocRaptor's own id for it is known."""
    assert put(State.FAILED, **columns).resume_state == resumes


def test_resumes_at_only_after_a_failure() -> None:
    """An unfinished job resumes nowhere, whatever its columns say."""
    job = put(State.QUEUED, error_code=ErrorCode.STATUS_UNAVAILABLE, status_id="s")
    assert job.resume_state is None


@pytest.mark.parametrize("reason", sorted(ErrorCode))
def test_may_have_been_billed(reason: str) -> None:
    """These failures may stand on the bill, and only of a failed job."""
    codes = {"submit_unconfirmed", "timed_out", "status_unavailable", "download_refused"}
    assert put(State.FAILED, error_code=reason).may_have_been_billed == (reason in codes)
    assert not put(State.QUEUED, error_code=reason).may_have_been_billed


def test_tag_names_the_attempt() -> None:
    """Every attempt has a tag of its own."""
    job = put(State.QUEUED, attempt=3)
    assert job.tag == f"{job.pk.hex}:3"


def test_unclaimed_job_has_no_age() -> None:
    """Without the database's clock nothing is said about age or deadline."""
    job = put(State.QUEUED, sent_at=seconds_from_now(-100), deadline_at=seconds_from_now(-50))
    assert (job.attempt_age, job.is_past_deadline) == (0.0, False)


def test_claimed_job_has_its_age() -> None:
    """Age and deadline go by the database's clock at the claim."""
    put(
        State.QUEUED,
        due_at=seconds_from_now(-1),
        sent_at=seconds_from_now(-100),
        deadline_at=seconds_from_now(-50),
    )
    (job,) = RenderJob.objects.all().claim(limit=1, lease=9)
    assert job.attempt_age == pytest.approx(100, abs=5)
    assert job.is_past_deadline
