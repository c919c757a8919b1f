"""Claims that lapse: no call outlives its claim, and no job kills workers for ever."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from django_docraptor import lifecycle, shortcuts
from django_docraptor.client import Client, Timeouts
from django_docraptor.client.parsing import RemoteStatus
from django_docraptor.health import health_problems
from django_docraptor.lifecycle import clients
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.signals import document_completed
from django_docraptor.states import ACTIVE_STATES, LEASE_SECONDS, EventKind, State
from tests.support import socket_server as at
from tests.support.crash import run_until_killed
from tests.support.jobs import (
    WorkerKilled,
    create_job,
    current_state,
    downloadable_job,
    enqueue,
    run_until_finished,
    skip_time,
)
from tests.support.socket_server import SocketServer
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

DRIPPING = at.drip(b"HTTP/1.1 200 OK\r\nX: ", every=0.05)


def killing(real: Callable[..., Any], is_deadly: Callable[..., bool], kills: list[int]) -> Any:
    """Return a function that kills its worker in some calls, and counts the kills."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if is_deadly(*args):
            kills.append(1)
            raise WorkerKilled
        return real(*args, **kwargs)

    return call


def run_while_killed(rounds: int, step: Callable[[], Any] = lifecycle.run_once) -> None:
    """Run the engine again and again, each time after the lease of a killed worker."""
    for _ in range(rounds):
        with suppress(WorkerKilled):
            step()
        skip_time(1000)


def unconfirmed_job(sandbox: Sandbox) -> RenderJob:
    """Return a production job that DocRaptor accepted, but whose response was lost."""
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=1))
    job = enqueue(test=False)
    lifecycle.submit()
    skip_time(20)
    return job


def queued_job(sandbox: Sandbox) -> RenderJob:
    """Return a production job that is due for its first poll."""
    job = enqueue(test=False)
    lifecycle.submit()
    skip_time(20)
    return job


STEPS = {
    "poll": (queued_job, Client, "get_status", "asking DocRaptor for its status"),
    "reconcile": (unconfirmed_job, Client, "list_doc_logs", "looking for it in DocRaptor's log"),
    "store": (
        lambda sandbox: downloadable_job(test=False),
        FileSystemStorage,
        "save",
        "downloading or storing its file",
    ),
}


@pytest.mark.fault("C9")
@pytest.mark.parametrize("step", STEPS)
def test_step_that_kills_its_workers_fails_after_five(
    sandbox: Sandbox, documents_dir, monkeypatch, step: str
) -> None:
    """The job fails and says why; a retry goes on where it was, and is not billed."""
    make, owner, name, activity = STEPS[step]
    job = make(sandbox)
    kills: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killing(getattr(owner, name), lambda *args: True, kills))
        run_while_killed(8)
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "killed_its_worker")
    assert f"5 workers in a row died or hung while {activity}" in job.errors
    assert len(kills) == 5
    assert job.may_have_been_billed
    assert job.events.filter(kind=EventKind.FAILED).count() == 1
    if step != "reconcile":  # DocRaptor's status ID is known
        assert shortcuts.retry(job)
        assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("C9")
def test_storage_that_kills_its_worker_is_given_up(
    sandbox: Sandbox, documents_dir, settings
) -> None:
    """The same with processes that are really killed while they save the file."""
    job = downloadable_job(test=False)
    for _ in range(5):
        run_until_killed("before_save", settings)
        skip_time(1000)
    lifecycle.run_once()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "killed_its_worker")
    assert sandbox.ledger.download_calls == 1


