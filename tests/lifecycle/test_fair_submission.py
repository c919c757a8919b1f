"""Accounts whose server hangs do not keep the others waiting: submitting, polling, threads."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_docraptor import lifecycle
from django_docraptor.exceptions import NotSentError
from django_docraptor.lifecycle import clients, submission
from django_docraptor.lifecycle.clients import (
    ACCOUNT_THREADS,
    MAX_THREADS,
    ConcurrentCalls,
    NotBegunError,
    call_concurrently,
)
from django_docraptor.models import RenderJob
from django_docraptor.models.due_accounts import first_due_by_account
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.jobs import WorkerKilled, current_state, enqueue
from tests.support.socket_server import Exchange, SocketServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

HANGING = 20
# Seconds after which a call to the hanging server fails, unless the test ends it.
TIMEOUT = 60.0


def hang(exchange: Exchange) -> None:
    """Read a request, and never respond."""
    if exchange.read() is not None:
        exchange.hang()


@pytest.fixture
def hanging_server() -> Iterator[SocketServer]:
    """A server that accepts every call and answers none."""
    with SocketServer(*[hang] * 500) as server:
        yield server


@pytest.fixture
def accounts(
    sandbox: Sandbox, documents_dir: Any, settings: Any, hanging_server: SocketServer
) -> list[str]:
    """Twenty accounts with a server that hangs; one more, ``good``, has the sandbox."""
    names = [f"hanging-{number:02}" for number in range(HANGING)]
    own = {"BASE_URL": hanging_server.url}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "ACCOUNTS": {**{name: own | {"API_KEY": name} for name in names}, "good": {}},
        "TIMEOUT": {"connect": TIMEOUT, "create_read": TIMEOUT},
    }
    return names


def submit_until(
    run: submission.SubmissionRun, server: SocketServer, count: int, *, stop_after: int = 0
) -> list[str]:
    """Run until so many jobs of ``good`` have an outcome; only then the server stops hanging.

    Args:
        run: to run.
        server: that hangs.
        count: outcomes of ``good``.
        stop_after: outcomes after which the time of the run is over.

    Returns:
        The accounts whose calls have ended, in this order.
    """
    ended: list[str] = []
    handle = submission.handle_outcome

    def record(job: RenderJob, **options: Any) -> None:
        ended.append(job.account)
        if len(ended) == stop_after:
            run._stop = time.monotonic()
        if ended.count("good") == count:
            server.stopping.set()
        handle(job, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submission, "handle_outcome", record)
        run.run()
    return ended


@pytest.mark.fault("S31")
def test_hanging_accounts_do_not_delay_the_last_one(
    accounts: list[str], hanging_server: SocketServer
) -> None:
    """Twenty accounts hang, each with several jobs; the 21st is sent before any of them ends."""
    for name in accounts:
        for _ in range(3):
            enqueue(account=name)
    jobs = [enqueue(account="good") for _ in range(5)]
    run = submission.SubmissionRun(list(first_due_by_account(State.PENDING)), 16)
    ended = submit_until(run, hanging_server, 5)
    assert ended[:5] == ["good"] * 5
    assert {current_state(job) for job in jobs} == {State.QUEUED}
    sent = RenderJob.objects.filter(account__startswith="hanging", sent_at__isnull=False)
    assert {job.state for job in sent} == {State.UNCONFIRMED}
    assert len({job.account for job in sent}) == HANGING


@pytest.mark.fault("S31")
def test_twenty_timeouts_take_one(accounts: list[str], settings: Any) -> None:
    """Nothing but its timeouts ends the calls: the run takes one of them, not twenty."""
    for name in accounts:
        enqueue(account=name)
    job = enqueue(account="good")
    seconds = {"connect": 2.0, "create_read": 2.0}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TIMEOUT": seconds}
    started = time.monotonic()
    lifecycle.submit()
    assert time.monotonic() - started < HANGING * 2.0 / 2
    assert current_state(job) == State.QUEUED


@pytest.mark.fault("S31")
def test_good_account_goes_on_while_others_hang(
    accounts: list[str], hanging_server: SocketServer
) -> None:
    """Time is over, but the run has to wait for a call that hangs: others have further batches."""
    enqueue(account=accounts[0])
    for _ in range(40):
        enqueue(account="good")
    run = submission.SubmissionRun([accounts[0], "good"], 16)
    ended = submit_until(run, hanging_server, 30, stop_after=1)  # 30 is MAX_IN_FLIGHT
    assert ended == ["good"] * 30 + [accounts[0]]


@pytest.mark.fault("S31")
def test_hanging_account_leaves_threads_to_the_others() -> None:
    """The status of a good account's job is read while all calls of another one hang."""
    release = threading.Event()

    def ask(job: RenderJob) -> bool:
        return job.account == "good" or release.wait(60)

    stalled = [RenderJob(account="hanging") for _ in range(ACCOUNT_THREADS * 3)]
    ended = []
    for job, _outcome in call_concurrently(ask, [*stalled, RenderJob(account="good")]):
        ended.append(job.account)
        release.set()
    assert ended[0] == "good"
    assert len(ended) == len(stalled) + 1


