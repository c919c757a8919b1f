"""Creating documents: rows C and S of the fault matrix. The sandbox's ledger is the judge."""

import socket
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from django_docraptor import lifecycle, shortcuts
from django_docraptor.exceptions import NotSentError
from django_docraptor.lifecycle.submission import Admission, accepted, admit, prepare, send
from django_docraptor.models import Account, RenderJob, seconds_from_now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import EventKind, State
from tests.support.jobs import drive, enqueue, kinds, skip_time, state_of
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def creates(sandbox: Sandbox) -> int:
    """How many create calls reached the sandbox."""
    return sandbox.ledger.create_calls


# --- C: claims -------------------------------------------------------------------------------


def test_C1_two_ticks_at_once(sandbox: Sandbox) -> None:
    """Four claimers at once get each row exactly once."""
    jobs = shortcuts.enqueue_many(
        [shortcuts.JobSpec(name="a", content="<p>a</p>") for _ in range(60)]
    )
    pending = RenderJob.objects.filter(state=State.PENDING)
    claimed = at_once(4, lambda: [job.pk for job in pending.claim(limit=40, lease=60)])
    keys = [key for part in claimed for key in part]
    assert len(keys) == len(set(keys))
    assert set(keys) <= {job.pk for job in jobs}
    assert keys


def test_C1_a_row_taken_meanwhile(sandbox: Sandbox) -> None:
    """A row that another one claims between our SELECT and our UPDATE is not ours."""
    enqueue()
    pending = RenderJob.objects.filter(state=State.PENDING)
    faster: list[RenderJob] = []

    def interrupt(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and not faster:
            faster.append(RenderJob())  # only once
            faster[:] = pending.claim(limit=1, lease=60)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(interrupt):
        slower = pending.claim(limit=1, lease=60)
    assert len(faster) == 1
    assert slower == []


def test_C2_a_lost_claim_ends(sandbox: Sandbox) -> None:
    """A claim whose owner vanished is due again when its lease ends, and sent once."""
    job = enqueue()
    assert admit("default", 10).jobs
    assert lifecycle.submit() == 0
    skip_time(121)
    assert lifecycle.submit() == 1
    assert state_of(job) == State.QUEUED
    assert creates(sandbox) == 1


def test_C3_a_second_start_finds_nothing(sandbox: Sandbox) -> None:
    """Of two workers that hold the same claimed job, only one gets to send it."""
    enqueue()
    (job,) = admit("default", 10).jobs
    twin = RenderJob.objects.get(pk=job.pk)
    assert prepare([job])
    assert prepare([twin]) == []
    assert list(job.events.values_list("kind", flat=True)) == ["enqueued", "submitting"]


def test_C4_killed_before_the_intent(sandbox: Sandbox) -> None:
    """Before the intent nothing was sent: the job is pending again, and sent once."""
    job = enqueue()
    assert admit("default", 10).jobs
    skip_time(121)
    drive(job)
    assert len(sandbox.ledger.accepted()) == 1


def test_C5_clocks_of_hosts_do_not_matter(sandbox: Sandbox, monkeypatch) -> None:
    """A worker whose clock is ten minutes ahead cannot take a leased job."""
    import datetime

    from django.utils import timezone

    enqueue()
    assert admit("default", 10).jobs
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + datetime.timedelta(minutes=10))
    assert admit("default", 10).jobs == []


# --- S: submitting ---------------------------------------------------------------------------


def test_S1_killed_after_the_intent(sandbox: Sandbox) -> None:
    """Nobody knows whether it was sent: it is looked up, and by policy sent anew or held."""
    job = enqueue(test=True)
    (claimed,) = admit("default", 10).jobs
    prepare([claimed])
    skip_time(181)
    lifecycle.sweep()
    assert state_of(job) == State.UNCONFIRMED
    job = drive(job, until=lambda job: job.state == State.COMPLETED)
    assert EventKind.NEVER_ACCEPTED in kinds(job)
    assert len(sandbox.ledger.accepted()) == 1


