"""Fairness between jobs, and the circuit that opens when DocRaptor is down."""

import pytest

from django_docraptor import lifecycle, shortcuts
from django_docraptor.exceptions import NotSentError
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.lifecycle.clients import NotBegunError, open_client
from django_docraptor.lifecycle.submission import (
    claim_for_slots,
    handle_outcome,
    prepare_batch,
    send_batch,
)
from django_docraptor.models import Account, RenderJob, querysets, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.models.querysets import FAIR_SHARE
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import CIRCUIT_MAX_SECONDS, CIRCUIT_THRESHOLD, State
from tests.support.jobs import enqueue, run_until_finished, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def end_circuit_delay() -> None:
    """Simulate that the circuit's delay is over."""
    from datetime import timedelta

    from django.db.models import F

    Account.objects.update(circuit_open_until=F("circuit_open_until") - timedelta(hours=1))


def test_circuit_opens_after_repeated_faults(sandbox: Sandbox, documents_dir, settings) -> None:
    """After five failed create calls in a row, none are made until the delay is over."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    sandbox.add_fault(Fault(on="create", action="status", status_code=503, accept=False))
    for _ in range(CIRCUIT_THRESHOLD + 3):
        enqueue(test=False)
    for _ in range(CIRCUIT_THRESHOLD + 3):
        lifecycle.submit()
        RenderJob.objects.filter(state=State.UNCONFIRMED).update(sent_at="2020-01-01T00:00Z")
    assert sandbox.ledger.create_calls == CIRCUIT_THRESHOLD
    account = Account.objects.get()
    assert account.failures == CIRCUIT_THRESHOLD
    assert "503" in account.pause_reason
    waiting = RenderJob.objects.filter(state=State.PENDING)
    assert set(waiting.values_list("due_at", flat=True)) == {account.circuit_open_until}


@pytest.mark.parametrize("action", ["status", "reset"])
def test_outage_during_a_batch_is_one_failure(sandbox: Sandbox, action: str) -> None:
    """Sixteen creates of one batch that meet the same outage do not open the circuit."""
    code = 503 if action == "status" else None
    sandbox.add_fault(Fault(on="create", action=action, status_code=code, accept=False))
    jobs = [enqueue() for _ in range(16)]
    send_batch(claim_for_slots("default", 16))
    assert sandbox.ledger.create_calls == len(jobs)
    account = Account.objects.get()
    assert (account.failures, account.circuit_open_until) == (1, None)


def test_outage_during_several_batches_opens_the_circuit(sandbox: Sandbox, settings) -> None:
    """Batches that fail one after the other open the circuit, however small they are."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 100}
    sandbox.add_fault(Fault(on="create", action="status", status_code=502, accept=False))
    for _ in range(CIRCUIT_THRESHOLD + 1):
        enqueue()
        enqueue()
        send_batch(claim_for_slots("default", 16))
    assert sandbox.ledger.create_calls == 2 * CIRCUIT_THRESHOLD
    assert Account.objects.get().failures == CIRCUIT_THRESHOLD


def test_call_that_was_never_begun_is_no_failure(sandbox: Sandbox) -> None:
    """A worker that is too busy, or was suspended, says nothing about DocRaptor."""
    Account.objects.create(name="default", failures=CIRCUIT_THRESHOLD - 1)
    suspended, late = [enqueue() for _ in range(2)]
    batch = claim_for_slots("default", 16)
    attempts, _copies = prepare_batch(batch.jobs)
    prepared = {attempt.job.pk: attempt for attempt in attempts}
    prepared[suspended.pk].committed_at -= 181
    with pytest.raises(NotBegunError) as caught:
        prepared[suspended.pk].send_create(open_client("default"))
    handle_outcome(prepared[suspended.pk].job, outcome=caught.value, batch=batch)
    handle_outcome(prepared[late.pk].job, outcome=NotBegunError("busy"), batch=batch)
    account = Account.objects.get()
    assert (account.failures, account.circuit_open_until) == (CIRCUIT_THRESHOLD - 1, None)
    for job in RenderJob.objects.all():
        assert (job.state, job.failures) == (State.PENDING, 1)
    assert sandbox.ledger.create_calls == 0


