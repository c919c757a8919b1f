"""Synchronous calls: they follow their account's pauses and slots, and have a tag."""

import threading
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from django_docraptor import lifecycle
from django_docraptor.account_settings import hash_key
from django_docraptor.exceptions import (
    AccountBusyError,
    AccountPausedError,
    CallError,
    RejectedError,
    Sent,
    UnauthorizedError,
)
from django_docraptor.hosted import render_hosted_now
from django_docraptor.lifecycle import synchronous
from django_docraptor.lifecycle.synchronous import create_now
from django_docraptor.models import Account, Pause, SynchronousCall
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import render_now
from django_docraptor.states import State
from tests.support.jobs import (
    HTML,
    WorkerKilled,
    current_state,
    enqueue,
    pause_account,
    paused_accounts,
    skip_time,
)
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

OVER_LIMIT = "Over document limit. Please upgrade your account."
REQUEST = DocumentRequest(name="hello.pdf", content=HTML)
Call = Callable[..., Any]


def call_render_now(**options: Any) -> object:
    """Render a document without a job."""
    return render_now(BytesIO(), name="hello.pdf", content=HTML, **options)


def call_render_hosted_now(**options: Any) -> object:
    """Host a document without a job."""
    return render_hosted_now(name="hello.pdf", content=HTML, **options)


@pytest.fixture(params=[call_render_now, call_render_hosted_now])
def call(request: Any) -> Call:
    """Each function that makes a synchronous call."""
    function: Call = request.param
    return function