def test_S1_production_is_held(sandbox: Sandbox) -> None:
    """For a production document a person decides; nothing is sent a second time."""
    job = enqueue(test=False)
    (claimed,) = admit("default", 10).jobs
    prepare([claimed])
    skip_time(181)
    job = drive(job)
    assert (job.state, job.error_code) == (State.FAILED, "submit_unconfirmed")
    assert job.may_have_been_billed
    assert creates(sandbox) == 0


def test_S2_killed_after_the_answer(sandbox: Sandbox, documents) -> None:
    """Accepted, but the worker died before writing it down: found by its tag, one create."""
    job = enqueue(test=False)
    (claimed,) = admit("default", 10).jobs
    (item,) = prepare([claimed])
    lifecycle_client(item.job).create_async_doc(item.request)  # and then nothing more
    skip_time(181)
    job = drive(job)
    assert job.state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1
    assert kinds(job).count("unconfirmed") == 1


def lifecycle_client(job: RenderJob):
    """The client that the engine would use."""
    from django_docraptor.lifecycle.remote import client_for

    return client_for(job.account)


def test_S3_connection_refused(sandbox: Sandbox, documents, settings) -> None:
    """Nothing listens: certainly not sent, so it backs off and is sent later, once."""
    up = settings.DOCRAPTOR
    settings.DOCRAPTOR = up | {"BASE_URL": "http://127.0.0.1:9"}
    job = enqueue()
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.PENDING, 1)
    assert "refused" in kinds(job)
    settings.DOCRAPTOR = up
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_S4_connect_timeout(sandbox: Sandbox, documents, settings) -> None:
    """A host that does not take the connection: certainly not sent, so it is sent later, once."""
    up = settings.DOCRAPTOR
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for waiting in (first, second):  # they fill the backlog: nobody else gets in
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        settings.DOCRAPTOR = up | {"BASE_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        job = enqueue(test=False)
        lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.PENDING, 1)
    assert "timed out" in job.errors.lower()
    settings.DOCRAPTOR = up
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_S3_gives_up_in_the_end(sandbox: Sandbox, settings) -> None:
    """A service that stays away is not asked for ever: the job fails and says so."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "BASE_URL": "http://127.0.0.1:9",
        "MAX_SUBMIT_FAILURES": 3,
    }
    job = drive(enqueue())
    assert (job.state, job.error_code, job.attempt) == (State.FAILED, "submit_failed", 3)
    assert "3 tries" in job.errors


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
def test_S5_S7_S8_S9_S10_the_answer_is_lost(sandbox: Sandbox, documents, fault: Fault) -> None:
    """Accepted, but the answer was lost or unreadable: found by its tag, exactly one create."""
    sandbox.add_fault(fault)
    job = enqueue(test=False)
    lifecycle.submit()
    assert state_of(job) == State.UNCONFIRMED
    job = drive(job)
    assert job.state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1
    assert creates(sandbox) == 1


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
def test_S6_S10_not_accepted_but_who_knows(sandbox: Sandbox, documents, fault: Fault) -> None:
    """Never accepted: held for production, sent once more for a test document."""
    sandbox.add_fault(fault)
    held, anew = enqueue(test=False), enqueue(test=True)
    lifecycle.submit()
    sandbox.clear_faults()
    states = {state_of(held), state_of(anew)}
    assert State.UNCONFIRMED in states
    held, anew = drive(held), drive(anew)
    assert anew.state == State.COMPLETED
    assert held.state == State.COMPLETED or held.error_code == "submit_unconfirmed"
    per_job = [entry.tag.partition(":")[0] for entry in sandbox.ledger.accepted()]
    assert len(per_job) == len(set(per_job))


def test_S10_nothing_is_sent_twice_before_the_window_ends(sandbox: Sandbox) -> None:
    """Within the longest life of a document, absence from the log proves nothing."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=502, accept=True, times=1))
    sandbox.add_fault(Fault(on="logs", action="omit", times=6))
    job = enqueue(test=True)
    lifecycle.submit()
    for seconds in (11, 25, 100, 200):
        skip_time(seconds)
        lifecycle.reconcile()
        assert state_of(job) == State.UNCONFIRMED
    assert creates(sandbox) == 1


