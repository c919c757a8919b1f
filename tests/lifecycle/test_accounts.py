"""Keys that are wrong, change or cannot be read, and accounts that DocRaptor refuses."""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection

from django_docraptor import health, lifecycle
from django_docraptor.account_settings import hash_key
from django_docraptor.exceptions import (
    ForbiddenError,
    RejectedError,
    ServerError,
    UnauthorizedError,
)
from django_docraptor.lifecycle.account_refusals import concerns_account, is_account_refusal
from django_docraptor.models import NO_KEY, Account, Pause, RenderJob, seconds_from_now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import (
    current_state,
    downloadable_job,
    enqueue,
    event_kinds,
    pause_account,
    paused_accounts,
    run_until_finished,
    skip_time,
)
from tests.support.processes import wait_until
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

OVER_LIMIT = "Over document limit. Please upgrade your account."
REFUSALS = [
    OVER_LIMIT,
    "Account canceled. Please update payment details or contact DocRaptor support.",
    "Account suspended. Please update payment details (reactivation may take a few minutes)",
]


class Keys:
    """An ``API_KEY`` callable: what it returns or raises, and in which threads it was called."""

    def __init__(self, key: Any) -> None:
        self.key = key
        self.threads: list[int] = []

    def __call__(self, account: str) -> str:
        self.threads.append(threading.get_ident())
        if isinstance(self.key, BaseException):
            raise self.key
        return self.key(account) if callable(self.key) else self.key


@pytest.fixture
def keys(sandbox: Sandbox, documents_dir: Any, settings: Any) -> Keys:
    """The account's key, which is right at first; the sandbox accepts no other."""
    sandbox.change_settings(api_key="right")
    keys = Keys("right")
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": keys}
    return keys


def creates(sandbox: Sandbox) -> int:
    """The number of create calls that arrived."""
    return sum(call.path.endswith("async_docs") for call in sandbox.calls)


# --- a pause belongs to a key ----------------------------------------------------------------


@pytest.mark.fault("S12")
def test_worker_with_an_old_key_does_not_stop_the_others(sandbox: Sandbox, keys: Keys) -> None:
    """While one worker's old key is paused, another worker submits, polls and downloads at once."""
    keys.key = "old"
    jobs = [enqueue() for _ in range(3)]
    lifecycle.submit()
    calls = len(sandbox.calls)
    keys.key = "right"
    assert lifecycle.submit() == 3
    keys.key = "old"
    skip_time(2)
    assert (lifecycle.poll().claimed, lifecycle.submit(), lifecycle.download()) == (0, 0, 0)
    assert len(sandbox.calls) == calls + 3
    keys.key = "right"
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 3
    assert {job.failures for job in RenderJob.objects.all()} == {0}


@pytest.mark.fault("S12")
def test_two_workers_with_different_keys_share_the_jobs(sandbox: Sandbox, keys: Keys) -> None:
    """Two threads, each with its own key, run at once: only the right one's calls count."""
    own = threading.local()
    names = iter(["old", "right"])

    def key_of_thread(account: str) -> str:
        return own.key

    def work() -> None:
        own.key = next(names)
        for _ in range(5):
            lifecycle.submit()

    keys.key = key_of_thread
    jobs = [enqueue() for _ in range(6)]
    run_in_threads(2, work)
    assert {current_state(job) for job in jobs} <= {State.PENDING, State.QUEUED}
    keys.key = "right"
    lifecycle.submit()
    assert len(sandbox.ledger.accepted()) == 6


@pytest.mark.fault("S12")
@pytest.mark.parametrize("step", ["create", "status", "logs", "download"])
def test_corrected_key_goes_on_at_once(sandbox: Sandbox, keys: Keys, step: str) -> None:
    """Whichever call met the 401, the job goes on with the next key, without any wait."""
    job = downloadable_job() if step == "download" else enqueue()
    if step in ("status", "logs"):
        lifecycle.submit()
    if step == "logs":
        RenderJob.objects.update(state=State.UNCONFIRMED, status_id="")
    RenderJob.objects.update(due_at=seconds_from_now(-1))
    calls = len(sandbox.calls)
    keys.key = "wrong"
    for _ in range(2):
        lifecycle.run_once()
    assert len(sandbox.calls) == calls + 1
    keys.key = "right"
    before = current_state(job)
    lifecycle.run_once()
    lifecycle.run_once()
    assert current_state(job) != before
    assert RenderJob.objects.get(pk=job.pk).failures == 0


