"""Many failed jobs are retried in batches, each once, and what it costs is known before."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor import bulk_retry
from django_docraptor.bulk_retry import RetryCounts, count_retries, retry_in_batches
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.shortcuts import retry
from django_docraptor.states import ErrorCode, State
from tests.support.admin_jobs import create_admin_job, failed_job
from tests.support.databases import rejecting
from tests.support.jobs import current_state, event_kinds

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def states() -> list[str]:
    """The states of all jobs, the oldest first."""
    return list(RenderJob.objects.order_by("created_at", "pk").values_list("state", flat=True))


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize("status_id", [None, "known"])
@pytest.mark.parametrize("download_id", ["", "known"])
def test_resumable_is_what_resume_state_says(
    code: ErrorCode, status_id: str | None, download_id: str
) -> None:
    """The database finds exactly the jobs whose retry resumes."""
    job = failed_job(code, status_id=status_id, download_id=download_id)
    assert RenderJob.objects.resumable().exists() == (job.resume_state is not None)


def test_jobs_that_have_not_failed_cannot_resume() -> None:
    """A job that runs, or is finished, is never found, whatever its last error was."""
    for state in State:
        if state != State.FAILED:
            create_admin_job(state, error_code=ErrorCode.TIMED_OUT, status_id=f"of {state}")
    assert not RenderJob.objects.resumable().exists()


def test_counts_say_what_is_billed() -> None:
    """Resumed attempts and test documents are not billed; a lost one may be billed again."""
    failed_job(ErrorCode.TIMED_OUT, status_id="1")
    failed_job(ErrorCode.RENDER_FAILED, status_id="2", test=True)
    failed_job(ErrorCode.RENDER_FAILED, status_id="3")
    failed_job(ErrorCode.DOCUMENT_GONE, status_id="4")
    create_admin_job(State.COMPLETED)
    jobs = RenderJob.objects.all()
    assert count_retries(jobs) == RetryCounts(resumed=1, free=1, billed=2, billed_again=1)
    assert count_retries(jobs, from_start=True) == RetryCounts(free=1, billed=3, billed_again=2)
    assert count_retries(jobs, limit=2).total == 2


def test_each_job_is_retried_once_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """All failed jobs are retried, in several transactions, and no other job is touched."""
    monkeypatch.setattr(bulk_retry, "BATCH_SIZE", 2)
    for number in range(5):
        failed_job(ErrorCode.TIMED_OUT, status_id=str(number))
    other = create_admin_job(State.CANCELLED)
    batches = list(retry_in_batches(RenderJob.objects.all()))
    assert [batch.retried for batch in batches] == [2, 2, 1]
    assert states().count(State.QUEUED) == 5
    assert current_state(other) == State.CANCELLED


def test_limit_takes_the_oldest() -> None:
    """A limit retries so many jobs, the oldest first."""
    for number in range(3):
        failed_job(ErrorCode.TIMED_OUT, status_id=str(number))
    assert [batch.retried for batch in retry_in_batches(RenderJob.objects.all(), limit=2)] == [2]
    assert states() == [State.QUEUED, State.QUEUED, State.FAILED]


def test_interrupted_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done before an interruption stays, and the next run does the rest."""
    monkeypatch.setattr(bulk_retry, "BATCH_SIZE", 1)
    jobs = [failed_job(ErrorCode.TIMED_OUT, status_id=str(number)) for number in range(3)]
    next(retry_in_batches(RenderJob.objects.all()))
    assert states().count(State.FAILED) == 2
    assert sum(batch.retried for batch in retry_in_batches(RenderJob.objects.all())) == 2
    assert [event_kinds(job).count("retried") for job in jobs] == [1, 1, 1]


