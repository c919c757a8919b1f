"""Callbacks as hints: rows W of the fault matrix, below the view."""

import pytest

from django_docraptor import lifecycle
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import drive, enqueue, kinds, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def is_due(job: RenderJob) -> bool:
    """Whether somebody would look at the job now."""
    return RenderJob.objects.due().filter(pk=job.pk).exists()


def test_W1_a_callback_shortens_the_wait(sandbox: Sandbox, documents) -> None:
    """A queued job is due at once."""
    job = enqueue()
    lifecycle.submit()
    assert not is_due(job)
    assert lifecycle.record_callback(job.pk, 1)
    assert is_due(job)
    lifecycle.run()
    lifecycle.run()
    assert RenderJob.objects.get(pk=job.pk).state == State.COMPLETED


def test_W1_a_poll_under_way_loses_no_wake_up(sandbox: Sandbox) -> None:
    """A poll that has its old answer already does not push the job back behind the callback."""
    from django_docraptor.lifecycle.polling import not_yet
    from django_docraptor.lifecycle.remote import client_for

    sandbox.change_settings(delay=30)
    job = enqueue()
    lifecycle.submit()
    skip_time(2)
    (polled,) = RenderJob.objects.filter(state=State.QUEUED).claim(limit=1, lease=60)
    answer = client_for("default").get_status(polled.status_id)
    lifecycle.record_callback(job.pk, 1)
    not_yet(polled, answer)
    assert is_due(job)


def test_W3_a_callback_for_an_unconfirmed_attempt(sandbox: Sandbox, documents) -> None:
    """The callback proves that it was accepted: it is looked up at once, and never sent again."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    job = enqueue(test=True)
    lifecycle.submit()
    assert not is_due(job)
    assert lifecycle.record_callback(job.pk, 1)
    assert is_due(job)
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_W3_proof_outweighs_the_log(sandbox: Sandbox) -> None:
    """Called back but never in the log: a person decides, even for a test document."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    sandbox.add_fault(Fault(on="logs", action="omit"))
    job = enqueue(test=True)
    lifecycle.submit()
    lifecycle.record_callback(job.pk, 1)
    job = drive(job)
    assert job.error_code == "submit_unconfirmed"
    assert "so it was made" in job.errors
    assert "never_accepted" not in kinds(job)
    assert len(sandbox.ledger.accepted()) == 1


def test_W5_replay(sandbox: Sandbox, documents) -> None:
    """A second delivery of the same callback changes nothing at all."""
    job = enqueue()
    lifecycle.submit()
    lifecycle.record_callback(job.pk, 1)
    before = RenderJob.objects.values().get(pk=job.pk)
    assert [lifecycle.record_callback(job.pk, 1) for _ in range(20)] == [False] * 20
    assert RenderJob.objects.values().get(pk=job.pk) == before
    job = drive(job)
    assert not lifecycle.record_callback(job.pk, 1)
    assert kinds(job).count("callback") == 1


def test_an_old_attempts_callback_is_told_once(sandbox: Sandbox) -> None:
    """A callback for an attempt that was left behind is a second bill: the history says so."""
    job = enqueue()
    RenderJob.objects.filter(pk=job.pk).update(attempt=2)
    for _ in range(3):
        assert not lifecycle.record_callback(job.pk, 1)
    event = job.events.get(kind="callback")
    assert (event.attempt, event.detail) == (1, {"current_attempt": 2})
    assert not lifecycle.record_callback(job.pk, 3)
