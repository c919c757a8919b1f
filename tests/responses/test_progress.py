"""What a reader is told about a document: its stage, how long it takes, whether it is late."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpRequest
from django.utils import timezone

from django_docraptor.estimates import Estimate
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.responses import progress as progress_module
from django_docraptor.responses.progress import Progress, Stage, progress_of, stage_of
from django_docraptor.shortcuts import retry
from django_docraptor.states import FINAL_STATES, ErrorCode, State
from tests.support.jobs import enqueue, pause_account

pytestmark = pytest.mark.django_db


def make_job(state: State, *, age: float = 0, **columns: Any) -> RenderJob:
    """Return a job in a state that was requested so many seconds ago."""
    job = enqueue(owner=columns.pop("owner", None))
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    created_at = timezone.now() - timedelta(seconds=age)
    values = {"state": state, "attempt": 1, "due_at": due_at, "created_at": created_at, **columns}
    RenderJob.objects.filter(pk=job.pk).update(**values)
    return RenderJob.objects.annotate(database_now=Now()).get(pk=job.pk)


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> Estimate:
    """Documents usually take 12 s, and hardly ever more than 40 s."""
    estimate = Estimate(usual=12, longest=40)
    monkeypatch.setattr(progress_module, "estimate_of", lambda document: estimate)
    return estimate


STAGES = dict.fromkeys(State, Stage.IN_PROGRESS) | {
    State.PENDING: Stage.WAITING,
    State.COMPLETED: Stage.READY,
    State.FAILED: Stage.FAILED,
    State.CANCELLED: Stage.CANCELLED,
}


@pytest.mark.parametrize("state", sorted(State))
def test_each_state_is_one_of_few_words(state: State) -> None:
    """The engine's nine states are five words for a reader."""
    assert stage_of(RenderJob(state=state)) == STAGES[state]


def test_hosted_document_that_is_over_is_expired() -> None:
    """A document whose public URL no longer works is not ready."""
    job = RenderJob(state=State.COMPLETED, hosted=True, public_url="https://docraptor.example/1")
    assert stage_of(job) == Stage.READY
    job.hosted_expires_at = timezone.now() - timedelta(seconds=1)
    assert stage_of(job) == Stage.EXPIRED


def test_elapsed_time_and_estimate(request_: HttpRequest, usual: Estimate) -> None:
    """While a document takes no longer than usual, the reader learns how long that is."""
    shown = progress_of(request_, make_job(State.WORKING, age=5))
    assert 4.9 < shown.elapsed < 10  # by another clock than the job, with its own resolution
    assert (shown.is_longer, shown.is_late) == (False, False)
    assert shown.message.endswith("seconds so far. It usually takes about 12 seconds.")


def test_longer_than_usual(request_: HttpRequest, usual: Estimate) -> None:
    """Beyond the 95th percentile, the reader is told so, with both numbers."""
    shown = progress_of(request_, make_job(State.WORKING, age=41))
    assert shown.heading == "This is taking longer than usual"
    assert "about 12 seconds, and hardly ever more than 40 seconds." in shown.message


def test_without_an_estimate_only_the_time_is_told(request_: HttpRequest) -> None:
    """Without a history nothing is promised, however long it takes."""
    shown = progress_of(request_, make_job(State.WORKING, age=600))
    assert (shown.estimate, shown.is_longer) == (None, False)
    assert shown.message == "10 minutes so far."


def test_late_job_is_not_only_longer(request_: HttpRequest, usual: Estimate) -> None:
    """If the engine is late, the reader learns whose fault it is, and no estimate."""
    shown = progress_of(request_, make_job(State.PENDING, age=600, due_at=seconds_from_now(-600)))
    assert (shown.is_late, shown.is_told, shown.is_longer) == (True, True, False)
    assert (shown.heading, shown.message) == (
        "Something is wrong on our side",
        "We have been told.",
    )


def test_nothing_is_said_about_being_told_if_it_is_not_so(request_: HttpRequest) -> None:
    """Errors of two minutes are no report yet."""
    shown = progress_of(request_, make_job(State.QUEUED, failing_since=seconds_from_now(-180)))
    assert (shown.is_late, shown.is_told, shown.message) == (True, False, "")


@pytest.mark.parametrize(
    ("account", "age", "state", "is_late"),
    [
        ("default", 180, State.PENDING, True),
        ("default", 60, State.PENDING, False),
        ("other", 180, State.PENDING, False),
        ("default", 180, State.CANCELLED, False),
    ],
)
def test_paused_account_is_a_fault_of_the_site(
    request_: HttpRequest, account: str, age: float, state: State, is_late: bool
) -> None:
    """A wrong key stops all documents of an account: after two minutes, customers read so."""
    pause_account(account, "HTTP 401")
    shown = progress_of(request_, make_job(state, age=age))
    assert (shown.is_late, shown.is_told) == (is_late, is_late)


def test_time_counts_from_the_last_retry(request_: HttpRequest, owner: Any) -> None:
    """Who has pressed the button has not waited since last week."""
    week = 7 * 24 * 3600
    job = make_job(State.FAILED, age=week, error_code=ErrorCode.SUBMIT_FAILED, owner=owner)
    assert retry(job, by=owner)
    assert progress_of(request_, RenderJob.objects.get()).elapsed < 60


def test_failure_has_the_words_for_customers(request_: HttpRequest) -> None:
    """The reason is a customer's, without the code or the error."""
    job = make_job(State.FAILED, error_code=ErrorCode.REJECTED, errors="Tidy: secret line 7")
    shown = progress_of(request_, job)
    assert shown.reason == shown.message == str(job.explanation.for_customers)  # type: ignore[union-attr]
    assert "secret" not in shown.reason


def test_job_that_was_not_read_with_the_database_time_is_read_again(
    request_: HttpRequest, django_assert_num_queries: Any
) -> None:
    """A project's own view passes any job; one that has ended meanwhile is shown so."""
    job = make_job(State.PENDING)
    stale = RenderJob.objects.get(pk=job.pk)
    with django_assert_num_queries(2):  # the job, its last retry
        assert progress_of(request_, stale).refresh == 1
    RenderJob.objects.update(state=State.CANCELLED, due_at=None)
    assert progress_of(request_, stale).stage == Stage.CANCELLED
    RenderJob.objects.all().delete()
    assert progress_of(request_, stale).stage == Stage.WAITING


@pytest.mark.parametrize(
    ("stage", "marks"),
    [
        (Stage.WAITING, "c.."),
        (Stage.IN_PROGRESS, "dc."),
        (Stage.READY, "ddc"),
        (Stage.FAILED, ""),
        (Stage.CANCELLED, ""),
    ],
)
def test_steps_show_what_is_over(stage: Stage, marks: str) -> None:
    """A success has three steps, of which one is the current one; a failure has none."""
    steps = Progress(job=RenderJob(), stage=stage).steps
    assert "".join("d" if done else "c" if current else "." for _, done, current in steps) == marks
