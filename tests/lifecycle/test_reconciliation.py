"""Looking up unconfirmed create calls in DocRaptor's log."""

import time
from typing import Any

import pytest

from django_docraptor import lifecycle, shortcuts
from django_docraptor.client import Client, LogEntry
from django_docraptor.conf import conf
from django_docraptor.lifecycle import submission
from django_docraptor.lifecycle.account_log import MAX_ENTRIES, PAGE_SIZES
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.models import Account, RenderJob
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import MAX_RESUBMITS, State
from tests.support.jobs import (
    current_state,
    enqueue,
    event_kinds,
    read_file,
    run_until_finished,
    skip_time,
)
from tests.support.sandbox_client import SandboxClient

pytestmark = pytest.mark.django_db(transaction=True)


# What makes the log unreadable: an outage, a refusal, a wrong route, the page of a firewall.
UNREADABLE = [
    pytest.param(Fault(on="logs", action="status", status_code=502), id="502"),
    pytest.param(Fault(on="logs", action="status", status_code=403), id="403"),
    pytest.param(Fault(on="logs", action="status", status_code=404), id="404"),
    pytest.param(Fault(on="logs", action="status", status_code=403, body="html"), id="page"),
    pytest.param(Fault(on="logs", action="html"), id="html"),
]


def lost_job(sandbox: Sandbox, **options):
    """Return a job whose create call was accepted while its response was lost."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    job = enqueue(**options)
    lifecycle.submit()
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    return job


@pytest.mark.fault("S18")
@pytest.mark.parametrize("code", [500, 503])
def test_unreadable_log_is_read_later(sandbox: Sandbox, documents_dir, code: int) -> None:
    """A log that cannot be read for a while is read later."""
    job = lost_job(sandbox, test=False)
    sandbox.add_fault(Fault(on="logs", action="status", status_code=code, times=3))
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S18")
@pytest.mark.parametrize("error", [OverflowError("year"), LookupError("tag"), TypeError("None")])
def test_unexpected_error_in_the_log_concerns_no_other_job(
    sandbox: Sandbox, documents_dir, monkeypatch, error: Exception
) -> None:
    """What a client raises while it reads the log does not end the step for all other jobs."""

    def raise_error(self: Client, **options: Any) -> None:
        raise error

    job = lost_job(sandbox, test=False)
    with monkeypatch.context() as patch:
        patch.setattr(Client, "list_doc_logs", raise_error)
        skip_time(60)
        assert run_until_finished(enqueue(test=False)).state == State.COMPLETED
        job.refresh_from_db()
        assert job.state == State.UNCONFIRMED
        assert type(error).__name__ in job.errors
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.billed()) == 2


@pytest.mark.fault("S18")
def test_attempt_on_a_later_page_of_the_log_is_found(sandbox: Sandbox, documents_dir) -> None:
    """An attempt on the second page of the log is found."""
    job = lost_job(sandbox, test=False)
    client = client_for("default")
    sandbox.change_settings(max_concurrent=1000)
    for number in range(120):
        client.create_async_doc(DocumentRequest(name=f"{number}", content="-", tag=f"{number}"))
    assert run_until_finished(job).state == State.COMPLETED
    assert "unconfirmed" in event_kinds(job)


@pytest.mark.fault("S18")
@pytest.mark.parametrize("fault", UNREADABLE)
def test_production_job_with_an_unreadable_log_fails_in_the_end(
    sandbox: Sandbox, fault: Fault
) -> None:
    """If the log can never be read, a person decides after RETRY_FOR."""
    job = lost_job(sandbox, test=False)
    sandbox.add_fault(fault)
    skip_time(conf.retry_for - 3600)
    lifecycle.reconcile()
    assert current_state(job) == State.UNCONFIRMED
    skip_time(7200)
    lifecycle.reconcile()
    job.refresh_from_db()
    assert job.error_code == "submit_unconfirmed"
    assert "cannot be read" in job.errors
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S18")
def test_pause_does_not_count_towards_the_end_of_doubt(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """After a pause of days, one more failure is the first of a new row, as it is for each step."""
    job = lost_job(sandbox, test=False)
    right = settings.DOCRAPTOR
    sandbox.change_settings(api_key="right")
    settings.DOCRAPTOR = right | {"API_KEY": "wrong"}
    skip_time(15)
    lifecycle.reconcile()
    skip_time(conf.retry_for + 3600)
    settings.DOCRAPTOR = right | {"API_KEY": "right"}
    sandbox.add_fault(Fault(on="logs", action="status", status_code=502, times=1))
    lifecycle.reconcile()
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.UNCONFIRMED, 1)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S18")
@pytest.mark.parametrize("fault", UNREADABLE)
@pytest.mark.parametrize("policy", [None, "resubmit"])
def test_test_job_with_an_unreadable_log_is_sent_again(
    sandbox: Sandbox, documents_dir, settings, fault: Fault, policy: str | None
) -> None:
    """A test document is free: it is sent again although the log can never be read."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": policy}
    sandbox.add_fault(Fault(on="create", action="reset", accept=False, times=1), fault)
    job = run_until_finished(enqueue(test=True))
    assert (job.state, job.attempt) == (State.COMPLETED, 2)
    assert "cannot be read" in job.events.get(kind="never_accepted").message