def test_success_in_a_batch_ends_the_failures(sandbox: Sandbox) -> None:
    """A batch that DocRaptor accepts in part, in whatever order, counts as no outage."""
    Account.objects.create(name="default", failures=CIRCUIT_THRESHOLD - 1)
    good, bad = [enqueue() for _ in range(2)]
    batch = claim_for_slots("default", 16)
    prepare_batch(batch.jobs)
    jobs = {job.pk: job for job in batch.jobs}
    handle_outcome(jobs[bad.pk], outcome=NotSentError("refused"), batch=batch)
    handle_outcome(jobs[good.pk], outcome="id", batch=batch)
    assert Account.objects.get().failures == 0


def test_half_open_circuit_allows_one_create(sandbox: Sandbox, documents_dir) -> None:
    """After the delay one create call is allowed; if it succeeds, all others follow."""
    for _ in range(CIRCUIT_THRESHOLD):
        Account.lock("default")
        Account.record_failure("default", "down")
    for _ in range(4):
        enqueue()
    end_circuit_delay()
    assert len(claim_for_slots("default", 10).jobs) == 1
    skip_time(121)
    lifecycle.submit()
    assert len(sandbox.ledger.accepted()) == 4
    assert Account.objects.get().failures == 0


def test_circuit_reopens_for_longer(sandbox: Sandbox) -> None:
    """A create call that fails after the delay doubles it."""
    Account.lock("default")
    waits = []
    for _ in range(CIRCUIT_THRESHOLD + 2):
        Account.record_failure("default", "down")
        account = Account.objects.annotate(database_now=Now()).get()
        if account.circuit_open_until:
            waits.append((account.circuit_open_until - account.database_now).total_seconds())
    assert [round(wait) for wait in waits] == [15, 30, 60]


def test_circuit_does_not_stop_polls(sandbox: Sandbox, documents_dir) -> None:
    """Accepted documents are still polled and downloaded while the circuit is open."""
    job = enqueue()
    lifecycle.submit()
    for _ in range(CIRCUIT_THRESHOLD):
        Account.record_failure("default", "down")
    assert run_until_finished(job).state == State.COMPLETED


def test_urgent_job_precedes_a_batch(sandbox: Sandbox, settings, monkeypatch) -> None:
    """An urgent job is admitted before a thousand others of lower priority."""
    monkeypatch.setattr("random.random", lambda: 0.999)  # no slot is given by age
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 10}
    batch = shortcuts.JobSpec(name="batch", content="<p>b</p>", priority=-1)
    shortcuts.enqueue_many([batch] * 1000)
    enqueue(name="urgent", priority=5)
    assert "urgent" in {job.name for job in claim_for_slots("default", 10).jobs}


@pytest.mark.parametrize(("drawn", "is_taken"), [(FAIR_SHARE, False), (FAIR_SHARE - 0.001, True)])
def test_oldest_job_is_not_starved_by_urgent_ones(
    sandbox: Sandbox, monkeypatch, drawn: float, is_taken: bool
) -> None:
    """However many urgent jobs arrive, one claim in eight takes the job that waited longest."""
    monkeypatch.setattr("random.random", lambda: drawn)
    patient = enqueue(name="patient", priority=-5)
    urgent = shortcuts.JobSpec(name="urgent", content="<p>u</p>", priority=5)
    shortcuts.enqueue_many([urgent] * 20)
    claimed = [claim([State.PENDING], limit=1, lease=600)[0].pk for _ in range(10)]
    assert (patient.pk in claimed) is is_taken


def test_open_circuit_postpones_jobs_in_batches(sandbox: Sandbox, monkeypatch) -> None:
    """An open circuit postpones a bounded number of jobs with each statement."""
    monkeypatch.setattr(querysets, "POSTPONE_BATCH_SIZE", 2)
    for _ in range(3):
        enqueue()
    until = seconds_from_now(300)
    Account.objects.create(name="default", failures=CIRCUIT_THRESHOLD, circuit_open_until=until)
    assert claim_for_slots("default", 16).jobs == []
    assert RenderJob.objects.due().count() == 1
    assert claim_for_slots("default", 16).jobs == []
    assert RenderJob.objects.due().count() == 0


def test_circuit_delay_is_capped(sandbox: Sandbox) -> None:
    """The delay has a maximum, however many failures there were in a row."""
    Account.objects.create(name="default", failures=5000)
    Account.record_failure("default", "still down")
    account = Account.objects.annotate(now=Now()).get()
    assert (account.circuit_open_until - account.now).total_seconds() <= CIRCUIT_MAX_SECONDS