@pytest.mark.fault("C9")
def test_killer_is_polled_alone_and_costs_no_other_job(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """A batch with one killer is claimed once; its other jobs are completed by the next workers."""
    jobs = [enqueue() for _ in range(8)]
    lifecycle.submit()
    deadly, *others = RenderJob.objects.order_by("created_at")
    kills: list[int] = []
    is_deadly = lambda _client, status_id: status_id == deadly.status_id  # noqa: E731
    get_status = killing(Client.get_status, is_deadly, kills)
    monkeypatch.setattr(Client, "get_status", get_status)
    skip_time(20)
    run_while_killed(30)
    assert [run_until_finished(job).state for job in others] == [State.COMPLETED] * 7
    assert len(jobs) == 8
    deadly.refresh_from_db()
    assert (deadly.state, deadly.error_code) == (State.FAILED, "killed_its_worker")
    assert len(kills) == 5


def test_job_that_lapsed_is_claimed_alone() -> None:
    """A job that may have killed its worker is never in one batch with others."""
    lapsed = [create_job(State.QUEUED, due_at=Now(), lease_token=f"t{n}") for n in (1, 2)]
    fresh = [create_job(State.QUEUED, due_at=Now()) for _ in range(3)]
    batches = [{job.pk for job in claim([State.QUEUED], limit=10, lease=60)} for _ in range(4)]
    assert {frozenset(batch) for batch in batches} == {
        frozenset(job.pk for job in fresh),
        frozenset({lapsed[0].pk}),
        frozenset({lapsed[1].pk}),
        frozenset(),
    }
    counts = dict(RenderJob.objects.values_list("pk", "lapsed_claims"))
    assert [counts[job.pk] for job in (*lapsed, *fresh)] == [1, 1, 0, 0, 0]


def test_lapses_are_forgotten_when_a_step_ends(
    sandbox: Sandbox, documents_dir, settings, monkeypatch
) -> None:
    """Deploys and stalls that hit a job now and then, or in different steps, do not fail it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEADLINE": 100_000}
    job = queued_job(sandbox)
    real, kills = Client.get_status, []

    def working(client: Client, status_id: str) -> RemoteStatus:
        return RemoteStatus(status="working")

    deadly = killing(real, lambda *args: True, kills)
    for answer in (deadly, deadly, deadly, deadly, working) * 2:
        monkeypatch.setattr(Client, "get_status", answer)
        run_while_killed(1, lifecycle.poll)
    assert len(kills) == 8
    assert current_state(job) == State.WORKING
    monkeypatch.setattr(Client, "get_status", real)
    assert run_until_finished(job).state == State.COMPLETED


def test_killed_rendering_starts_anew(sandbox: Sandbox, documents_dir) -> None:
    """Nothing of an earlier attempt is resumed if the next one was never sent."""
    job = create_job(State.PENDING, due_at=Now(), status_id="old", lease_token="t", lapsed_claims=4)
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "killed_its_worker")
    assert job.resume_state is None
    assert shortcuts.retry(job)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("C9")
def test_receiver_that_kills_its_workers_is_given_up(sandbox: Sandbox, documents_dir) -> None:
    """The signal is sent by five workers at most; the job's history says so."""
    kills: list[int] = []

    def receiver(job: RenderJob, **kwargs: Any) -> None:
        kills.append(1)
        raise WorkerKilled

    job = downloadable_job()
    document_completed.connect(receiver)
    try:
        with suppress(WorkerKilled):
            lifecycle.download()
        run_while_killed(1)  # the lease of the first worker ends
        run_while_killed(8)
    finally:
        document_completed.disconnect(receiver)
    job.refresh_from_db()
    assert job.state == State.COMPLETED
    assert len(kills) == 5
    [event] = job.events.filter(kind=EventKind.STEP_FAILED)
    assert "5 workers in a row died or hung while the receivers" in event.message
    assert not job.events.exclude(signal_due_at=None).exists()
    told = f"receivers of completed of job {job.pk}, after 5 workers died or hung"
    assert any(told in problem for problem in health_problems())


# Leases.


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
@pytest.mark.parametrize("timeout", [{}, {"total": 900}, {"connect": 300, "status_read": 400}])
def test_lease_is_longer_than_any_call(settings, state: State, timeout: dict[str, float]) -> None:
    """Whatever the timeouts are, a claim covers the slowest call that is made under it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TIMEOUT": timeout}
    timeouts = Timeouts(**timeout)
    call = timeouts.total
    if state in (State.QUEUED, State.WORKING, State.UNCONFIRMED):
        call = timeouts.status_total
    assert lease_for(state) >= LEASE_SECONDS[state]
    if state != State.PENDING:  # nothing is called
        assert lease_for(state) >= timeouts.connect + call + 30


@pytest.mark.fault("C10")
def test_slow_download_is_not_repeated_while_it_runs(
    sandbox: Sandbox, documents_dir, settings, monkeypatch
) -> None:
    """With a total above the usual lease, a second worker does not download the file, too."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TIMEOUT": {"total": 600}}
    sandbox.change_settings(download_limit=1)
    job = downloadable_job(test=False)
    download = Client.download

    def slowly(*args: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Client, "download", download)
            skip_time(590)
            run_in_threads(1, lifecycle.download)
        return download(*args)

    monkeypatch.setattr(Client, "download", slowly)
    lifecycle.download()
    assert current_state(job) == State.COMPLETED
    assert sandbox.ledger.download_calls == 1


