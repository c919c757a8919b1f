"""The state machine under random interleavings of two workers, crashes, faults and elapsed time.

A worker is a generator over the engine's own functions; it can be left standing between any two of
them (a stall), or dropped (a crash). The sandbox's ledger and the stored bytes are the reference.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from django_docraptor import lifecycle, shortcuts, spool
from django_docraptor.exceptions import CallError, DocRaptorError
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.lifecycle.clients import client_for, open_client
from django_docraptor.lifecycle.downloading import claim_next_download, download_and_store
from django_docraptor.lifecycle.polling import handle_status, handle_status_error
from django_docraptor.lifecycle.reconciliation import reconcile_account
from django_docraptor.lifecycle.submission import (
    claim_for_slots,
    handle_create_error,
    prepare_batch,
)
from django_docraptor.lifecycle.transitions import mark_accepted
from django_docraptor.models import Account, RenderEvent, RenderJob, seconds_from_now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import (
    ACTIVE_STATES,
    FINAL_STATES,
    LEASE_SECONDS,
    POLLED_STATES,
    EventKind,
    State,
)
from tests.support.jobs import enqueue, read_file, run_until_finished, skip_time

pytestmark = pytest.mark.django_db(transaction=True)

FAULTS = [
    Fault(on="create", action="reset", accept=True, times=1),
    Fault(on="create", action="reset", accept=False, times=1),
    Fault(on="create", action="status", status_code=502, accept=True, times=1),
    Fault(on="create", action="status", status_code=403, times=1),
    Fault(on="create", action="status", status_code=422, times=1),
    Fault(on="create", action="cut", mode="close", times=1),
    Fault(on="render", action="fail", times=1),
    Fault(on="status", action="status", status_code=500, times=1),
    Fault(on="status", action="unknown_state", state="paused", times=1),
    Fault(on="download", action="cut", mode="close", times=1),
    Fault(on="download", action="html", times=1),
    Fault(on="download", action="status", status_code=503, times=1),
    Fault(on="logs", action="status", status_code=500, times=1),
    Fault(on="logs", action="omit", times=1),
]
# Events that allow one more create call: proof that none was accepted, or a person's decision.
ALLOWS_ANOTHER = (EventKind.NEVER_ACCEPTED, EventKind.RETRIED)


def submitting() -> Iterator[None]:
    """A worker that submits, stopping wherever it could die."""
    admission = claim_for_slots("default", 3)
    yield
    for item in prepare_batch(admission.jobs)[0]:
        yield
        try:
            answer = item.send_create(open_client("default"))
        except DocRaptorError as error:
            yield
            handle_create_error(item.job, error)
        else:
            yield
            mark_accepted(item.job, answer)


def polling() -> Iterator[None]:
    """A worker that polls."""
    for job in claim(POLLED_STATES, limit=3, lease=LEASE_SECONDS[State.QUEUED]):
        yield
        try:
            answer = client_for(job.account).get_status(job.status_id)
        except DocRaptorError as error:
            yield
            handle_status_error(job, error)
        else:
            yield
            handle_status(job, answer)


def polling_and_collecting() -> Iterator[None]:
    """A worker that polls one job and, if it is finished, fetches it under the same claim."""
    for job in claim(POLLED_STATES, limit=1, lease=LEASE_SECONDS[State.QUEUED]):
        yield
        try:
            answer = client_for(job.account).get_status(job.status_id)
        except DocRaptorError as error:
            handle_status_error(job, error)
            continue
        yield
        handle_status(job, answer, keep_claim=True)
        yield
        if job.state == State.DOWNLOADING:
            download_and_store(job)


def collecting() -> Iterator[None]:
    """A worker that fetches and stores; its inner crash points are in test_crashes."""
    while taken := claim_next_download():
        job, may_have_file = taken
        yield
        download_and_store(job, may_have_file=may_have_file)
        yield


def reconciling() -> Iterator[None]:
    """A worker that looks unconfirmed attempts up."""
    jobs = claim([State.UNCONFIRMED], limit=3, lease=LEASE_SECONDS[State.UNCONFIRMED])
    yield
    if jobs:
        reconcile_account(jobs, open_client("default"))


PROGRAMS = [submitting, submitting, polling, polling_and_collecting, collecting, reconciling]


class JobMachine(RuleBasedStateMachine):
    """Everything that can happen to jobs, in any order."""

    sandbox: Sandbox
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.reset()
        RenderJob.objects.all().delete()
        Account.objects.all().delete()
        self.workers: dict[int, Iterator[None]] = {}

    @rule(target=jobs, test=st.booleans(), count=st.integers(1, 2), hosted=st.booleans())
    def enqueue(self, test: bool, count: int, hosted: bool):
        made = [
            enqueue(test=test, content=f"<p>{number}</p>", hosted=hosted) for number in range(count)
        ]
        return multiple(*(job.pk for job in made))

    @rule(
        worker=st.integers(1, 2),
        program=st.sampled_from(PROGRAMS),
    )
    def start(self, worker: int, program) -> None:
        """A worker drops what it did (a crash) and starts something else."""
        self.workers[worker] = program()

    @rule(worker=st.integers(1, 2), steps=st.integers(1, 6))
    def step(self, worker: int, steps: int) -> None:
        """A worker goes on, perhaps after another one has claimed its jobs."""
        for _ in range(steps):
            if worker in self.workers and next(self.workers[worker], "done") == "done":
                del self.workers[worker]

    @rule()
    def tick(self) -> None:
        lifecycle.run_once()

    @rule(job=jobs, back=st.integers(-1, 2))
    def call_back(self, job, back: int) -> None:
        """Send a callback for the current attempt, an old one or an unknown one, maybe twice."""
        attempt = RenderJob.objects.values_list("attempt", flat=True).get(pk=job)
        lifecycle.record_callback(job, max(1, attempt - back))

    @rule(job=jobs)
    def cancel(self, job) -> None:
        shortcuts.cancel(RenderJob.objects.get(pk=job))

    @rule(job=jobs)
    def retry(self, job) -> None:
        job = RenderJob.objects.get(pk=job)
        if job.state == State.FAILED:
            assert shortcuts.retry(job)

    @rule(job=jobs)
    def expire(self, job) -> None:
        """End what is public; a call that fails leaves it public."""
        with suppress(CallError):
            shortcuts.expire(RenderJob.objects.get(pk=job))

    @rule(seconds=st.sampled_from([1, 15, 130, 250, 700, 1400]))
    def time_passes(self, seconds: int) -> None:
        skip_time(seconds)

    @rule(fault=st.sampled_from(FAULTS))
    def something_breaks(self, fault: Fault) -> None:
        self.sandbox.add_fault(fault)

    @invariant()
    def final_iff_not_due(self) -> None:
        for job in RenderJob.objects.all():
            assert (job.state in FINAL_STATES) == (job.due_at is None)

    @invariant()
    def completed_means_a_verified_file(self) -> None:
        private = RenderJob.objects.filter(state=State.COMPLETED, hosted=False)
        for job in private.select_related("input"):
            data = read_file(job)
            assert hashlib.sha256(data).hexdigest() == job.sha256
            assert hashlib.sha256(job.input.content.encode()).hexdigest().encode() in data

    @invariant()
    def completed_and_hosted_means_public_or_ended(self) -> None:
        for job in RenderJob.objects.filter(hosted=True):
            is_there = job.state == State.COMPLETED and job.expired_at is None
            assert bool(job.public_url) == is_there
            assert not job.file
        hosted = [entry for entry in self.sandbox.ledger.accepted() if entry.hosted]
        assert not any(entry.downloads for entry in hosted)

    @invariant()
    def never_billed_twice_by_itself(self) -> None:
        for job in RenderJob.objects.all():
            allowed = 1 + job.events.filter(kind__in=ALLOWS_ANOTHER).count()
            assert len(self.sandbox.ledger.accepted(f"{job.pk.hex}:")) <= allowed

    @invariant()
    def the_history_tells_the_state(self) -> None:
        for job in RenderJob.objects.all():
            state = ""
            for event in job.events.all():
                assert event.from_state in (state, ""), f"{event} starts from {event.from_state}"
                state = event.to_state
            assert state == job.state

    def teardown(self) -> None:
        """Every job finishes when the engine goes on without faults."""
        self.sandbox.clear_faults()
        for _ in range(60):
            if not RenderJob.objects.active().exists():
                break
            skip_time(130)
            Account.objects.update(circuit_open_until=None)
            lifecycle.run_once()
        assert not RenderJob.objects.active().exists()
        self.never_billed_twice_by_itself()
        self.completed_means_a_verified_file()
        self.the_history_tells_the_state()


@pytest.mark.fault("X1")
@pytest.mark.once
def test_invariants_hold_in_any_interleaving(sandbox: Sandbox, documents_dir: Path) -> None:
    """No order of events breaks an invariant."""
    JobMachine.sandbox = sandbox
    run_state_machine_as_test(
        JobMachine,
        settings=settings(
            max_examples=int(os.environ.get("LIFE_EXAMPLES", "25")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def run_worker(program: Callable[[], Iterator[None]], job: RenderJob) -> State:
    """Run one worker to its end, a little later, and return the job's state."""
    skip_time(20)
    for _ in program():
        pass
    job.refresh_from_db()
    return State(job.state)


