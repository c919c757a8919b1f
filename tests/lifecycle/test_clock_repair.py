"""The database's clock is set back: no job sleeps until the old time comes again."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from django_docraptor import lifecycle, wakeups
from django_docraptor.client import Client
from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.models import Heartbeat, RenderEvent, RenderGroup, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ACTIVE_STATES, EventKind, State
from tests.support.jobs import (
    WorkerKilled,
    create_job,
    downloadable_job,
    enqueue,
    run_until_finished,
    skip_time,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

HOUR = timedelta(hours=1)


def set_clock_back(by: timedelta = HOUR) -> None:
    """Move every time that was written to where it is after the clock was set back."""
    RenderJob.objects.active().update(
        due_at=F("due_at") + by, sent_at=F("sent_at") + by, deadline_at=F("deadline_at") + by
    )
    RenderJob.objects.update(created_at=F("created_at") + by)
    RenderEvent.objects.update(signal_due_at=F("signal_due_at") + by)
    Heartbeat.objects.update(ticked_at=F("ticked_at") + by, worked_at=F("worked_at") + by)


def seconds_until_due(job: RenderJob) -> float:
    """Return the seconds until the job is due."""
    job.refresh_from_db()
    return (job.due_at - timezone.now()).total_seconds()


@pytest.mark.fault("C11")
@pytest.mark.parametrize("repair", [lifecycle.run_once, wakeups.tick])
@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_claim_lasts_for_a_lease_at_most(sandbox: Sandbox, state: State, repair) -> None:
    """Also if nothing but the claim shows that the clock was set back."""
    job = create_job(state, lease_token="dead", due_at=timezone.now() + HOUR, sent_at=None)
    repair()
    assert 0 < seconds_until_due(job) <= lease_for(state) + 1
    job.refresh_from_db()
    assert job.lease_token == "dead"


@pytest.mark.fault("C11")
def test_group_is_brought_forward(sandbox: Sandbox) -> None:
    """A group does not wait until the old time comes again."""
    group = RenderGroup.objects.create(name="x", total=1, due_at=timezone.now() + HOUR / 2)
    Heartbeat.record("ticked_at")
    set_clock_back()
    lifecycle.repair_clock()
    group.refresh_from_db()
    assert group.due_at is not None
    assert group.due_at < timezone.now()


@pytest.mark.fault("C11")
def test_claimed_job_is_finished_after_the_clock_was_set_back(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """The worker died, the clock was set back, and the next one goes on after a lease."""
    job = downloadable_job(test=False)

    def die(*args: object) -> None:
        raise WorkerKilled

    with monkeypatch.context() as patch:
        patch.setattr(Client, "download", die)
        with pytest.raises(WorkerKilled):
            lifecycle.download()
    set_clock_back()
    lifecycle.run_once()
    skip_time(lease_for(State.DOWNLOADING) + 1)
    lifecycle.run_once()
    job.refresh_from_db()
    assert job.state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("C11")
def test_waiting_jobs_and_signals_are_brought_forward(sandbox: Sandbox, caplog) -> None:
    """A heartbeat in the future shows by how much; a second worker changes nothing more."""
    poll = create_job(State.QUEUED, due_at=timezone.now() + timedelta(seconds=20))
    check = create_job(State.UNCONFIRMED, due_at=timezone.now() + timedelta(seconds=300))
    event = poll.record_event(EventKind.ACCEPTED)
    RenderEvent.objects.filter(pk=event.pk).update(signal_due_at=timezone.now())
    Heartbeat.record("ticked_at", "worked_at")
    set_clock_back()
    Heartbeat.record("ticked_at")  # is not lost before the repair
    for _ in range(2):
        lifecycle.repair_clock()
    assert seconds_until_due(poll) == pytest.approx(20, abs=2)
    assert seconds_until_due(check) == pytest.approx(300, abs=2)
    event.refresh_from_db()
    assert event.signal_due_at <= timezone.now() + timedelta(seconds=2)
    assert "set back by 3600 s" in caplog.text
    assert Heartbeat.objects.get().ticked_at <= timezone.now() + timedelta(seconds=2)


def test_delay_of_a_new_job_is_kept(sandbox: Sandbox) -> None:
    """A job that was never tried may have been enqueued after the clock was set back."""
    Heartbeat.record("ticked_at")
    set_clock_back()
    later, held = enqueue(), enqueue()
    RenderJob.objects.filter(pk=later.pk).update(due_at=timezone.now() + HOUR)
    far = timezone.now() + timedelta(days=9000)
    RenderJob.objects.filter(pk=held.pk).update(due_at=far, held_at=timezone.now(), failures=1)
    lifecycle.repair_clock()
    assert seconds_until_due(later) > 3500
    assert seconds_until_due(held) > 86400 * 8999


def test_next_attempt_is_brought_forward(sandbox: Sandbox) -> None:
    """A job that was sent, and waits to be sent again, is no new one: its time was set before."""
    created_at, due_at = timezone.now() - 2 * HOUR, timezone.now() + timedelta(seconds=20)
    sent = create_job(State.PENDING, attempt=1, created_at=created_at, due_at=due_at)
    Heartbeat.record("ticked_at")
    set_clock_back()
    lifecycle.repair_clock()
    assert seconds_until_due(sent) == pytest.approx(20, abs=2)


def test_right_clock_changes_nothing(sandbox: Sandbox, django_assert_num_queries) -> None:
    """If the clock was not set back, the repair is two queries."""
    poll = create_job(State.QUEUED, due_at=timezone.now() + timedelta(days=1))
    claimed = create_job(State.DOWNLOADING, due_at=timezone.now() + timedelta(seconds=900))
    RenderJob.objects.filter(pk=claimed.pk).update(lease_token="t")
    Heartbeat.record("ticked_at")
    with django_assert_num_queries(2):
        lifecycle.repair_clock()
    assert seconds_until_due(poll) > 86000
    assert seconds_until_due(claimed) > 800


def test_document_enqueued_before_is_made(sandbox: Sandbox, documents_dir) -> None:
    """A job that waited for its worker when the clock was set back is sent at once."""
    job = enqueue()
    Heartbeat.record("ticked_at")
    set_clock_back()
    lifecycle.run_once()
    job.refresh_from_db()
    assert job.state != State.PENDING
    assert run_until_finished(job).state == State.COMPLETED