@pytest.mark.fault("S18")
def test_test_job_outlasts_an_outage_of_hours(sandbox: Sandbox, documents_dir) -> None:
    """During an outage, the resubmits of a free document are bounded by time, not by number."""
    outage = [
        Fault(on=on, action="status", status_code=502, accept=False) for on in ("create", "logs")
    ]
    sandbox.add_fault(*outage)
    job = enqueue(test=True)
    for _ in range(12):
        lifecycle.run_once()
        Account.objects.update(circuit_open_until=None)
        skip_time(1200)
    job.refresh_from_db()
    assert (job.state, job.attempt > MAX_RESUBMITS + 1) == (State.UNCONFIRMED, True)
    sandbox.clear_faults()
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted(job.pk.hex)) == 1


@pytest.mark.fault("S18")
def test_truncated_listing_does_not_prove_absence(sandbox: Sandbox, documents_dir) -> None:
    """A truncated listing does not prove that an attempt is missing."""
    job = lost_job(sandbox, test=True)
    sandbox.add_fault(Fault(on="logs", action="cut", mode="close", times=len(PAGE_SIZES)))
    skip_time(2000)
    lifecycle.reconcile()
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


DISTORTIONS = [
    Fault(on="logs", action="late", seconds=300),
    Fault(on="logs", action="late", seconds=3000),
    Fault(on="logs", action="patchy", share=1, times=5),
    Fault(on="logs", action="heavy", size_bytes=500_000),
    Fault(on="logs", action="shift", offset=1),
    Fault(on="logs", action="shift", offset=40),
    Fault(on="logs", action="shift", offset=-40),
    *(Fault(on="logs", action="misread", window=window) for window in ("all", "other")),
]


@pytest.mark.fault("S24")
@pytest.mark.parametrize("fault", DISTORTIONS, ids=lambda fault: f"{fault.action}")
@pytest.mark.parametrize("accepted", [True, False])
def test_distorted_log_bills_once(
    sandbox: Sandbox, documents_dir, fault: Fault, accepted: bool
) -> None:
    """Through the whole engine: whatever the log looks like, one document is billed."""
    sandbox.change_settings(max_concurrent=1000)
    sandbox.add_fault(
        Fault(on="create", action="status", status_code=503, accept=accepted, times=1)
    )
    job = enqueue(test=False)
    lifecycle.submit()
    strangers = SandboxClient(sandbox.url)
    for number in range(40):
        strangers.create(tag=f"other {number}", test=True)
    strangers.session.close()
    sandbox.add_fault(fault)
    job = run_until_finished(job, rounds=80)
    assert (job.state, job.attempt) == (State.COMPLETED, 1 if accepted else 2)
    assert len(sandbox.ledger.billed()) == 1