@pytest.fixture
def one_slot(sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """An account with one slot, for which no call waits."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    monkeypatch.setattr(synchronous, "MAX_WAIT_SECONDS", 0.0)
    return sandbox


# --- pauses ----------------------------------------------------------------------------------


@pytest.mark.fault("S12")
@pytest.mark.parametrize("creates_only", [True, False])
def test_paused_account_makes_no_call(sandbox: Sandbox, call: Call, creates_only: bool) -> None:
    """A call is refused at once: the error names the account, the reason and the time."""
    pause_account("default", OVER_LIMIT, creates_only=creates_only)
    with pytest.raises(AccountPausedError) as caught:
        call()
    error, until = caught.value, Pause.objects.get().paused_until
    assert (error.account, error.reason, error.paused_until) == ("default", OVER_LIMIT, until)
    assert (error.sent, error.retryable) == (Sent.NO, True)
    assert error.retry_after == pytest.approx(600, abs=60)
    for part in ("'default'", OVER_LIMIT, f"{until:%Y-%m-%d %H:%M:%S} UTC", "docraptor_resume"):
        assert part in str(error)
    assert sandbox.calls == []
    assert not SynchronousCall.objects.exists()


def test_pauses_of_others_do_not_matter(sandbox: Sandbox, call: Call) -> None:
    """Another account, another key, and a pause that is over do not stop a call."""
    pause_account("other", OVER_LIMIT)
    Pause.begin("default", "another key", seconds=600, reason="HTTP 401")
    pause_account("default", OVER_LIMIT, seconds=-1)
    call()
    assert len(sandbox.ledger.accepted()) == 1


def test_open_circuit_makes_no_call(sandbox: Sandbox, call: Call) -> None:
    """While DocRaptor fails again and again, a call is refused at once, too."""
    until = timezone.now() + timedelta(minutes=5)
    Account.objects.create(
        name="default", failures=9, circuit_open_until=until, pause_reason="HTTP 503"
    )
    with pytest.raises(AccountPausedError, match="HTTP 503"):
        call()
    assert sandbox.calls == []


@pytest.mark.fault("S12")
def test_rejected_key_pauses_it(sandbox: Sandbox, call: Call) -> None:
    """After a 401, the key makes no calls, as after that of a job: the next one is refused."""
    sandbox.change_settings(api_key="right")
    with pytest.raises(UnauthorizedError):
        call()
    pause = Pause.objects.get()
    assert (pause.key_hash, pause.creates_only) == (hash_key("tests-key"), False)
    with pytest.raises(AccountPausedError):
        call()
    assert len(sandbox.calls) == 1


@pytest.mark.fault("S27")
def test_refused_account_is_paused(sandbox: Sandbox, call: Call) -> None:
    """An account over its limit creates nothing for a while: waiting jobs say why."""
    job = enqueue()
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, reason=OVER_LIMIT))
    with pytest.raises(RejectedError):
        call()
    assert Pause.objects.get().creates_only
    lifecycle.submit()
    job.refresh_from_db()
    assert job.state == State.PENDING
    assert OVER_LIMIT in job.errors
    assert len(sandbox.calls) == 1


def test_verdict_on_a_document_pauses_nothing(sandbox: Sandbox, call: Call) -> None:
    """A document that is refused says nothing about the account, and gives its slot back."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422))
    with pytest.raises(RejectedError):
        call()
    assert paused_accounts() == []
    assert not SynchronousCall.objects.exists()


# --- slots -----------------------------------------------------------------------------------


@pytest.mark.fault("S17")
def test_call_is_refused_while_jobs_occupy_all_slots(one_slot: Sandbox, call: Call) -> None:
    """No call is made beyond MAX_IN_FLIGHT; the next one may be."""
    job = enqueue()
    lifecycle.submit()
    with pytest.raises(AccountBusyError, match="MAX_IN_FLIGHT"):
        call()
    assert len(one_slot.ledger.accepted()) == 1
    assert not SynchronousCall.objects.exists()
    job.delete()
    call()


@pytest.mark.fault("S17")
def test_no_job_is_submitted_during_a_call(one_slot: Sandbox) -> None:
    """A call occupies a slot for the engine, too; its end frees it."""
    job = enqueue()

    def create(client: object, request: DocumentRequest) -> str:
        lifecycle.submit()
        return current_state(job)

    assert create_now("default", REQUEST, create) == State.PENDING
    lifecycle.submit()
    assert current_state(job) == State.QUEUED


@pytest.mark.fault("S17")
def test_calls_take_their_turns(one_slot: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of calls that begin together, each waits for its slot; none is lost."""
    monkeypatch.setattr(synchronous, "MAX_WAIT_SECONDS", 60.0)
    monkeypatch.setattr(synchronous, "POLL_SECONDS", 0.02)
    inside: list[DocumentRequest] = []
    at_once: list[int] = []
    meeting = threading.Event()

    def create(client: object, request: DocumentRequest) -> bool:
        inside.append(request)
        at_once.append(len(inside))
        if len(inside) > 1:
            meeting.set()
        meeting.wait(0.3)  # gives another call the time to break the rule
        inside.remove(request)
        return True

    assert run_in_threads(3, lambda: create_now("default", REQUEST, create)) == [True] * 3
    assert at_once == [1, 1, 1]


@pytest.mark.fault("S17")
def test_killed_process_gives_its_slot_back(
    one_slot: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot of a killed process is occupied until its lease ends, and no longer."""

    def kill(client: object, request: DocumentRequest) -> None:
        raise WorkerKilled

    with monkeypatch.context() as patch:  # a killed process gives nothing back
        patch.setattr(SynchronousCall, "end", lambda key, **options: None)
        with pytest.raises(WorkerKilled):
            create_now("default", REQUEST, kill)
    job = enqueue()
    skip_time(3)
    lifecycle.submit()
    assert current_state(job) == State.PENDING
    skip_time(60)
    lifecycle.submit()
    assert current_state(job) == State.QUEUED
    job.delete()
    call_render_now()
    assert not SynchronousCall.objects.exists()


def test_lease_is_longer_than_a_call(sandbox: Sandbox, settings: Any) -> None:
    """A call that takes as long as its timeouts allow keeps its slot until its end."""
    timeout = {"connect": 100, "total": 1000}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TIMEOUT": timeout}

    def create(client: object, request: DocumentRequest) -> bool:
        skip_time(1100)
        return SynchronousCall.objects.active().exists()

    assert create_now("default", REQUEST, create)


def test_unknown_outcome_occupies_its_slot(one_slot: Sandbox, call: Call) -> None:
    """After a lost response DocRaptor may still be rendering, for its 60 seconds."""
    one_slot.add_fault(Fault(on="create", action="close", accept=True, times=1))
    with pytest.raises(CallError) as caught:
        call()
    assert caught.value.sent == Sent.MAYBE
    with pytest.raises(AccountBusyError):
        call()
    skip_time(61)
    call()
    assert not SynchronousCall.objects.exists()


def test_document_is_not_lost_with_the_database(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A slot that cannot be given back is logged, and the document is returned."""

    def fail(key: int, **options: Any) -> None:
        raise OperationalError("gone away")

    monkeypatch.setattr(SynchronousCall, "end", fail)
    target = BytesIO()
    render_now(target, name="hello.pdf", content=HTML)
    assert target.getvalue().startswith(b"%PDF-")
    assert "slot" in caplog.text


# --- in a transaction ------------------------------------------------------------------------


@pytest.mark.fault("S17")
def test_call_in_a_transaction_is_made_only_if_a_slot_is_free(
    one_slot: Sandbox, call: Call
) -> None:
    """In a transaction, a call does not wait, and writes nothing that would lock others out."""
    job = enqueue()
    lifecycle.submit()
    with transaction.atomic(), pytest.raises(AccountBusyError):
        call()
    job.delete()
    Account.objects.all().delete()
    with transaction.atomic():
        call()
        assert not Account.objects.exists()
        assert not SynchronousCall.objects.exists()
    assert len(one_slot.ledger.accepted()) == 2


@pytest.mark.fault("S12")
def test_call_in_a_transaction_follows_pauses(sandbox: Sandbox, call: Call) -> None:
    """In a transaction, a paused account makes no call either."""
    pause_account("default", OVER_LIMIT)
    with transaction.atomic(), pytest.raises(AccountPausedError):
        call()
    assert sandbox.calls == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no locks of rows")
def test_call_in_a_transaction_does_not_stop_the_engine(sandbox: Sandbox) -> None:
    """While a call is made in a transaction, other processes submit jobs of the account."""
    job = enqueue()

    def create(client: object, request: DocumentRequest) -> str:
        run_in_threads(1, lifecycle.submit)
        return current_state(job)

    with transaction.atomic():
        create_now("default", REQUEST, create)
    assert current_state(job) == State.QUEUED


# --- the tag ---------------------------------------------------------------------------------


def test_call_has_a_tag_of_its_own(sandbox: Sandbox, settings: Any, call: Call) -> None:
    """DocRaptor's log lists the call by its own tag, before that of the project."""
    call()
    defaults = {"DEFAULTS": {"tag": "from settings"}}
    settings.DOCRAPTOR = settings.DOCRAPTOR | defaults
    call()
    call(options={"tag": "mine"})
    tags = [entry.tag.split(" ", 1) for entry in sandbox.ledger.accepted()]
    assert [rest for _own, *rest in tags] == [[], ["from settings"], ["mine"]]
    owns = {own for own, *_rest in tags}
    assert len(owns) == 3
    assert all(len(own) == len("now:") + 16 and own.startswith("now:") for own in owns)


def test_lost_response_names_the_tag(
    sandbox: Sandbox, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """The error and the log name the tag by which the document can be found."""
    sandbox.add_fault(Fault(on="create", action="close", accept=True))
    with pytest.raises(CallError) as caught:
        call(options={"tag": "mine"})
    (entry,) = sandbox.ledger.accepted()
    assert entry.tag == f"{caught.value.tag} mine"
    assert caught.value.tag in caplog.text