@pytest.mark.fault("S12")
def test_rotating_keys_pause_one_by_one(sandbox: Sandbox, keys: Keys) -> None:
    """Each wrong key is tried once; the account does not wait for the pauses of earlier ones."""
    job = enqueue()
    for number in range(3):
        keys.key = f"wrong {number}"
        lifecycle.submit()
        lifecycle.submit()
    assert creates(sandbox) == 3
    keys.key = "wrong 0"
    lifecycle.submit()
    assert creates(sandbox) == 3
    keys.key = "right"
    lifecycle.submit()
    assert current_state(job) == State.QUEUED
    assert health.restrictions() == []


def test_late_401_of_an_old_key_does_not_pause_the_new_one(sandbox: Sandbox, keys: Keys) -> None:
    """The key that a call used is paused, not the one that is right when its answer is saved."""
    enqueue()
    keys.key = "old"

    def rotate_and_read(account: str) -> str:
        read, keys.key = "old", "right"
        return read

    keys.key = rotate_and_read
    lifecycle.submit()
    assert list(Pause.objects.values_list("key_hash", flat=True)) == [hash_key("old")]


def test_pause_has_no_key_in_it(
    sandbox: Sandbox, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the row nor the log line of a pause has the key, and there is one line."""
    keys.key = "s3cr3t-wrong"
    jobs = [enqueue() for _ in range(5)]
    with caplog.at_level(logging.ERROR, logger="django_docraptor"):
        lifecycle.submit()
        lifecycle.submit()
    assert sum("is paused" in record.getMessage() for record in caplog.records) == 1
    assert "s3cr3t" not in caplog.text + str(list(Pause.objects.values()))
    assert [current_state(job) for job in jobs] == [State.PENDING] * 5


def test_other_accounts_go_on(sandbox: Sandbox, keys: Keys) -> None:
    """A paused account's jobs, however urgent and many, do not keep others from their polls."""
    keys.key = lambda account: "right" if account == "good" else "wrong"
    good = enqueue(account="good")
    bad = [enqueue(account="bad", priority=9) for _ in range(3)]
    RenderJob.objects.filter(account="bad").update(state=State.QUEUED, status_id=None)
    assert run_until_finished(good).state == State.COMPLETED
    assert {current_state(job) for job in bad} == {State.QUEUED}


# --- a key that cannot be read ---------------------------------------------------------------


@pytest.mark.fault("S26")
@pytest.mark.parametrize(
    "key",
    [
        RuntimeError("vault"),
        OperationalError("gone"),
        SystemExit("vault"),
        GeneratorExit("vault"),
        "",
        "  ",
        None,
        5,
    ],
    ids=repr,
)
def test_key_that_cannot_be_read_is_waited_for_and_told(
    sandbox: Sandbox, keys: Keys, key: Any
) -> None:
    """However long there is no key, jobs wait in each state, and health says so and why."""
    keys.key = key
    jobs = [enqueue() for _ in range(3)]
    for _ in range(3):
        lifecycle.run_once()
        skip_time(8 * 3600)
    lifecycle.run_once()
    assert [(job.state, job.failures) for job in RenderJob.objects.all()] == [("pending", 0)] * 3
    (problem,) = health.health_problems()
    assert "DOCRAPTOR['API_KEY']" in problem
    assert "vault" not in problem
    assert all("DOCRAPTOR['API_KEY']" in job.errors for job in RenderJob.objects.all())
    keys.key = "right"
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 3
    assert health.health_problems() == []


@pytest.mark.fault("S29")
def test_socks_proxy_without_its_package_is_waited_for_and_told(
    sandbox: Sandbox, keys: Keys, settings: Any
) -> None:
    """While the package is missing, nothing is sent or counted, and health has the remedy."""
    right = settings.DOCRAPTOR
    settings.DOCRAPTOR = right | {"PROXIES": {"http": "socks5h://user:passw0rd@127.0.0.1:1080"}}
    job = enqueue(test=False)
    for _ in range(3):
        lifecycle.run_once()
        skip_time(30 * 3600)
    lifecycle.run_once()
    job.refresh_from_db()
    assert (job.state, job.attempt, job.failures) == (State.PENDING, 0, 0)
    (problem,) = health.health_problems()
    assert "DOCRAPTOR['PROXIES']" in problem
    assert "requests[socks]" in problem
    assert "passw0rd" not in problem
    settings.DOCRAPTOR = right
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.billed()) == 1


