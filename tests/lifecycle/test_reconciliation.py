"""Settling unconfirmed creates: row S18 of the fault matrix."""

import time
from typing import Any

import pytest

from django_docraptor import lifecycle, shortcuts
from django_docraptor.client import Client, LogEntry
from django_docraptor.lifecycle import submission
from django_docraptor.lifecycle.reconciliation import PAGES
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderJob
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import drive, enqueue, kinds, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def lost(sandbox: Sandbox, **order):
    """A job whose create was accepted while its answer was lost."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    job = enqueue(**order)
    lifecycle.submit()
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    return job


@pytest.mark.parametrize("code", [500, 503])
def test_S18_the_log_fails_for_a_while(sandbox: Sandbox, documents, code: int) -> None:
    """A log that cannot be read is read later."""
    job = lost(sandbox, test=False)
    sandbox.add_fault(Fault(on="logs", action="status", status_code=code, times=3))
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_S18_the_log_has_pages(sandbox: Sandbox, documents) -> None:
    """An attempt on the second page of the log is found."""
    job = lost(sandbox, test=False)
    client = client_for("default")
    sandbox.change_settings(max_concurrent=1000)
    for number in range(120):
        client.create_async_doc(DocumentRequest(name=f"{number}", content="-", tag=f"{number}"))
    assert drive(job).state == State.COMPLETED
    assert "unconfirmed" in kinds(job)


@pytest.mark.parametrize("code", [403, 404])
def test_S18_the_log_is_forbidden(sandbox: Sandbox, code: int) -> None:
    """Without a log nothing can be settled: hold, even for a test document."""
    job = lost(sandbox, test=True)
    sandbox.add_fault(Fault(on="logs", action="status", status_code=code))
    job = drive(job)
    assert job.error_code == "submit_unconfirmed"
    assert "cannot be read" in job.errors
    assert len(sandbox.ledger.accepted()) == 1


def test_S18_the_log_stays_away(sandbox: Sandbox) -> None:
    """A log that never answers holds the job in the end."""
    job = lost(sandbox, test=True)
    sandbox.add_fault(Fault(on="logs", action="status", status_code=500))
    job = drive(job, rounds=60)
    assert job.error_code == "submit_unconfirmed"


def test_a_cut_listing_proves_nothing(sandbox: Sandbox, documents) -> None:
    """A listing that ends in the middle does not make an attempt absent."""
    job = lost(sandbox, test=True)
    sandbox.add_fault(Fault(on="logs", action="cut", mode="close", times=2))
    skip_time(2000)
    lifecycle.reconcile()
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_a_listing_that_shows_only_finished_documents(sandbox: Sandbox, documents) -> None:
    """It is not known whether DocRaptor lists unfinished ones: absence is no proof while young."""
    sandbox.change_settings(list_unfinished=False, delay=0.5)
    job = lost(sandbox, test=True)
    skip_time(11)
    lifecycle.reconcile()
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    time.sleep(0.7)
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_policy_resubmit_for_production(sandbox: Sandbox, documents, settings) -> None:
    """A project may decide that a second bill is better than a person's time."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": "resubmit"}
    sandbox.add_fault(Fault(on="create", action="reset", accept=False, times=1))
    job = drive(enqueue(test=False))
    assert (job.state, job.attempt) == (State.COMPLETED, 2)


def test_policy_hold_for_tests(sandbox: Sandbox, settings) -> None:
    """Held where the project says so, and a retry by hand sends it anew."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": "hold"}
    sandbox.add_fault(Fault(on="create", action="reset", accept=False, times=1))
    job = drive(enqueue(test=True))
    assert job.error_code == "submit_unconfirmed"
    assert job.resume_state is None
    assert shortcuts.retry(job)
    assert drive(job).state == State.COMPLETED


def test_resubmits_are_bounded(sandbox: Sandbox) -> None:
    """An account where nothing ever arrives is not tried for ever."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=False))
    job = drive(enqueue(test=True), rounds=120)
    assert (job.error_code, job.attempt) == ("submit_unconfirmed", 3)


