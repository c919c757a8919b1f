"""Claims and create calls under every fault; the sandbox's ledger counts what was accepted."""

import socket
from typing import Any

import pytest
from django.db import connection

from django_docraptor import lifecycle, shortcuts
from django_docraptor.exceptions import NotSentError
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.lifecycle.clients import open_client
from django_docraptor.lifecycle.submission import (
    claim_for_slots,
    mark_accepted,
    prepare_batch,
)
from django_docraptor.models import Pause, RenderJob, seconds_from_now
from django_docraptor.models.claims import claims_at_once
from django_docraptor.models.clock import Now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import EventKind, State
from tests.support.jobs import (
    current_state,
    enqueue,
    event_kinds,
    paused_accounts,
    run_until_finished,
    skip_time,
)
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]


def creates(sandbox: Sandbox) -> int:
    """How many create calls reached the sandbox."""
    return sandbox.ledger.create_calls


# --- C: claims -------------------------------------------------------------------------------


@pytest.mark.fault("C1")
def test_parallel_claims_get_each_row_once(sandbox: Sandbox) -> None:
    """Four workers claim each row exactly once."""
    jobs = shortcuts.enqueue_many(
        [shortcuts.JobSpec(name="a", content="<p>a</p>") for _ in range(60)]
    )
    claimed = run_in_threads(4, lambda: claim([State.PENDING], limit=40, lease=60))
    keys = [job.pk for part in claimed for job in part]
    assert len(keys) == len(set(keys))
    assert set(keys) <= {job.pk for job in jobs}
    assert keys


@pytest.mark.fault("C1")
def test_claim_skips_a_row_claimed_meanwhile(sandbox: Sandbox) -> None:
    """A row that another worker claims between the SELECT and the UPDATE is not claimed again."""
    if claims_at_once():
        pytest.skip("One statement reads and claims; the others skip what it has locked.")
    enqueue()
    faster: list[RenderJob] = []

    def interrupt(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and not faster:
            faster.append(RenderJob())  # only once
            faster[:] = claim([State.PENDING], limit=1, lease=60)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(interrupt):
        slower = claim([State.PENDING], limit=1, lease=60)
    assert len(faster) == 1
    assert slower == []


@pytest.mark.fault("C2")
def test_lost_claim_is_due_again_when_its_lease_ends(sandbox: Sandbox) -> None:
    """A job whose worker vanished after the claim is due when the lease ends, and is sent once."""
    job = enqueue()
    assert claim_for_slots("default", 10).jobs
    assert lifecycle.submit() == 0
    skip_time(121)
    assert lifecycle.submit() == 1
    assert current_state(job) == State.QUEUED
    assert creates(sandbox) == 1


@pytest.mark.fault("C3")
def test_claimed_job_is_sent_by_one_worker_only(sandbox: Sandbox) -> None:
    """Of two workers with the same claimed job, only one may send it."""
    enqueue()
    (job,) = claim_for_slots("default", 10).jobs
    twin = RenderJob.objects.get(pk=job.pk)
    assert prepare_batch([job])[0]
    assert prepare_batch([twin]) == ([], [])
    assert list(job.events.values_list("kind", flat=True)) == ["enqueued", "submitting"]


@pytest.mark.fault("C4")
def test_worker_killed_before_intent_leaves_job_pending(sandbox: Sandbox) -> None:
    """Nothing was sent before the intent, so the job is pending again and sent once."""
    job = enqueue()
    assert claim_for_slots("default", 10).jobs
    skip_time(121)
    run_until_finished(job)
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("C5")
def test_claim_ignores_the_hosts_clock(sandbox: Sandbox, monkeypatch) -> None:
    """A worker whose clock is ten minutes ahead cannot claim a leased job."""
    import datetime

    from django.utils import timezone

    enqueue()
    assert claim_for_slots("default", 10).jobs
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + datetime.timedelta(minutes=10))
    assert claim_for_slots("default", 10).jobs == []


# --- S: submitting ---------------------------------------------------------------------------