def test_S11_too_many_at_once(sandbox: Sandbox, documents) -> None:
    """403 on a create is "not now": back off, then complete."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=403, accept=False, times=3))
    job = drive(enqueue())
    assert job.state == State.COMPLETED
    assert kinds(job).count("refused") == 3
    assert len(sandbox.ledger.accepted()) == 1


def test_S11_for_ever(sandbox: Sandbox, settings) -> None:
    """403 without end fails the job with DocRaptor's words."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_SUBMIT_FAILURES": 4}
    sandbox.add_fault(
        Fault(
            on="create", action="status", status_code=403, accept=False, reason="No such permission"
        )
    )
    job = drive(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "submit_failed")
    assert "No such permission" in job.errors
    assert creates(sandbox) == 4


def test_S12_wrong_key_pauses_the_account(sandbox: Sandbox, documents, settings) -> None:
    """401 stops the account's calls, not its jobs: with the right key all of them complete."""
    right = settings.DOCRAPTOR
    sandbox.change_settings(api_key="right")
    settings.DOCRAPTOR = right | {"API_KEY": "wrong"}
    jobs = [enqueue(), enqueue(), enqueue()]
    lifecycle.submit()
    asked = creates(sandbox)
    assert [state_of(job) for job in jobs] == [State.PENDING] * 3
    assert "default" in Account.paused_until_by_name()
    enqueue()
    lifecycle.run()
    assert creates(sandbox) == asked
    settings.DOCRAPTOR = right | {"API_KEY": "right"}
    skip_time(601)
    assert [drive(job).state for job in jobs] == [State.COMPLETED] * 3
    assert Account.paused_until_by_name() == {}


def keys(account: str) -> str:
    """A project's callable that knows one account."""
    return {"good": "key"}[account]


@pytest.mark.parametrize(
    ("account", "wrong", "told"),
    [
        ("typo", {"API_KEY": keys}, "DOCRAPTOR['API_KEY'] raised KeyError for the account 'typo'"),
        ("other", {"CLIENT": "shop.Client"}, "shop.Client, cannot be made: ModuleNotFoundError"),
    ],
)
def test_wrong_setup_holds_up_nobody_else(
    sandbox: Sandbox, documents, settings, account: str, wrong: dict[str, Any], told: str
) -> None:
    """Its job waits and says why; nothing is sent for it; the engine goes on."""
    right = settings.DOCRAPTOR
    held = enqueue(account=account)
    settings.DOCRAPTOR = right | wrong
    lifecycle.run()
    held.refresh_from_db()
    assert held.state == State.PENDING
    assert told in held.errors
    assert creates(sandbox) == 0
    if "API_KEY" in wrong:
        assert drive(enqueue(account="good")).state == State.COMPLETED


