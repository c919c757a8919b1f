"""Settling unconfirmed creates: row S18 of the fault matrix."""

import time

import pytest

from django_docraptor import lifecycle, shortcuts
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.conftest import drive, enqueue, kinds, skip_time

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
    sandbox.add_fault(Fault(on="logs", action="status", status=code, times=3))
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_S18_the_log_has_pages(sandbox: Sandbox, documents) -> None:
    """An attempt on the second page of the log is found."""
    job = lost(sandbox, test=False)
    client = client_for("default")
    sandbox.change(max_concurrent=1000)
    for number in range(120):
        client.create_async_doc(DocumentRequest(name=f"{number}", content="-", tag=f"{number}"))
    assert drive(job).state == State.COMPLETED
    assert "unconfirmed" in kinds(job)


@pytest.mark.parametrize("code", [403, 404])
def test_S18_the_log_is_forbidden(sandbox: Sandbox, code: int) -> None:
    """Without a log nothing can be settled: hold, even for a test document."""
    job = lost(sandbox, test=True)
    sandbox.add_fault(Fault(on="logs", action="status", status=code))
    job = drive(job)
    assert job.error_code == "submit_unconfirmed"
    assert "cannot be read" in job.errors
    assert len(sandbox.ledger.accepted()) == 1


def test_S18_the_log_stays_away(sandbox: Sandbox) -> None:
    """A log that never answers holds the job in the end."""
    job = lost(sandbox, test=True)
    sandbox.add_fault(Fault(on="logs", action="status", status=500))
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
    sandbox.change(list_unfinished=False, delay=0.5)
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
    assert job.resumes_at is None
    assert shortcuts.retry(job)
    assert drive(job).state == State.COMPLETED


def test_resubmits_are_bounded(sandbox: Sandbox) -> None:
    """An account where nothing ever arrives is not tried for ever."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=False))
    job = drive(enqueue(test=True), rounds=120)
    assert (job.error_code, job.attempt) == ("submit_unconfirmed", 3)
