"""Signals that are not lost, and not sent twice."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.dispatch import Signal

from django_docraptor import lifecycle
from django_docraptor.models import RenderEvent, RenderJob, seconds_from_now
from django_docraptor.signals import document_completed, document_failed, document_submitted
from django_docraptor.states import EventKind, State
from tests.support.jobs import complete, kinds, put, skip_time
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db


class Listener:
    """A receiver that counts."""

    def __init__(self) -> None:
        self.heard: list[tuple[uuid.UUID, str]] = []
        self.error: Exception | None = None

    def __call__(self, job: RenderJob, **kwargs: Any) -> None:
        self.heard.append((job.pk, job.state))
        if self.error:
            raise self.error


@pytest.fixture
def completed() -> Iterator[Listener]:
    """A receiver of document_completed."""
    listener = Listener()
    document_completed.connect(listener)
    yield listener
    document_completed.disconnect(listener)


@pytest.mark.parametrize(
    ("signal", "kind"),
    [
        (document_submitted, EventKind.ACCEPTED),
        (document_completed, EventKind.COMPLETED),
        (document_failed, EventKind.FAILED),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_signal_of_each_kind(signal: Signal, kind: EventKind) -> None:
    """Each of the three signals goes with its own kind of event, and with no other."""
    heard: list[str] = []

    def receiver(sender: type, job: RenderJob, **kwargs: Any) -> None:
        assert sender is RenderJob
        heard.append(job.state)

    signal.connect(receiver)
    try:
        put(State.SUBMITTING).move(
            State.QUEUED, kind=EventKind.ACCEPTED, due_at=seconds_from_now(9)
        )
        put(State.DOWNLOADING).move(State.COMPLETED, kind=EventKind.COMPLETED)
        put(State.WORKING).move(State.FAILED, kind=EventKind.FAILED)
        put(State.WORKING).move(State.CANCELLED, kind=EventKind.CANCELLED)
    finally:
        signal.disconnect(receiver)
    states = {
        EventKind.ACCEPTED: "queued",
        EventKind.COMPLETED: "completed",
        EventKind.FAILED: "failed",
    }
    assert heard == [states[kind]]


@pytest.mark.django_db(transaction=True)
def test_signal_once_after_commit(completed: Listener) -> None:
    """The signal comes after the commit, once, with the job as it now stands."""
    job = put(State.DOWNLOADING)
    with transaction.atomic():
        complete(job)
        assert completed.heard == []
        assert job.events.filter(signal_due_at__isnull=False).count() == 1
    assert completed.heard == [(job.pk, "completed")]
    skip_time(3600)
    lifecycle.sweep()
    assert len(completed.heard) == 1


@pytest.mark.django_db(transaction=True)
def test_signal_not_after_rollback(completed: Listener) -> None:
    """What did not happen is not told, at once or later."""
    job = put(State.DOWNLOADING)
    with transaction.atomic():
        assert complete(job)
        transaction.set_rollback(True)
    skip_time(3600)
    lifecycle.sweep()
    assert completed.heard == []


@pytest.mark.django_db(transaction=True)
def test_signal_receiver_error(completed: Listener, caplog) -> None:
    """A receiver that raises is logged, harms no other receiver, and is not called again."""
    calls = []

    def broken(job: RenderJob, **kwargs: Any) -> None:
        calls.append(job)
        raise RuntimeError("receiver broke")

    document_completed.disconnect(completed)
    document_completed.connect(broken)
    document_completed.connect(completed)
    try:
        job = put(State.DOWNLOADING)
        assert complete(job)
        skip_time(3600)
        lifecycle.sweep()
    finally:
        document_completed.disconnect(broken)
    assert completed.heard == [(job.pk, "completed")]
    assert len(calls) == 1
    ours = [record for record in caplog.records if record.name == "django_docraptor"]
    assert any("broken" in one.getMessage() and str(job.pk) in one.getMessage() for one in ours)


@pytest.mark.django_db(transaction=True)
def test_signal_nameless_receiver_error(completed: Listener, caplog) -> None:
    """A receiver without a name (an object, a partial) may raise too: Django's own log cannot."""
    completed.error = RuntimeError("receiver broke")
    job = put(State.DOWNLOADING)
    assert complete(job)
    skip_time(3600)
    lifecycle.sweep()
    assert completed.heard == [(job.pk, "completed")]
    assert any(str(job.pk) in record.getMessage() for record in caplog.records if record.exc_info)


@pytest.mark.django_db(transaction=True)
def test_signal_after_a_crash(completed: Listener) -> None:
    """A process that died between commit and signal leaves it to the sweep, which sends it once."""
    job = put(State.DOWNLOADING)
    complete(job)
    completed.heard.clear()
    job.events.filter(kind=EventKind.COMPLETED).update(signal_due_at=seconds_from_now(-1))
    lifecycle.sweep()
    lifecycle.sweep()
    assert completed.heard == [(job.pk, "completed")]
    assert not RenderEvent.objects.filter(signal_due_at__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
def test_signal_being_sent_is_left_alone(completed: Listener) -> None:
    """A sweep does not send what another process is just about to send."""
    job = put(State.DOWNLOADING)
    complete(job)
    completed.heard.clear()
    job.events.filter(kind=EventKind.COMPLETED).update(signal_due_at=seconds_from_now(30))
    lifecycle.sweep()
    assert completed.heard == []


@pytest.mark.django_db(transaction=True)
def test_signal_sweeps_at_once(completed: Listener) -> None:
    """Two sweeps at once send a signal once."""
    job = put(State.DOWNLOADING)
    complete(job)
    completed.heard.clear()
    job.events.filter(kind=EventKind.COMPLETED).update(signal_due_at=seconds_from_now(-1))
    assert sum(at_once(2, lifecycle.sweep)) == 1
    assert len(completed.heard) == 1


def test_signal_without_listeners() -> None:
    """Where nobody listens, nothing waits to be sent."""
    job = put(State.DOWNLOADING)
    complete(job)
    assert not RenderEvent.objects.filter(signal_due_at__isnull=False).exists()
    assert kinds(job) == ["enqueued", "completed"]