def test_young_attempt_may_be_missing_from_the_log(sandbox: Sandbox, documents_dir) -> None:
    """DocRaptor may list only finished documents, so a missing young attempt proves nothing."""
    sandbox.change_settings(list_unfinished=False, delay=0.5)
    job = lost_job(sandbox, test=True)
    skip_time(11)
    lifecycle.reconcile()
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    time.sleep(0.7)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_policy_resubmit_applies_to_production_documents(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """With the policy "resubmit", a missing attempt of a production document is sent again."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": "resubmit"}
    sandbox.add_fault(Fault(on="create", action="reset", accept=False, times=1))
    job = run_until_finished(enqueue(test=False))
    assert (job.state, job.attempt) == (State.COMPLETED, 2)


def test_policy_fail_applies_to_test_documents(sandbox: Sandbox, settings) -> None:
    """With the policy "fail", a missing attempt of a test job fails until a person retries it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": "fail"}
    sandbox.add_fault(Fault(on="create", action="reset", accept=False, times=1))
    job = run_until_finished(enqueue(test=True))
    assert job.error_code == "submit_unconfirmed"
    assert job.resume_state is None
    assert shortcuts.retry(job)
    assert run_until_finished(job).state == State.COMPLETED


def test_resubmits_are_bounded(sandbox: Sandbox) -> None:
    """A job is sent at most three times if no attempt ever arrives."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=False))
    job = run_until_finished(enqueue(test=True), rounds=120)
    assert (job.error_code, job.attempt) == ("submit_unconfirmed", 3)


def test_listed_attempt_is_found_in_a_long_log(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """An attempt that the log lists is confirmed, even if the log is too long to be read whole."""
    shown, hidden = lost_job(sandbox, test=False), lost_job(sandbox, test=False)
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
    assert asked == list(range(1, MAX_ENTRIES // 100 + 1))
    assert "more than 5,000 entries" in hidden.errors
    assert run_until_finished(hidden).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 2


def test_log_is_read_only_as_far_as_needed(sandbox: Sandbox, documents_dir, monkeypatch) -> None:
    """Pages are read from the newest on, until all attempts are found."""
    lost_job(sandbox, test=False)
    asked: list[int] = []
    real = Client.list_doc_logs

    def listing(client: Client, *, page: int = 1, **options: Any) -> list[LogEntry]:
        asked.append(page)
        return real(client, page=page, **options)

    monkeypatch.setattr(Client, "list_doc_logs", listing)
    skip_time(15)
    lifecycle.reconcile()
    assert asked == [1]


def unlisted_job(sandbox: Sandbox, monkeypatch, **options: Any) -> RenderJob:
    """Return a job whose lost attempt never appeared in the log, and which is pending again."""
    job = lost_job(sandbox, **options)
    monkeypatch.setattr(Client, "list_doc_logs", lambda *_arguments, **_options: [])
    skip_time(1400)
    lifecycle.reconcile()
    job.refresh_from_db()
    return job


def test_callback_for_a_missing_attempt_stops_the_resubmit(sandbox: Sandbox, monkeypatch) -> None:
    """A callback proves that the missing attempt was accepted; only a person may send it again."""
    job = unlisted_job(sandbox, monkeypatch)
    assert job.state == State.PENDING
    assert lifecycle.record_callback(job.pk, 1)
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "submit_unconfirmed")
    assert "the document was created" in job.errors
    assert len(sandbox.ledger.accepted()) == 1
    assert shortcuts.retry(job)
    lifecycle.submit()
    assert len(sandbox.ledger.accepted()) == 2


def test_callback_between_claim_and_intent_stops_the_resubmit(
    sandbox: Sandbox, monkeypatch
) -> None:
    """An intent is saved only if no callback for the attempt before has arrived."""
    job = unlisted_job(sandbox, monkeypatch)
    real = submission.compose_request

    def compose_request(claimed: RenderJob) -> Any:
        assert lifecycle.record_callback(job.pk, 1)
        return real(claimed)

    monkeypatch.setattr(submission, "compose_request", compose_request)
    lifecycle.submit()
    assert len(sandbox.ledger.accepted()) == 1
    monkeypatch.undo()
    skip_time(130)
    lifecycle.submit()
    job.refresh_from_db()
    assert job.error_code == "submit_unconfirmed"
    assert len(sandbox.ledger.accepted()) == 1


def test_short_deadline_does_not_shorten_the_confirmation_window(
    sandbox: Sandbox, settings, monkeypatch
) -> None:
    """DocRaptor may render for 600 s, whatever DEADLINE is."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEADLINE": 60}
    job = lost_job(sandbox, test=True)
    monkeypatch.setattr(Client, "list_doc_logs", lambda *_arguments, **_options: [])
    for _ in range(9):
        skip_time(100)
        lifecycle.reconcile()
    job.refresh_from_db()
    assert job.state == State.UNCONFIRMED
    skip_time(200)
    lifecycle.reconcile()
    job.refresh_from_db()
    assert job.state == State.PENDING


