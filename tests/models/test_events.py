"""Signals are sent once, after the commit, and are not lost."""

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
from tests.support.jobs import complete_job, create_job, event_kinds, skip_time
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


class Listener:
    """A receiver that records its calls."""

    def __init__(self) -> None:
        self.heard: list[tuple[uuid.UUID, str]] = []
        self.error: Exception | None = None

    def __call__(self, job: RenderJob, **kwargs: Any) -> None:
        self.heard.append((job.pk, job.state))
        if self.error:
            raise self.error


@pytest.fixture
def completed_listener() -> Iterator[Listener]:
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
def test_each_signal_has_its_event_kind(signal: Signal, kind: EventKind) -> None:
    """Each signal is sent for one kind of event and for no other."""
    heard: list[str] = []

    def receiver(sender: type, job: RenderJob, **kwargs: Any) -> None:
        assert sender is RenderJob
        heard.append(job.state)

    signal.connect(receiver)
    try:
        create_job(State.SUBMITTING).move(
            State.QUEUED, kind=EventKind.ACCEPTED, due_at=seconds_from_now(9)
        )
        create_job(State.DOWNLOADING).move(State.COMPLETED, kind=EventKind.COMPLETED)
        create_job(State.WORKING).move(State.FAILED, kind=EventKind.FAILED)
        create_job(State.WORKING).move(State.CANCELLED, kind=EventKind.CANCELLED)
    finally:
        signal.disconnect(receiver)
    states = {
        EventKind.ACCEPTED: "queued",
        EventKind.COMPLETED: "completed",
        EventKind.FAILED: "failed",
    }
    assert heard == [states[kind]]


@pytest.mark.django_db(transaction=True)
def test_signal_is_sent_once_after_the_commit(completed_listener: Listener) -> None:
    """The signal is sent once, after the commit, with the job in its new state."""
    job = create_job(State.DOWNLOADING)
    with transaction.atomic():
        complete_job(job)
        assert completed_listener.heard == []
        assert job.events.filter(signal_due_at__isnull=False).count() == 1
    assert completed_listener.heard == [(job.pk, "completed")]
    skip_time(3600)
    lifecycle.recover()
    assert len(completed_listener.heard) == 1


@pytest.mark.django_db(transaction=True)
def test_signal_is_not_sent_after_a_rollback(completed_listener: Listener) -> None:
    """After a rollback the signal is sent neither at once nor later."""
    job = create_job(State.DOWNLOADING)
    with transaction.atomic():
        assert complete_job(job)
        transaction.set_rollback(True)
    skip_time(3600)
    lifecycle.recover()
    assert completed_listener.heard == []


@pytest.mark.django_db(transaction=True)
def test_receiver_error_is_logged_and_affects_no_other(
    completed_listener: Listener, caplog
) -> None:
    """A receiver that raises is logged and not called again, and other receivers are called."""
    calls = []

    def broken(job: RenderJob, **kwargs: Any) -> None:
        calls.append(job)
        raise RuntimeError("receiver broke")

    document_completed.disconnect(completed_listener)
    document_completed.connect(broken)
    document_completed.connect(completed_listener)
    try:
        job = create_job(State.DOWNLOADING)
        assert complete_job(job)
        skip_time(3600)
        lifecycle.recover()
    finally:
        document_completed.disconnect(broken)
    assert completed_listener.heard == [(job.pk, "completed")]
    assert len(calls) == 1
    messages = [
        record.getMessage()
        for record in caplog.records
        if record.name == "django_docraptor.models.events"
    ]
    assert any("broken" in message and str(job.pk) in message for message in messages)


@pytest.mark.django_db(transaction=True)
def test_error_of_a_receiver_without_a_name_is_logged(completed_listener: Listener, caplog) -> None:
    """The error of a receiver without a name, such as an object or a partial, is logged, too."""
    completed_listener.error = RuntimeError("receiver broke")
    job = create_job(State.DOWNLOADING)
    assert complete_job(job)
    skip_time(3600)
    lifecycle.recover()
    assert completed_listener.heard == [(job.pk, "completed")]
    assert any(str(job.pk) in record.getMessage() for record in caplog.records if record.exc_info)


@pytest.mark.django_db(transaction=True)
def test_recovery_sends_a_signal_after_a_crash(completed_listener: Listener) -> None:
    """If a process died between commit and signal, the next recovery sends the signal once."""
    job = create_job(State.DOWNLOADING)
    complete_job(job)
    completed_listener.heard.clear()
    job.events.filter(kind=EventKind.COMPLETED).update(signal_due_at=seconds_from_now(-1))
    lifecycle.recover()
    lifecycle.recover()
    assert completed_listener.heard == [(job.pk, "completed")]
    assert not RenderEvent.objects.filter(signal_due_at__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
def test_recovery_skips_a_signal_that_is_being_sent(completed_listener: Listener) -> None:
    """A recovery does not send a signal that another process is about to send."""
    job = create_job(State.DOWNLOADING)
    complete_job(job)
    completed_listener.heard.clear()
    job.events.filter(kind=EventKind.COMPLETED).update(signal_due_at=seconds_from_now(30))
    lifecycle.recover()
    assert completed_listener.heard == []


@pytest.mark.django_db(transaction=True)
def test_parallel_recoveries_send_a_signal_once(completed_listener: Listener) -> None:
    """Two recoveries at once send a signal once."""
    job = create_job(State.DOWNLOADING)
    complete_job(job)
    completed_listener.heard.clear()
    job.events.filter(kind=EventKind.COMPLETED).update(signal_due_at=seconds_from_now(-1))
    assert sum(run_in_threads(2, lifecycle.recover)) == 1
    assert len(completed_listener.heard) == 1


def test_no_signal_is_due_without_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without receivers no signal is scheduled."""
    monkeypatch.setattr(document_completed, "receivers", [])  # other tests' document classes
    job = create_job(State.DOWNLOADING)
    complete_job(job)
    assert not RenderEvent.objects.filter(signal_due_at__isnull=False).exists()
    assert event_kinds(job) == ["enqueued", "completed"]
