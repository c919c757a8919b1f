"""Moves of jobs are published for metrics: after the commit, and only if they are committed."""

from typing import Any

import pytest
from django.db import transaction

from django_docraptor import enqueue_many, shortcuts
from django_docraptor.instrumentation import JobMoved
from django_docraptor.job_specs import JobSpec
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import ErrorCode, State
from tests.support.jobs import enqueue, run_until_finished

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]


def moves(events: list[Any]) -> list[tuple[str, str]]:
    """Return the published moves as pairs of states."""
    return [(each.from_state, each.to_state) for each in events if isinstance(each, JobMoved)]


def test_whole_way_is_published(sandbox: Sandbox, documents_dir: Any, events: list[Any]) -> None:
    """Each change of state of a document is published once, with what labels need."""
    job = run_until_finished(enqueue())
    way = moves(events)
    assert way[:3] == [("", "pending"), ("pending", "submitting"), ("submitting", "queued")]
    assert way[-1] == ("downloading", "completed")
    assert (
        len(way)
        == len(set(way))
        == job.events.exclude(from_state="").exclude(kind="callback").count() + 1
    )
    for event in (each for each in events if isinstance(each, JobMoved)):
        assert (event.job, event.account, event.document) == (job.pk, "default", "")
        assert event.is_test
        assert event.error_code == ""
        assert event.seconds_in_state is None or 0 <= event.seconds_in_state < 300
    assert events[-1].attempt == 1


@pytest.mark.fault("M2")
def test_move_that_is_rolled_back_is_not_published(events: list[Any]) -> None:
    """What the caller's transaction takes back has not happened, and what it keeps has."""
    job = enqueue()
    del events[:]
    with transaction.atomic():
        shortcuts.cancel(job)
        assert events == []
        transaction.set_rollback(True)
    assert events == []
    with transaction.atomic():
        shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
        assert events == []
    assert moves(events) == [("pending", "cancelled")]


@pytest.mark.fault("M2")
def test_jobs_that_are_rolled_back_are_not_published(events: list[Any]) -> None:
    """A job whose transaction is rolled back was never enqueued; many jobs are an event each."""
    with transaction.atomic():
        enqueue()
        transaction.set_rollback(True)
    assert events == []
    enqueue_many([JobSpec(name=f"{n}.pdf", content="<p>x</p>") for n in range(3)])
    assert moves(events) == [("", "pending")] * 3


def test_seconds_in_state_are_those_since_the_last_move(
    sandbox: Sandbox, events: list[Any]
) -> None:
    """The time in a state counts from when the job entered it, whichever process reads the row."""
    job = enqueue()
    RenderJob.objects.filter(pk=job.pk).update(created_at="2000-01-01T00:00:00Z")
    shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
    assert events[-1].seconds_in_state > 800_000_000
    moved = RenderJob.objects.get(pk=job.pk)
    assert moved.moved_at is not None
    assert moved.moved_at == moved.finished_at


def test_failure_has_its_code(sandbox: Sandbox, events: list[Any]) -> None:
    """A move to FAILED says why."""
    sandbox.add_fault(Fault(on="render", action="fail", times=1))
    job = run_until_finished(enqueue())
    failed = next(each for each in events if getattr(each, "to_state", "") == State.FAILED)
    assert failed.error_code == job.error_code == ErrorCode.RENDER_FAILED
    del events[:]
    shortcuts.retry(RenderJob.objects.get(pk=job.pk))
    assert moves(events) == [("failed", "pending")]
    assert events[0].error_code == ""


def test_no_receiver_no_hook() -> None:
    """Without a receiver a move registers nothing for the commit."""
    job = enqueue()
    with transaction.atomic():
        before = len(transaction.get_connection().run_on_commit)
        shortcuts.cancel(job)
        assert len(transaction.get_connection().run_on_commit) == before