@pytest.mark.fault("S1")
def test_unconfirmed_test_job_is_resubmitted(sandbox: Sandbox) -> None:
    """A test job that may have been sent is sent again only if DocRaptor's log lacks it."""
    job = enqueue(test=True)
    (claimed,) = claim_for_slots("default", 10).jobs
    prepare_batch([claimed])
    skip_time(181)
    lifecycle.recover()
    assert current_state(job) == State.UNCONFIRMED
    job = run_until_finished(job, until=lambda job: job.state == State.COMPLETED)
    assert EventKind.NEVER_ACCEPTED in event_kinds(job)
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S1")
def test_unconfirmed_production_job_is_sent_again_with_proof(
    sandbox: Sandbox, documents_dir
) -> None:
    """A production document that was never sent is sent, once the log proves it."""
    job = enqueue(test=False)
    (claimed,) = claim_for_slots("default", 10).jobs
    prepare_batch([claimed])
    skip_time(181)
    job = run_until_finished(job)
    assert (job.state, job.attempt) == (State.COMPLETED, 2)
    assert len(sandbox.ledger.billed()) == 1


@pytest.mark.fault("S1")
def test_unconfirmed_production_job_fails_without_resubmit(sandbox: Sandbox, settings) -> None:
    """A production document that may have been sent fails if the policy is to fail."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"UNCONFIRMED": "fail"}
    job = enqueue(test=False)
    (claimed,) = claim_for_slots("default", 10).jobs
    prepare_batch([claimed])
    skip_time(181)
    job = run_until_finished(job)
    assert (job.state, job.error_code) == (State.FAILED, "submit_unconfirmed")
    assert job.may_have_been_billed
    assert creates(sandbox) == 0


@pytest.mark.fault("S2")
def test_worker_killed_after_accept_is_recovered_by_tag(sandbox: Sandbox, documents_dir) -> None:
    """A create call that was accepted but not recorded is found in the log by its tag."""
    job = enqueue(test=False)
    (claimed,) = claim_for_slots("default", 10).jobs
    ((item,), _copies) = prepare_batch([claimed])
    lifecycle_client(item.job).create_async_doc(item.request)  # the worker dies here
    skip_time(181)
    job = run_until_finished(job)
    assert job.state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1
    assert event_kinds(job).count("unconfirmed") == 1


def lifecycle_client(job: RenderJob):
    """The client that the engine would use."""
    from django_docraptor.lifecycle.clients import client_for

    return client_for(job.account)


@pytest.mark.fault("S3")
def test_refused_connection_postpones_the_job(sandbox: Sandbox, documents_dir, settings) -> None:
    """A refused connection proves that nothing was sent, so the job is sent later, once."""
    up = settings.DOCRAPTOR
    settings.DOCRAPTOR = up | {"BASE_URL": "http://127.0.0.1:9"}
    job = enqueue()
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.PENDING, 1)
    assert "not_accepted" in event_kinds(job)
    settings.DOCRAPTOR = up
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S4")
@pytest.mark.usefixtures("short_timeouts")
def test_connect_timeout_postpones_the_job(sandbox: Sandbox, documents_dir, settings) -> None:
    """A connection timeout proves that nothing was sent, so the job is sent later, once."""
    up = settings.DOCRAPTOR
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for waiting in (first, second):  # fill the backlog, so that no other connection is taken
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        settings.DOCRAPTOR = up | {"BASE_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        job = enqueue(test=False)
        lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.PENDING, 1)
    assert "timed out" in job.errors.lower()
    settings.DOCRAPTOR = up
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S3")
def test_repeated_refused_connections_fail_the_job(sandbox: Sandbox, settings) -> None:
    """A job fails after RETRY_FOR seconds of refused connections, and its error says so."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "BASE_URL": "http://127.0.0.1:9",
        "RETRY_FOR": 200,
    }
    job = run_until_finished(enqueue())
    assert (job.state, job.error_code, job.attempt) == (State.FAILED, "submit_failed", 3)
    assert "could not be submitted for 4 minutes (3 tries" in job.errors