@pytest.mark.parametrize("code", [400, 413, 422])
def test_S13_rejected(sandbox: Sandbox, code: int) -> None:
    """A document that DocRaptor refuses fails at once, in DocRaptor's words, after one call."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=code, reason="Malformed <b>"))
    job = drive(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "rejected")
    assert "Malformed <b>" in job.errors
    assert job.events.get(kind="failed").message == job.errors
    assert creates(sandbox) == 1


def test_S14_redirects_are_not_followed(sandbox: Sandbox) -> None:
    """A redirect to another host is not followed: the key is not shown there."""
    with Sandbox() as elsewhere:
        sandbox.add_fault(
            Fault(on="create", action="redirect", status_code=307, location=f"{elsewhere.url}/docs")
        )
        job = enqueue(test=False)
        lifecycle.submit()
        assert state_of(job) in (State.UNCONFIRMED, State.FAILED)
        assert elsewhere.requests == []


def test_S15_a_late_answer_is_accepted(sandbox: Sandbox, documents) -> None:
    """A worker that stalls past its lease and wakes with an answer still settles the attempt."""
    job = enqueue(test=False)
    (claimed,) = admit("default", 10).jobs
    (item,) = prepare([claimed])
    skip_time(181)
    lifecycle.sweep()
    assert state_of(job) == State.UNCONFIRMED
    accepted(item.job, lifecycle_client(item.job).create_async_doc(item.request))
    assert state_of(job) == State.QUEUED
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


def test_S16_a_late_answer_for_an_old_attempt(sandbox: Sandbox, documents) -> None:
    """An answer for attempt 1 that comes after attempt 2 was sent is told, and changes nothing."""
    job = enqueue(test=True)
    (claimed,) = admit("default", 10).jobs
    (item,) = prepare([claimed])
    skip_time(181)
    drive(job, until=lambda job: job.attempt == 2 and job.state == State.QUEUED)
    accepted(item.job, "late-status-id")
    job.refresh_from_db()
    assert (job.attempt, job.state) == (2, State.QUEUED)
    assert job.status_id != "late-status-id"
    late = job.events.get(kind=EventKind.LATE_RESPONSE)
    assert late.detail == {"attempt": 1, "status_id": "late-status-id"}


def test_S16_a_late_answer_while_the_next_is_under_way(sandbox: Sandbox) -> None:
    """An answer for attempt 1 is not taken for the answer of attempt 2, which is being sent."""
    job = enqueue(test=True)
    (first,) = admit("default", 10).jobs
    prepare([first])
    RenderJob.objects.filter(pk=job.pk).update(state=State.PENDING, lease_token="", due_at=Now())
    (second,) = admit("default", 10).jobs
    prepare([second])
    accepted(first, "of-attempt-1")
    job.refresh_from_db()
    assert (job.attempt, job.state, job.status_id) == (2, State.SUBMITTING, "")
    accepted(second, "of-attempt-2")
    job.refresh_from_db()
    assert (job.state, job.status_id) == (State.QUEUED, "of-attempt-2")


def test_S16_a_worker_that_stood_still_sends_nothing(sandbox: Sandbox) -> None:
    """Frozen between intent and call for longer than the deadline: the call is not made."""
    enqueue(test=False)
    (job,) = admit("default", 10).jobs
    (item,) = prepare([job])
    item.intended_at -= 661
    with pytest.raises(NotSentError, match="stood still"):
        item.create()
    assert creates(sandbox) == 0


def test_S17_in_flight_cap(sandbox: Sandbox, documents, settings) -> None:
    """Ten jobs and two slots: never more than two documents are in the making."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 2}
    sandbox.change_settings(max_concurrent=100)
    jobs = [enqueue() for _ in range(10)]
    for job in jobs:
        drive(job)
    assert sandbox.ledger.peak_concurrency <= 2
    assert len(sandbox.ledger.accepted()) == 10


def test_S17_slots_are_given_by_priority(sandbox: Sandbox, settings, monkeypatch) -> None:
    """With one slot, the most urgent job goes first, whatever the order of arrival."""
    monkeypatch.setattr("random.random", lambda: 1.0)  # no place for who waited longest
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    enqueue(name="batch")
    enqueue(name="urgent", priority=5)
    lifecycle.submit()
    assert [entry.name for entry in sandbox.ledger.accepted()] == ["urgent"]