def test_no_account_has_more_than_its_threads() -> None:
    """A poll of one account makes as many calls at a time as before there were several."""
    jobs = [RenderJob(account="one") for _ in range(ACCOUNT_THREADS * 3)]
    lock, running, most = threading.Lock(), [0], [0]

    def call(job: RenderJob) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.005)
        with lock:
            running[0] -= 1

    assert len(list(call_concurrently(call, jobs))) == len(jobs)
    assert 1 < most[0] <= ACCOUNT_THREADS


@pytest.mark.parametrize(
    ("accounts", "limit", "share"), [(1, 16, 16), (3, 16, 16), (21, 16, 3), (500, 16, 1), (2, 5, 5)]
)
def test_share_of_an_account(accounts: int, limit: int, share: int) -> None:
    """All accounts together have the threads of the process; one alone has a whole batch."""
    run = submission.SubmissionRun([str(number) for number in range(accounts)], limit)
    assert run._share == share
    assert run._share * min(accounts, MAX_THREADS) <= MAX_THREADS


def test_more_accounts_than_threads_all_have_a_turn(
    sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that finds no thread waits for the next one that is free; no call is lost."""
    monkeypatch.setattr(submission, "MAX_THREADS", 2)
    names = [f"account-{number}" for number in range(7)]
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ACCOUNTS": {name: {} for name in names}}
    jobs = [enqueue(account=name) for name in names for _ in range(2)]
    assert lifecycle.submit() == len(jobs)
    assert {current_state(job) for job in jobs} == {State.QUEUED}


def test_failed_claim_of_one_account_loses_no_outcome_of_another(
    accounts: list[str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an account cannot be claimed for, what the others' calls return is still saved."""
    first = enqueue(account="good")
    enqueue(account="default")
    claim: Callable[..., Any] = submission.claim_for_slots

    def claim_or_fail(account: str, limit: int) -> Any:
        if account == "default":
            raise RuntimeError("broken")
        return claim(account, limit)

    monkeypatch.setattr(submission, "claim_for_slots", claim_or_fail)
    with pytest.raises(RuntimeError, match="broken"):
        lifecycle.submit()
    assert current_state(first) == State.QUEUED


def test_death_in_a_thread_is_raised_where_it_is_waited_for() -> None:
    """Whatever a call raises, the run does not wait for its result forever."""

    def die(job: RenderJob) -> None:
        raise WorkerKilled

    with pytest.raises(WorkerKilled):
        list(call_concurrently(die, [RenderJob(), RenderJob()]))


def test_call_that_comes_too_late_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that finds no thread before its claim is about to end says nothing about DocRaptor."""
    monkeypatch.setattr(clients, "BEGIN_SECONDS", -1.0)
    with ConcurrentCalls[str]() as calls:
        calls.begin(lambda job: "made", [RenderJob(), RenderJob()])
        outcomes = [calls.next_result()[1] for _ in range(2)]
    assert {type(outcome) for outcome in outcomes} == {NotBegunError}
    assert isinstance(outcomes[0], NotSentError)