@pytest.mark.fault("S26")
def test_key_that_ends_the_process_costs_no_batch(sandbox: Sandbox, keys: Keys) -> None:
    """An account whose key raises SystemExit stops neither the worker nor another account."""

    def key_of(account: str) -> str:
        if account == "default":
            sys.exit("vault")
        return "right"

    keys.key = key_of
    job, other = enqueue(), enqueue(account="other")
    assert run_until_finished(other).state == State.COMPLETED
    assert (current_state(job), paused_accounts()) == (State.PENDING, ["default"])
    keys.key = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):  # a person's, who wants to stop the worker
        lifecycle.submit()


@pytest.mark.fault("S26")
@pytest.mark.parametrize("state", [State.QUEUED, State.UNCONFIRMED, State.DOWNLOADING])
def test_missing_key_is_no_verdict_on_an_accepted_document(
    sandbox: Sandbox, keys: Keys, state: State
) -> None:
    """Without a key, an accepted document is neither failed nor counted as downloaded."""
    job = downloadable_job() if state == State.DOWNLOADING else enqueue()
    if state != State.DOWNLOADING:
        lifecycle.submit()
        RenderJob.objects.update(state=state)
    keys.key = RuntimeError("vault")
    calls = len(sandbox.calls)
    for _ in range(20):
        skip_time(300)
        lifecycle.run_once()
    job.refresh_from_db()
    assert (job.state, job.failures, job.download_attempts) == (state, 0, 0)
    assert job.lease_token == ""
    assert len(sandbox.calls) == calls
    keys.key = "right"
    assert run_until_finished(job).state == State.COMPLETED


@pytest.mark.fault("S26")
def test_key_is_read_once_a_batch_and_in_the_calling_thread(sandbox: Sandbox, keys: Keys) -> None:
    """A pool thread never reads a key, because it could leave a database connection open."""
    for _ in range(16):
        enqueue()
    keys.threads.clear()
    assert lifecycle.submit() == 16
    assert set(keys.threads) == {threading.get_ident()}
    assert len(keys.threads) <= 2
    skip_time(2)
    keys.threads.clear()
    lifecycle.poll()
    assert set(keys.threads) == {threading.get_ident()}
    assert len(keys.threads) <= 2


@pytest.mark.fault("S26")
def test_lost_connections_cost_no_job(sandbox: Sandbox, keys: Keys) -> None:
    """The key comes from the database, whose connections are killed during a submit."""
    if connection.vendor != "postgresql":
        pytest.skip("Only PostgreSQL's connections are killed here.")
    sessions = (
        "FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend'"  # no autovacuum worker
    )
    kills = iter([True, False, True])

    def read_after_loss(account: str) -> str:
        if next(kills, False):
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_terminate_backend(pid) {sessions}")
        User.objects.count()
        return "right"

    keys.key = read_after_loss
    jobs = [enqueue() for _ in range(16)]
    for _ in range(3):
        lifecycle.submit()
    assert len(sandbox.ledger.accepted()) == 16
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 16

    def count_sessions() -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) {sessions}")
            return int(cursor.fetchone()[0])

    # The server takes a moment to end a session, longer on a busy machine.
    wait_until("one session is left", lambda: count_sessions() == 1, 30)