@pytest.mark.fault("S5", "S7", "S8", "S9", "S10")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="create", action="hang", accept=True, seconds=5, times=1),
        Fault(on="create", action="reset", accept=True, times=1),
        Fault(on="create", action="close", accept=True, times=1),
        Fault(on="create", action="cut", mode="length", times=1),
        Fault(on="create", action="cut", mode="chunked", times=1),
        Fault(on="create", action="cut", mode="close", times=1),
        Fault(on="create", action="no_id", times=1),
        Fault(on="create", action="html", accept=True, times=1),
        *[
            Fault(on="create", action="status", status_code=code, accept=True, times=1)
            for code in (500, 502, 503, 504)
        ],
    ],
    ids=lambda fault: (
        f"{fault.action}-{fault.mode if fault.action == 'cut' else fault.status_code}"
    ),
)
@pytest.mark.usefixtures("timeouts_for_fault")
def test_lost_create_response_is_found_by_tag(
    sandbox: Sandbox, documents_dir, fault: Fault
) -> None:
    """An accepted create call with a lost or unreadable response is found by its tag."""
    sandbox.add_fault(fault)
    job = enqueue(test=False)
    lifecycle.submit()
    assert current_state(job) == State.UNCONFIRMED
    job = run_until_finished(job)
    assert job.state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1
    assert creates(sandbox) == 1


@pytest.mark.fault("S6", "S10")
@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="create", action="reset", accept=False, times=1),
        Fault(on="create", action="hang", accept=False, seconds=5, times=1),
        *[
            Fault(on="create", action="status", status_code=code, accept=False, times=1)
            for code in (500, 502, 503, 504)
        ],
    ],
    ids=lambda fault: f"{fault.action}-{fault.status_code}",
)
@pytest.mark.usefixtures("timeouts_for_fault")
def test_create_that_may_be_lost_follows_unconfirmed_policy(
    sandbox: Sandbox, documents_dir, fault: Fault
) -> None:
    """A create call that never arrived is repeated: a production job's with proof."""
    sandbox.add_fault(fault)
    held, anew = enqueue(test=False), enqueue(test=True)
    lifecycle.submit()
    sandbox.clear_faults()
    states = {current_state(held), current_state(anew)}
    assert State.UNCONFIRMED in states
    held, anew = run_until_finished(held), run_until_finished(anew)
    assert (held.state, anew.state) == (State.COMPLETED, State.COMPLETED)
    assert [len(sandbox.ledger.accepted(job.pk.hex)) for job in (held, anew)] == [1, 1]
    assert len(sandbox.ledger.billed()) == 1


@pytest.mark.fault("S10")
def test_job_is_not_resubmitted_before_confirmation_window_ends(sandbox: Sandbox) -> None:
    """A missing log entry proves nothing until the longest render would have ended."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=502, accept=True, times=1))
    sandbox.add_fault(Fault(on="logs", action="omit", times=6))
    job = enqueue(test=True)
    lifecycle.submit()
    for seconds in (11, 25, 100, 200):
        skip_time(seconds)
        lifecycle.reconcile()
        assert current_state(job) == State.UNCONFIRMED
    assert creates(sandbox) == 1


@pytest.mark.fault("S11")
def test_403_postpones_the_job(sandbox: Sandbox, documents_dir) -> None:
    """A 403 response to a create call postpones the job until there is room."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=403, accept=False, times=3))
    job = run_until_finished(enqueue())
    assert job.state == State.COMPLETED
    assert event_kinds(job).count("not_accepted") == 3
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S11")
def test_repeated_403_fails_the_job(sandbox: Sandbox) -> None:
    """A job fails after an hour of 403 responses, with DocRaptor's reason."""
    sandbox.add_fault(
        Fault(
            on="create", action="status", status_code=403, accept=False, reason="No such permission"
        )
    )
    job = run_until_finished(enqueue(), hours=0.3)
    assert (job.state, job.error_code) == (State.FAILED, "rejected")
    assert "No such permission" in job.errors
    assert creates(sandbox) == 5


