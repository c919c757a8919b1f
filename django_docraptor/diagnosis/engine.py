"""Internal. Probes of what runs the engine: runner, broker, worker, ticks; and of the jobs."""

import time
from collections.abc import Iterator
from typing import Final

from django_docraptor import advice
from django_docraptor.conf import conf
from django_docraptor.diagnosis.results import Result, fail, ok, warn
from django_docraptor.durations import format_duration
from django_docraptor.health import health_report
from django_docraptor.health_reports import MAX_SILENCE
from django_docraptor.models import Heartbeat
from django_docraptor.models.heartbeat import HEARTBEAT_INTERVAL
from django_docraptor.runners import (
    Step,
    broker_problem,
    celery_worker_problem,
    default_runner_name,
    get_runner,
    runner_limitations,
)

# A process records a heartbeat only so often: one that is older would be replaced by a worker that
# takes a message.
FRESH_SECONDS: Final = HEARTBEAT_INTERVAL + 5
# Seconds in which a worker must take a message: some task backends look once per second. A busy
# one takes longer.
WORKER_SECONDS: Final = 5.0
WORKER_INTERVAL: Final = 0.1
BROKER_SECONDS: Final = 4.0
BUSY_SECONDS: Final = 600.0


def probe_runner() -> Iterator[Result]:
    """Look whether the runner can be loaded, and what it lacks."""
    try:
        name, limitations = runner_limitations()
    except Exception as error:  # noqa: BLE001 - a project's own class may raise anything
        yield fail(
            "runner",
            f"DOCRAPTOR['RUNNER'] is {conf.runner!r}, which cannot be loaded: {error}.",
            "Install its library, such as django-docraptor[celery], or remove the setting.",
        )
        return
    if name == "none" and conf.runner == "none":
        yield ok("runner", "'none': docraptor_tick does all the work.")
        return
    for text in limitations:
        yield warn("runner", f"{name!r}. {text}", advice.CHOOSE_RUNNER)
    if not limitations:
        yield ok("runner", f"{name!r}.")


def probe_broker() -> Iterator[Result]:
    """Connect to Celery's broker. Backends of django.tasks are tried by a message to a worker."""
    if _runner_name() != "celery":
        return
    if problem := broker_problem(seconds=BROKER_SECONDS):
        remedy = "Start the broker, or correct CELERY_BROKER_URL. Until then, jobs wait for ticks."
        yield fail("broker", problem, remedy)
        return
    yield ok("broker", "Celery's broker answers.")


def probe_worker() -> Iterator[Result]:
    """Send a wake-up, and wait for a worker to take it. It only looks at the schedule."""
    if _runner_name() == "none":
        return
    before = _seconds_since("worked_at")
    if before is not None and before < FRESH_SECONDS:
        yield ok("worker", f"A worker was seen {format_duration(before)} ago.")
        return
    started = time.monotonic()
    try:
        is_sent = get_runner().wake(Step.DISPATCH)
    except Exception as error:  # noqa: BLE001 - each transport raises its own errors
        yield fail("worker", f"No message could be sent to a worker: {error}", advice.START_ENGINE)
        return
    if not is_sent:
        yield fail("worker", "The runner has no queue for a message.", advice.START_ENGINE)
        return
    while not (is_seen := _was_seen_since(before)) and time.monotonic() - started < WORKER_SECONDS:
        time.sleep(WORKER_INTERVAL)
    if is_seen:
        seconds = time.monotonic() - started
        yield ok("worker", f"A worker has taken a message within {seconds:.1f} s.")
    else:
        yield _missing_worker(before)


def _was_seen_since(before: float | None) -> bool:
    """Return whether a worker was seen later than so many seconds before the message was sent."""
    since = _seconds_since("worked_at")
    return since is not None and (before is None or since < before)


def _missing_worker(since: float | None) -> Result:
    message = f"No worker has taken a message within {WORKER_SECONDS:g} s."
    if since is None:
        message += " None has ever been seen."
    else:
        message += f" The last one was seen {format_duration(since)} ago."
    problem = celery_worker_problem(seconds=2) if _runner_name() == "celery" else ""
    if since is not None and since < BUSY_SECONDS:
        message = f"{message} All may be busy."
        return warn("worker", message, problem or "Start more workers, if this stays.")
    return fail("worker", message, problem or advice.START_ENGINE)


def probe_tick() -> Iterator[Result]:
    """Look when the last tick was: without a queue it does everything, with one it is the net."""
    since = _seconds_since("ticked_at")
    if since is not None and since <= MAX_SILENCE:
        yield ok("tick", f"The last tick was seen {format_duration(since)} ago.")
        return
    if since is None:
        message = str(advice.NO_TICK)
    else:
        message = str(advice.LATE_TICK) % {"duration": format_duration(since)}
    if _runner_name() != "none":
        yield warn("tick", message, advice.START_TICK)
    elif since is None or since > BUSY_SECONDS:
        yield fail("tick", message, advice.START_ENGINE)
    else:  # cron may run it every few minutes
        yield warn("tick", message, advice.START_ENGINE)


def probe_jobs() -> Iterator[Result]:
    """Tell what health tells of the jobs, as docraptor_status does."""
    report = health_report()
    for problem in report.problems():
        yield warn("jobs", problem)
    if not report.problems():
        unfinished = sum(report.counts.values())
        yield ok("jobs", f"{unfinished} unfinished, none of them late, held or postponed for long.")


def _runner_name() -> str:
    return conf.runner or default_runner_name()


def _seconds_since(column: str) -> float | None:
    if (found := Heartbeat.read()) is None:
        return None
    row, now = found
    time_seen = getattr(row, column)
    return None if time_seen is None else max(0.0, (now - time_seen).total_seconds())