# --- accounts that DocRaptor refuses ---------------------------------------------------------


@pytest.mark.fault("S27")
@pytest.mark.parametrize("reason", REFUSALS)
@pytest.mark.parametrize("is_test", [True, False])
def test_refused_account_waits_and_goes_on_when_resumed(
    sandbox: Sandbox, keys: Keys, caplog: pytest.LogCaptureFixture, reason: str, is_test: bool
) -> None:
    """Documents that fail because of the account wait together, are told once, and complete."""
    sandbox.add_fault(Fault(on="render", action="fail", reason=reason))
    jobs = [enqueue(test=is_test) for _ in range(3)]
    lifecycle.submit()
    for _ in range(20):
        skip_time(2)
        lifecycle.run_once()
        if {current_state(job) for job in jobs} == {State.PENDING}:
            break
    calls = creates(sandbox)
    for _ in range(3):
        lifecycle.run_once()
    assert [current_state(job) for job in jobs] == [State.PENDING] * 3
    assert creates(sandbox) == calls == 3
    assert all("refused" in event_kinds(job) for job in jobs)
    assert sum("is paused" in record.getMessage() for record in caplog.records) == 1
    (problem,) = health.health_problems()
    assert reason in problem
    sandbox.clear_faults()
    assert lifecycle.resume("default").due == 3
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 3
    assert health.health_problems() == []


@pytest.mark.fault("S27")
@pytest.mark.parametrize("code", [402, 403, 422])
def test_account_refused_at_the_create_call_waits(sandbox: Sandbox, keys: Keys, code: int) -> None:
    """A create call that DocRaptor refuses because of the account fails no job."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=code, reason=OVER_LIMIT))
    jobs = [enqueue() for _ in range(3)]
    lifecycle.submit()
    lifecycle.submit()
    assert [(job.state, job.failures) for job in RenderJob.objects.all()] == [("pending", 0)] * 3
    assert paused_accounts() == ["default"]
    sandbox.clear_faults()
    skip_time(3601)
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 3


@pytest.mark.fault("S27")
def test_callback_of_a_refused_attempt_does_not_stop_the_next(sandbox: Sandbox, keys: Keys) -> None:
    """A callback for an attempt that failed because of the account is forgotten with it."""
    sandbox.add_fault(Fault(on="render", action="fail", reason=OVER_LIMIT))
    job = enqueue()
    lifecycle.submit()
    assert lifecycle.record_callback(job.pk, 1)
    job = run_until_finished(job, until=lambda job: job.state == State.PENDING)
    sandbox.clear_faults()
    lifecycle.resume("default")
    assert run_until_finished(job).state == State.COMPLETED


@pytest.mark.fault("S27")
def test_refused_account_still_gets_its_finished_documents(sandbox: Sandbox, keys: Keys) -> None:
    """While new documents are refused, those that DocRaptor has made are stored."""
    ready = downloadable_job()
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, reason=OVER_LIMIT))
    waiting = enqueue()
    lifecycle.run_once()
    lifecycle.run_once()
    assert (current_state(ready), current_state(waiting)) == (State.COMPLETED, State.PENDING)


@pytest.mark.fault("S27")
def test_refusal_in_the_log_is_no_verdict(sandbox: Sandbox, keys: Keys) -> None:
    """An attempt that the log lists as refused because of the account is sent again."""
    job = enqueue(test=False)
    lifecycle.submit()
    RenderJob.objects.update(state=State.UNCONFIRMED, status_id=None)
    sandbox.add_fault(Fault(on="render", action="fail", reason=OVER_LIMIT, times=1))
    skip_time(15)
    lifecycle.run_once()
    assert current_state(job) in (State.PENDING, State.QUEUED, State.UNCONFIRMED, State.WORKING)


@pytest.mark.fault("S27")
def test_refusals_end_when_patience_does(sandbox: Sandbox, keys: Keys, settings: Any) -> None:
    """A document whose attempts are refused for RETRY_FOR fails, with DocRaptor's reason."""
    sandbox.add_fault(Fault(on="render", action="fail", reason=OVER_LIMIT))
    job = enqueue()
    run_until_finished(job, until=lambda job: "refused" in event_kinds(job))
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETRY_FOR": 0.01}
    lifecycle.resume("default")
    job = run_until_finished(job)
    assert (job.state, job.error_code, job.errors) == (State.FAILED, "render_failed", OVER_LIMIT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((reason, True) for reason in REFUSALS),
        (f"Name is too long (maximum is 200 characters)\n{OVER_LIMIT}", True),
        (f"base: {OVER_LIMIT}", True),
        (f"[Account Error] {OVER_LIMIT}", True),
        (OVER_LIMIT.upper(), True),
        ("Account cancelled.", True),
        (f"[Javascript Error] {OVER_LIMIT}", False),
        (f"Document Malformed: {OVER_LIMIT}", False),
        ("The invoice says: account suspended", False),
        ("Account suspendedly", False),
        ("Document creation failed due to unknown reasons.", False),
        ("", False),
    ],
)
def test_only_reasons_of_the_account_pause_it(text: str, expected: bool) -> None:
    """A reason of the account is told apart from the text of a document that says the same."""
    assert is_account_refusal(text) == expected
    assert concerns_account(RejectedError(text)) == expected
    assert concerns_account(ForbiddenError(text)) == expected
    assert concerns_account(UnauthorizedError(text))
    assert not concerns_account(ValueError(text))
    assert not concerns_account(ServerError(text))  # perhaps a proxy's page; it may be accepted