def test_a_busy_log(sandbox: Sandbox, documents, monkeypatch) -> None:
    """An attempt that the log shows is taken up, however long the rest of the log is."""
    shown, hidden = lost(sandbox, test=False), lost(sandbox, test=False)
    status_id = {entry.tag: entry.status_id for entry in client_for("default").list_doc_logs()}
    asked: list[int] = []

    def busy(client: Client, *, page: int = 1, **_options: Any) -> list[LogEntry]:
        asked.append(page)
        ours = [LogEntry(tag=shown.tag, status_id=status_id[shown.tag])] if page == 1 else []
        return ours + [LogEntry(tag=f"other-{page}-{number}") for number in range(99)]

    with monkeypatch.context() as patch:
        patch.setattr(Client, "list_doc_logs", busy)
        skip_time(15)
        lifecycle.reconcile()
    shown.refresh_from_db()
    hidden.refresh_from_db()
    assert (shown.state, hidden.state) == (State.QUEUED, State.UNCONFIRMED)
    assert asked == list(range(1, PAGES + 1))
    assert "more than 5,000 entries" in hidden.errors
    assert drive(hidden).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 2


def test_a_log_is_read_no_further_than_needed(sandbox: Sandbox, documents, monkeypatch) -> None:
    """Its pages are newest first."""
    lost(sandbox, test=False)
    asked: list[int] = []
    real = Client.list_doc_logs

    def listing(client: Client, *, page: int = 1, **options: Any) -> list[LogEntry]:
        asked.append(page)
        return real(client, page=page, **options)

    monkeypatch.setattr(Client, "list_doc_logs", listing)
    skip_time(15)
    lifecycle.reconcile()
    assert asked == [1]


def never_listed(sandbox: Sandbox, monkeypatch, **order: Any) -> RenderJob:
    """A job whose lost attempt never showed up in the log, and is to be sent anew."""
    job = lost(sandbox, **order)
    monkeypatch.setattr(Client, "list_doc_logs", lambda *_arguments, **_options: [])
    skip_time(1400)
    lifecycle.reconcile()
    job.refresh_from_db()
    return job


def test_a_callback_before_the_next_attempt(sandbox: Sandbox, monkeypatch) -> None:
    """It proves that the lost attempt was made: no second one is sent, until a person says so."""
    job = never_listed(sandbox, monkeypatch)
    assert job.state == State.PENDING
    assert lifecycle.record_callback(job.pk, 1)
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "submit_unconfirmed")
    assert "it was made" in job.errors
    assert len(sandbox.ledger.accepted()) == 1
    assert shortcuts.retry(job)
    lifecycle.submit()
    assert len(sandbox.ledger.accepted()) == 2


def test_a_callback_between_claim_and_intent(sandbox: Sandbox, monkeypatch) -> None:
    """The intent is written only while nothing is known of the attempt before."""
    job = never_listed(sandbox, monkeypatch)
    real = submission.compose

    def compose(claimed: RenderJob) -> Any:
        assert lifecycle.record_callback(job.pk, 1)
        return real(claimed)

    monkeypatch.setattr(submission, "compose", compose)
    lifecycle.submit()
    assert len(sandbox.ledger.accepted()) == 1
    monkeypatch.undo()
    skip_time(130)
    lifecycle.submit()
    job.refresh_from_db()
    assert job.error_code == "submit_unconfirmed"
    assert len(sandbox.ledger.accepted()) == 1


def test_a_short_deadline_does_not_shorten_the_wait(
    sandbox: Sandbox, settings, monkeypatch
) -> None:
    """DocRaptor may be at it for 600 s, whatever we have patience for."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEADLINE": 60}
    job = lost(sandbox, test=True)
    monkeypatch.setattr(Client, "list_doc_logs", lambda *_arguments, **_options: [])
    for _ in range(11):
        skip_time(100)
        lifecycle.reconcile()
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    skip_time(200)
    lifecycle.reconcile()
    job.refresh_from_db()
    assert job.state == State.PENDING


def test_the_log_is_faster_than_the_answer(sandbox: Sandbox, monkeypatch) -> None:
    """An answer that tells what the log has told is no late one."""
    real = Client.create_async_doc
    job = enqueue()

    def slow(client: Client, request: DocumentRequest) -> str:
        status_id = real(client, request)
        skip_time(200)
        lifecycle.sweep()
        skip_time(15)
        lifecycle.reconcile()
        return status_id

    monkeypatch.setattr(Client, "create_async_doc", slow)
    lifecycle.submit()
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert "late_answer" not in kinds(job)