@pytest.mark.fault("S19")
@pytest.mark.parametrize("code", [408, 421, 425])
@pytest.mark.parametrize("body", ["xml", "html"])
def test_unprocessed_create_is_sent_again(
    sandbox: Sandbox, documents_dir, code: int, body: str
) -> None:
    """A create call that was not processed is sent again after `Retry-After`; one create."""
    sandbox.add_fault(
        Fault(
            on="create",
            action="status",
            status_code=code,
            body=body,
            accept=False,
            retry_after=300,
            times=1,
        )
    )
    job = enqueue(test=False)
    lifecycle.submit()
    assert current_state(job) == State.PENDING
    skip_time(290)
    assert lifecycle.submit() == 0
    skip_time(15)
    assert lifecycle.submit() == 1
    assert run_until_finished(job).state == State.COMPLETED
    assert event_kinds(job).count("not_accepted") == 1
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S12")
def test_401_pauses_the_account_and_keeps_its_jobs(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """A wrong key pauses the account's calls; with the right key all of its jobs complete."""
    right = settings.DOCRAPTOR
    sandbox.change_settings(api_key="right")
    settings.DOCRAPTOR = right | {"API_KEY": "wrong"}
    jobs = [enqueue(), enqueue(), enqueue()]
    lifecycle.submit()
    asked = creates(sandbox)
    assert [current_state(job) for job in jobs] == [State.PENDING] * 3
    assert paused_accounts() == ["default"]
    enqueue()
    lifecycle.run_once()
    assert creates(sandbox) == asked
    settings.DOCRAPTOR = right | {"API_KEY": "right"}
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 3
    assert not Pause.objects.told().exists()


def keys(account: str) -> str:
    """A project's callable that knows one account."""
    return {"good": "key"}[account]


@pytest.mark.parametrize(
    ("account", "wrong", "told"),
    [
        ("typo", {"API_KEY": keys}, "DOCRAPTOR['API_KEY'] raised KeyError for the account 'typo'"),
        (
            "other",
            {"CLIENT": "shop.Client"},
            "(shop.Client) cannot be instantiated: ModuleNotFoundError",
        ),
    ],
)
def test_misconfigured_account_does_not_block_others(
    sandbox: Sandbox, documents_dir, settings, account: str, wrong: dict[str, Any], told: str
) -> None:
    """A job of a misconfigured account waits with an error, and other accounts go on."""
    right = settings.DOCRAPTOR
    held = enqueue(account=account)
    settings.DOCRAPTOR = right | wrong
    lifecycle.run_once()
    held.refresh_from_db()
    assert held.state == State.PENDING
    assert told in held.errors
    assert creates(sandbox) == 0
    if "API_KEY" in wrong:
        assert run_until_finished(enqueue(account="good")).state == State.COMPLETED


@pytest.mark.fault("S13")
@pytest.mark.parametrize("code", [400, 413, 422])
def test_rejected_document_fails_at_once(sandbox: Sandbox, code: int) -> None:
    """A document that DocRaptor rejects fails after one call, with DocRaptor's reason."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=code, reason="Malformed <b>"))
    job = run_until_finished(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "rejected")
    assert "Malformed <b>" in job.errors
    assert job.events.get(kind="failed").message == job.errors
    assert creates(sandbox) == 1


@pytest.mark.fault("S14")
def test_create_does_not_follow_redirects(sandbox: Sandbox) -> None:
    """A redirect to another host is not followed, so the key is not sent there."""
    with Sandbox() as elsewhere:
        sandbox.add_fault(
            Fault(on="create", action="redirect", status_code=307, location=f"{elsewhere.url}/docs")
        )
        job = enqueue(test=False)
        lifecycle.submit()
        assert current_state(job) in (State.UNCONFIRMED, State.FAILED)
        assert elsewhere.calls == []


@pytest.mark.fault("S15")
def test_create_response_after_lease_expiry_is_saved(sandbox: Sandbox, documents_dir) -> None:
    """A worker that stalls past its lease still records the response for its own attempt."""
    job = enqueue(test=False)
    (claimed,) = claim_for_slots("default", 10).jobs
    ((item,), _copies) = prepare_batch([claimed])
    skip_time(181)
    lifecycle.recover()
    assert current_state(job) == State.UNCONFIRMED
    mark_accepted(item.job, lifecycle_client(item.job).create_async_doc(item.request))
    assert current_state(job) == State.QUEUED
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("S16")
def test_response_for_an_old_attempt_is_only_logged(sandbox: Sandbox, documents_dir) -> None:
    """A response for attempt 1 after attempt 2 was sent adds an event and changes nothing else."""
    job = enqueue(test=True)
    (claimed,) = claim_for_slots("default", 10).jobs
    ((item,), _copies) = prepare_batch([claimed])
    skip_time(181)
    run_until_finished(job, until=lambda job: job.attempt == 2 and job.state == State.QUEUED)
    mark_accepted(item.job, "late-status-id")
    job.refresh_from_db()
    assert (job.attempt, job.state) == (2, State.QUEUED)
    assert job.status_id != "late-status-id"
    late = job.events.get(kind=EventKind.LATE_RESPONSE)
    assert late.detail == {"attempt": 1, "status_id": "late-status-id"}


@pytest.mark.fault("S16")
def test_response_for_an_old_attempt_does_not_settle_the_next(sandbox: Sandbox) -> None:
    """A response for attempt 1 is not taken for the response of attempt 2, which is being sent."""
    job = enqueue(test=True)
    (first,) = claim_for_slots("default", 10).jobs
    prepare_batch([first])
    RenderJob.objects.filter(pk=job.pk).update(state=State.PENDING, lease_token="", due_at=Now())
    (second,) = claim_for_slots("default", 10).jobs
    prepare_batch([second])
    mark_accepted(first, "of-attempt-1")
    job.refresh_from_db()
    assert (job.attempt, job.state, job.status_id) == (2, State.SUBMITTING, "")
    mark_accepted(second, "of-attempt-2")
    job.refresh_from_db()
    assert (job.state, job.status_id) == (State.QUEUED, "of-attempt-2")


@pytest.mark.fault("S16")
def test_worker_frozen_past_its_lease_does_not_send(sandbox: Sandbox) -> None:
    """A worker that was frozen between intent and call for too long does not call."""
    enqueue(test=False)
    (job,) = claim_for_slots("default", 10).jobs
    ((item,), _copies) = prepare_batch([job])
    item.committed_at -= 181
    with pytest.raises(NotSentError, match="was suspended"):
        item.send_create(open_client("default"))
    assert creates(sandbox) == 0


@pytest.mark.fault("S17")
def test_in_flight_limit_is_never_exceeded(sandbox: Sandbox, documents_dir, settings) -> None:
    """With ten jobs and two slots, DocRaptor never renders more than two documents at once."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 2}
    sandbox.change_settings(max_concurrent=100)
    jobs = [enqueue() for _ in range(10)]
    for job in jobs:
        run_until_finished(job)
    assert sandbox.ledger.peak_concurrency <= 2
    assert len(sandbox.ledger.accepted()) == 10


@pytest.mark.fault("S17")
def test_slots_go_to_the_highest_priority(sandbox: Sandbox, settings, monkeypatch) -> None:
    """With one slot, the job with the highest priority is sent first."""
    monkeypatch.setattr("random.random", lambda: 1.0)  # no slot is given by age
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    enqueue(name="batch")
    enqueue(name="urgent", priority=5)
    lifecycle.submit()
    assert [entry.name for entry in sandbox.ledger.accepted()] == ["urgent"]


@pytest.mark.fault("S17")
def test_parallel_workers_share_the_in_flight_limit(sandbox: Sandbox, settings) -> None:
    """Four workers that admit jobs at once fill no more than the free slots."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 3}
    for _ in range(12):
        enqueue()
    admitted = run_in_threads(4, lambda: len(claim_for_slots("default", 10).jobs))
    assert sum(admitted) == 3


@pytest.mark.fault("W2")
def test_callback_before_the_create_response_makes_poll_due(sandbox: Sandbox) -> None:
    """If the callback arrives before the create response, the first poll is due at once."""
    enqueue()
    (job,) = claim_for_slots("default", 10).jobs
    ((item,), _copies) = prepare_batch([job])
    assert lifecycle.record_callback(job.pk, 1)
    mark_accepted(item.job, "id")
    assert RenderJob.objects.filter(pk=job.pk, due_at__lte=seconds_from_now(0)).exists()


def test_intent_is_committed_before_the_create_call(sandbox: Sandbox, settings) -> None:
    """When DocRaptor receives the create call, another connection can read the intent."""
    seen = []

    class Spy(type(lifecycle_client(enqueue()))):
        def create_async_doc(self, request):
            rows = run_in_threads(
                1, lambda: list(RenderJob.objects.values_list("state", "attempt"))
            )
            seen.extend(rows[0])
            return super().create_async_doc(request)

    globals()["Spy"] = Spy
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CLIENT": f"{__name__}.Spy"}
    lifecycle.submit()
    assert seen == [("submitting", 1)]
    assert not connection.in_atomic_block
