"""Internal. Decide which step to wake, and when. No queue here: `runners` has the transport.

Messages carry no data: the row is the queue, so a lost, late or repeated message only changes when
a job is looked at.
"""

import logging
import sys
import time
from dataclasses import dataclass
from importlib import import_module

from django.db import router

from django_docraptor import discarded_files, lifecycle, queue_measurements, usage
from django_docraptor.conf import conf
from django_docraptor.models import Heartbeat, RenderJob, record_heartbeat
from django_docraptor.models.commits import on_commit_once
from django_docraptor.models.conflicts import repeated_statements
from django_docraptor.runners import Step, get_runner
from django_docraptor.states import POLLED_STATES, State

logger = logging.getLogger(__name__)

# Bounds on the delay of a scheduled wake-up, in seconds. Shorter ones would crowd; brokers
# redeliver or drop messages that a worker holds for longer.
MIN_DELAY, MAX_DELAY = 0.3, 60.0
# Seconds that the notified worker has to claim a due job before another wake-up checks.
RECHECK_DELAY = 0.5
# Notifications sent at once for rendered documents; more would only fill the broker.
MAX_DOWNLOAD_NOTIFICATIONS = 4
# Seconds until another check if due jobs were left because of a pause: this process may not call
# their account, another one or a corrected key may.
PAUSED_DELAY = 5.0
# Minimum seconds between two warnings about an unavailable broker.
WARNING_INTERVAL = 60.0

_last_warned_at = -WARNING_INTERVAL

# What the steps need, and what they need of a project's document classes.
STEP_MODULES = ("lifecycle.engine", "preflight.inspection", "client.calls")
DOCUMENT_MODULES = tuple(
    f"documents.{name}" for name in ("delivery", "hooks", "renewal", "undefined_variables")
)


def import_steps() -> None:
    """Import what the steps need, before a worker forks: the engine, the preflight, the client.

    Also what renders documents, if the project has declared one.
    """
    has_documents = "django_docraptor.documents" in sys.modules
    for name in (*STEP_MODULES, *(DOCUMENT_MODULES if has_documents else ())):
        import_module(f"django_docraptor.{name}")


def notify(step: Step, *, delay: float = 0.0) -> bool:
    """Ask a worker to run a step. A broker that is down costs a moment, never a job.

    Args:
        delay: seconds to wait before the step runs.

    Returns:
        Whether the runner accepted the message.
    """
    try:
        return get_runner().wake(step, delay)
    except Exception as error:  # noqa: BLE001 - each transport raises its own exceptions
        _warn_unavailable(error)
        return False


def notify_on_commit(step: Step) -> None:
    """Notify a worker after the current transaction commits, at most once per step and transaction.

    In autocommit that is now.
    """
    if conf.runner == "none":
        return
    using = router.db_for_write(RenderJob)
    on_commit_once(_PendingNotification(step), using=using)


@dataclass(frozen=True)
class _PendingNotification:
    """A notification to send after the commit; equal to any other for the same step."""

    step: Step

    def __call__(self) -> None:
        notify(self.step)


def _warn_unavailable(error: Exception) -> None:
    global _last_warned_at
    if time.monotonic() - _last_warned_at >= WARNING_INTERVAL:
        _last_warned_at = time.monotonic()
        logger.warning(
            "Could not send a message to the broker; jobs wait for the next tick: %s", error
        )


def run_step(step: Step) -> None:
    """Run one step in a worker, then notify the next ones and schedule the next wake-up.

    A step that claimed nothing notifies no other: the process that made the rows due has already
    done so, and if every message sent another, duplicates would multiply. The scheduled wake-up
    makes up for a lost message.
    """
    # Celery does not check connections that CELERY_DB_REUSE_MAX keeps, nor do all task backends.
    lifecycle.close_broken_connections()
    with repeated_statements(router.db_for_write(RenderJob)):
        record_heartbeat("worked_at")
        _run(step)


def _run(step: Step) -> None:
    match step:
        case Step.SUBMIT:
            _continue_after(lifecycle.submit())
        case Step.POLL:
            _poll()
        case Step.RECONCILE:
            _continue_after(lifecycle.reconcile())
        case Step.DOWNLOAD:
            if lifecycle.download():
                schedule_wakeup(lifecycle.read_schedule())
        case Step.MERGE:
            if lifecycle.merge_groups():
                schedule_wakeup(lifecycle.read_schedule())
        case Step.DISPATCH:
            dispatch()


def _continue_after(claimed: int) -> None:
    if claimed:
        dispatch()
    else:
        schedule_wakeup(lifecycle.read_schedule())


def _poll() -> None:
    """Poll, then download one finished document at once, so that a lone one needs no other run."""
    result = lifecycle.poll(keep_rendered=True)
    _continue_after(result.claimed)
    job = result.rendered_job
    if job is not None:
        lifecycle.download_and_store(job, may_have_file=result.may_have_file)
        if not job.is_final or job.group_id is not None:
            schedule_wakeup(lifecycle.read_schedule())


def tick() -> None:
    """Run the safety net: recover abandoned work, notify steps, tidy up after deleted jobs.

    If there is nothing to do, this is a single UPDATE.
    """
    lifecycle.close_broken_connections()
    with repeated_statements(router.db_for_write(RenderJob)):
        if Heartbeat.record_if_idle("worked_at", "ticked_at"):
            queue_measurements.publish(is_idle=True)
            return
        lifecycle.repair_clock()
        record_heartbeat("worked_at")
        record_heartbeat("ticked_at")
        dispatch()
        queue_measurements.publish()
    discarded_files.delete_due_files()
    lifecycle.expire_discarded()
    lifecycle.finish_erasures()
    usage.fold()


def dispatch() -> None:
    """Notify a worker for each step that has due jobs, and schedule the next wake-up."""
    schedule = lifecycle.read_schedule()
    if schedule.needs_recovery:
        lifecycle.recover()
        schedule = lifecycle.read_schedule()
    if schedule.has_due(*POLLED_STATES):
        notify(Step.POLL)
    if schedule.has_due(State.UNCONFIRMED):
        notify(Step.RECONCILE)
    if schedule.has_due(State.PENDING):
        notify(Step.SUBMIT)
    if schedule.has_due(State.DOWNLOADING):
        for _ in range(MAX_DOWNLOAD_NOTIFICATIONS if schedule.has_many_downloads else 1):
            notify(Step.DOWNLOAD)
    if schedule.has_due_group:
        notify(Step.MERGE)
    schedule_wakeup(schedule)


def schedule_wakeup(schedule: "lifecycle.Schedule") -> None:
    """Schedule one wake-up for the next due job, unless an earlier one is already scheduled."""
    if schedule.next_due_at is None:
        return
    seconds = (schedule.next_due_at - schedule.now).total_seconds()
    recheck = RECHECK_DELAY if schedule.pause_ends_at is None else PAUSED_DELAY
    delay = min(MAX_DELAY, max(MIN_DELAY, seconds + 0.02)) if seconds > 0 else recheck
    if Heartbeat.has_wakeup_within(schedule.now, schedule.wakeup_at, delay):
        return
    if Heartbeat.claim_wakeup(delay):
        notify(Step.DISPATCH, delay=delay)
