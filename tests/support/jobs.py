"""Jobs for tests: create them in any state, simulate elapsed time, run the engine, read results."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.models import F

from django_docraptor import lifecycle, shortcuts
from django_docraptor.models import (
    ANY_KEY,
    Account,
    Pause,
    RenderEvent,
    RenderJob,
    SynchronousCall,
    seconds_from_now,
)
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import FINAL_STATES, EventKind, State
from tests.support.processes import wait_until

HTML = "<h1>Hello</h1>"
# Sandboxes, and servers like them, whose clocks follow the simulated time: their `clock_offset`.
sandbox_offsets: dict[Any, float] = {}
# A fixture that makes a job.
MakeJob = Callable[[], RenderJob]


class WorkerKilled(BaseException):
    """Simulates the death of a worker. Not an `Exception`, so nothing catches it."""


def enqueue(**options: Any) -> RenderJob:
    """Return a job for a small document."""
    job = shortcuts.enqueue(**{"name": "hello.pdf", "content": HTML, **options})
    job.refresh_from_db()
    return job


def skip_time(seconds: float) -> None:
    """Simulate that `seconds` have passed: for jobs, accounts, signals and the sandbox."""
    past = timedelta(seconds=seconds)
    RenderJob.objects.active().update(due_at=F("due_at") - past, **_earlier(past))
    RenderJob.objects.update(sent_at=F("sent_at") - past, submitted_at=F("submitted_at") - past)
    Account.objects.update(probed_at=F("probed_at") - past)
    Pause.objects.update(paused_until=F("paused_until") - past)
    RenderEvent.objects.update(signal_due_at=F("signal_due_at") - past)
    SynchronousCall.objects.update(ends_at=F("ends_at") - past)
    advance_sandboxes(seconds)


def advance_sandboxes(seconds: float) -> None:
    """Simulate that `seconds` have passed at the sandbox: what it has listed so far gets older."""
    wait_for_renders()
    for sandbox in sandbox_offsets:
        sandbox_offsets[sandbox] += seconds
        sandbox.change_settings(clock_offset=sandbox_offsets[sandbox])


def wait_for_renders() -> None:
    """Wait until the sandboxes have rendered what they render without delay, as slow as it is."""
    for sandbox in sandbox_offsets:
        if isinstance(sandbox, Sandbox):
            queue = sandbox._application.render_queue
            wait_until("the sandbox has rendered", lambda queue=queue: not queue.is_busy, 60, 0.001)


def let_time_pass(job: RenderJob, *, hours: float) -> None:
    """Simulate that hours have passed for an unfinished job, for all attempts and the sandbox."""
    past = timedelta(hours=hours)
    RenderJob.objects.filter(pk=job.pk).active().update(due_at=F("due_at") - past, **_earlier(past))
    RenderJob.objects.update(sent_at=F("sent_at") - past, submitted_at=F("submitted_at") - past)
    Account.objects.update(probed_at=F("probed_at") - past)
    advance_sandboxes(past.total_seconds())


def run_until_given_up(job: RenderJob) -> RenderJob:
    """Run the engine every 80 hours, which is longer than RETRY_FOR, until it fails the job."""
    job = run_until_finished(job, hours=80)
    assert job.state == State.FAILED, job.state
    return job


def _earlier(past: timedelta) -> dict[str, Any]:
    """Return the times that belong to what an unfinished job is doing, moved into the past."""
    columns = ("deadline_at", "failing_since", "refused_since")
    return {column: F(column) - past for column in columns}


def run_until_finished(
    job: RenderJob,
    *,
    until: Callable[[RenderJob], bool] | None = None,
    rounds: int = 40,
    hours: float = 1 / 30,
) -> RenderJob:
    """Run the engine without waiting until the job is finished, or until ``until`` is true.

    Args:
        rounds: give up after this many.
        hours: between two rounds; by default two minutes.
    """
    for _ in range(rounds):
        lifecycle.run_once()
        job = RenderJob.objects.get(pk=job.pk)
        if (until or (lambda job: job.state in FINAL_STATES))(job):
            return job
        _make_due(job, hours)
    raise AssertionError(f"still {job.state} after {rounds} rounds: {job.errors}")


def downloadable_job(**options: Any) -> RenderJob:
    """Return a job whose document is rendered but not downloaded."""
    job = enqueue(**options)
    for _ in range(20):
        lifecycle.submit()
        skip_time(2)
        lifecycle.poll()
        job.refresh_from_db()
        if job.state == State.DOWNLOADING:
            return job
    raise AssertionError(job.state)


def _make_due(job: RenderJob, hours: float) -> None:
    """Make the job due, end all pauses, and let time pass."""
    let_time_pass(job, hours=hours)
    RenderJob.objects.filter(pk=job.pk).active().update(due_at=F("due_at") - timedelta(days=1))
    Account.objects.update(circuit_open_until=None)
    Pause.objects.update(paused_until=seconds_from_now(-1))


def pause_account(name: str, reason: str, seconds: float = 600, **options: bool) -> None:
    """Pause an account, whatever its key is."""
    Account.objects.get_or_create(pk=name)
    Pause.begin(name, ANY_KEY, seconds=seconds, reason=reason, **options)


def paused_accounts() -> list[str]:
    """Return the names of the accounts with a paused key."""
    return sorted(set(Pause.objects.active().values_list("account", flat=True)))


def current_state(job: RenderJob) -> str:
    """Return the state in the database."""
    return RenderJob.objects.values_list("state", flat=True).get(pk=job.pk)


def event_kinds(job: RenderJob) -> list[str]:
    """Return the kinds of the job's events, in order."""
    return list(job.events.values_list("kind", flat=True))


def read_file(job: RenderJob) -> bytes:
    """Return the content of the stored file."""
    with job.file.open("rb") as file:
        return bytes(file.read())


def create_job(state: State, **columns: Any) -> RenderJob:
    """Return a job in the given state, as an earlier process may have left it."""
    job = enqueue()
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    RenderJob.objects.filter(pk=job.pk).update(
        **{"state": state, "attempt": 1, "due_at": due_at, **columns}
    )
    job.refresh_from_db()
    return job


def read_row(job: RenderJob) -> dict[str, Any]:
    """Return all columns of the job's row."""
    return RenderJob.objects.filter(pk=job.pk).values().get()


def complete_job(job: RenderJob) -> bool:
    """Move the job to completed, as the last step does."""
    return job.move(State.COMPLETED, kind=EventKind.COMPLETED)


def files_below(directory: Path) -> list[Path]:
    """Return every file below a directory."""
    return sorted(path for path in directory.rglob("*") if path.is_file())