# --- resuming --------------------------------------------------------------------------------


def test_resume_makes_waiting_jobs_due_and_no_other(sandbox: Sandbox, keys: Keys) -> None:
    """Jobs that waited after an error or for the circuit are due; a planned one keeps its time."""
    until = seconds_from_now(300)
    Account.objects.create(name="default", failures=7, circuit_open_until=until)
    until = Account.objects.get().circuit_open_until
    by_circuit, counted, told, planned, leased, other = [enqueue() for _ in range(6)]
    changes: list[tuple[RenderJob, dict[str, Any]]] = [
        (by_circuit, {"due_at": until}),
        (counted, {"failures": 2}),
        (told, {"errors": "HTTP 403"}),
        (planned, {}),
        (leased, {"lease_token": "mine", "errors": "HTTP 403"}),
        (other, {"account": "other", "errors": "HTTP 403"}),
    ]
    for job, columns in changes:
        rows = RenderJob.objects.filter(pk=job.pk)
        rows.update(**{"due_at": seconds_from_now(200)} | columns)
    result = lifecycle.resume("default")
    assert (result.was_restricted, result.due) == (True, 3)
    due = set(RenderJob.objects.due().values_list("pk", flat=True))
    assert due == {by_circuit.pk, counted.pk, told.pk}
    assert Account.objects.get(pk="default").circuit_open_until is None


def test_resume_without_a_pause_changes_nothing(sandbox: Sandbox, keys: Keys) -> None:
    """Resuming an account that runs is harmless."""
    job = enqueue()
    before = RenderJob.objects.values().get(pk=job.pk)
    assert lifecycle.resume("default") == lifecycle.Resumed(was_restricted=False, due=1)
    assert RenderJob.objects.values().get(pk=job.pk) == before


@pytest.mark.parametrize("pause", [NO_KEY, "wrong"])
def test_pause_costs_no_query_on_the_hot_path(
    sandbox: Sandbox, keys: Keys, django_assert_max_num_queries: Callable[[int], Any], pause: str
) -> None:
    """A pause of another account adds no query to a poll."""
    for _ in range(2):
        enqueue()
    lifecycle.submit()
    skip_time(2)
    with django_assert_max_num_queries(60) as without:
        lifecycle.poll(limit=1)
    pause_account("another", "HTTP 401")
    skip_time(2)
    with django_assert_max_num_queries(len(without)):
        lifecycle.poll(limit=1)