def test_every_worker_does_its_step(sandbox: Sandbox, documents_dir: Path) -> None:
    """The random orders prove nothing about a worker that fails at its first call."""
    first, second = enqueue(test=True), enqueue(test=True)
    sandbox.add_fault(Fault(on="create", action="reset", accept=True, times=2))
    assert run_worker(submitting, first) == State.UNCONFIRMED
    assert run_worker(reconciling, first) == State.QUEUED
    second.refresh_from_db()
    assert second.state == State.QUEUED
    RenderJob.objects.filter(pk=second.pk).update(due_at=seconds_from_now(3600))
    assert run_worker(polling_and_collecting, first) == State.COMPLETED
    skip_time(3600)
    assert run_worker(polling, second) == State.DOWNLOADING
    assert run_worker(collecting, second) == State.COMPLETED


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_every_state_has_a_timed_exit(sandbox: Sandbox, documents_dir: Path, state: State) -> None:
    """A job left in any unfinished state by a dead worker reaches a final state."""
    job = enqueue(test=True)
    RenderJob.objects.filter(pk=job.pk).update(
        state=state,
        attempt=1,
        lease_token="dead",
        status_id="gone",
        download_id="gone",
        sent_at="2020-01-01T00:00Z",
        deadline_at="2020-01-01T00:00Z",
        due_at="2020-01-01T00:00Z",
    )
    assert run_until_finished(job, rounds=60).state in FINAL_STATES


def test_retry_keeps_earlier_events(sandbox: Sandbox, documents_dir: Path) -> None:
    """A retry deletes no event and changes none."""
    sandbox.add_fault(Fault(on="render", action="fail", times=1))
    job = run_until_finished(enqueue())
    before = list(job.events.values_list("pk", "kind", "message"))
    shortcuts.retry(job)
    job = run_until_finished(job)
    assert list(job.events.values_list("pk", "kind", "message"))[: len(before)] == before
    assert job.state == State.COMPLETED
    assert spool.get_directory().exists()
    assert RenderEvent.objects.filter(job=job, kind=EventKind.RETRIED).count() == 1