@pytest.mark.parametrize("from_start", [True, False])
def test_resuming_is_the_rule_and_starting_again_the_exception(from_start: bool) -> None:
    """Only `from_start` creates another document of an attempt that DocRaptor has accepted."""
    job = failed_job(ErrorCode.TIMED_OUT)
    user = User.objects.create_user("ann")
    list(retry_in_batches(RenderJob.objects.all(), from_start=from_start, by=user))
    assert current_state(job) == (State.PENDING if from_start else State.QUEUED)
    assert job.events.get(kind="retried").message == "by ann"


def test_job_that_cannot_be_retried_does_not_keep_the_others() -> None:
    """If a batch fails in the database, its jobs are tried one by one."""
    jobs = [failed_job(ErrorCode.TIMED_OUT, status_id=str(number)) for number in range(3)]
    with rejecting(jobs[1].pk.hex, DatabaseError("deadlock")):
        (result,) = retry_in_batches(RenderJob.objects.all())
    assert (result.retried, result.failed) == (2, 1)
    assert [current_state(job) for job in jobs] == [State.QUEUED, State.FAILED, State.QUEUED]


def test_job_that_failed_again_meanwhile_is_judged_anew() -> None:
    """A job that another process retries and fails between reading and writing is left alone.

    It could resume when it was read; now a retry would be billed, which was not asked for.
    """
    jobs = [failed_job(ErrorCode.TIMED_OUT, status_id=str(number)) for number in range(3)]
    changed = iter(jobs[:1])

    def change_first(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SAVEPOINT"):  # the batch was read, and its transaction begins
            for job in changed:
                RenderJob.objects.filter(pk=job.pk).update(
                    error_code=ErrorCode.REJECTED, attempt=2, finished_at=seconds_from_now(1)
                )
        return execute(sql, params, many, context)

    with connection.execute_wrapper(change_first):
        (result,) = retry_in_batches(RenderJob.objects.all())
    assert (result.retried, result.failed) == (2, 1)
    assert [current_state(job) for job in jobs] == [State.FAILED, State.QUEUED, State.QUEUED]


def test_batch_does_what_single_retries_do() -> None:
    """Together, jobs get the same columns and events as when they are retried one by one."""
    codes = (ErrorCode.TIMED_OUT, ErrorCode.STORAGE_ERROR, ErrorCode.REJECTED)
    columns = {
        "download_id": "known",
        "callback_at": timezone.now(),
        "failures": 2,
        "download_attempts": 3,
    }
    together = [failed_job(code, **columns) for code in codes]
    alone = [failed_job(code, **columns) for code in codes]
    list(retry_in_batches(RenderJob.objects.filter(pk__in=[job.pk for job in together])))
    for job in alone:
        assert retry(job)
    times = {"due_at", "deadline_at", "moved_at"}
    names = {field.attname for field in RenderJob._meta.concrete_fields}
    names -= {"id", "status_id", "created_at", *times}
    for one, other in zip(together, alone, strict=True):
        rows = [RenderJob.objects.filter(pk=job.pk) for job in (one, other)]
        assert rows[0].values(*names).get() == rows[1].values(*names).get()
        events = [
            list(job.events.values("kind", "attempt", "from_state", "to_state", "message"))
            for job in (one, other)
        ]
        assert events[0] == events[1]
        assert (
            rows[0].filter(due_at__lte=Now(), moved_at__lte=Now(), deadline_at__gt=Now()).exists()
        )


@pytest.mark.parametrize("from_start", [True, False])
def test_thousand_jobs_need_few_statements(from_start: bool) -> None:
    """The number of statements does not depend on the number of jobs, but for long INSERTs."""
    job = failed_job(ErrorCode.TIMED_OUT)
    row = RenderJob.objects.filter(pk=job.pk).values().get()
    RenderJob.objects.bulk_create(
        RenderJob(**row | {"id": uuid.uuid4(), "status_id": f"status-{number}"})
        for number in range(999)
    )
    with CaptureQueriesContext(connection) as queries:
        batches = list(retry_in_batches(RenderJob.objects.all(), from_start=from_start))
    assert sum(batch.retried for batch in batches) == 1000
    assert len(queries) <= 30
