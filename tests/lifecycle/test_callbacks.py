"""What a callback changes: it makes a job due, and proves that an attempt was accepted."""

import pytest

from django_docraptor import lifecycle
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import enqueue, event_kinds, run_until_finished, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def is_due(job: RenderJob) -> bool:
    """Return whether the job is due."""
    return RenderJob.objects.due().filter(pk=job.pk).exists()


@pytest.mark.fault("W1")
def test_callback_makes_a_queued_job_due(sandbox: Sandbox, documents_dir) -> None:
    """A callback makes a queued job due at once."""
    job = enqueue()
    lifecycle.submit()
    assert not is_due(job)
    assert lifecycle.record_callback(job.pk, 1)
    assert is_due(job)
    lifecycle.run_once()
    lifecycle.run_once()
    assert RenderJob.objects.get(pk=job.pk).state == State.COMPLETED


@pytest.mark.fault("W1")
def test_callback_during_a_poll_keeps_the_job_due(sandbox: Sandbox) -> None:
    """A poll with an older response does not postpone the job past the callback."""
    from django_docraptor.lifecycle.clients import client_for
    from django_docraptor.lifecycle.polling import handle_status

    sandbox.change_settings(delay=30)
    job = enqueue()
    lifecycle.submit()
    skip_time(2)
    (polled,) = claim([State.QUEUED], limit=1, lease=60)
    answer = client_for("default").get_status(polled.status_id)
    lifecycle.record_callback(job.pk, 1)
    handle_status(polled, answer)
    assert is_due(job)


@pytest.mark.fault("W3")
def test_callback_makes_an_unconfirmed_job_due(sandbox: Sandbox, documents_dir) -> None:
    """A callback proves that the attempt was accepted: it is looked up at once, not sent again."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    job = enqueue(test=True)
    lifecycle.submit()
    assert not is_due(job)
    assert lifecycle.record_callback(job.pk, 1)
    assert is_due(job)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("W3")
def test_callback_without_log_entry_fails_the_job(sandbox: Sandbox) -> None:
    """An attempt that was called back but is not in the log fails, even for a test document."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    sandbox.add_fault(Fault(on="logs", action="omit"))
    job = enqueue(test=True)
    lifecycle.submit()
    lifecycle.record_callback(job.pk, 1)
    job = run_until_finished(job)
    assert job.error_code == "submit_unconfirmed"
    assert "DocRaptor sent a callback, so the document was created" in job.errors
    assert "never_accepted" not in event_kinds(job)
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("W5")
def test_repeated_callback_changes_nothing(sandbox: Sandbox, documents_dir) -> None:
    """A second delivery of the same callback changes nothing."""
    job = enqueue()
    lifecycle.submit()
    lifecycle.record_callback(job.pk, 1)
    before = RenderJob.objects.values().get(pk=job.pk)
    assert [lifecycle.record_callback(job.pk, 1) for _ in range(20)] == [False] * 20
    assert RenderJob.objects.values().get(pk=job.pk) == before
    job = run_until_finished(job)
    assert not lifecycle.record_callback(job.pk, 1)
    assert event_kinds(job).count("callback") == 1


def test_callback_for_an_old_attempt_is_recorded_once(sandbox: Sandbox) -> None:
    """A callback for an old attempt means a second bill, so one event records it."""
    job = enqueue()
    RenderJob.objects.filter(pk=job.pk).update(attempt=2)
    for _ in range(3):
        assert not lifecycle.record_callback(job.pk, 1)
    event = job.events.get(kind="callback")
    assert (event.attempt, event.detail) == (1, {"current_attempt": 2})
    assert not lifecycle.record_callback(job.pk, 3)