def test_S17_two_processes_share_the_cap(sandbox: Sandbox, settings) -> None:
    """Admission is one at a time: four at once still fill no more than the free slots."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 3}
    for _ in range(12):
        enqueue()
    admitted = at_once(4, lambda: len(admit("default", 10).jobs))
    assert sum(admitted) == 3


def test_prepare_template_error(sandbox: Sandbox) -> None:
    """A template that raises fails the job before anything is sent, traceback in the history."""
    job = drive(enqueue(document="shop.Broken", content=""))
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    assert "RuntimeError: no such total" in job.events.get(kind="failed").message
    assert creates(sandbox) == 0


def test_prepare_is_no_part_of_a_transaction(sandbox: Sandbox) -> None:
    """An intent that could be rolled back is no intent: it is refused inside a transaction."""
    from django.db import transaction

    enqueue()
    (job,) = admit("default", 10).jobs
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        prepare([job])


def test_prepare_of_several_leaves_one_that_was_cancelled(sandbox: Sandbox) -> None:
    """Of jobs that were claimed together one is cancelled: all others are sent."""
    for _ in range(3):
        enqueue()
    jobs = admit("default", 10).jobs
    assert shortcuts.cancel(RenderJob.objects.get(pk=jobs[1].pk))
    assert {item.job.pk for item in prepare(jobs)} == {jobs[0].pk, jobs[2].pk}
    assert kinds(jobs[0]) == ["enqueued", "submitting"]
    assert kinds(jobs[1]) == ["enqueued", "cancelled"]


def test_prepare_leaves_what_takes_too_long(sandbox: Sandbox, monkeypatch) -> None:
    """Slow templates do not outlive the claim: what is composed is sent, the rest is given back."""
    monkeypatch.setattr("django_docraptor.lifecycle.submission.BUDGET", -1.0)
    for _ in range(3):
        enqueue()
    assert len(prepare(admit("default", 10).jobs)) == 1
    assert RenderJob.objects.not_started().due().count() == 2


def test_send_leaves_a_cancelled_job_alone(sandbox: Sandbox) -> None:
    """A job cancelled while its create was under way stays cancelled; the answer is told."""
    job = enqueue()
    (claimed,) = admit("default", 10).jobs
    assert shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
    send(Admission([claimed]))
    assert state_of(job) == State.CANCELLED
    assert creates(sandbox) == 0


def test_submit_one_bad_job_harms_no_other(sandbox: Sandbox) -> None:
    """In one batch, a refused document fails and its neighbours are accepted."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, match="bad"))
    good, bad = enqueue(name="good"), enqueue(name="bad")
    lifecycle.submit()
    assert (state_of(good), state_of(bad)) == (State.QUEUED, State.FAILED)


def test_submit_tags_and_callback_url(sandbox: Sandbox, settings) -> None:
    """Each attempt carries its own tag, and the project's tag behind it."""
    job = enqueue(options={"tag": "march"})
    lifecycle.submit()
    assert sandbox.ledger.accepted()[0].tag == f"{job.pk.hex}:1 march"


def test_submit_sees_a_callback_that_was_faster(sandbox: Sandbox) -> None:
    """W2: a callback before the create returned makes the first poll due at once."""
    enqueue()
    (job,) = admit("default", 10).jobs
    (item,) = prepare([job])
    assert lifecycle.record_callback(job.pk, 1)
    accepted(item.job, "id")
    assert RenderJob.objects.filter(pk=job.pk, due_at__lte=seconds_from_now(0)).exists()


def test_intent_is_committed_before_the_wire(sandbox: Sandbox, settings) -> None:
    """When the create arrives at DocRaptor, the row already says so, on another connection."""
    seen = []

    class Spy(type(lifecycle_client(enqueue()))):
        def create_async_doc(self, request):
            rows = at_once(1, lambda: list(RenderJob.objects.values_list("state", "attempt")))
            seen.extend(rows[0])
            return super().create_async_doc(request)

    globals()["Spy"] = Spy
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CLIENT": f"{__name__}.Spy"}
    lifecycle.submit()
    assert seen == [("submitting", 1)]
    assert not connection.in_atomic_block