@pytest.mark.fault("C10")
def test_dripping_status_does_not_delay_the_others(
    sandbox: Sandbox, documents_dir, settings, monkeypatch
) -> None:
    """Two engines finish the other jobs at once, and the dripping call ends at its limit."""
    jobs = [enqueue(name=name) for name in ("slow", "a", "b", "c", "d", "e")]
    lifecycle.submit()
    slow, *others = (RenderJob.objects.get(pk=job.pk) for job in jobs)
    timeouts = Timeouts(connect=0.5, status_read=2)
    saved_at: list[float] = []
    get_status = Client.get_status

    with SocketServer(DRIPPING) as server:
        dripping = Client(api_key="key", base_url=server.url, timeouts=timeouts)

        def ask(client: Client, status_id: str) -> RemoteStatus:
            return get_status(dripping if status_id == slow.status_id else client, status_id)

        monkeypatch.setattr(Client, "get_status", ask)
        skip_time(20)
        started = time.monotonic()
        watch = threading.Thread(target=_note_when_saved, args=(others, saved_at, started))
        watch.start()
        run_in_threads(2, lifecycle.poll)
        seconds = time.monotonic() - started
        watch.join()
    assert saved_at
    assert saved_at[0] < 4  # the call that drips takes 4.5
    assert seconds < 30
    assert current_state(slow) == State.QUEUED
    [event] = RenderJob.objects.get(pk=slow.pk).events.filter(kind=EventKind.STEP_FAILED)
    assert "within 4.5 seconds" in event.message
    monkeypatch.setattr(Client, "get_status", get_status)
    assert [run_until_finished(job).state for job in (slow, *others)] == [State.COMPLETED] * 6


def _note_when_saved(jobs: list[RenderJob], saved_at: list[float], started: float) -> None:
    """Note the seconds until no job is queued, for at most half a minute."""
    from django.db import connections

    keys = [job.pk for job in jobs]
    while time.monotonic() - started < 30:
        if not RenderJob.objects.filter(pk__in=keys, state=State.QUEUED).exists():
            saved_at.append(time.monotonic() - started)
            break
        time.sleep(0.05)
    connections.close_all()


def test_call_that_cannot_begin_in_time_is_released(
    sandbox: Sandbox, documents_dir, monkeypatch
) -> None:
    """A status call that finds no free thread is left to another worker, and counts for nothing."""
    jobs = [enqueue() for _ in range(2)]
    lifecycle.submit()
    skip_time(20)
    monkeypatch.setattr(clients, "BEGIN_SECONDS", -1)
    lifecycle.poll()
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.lease_token, job.failures) == (State.QUEUED, "", 0)
        assert not job.events.filter(kind=EventKind.STEP_FAILED).exists()
    monkeypatch.undo()
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 2