def test_response_after_confirmation_by_log_is_not_late(sandbox: Sandbox, monkeypatch) -> None:
    """A create response that repeats what the log has confirmed is not recorded as a late one."""
    real = Client.create_async_doc
    job = enqueue()

    def slow(client: Client, request: DocumentRequest) -> str:
        status_id = real(client, request)
        skip_time(200)
        lifecycle.recover()
        skip_time(15)
        lifecycle.reconcile()
        return status_id

    monkeypatch.setattr(Client, "create_async_doc", slow)
    lifecycle.submit()
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert "late_response" not in event_kinds(job)


@pytest.mark.fault("S21")
def test_shared_status_id_is_not_shared_by_jobs(sandbox, documents_dir, monkeypatch) -> None:
    """Of two jobs with one status_id, the second is never given the first one's file."""
    create, given = Client.create_async_doc, []

    def same_id(client: Client, request: DocumentRequest) -> str:
        given.append(create(client, request))
        return given[0 if len(given) == 2 else -1]

    monkeypatch.setattr(Client, "create_async_doc", same_id)
    first, second, third = (enqueue(test=False, name=f"{name}.pdf") for name in "abc")
    lifecycle.submit(limit=1)
    monkeypatch.undo()
    jobs = [run_until_finished(job) for job in (first, second, third)]
    assert sorted(job.state for job in jobs) == [State.COMPLETED, State.COMPLETED, State.FAILED]
    [failed] = [job for job in jobs if job.state == State.FAILED]
    assert (failed.error_code, failed.file.name, failed.status_id) == ("submit_unconfirmed", "", "")
    assert "status_id of another job" in failed.errors
    for job in jobs:
        assert job is failed or job.name.encode() in read_file(job)
    assert len(sandbox.ledger.accepted()) == 3


@pytest.mark.fault("S21")
def test_status_id_of_another_job_in_the_log_fails_the_job(
    sandbox, documents_dir, monkeypatch
) -> None:
    """A log that lists an attempt with another job's status_id does not give it that file."""
    done = run_until_finished(enqueue())
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    job = enqueue(test=False)
    lifecycle.submit()
    job.refresh_from_db()
    entry = LogEntry(tag=job.tag, status_id=done.status_id, success=True)
    monkeypatch.setattr(Client, "list_doc_logs", lambda _client, page=1, **_: [entry][: page == 1])
    job = run_until_finished(job)
    assert (job.state, job.error_code, job.file.name) == (State.FAILED, "submit_unconfirmed", "")
    assert str(done.pk) in job.errors
