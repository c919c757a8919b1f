"""Celery's part: a doorbell, and a step behind each door.

Messages carry nothing: the row is the queue, so a message that is lost, late or delivered twice
changes nothing but the moment at which somebody looks. Hence no retries, no late acknowledgement
and no soft time limits (they would bill twice or get stuck).
"""

import logging
import time
from dataclasses import dataclass
from typing import Any

from celery import shared_task
from celery.app.task import Task
from django.db import close_old_connections, router, transaction

from django_docraptor import lifecycle
from django_docraptor.broker import takes_messages
from django_docraptor.conf import conf
from django_docraptor.health import note
from django_docraptor.models import Pulse, RenderJob
from django_docraptor.states import POLLED, State

logger = logging.getLogger("django_docraptor")

# Seconds after which an undelivered message is void: the next one does the same.
EXPIRES = 60
# Bounds on a wake-up's delay, in seconds. Below the floor they would crowd; above the ceiling
# brokers redeliver or drop what a worker holds for long.
SOONEST, LATEST = 0.3, 60.0
# Seconds that whoever was rung for a due job has to take it, before somebody looks again.
GRACE = 0.5
# Doorbells for finished documents rung at once: more only fill the broker.
COLLECTORS = 4
# Seconds between two warnings that the broker does not take messages.
QUIET = 60.0
PUBLISHING: dict[str, Any] = {
    "ignore_result": True,
    "retry": True,
    "retry_policy": {
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.2,
    },
}
OPTIONS: dict[str, Any] = {
    "ignore_result": True,
    "acks_late": False,
    "max_retries": 0,
    "expires": EXPIRES,
}

_last_warning = -QUIET


def ring(task: "Task[Any, Any]", countdown: float = 0) -> bool:
    """Ask a worker to run a step. A broker that is down costs a moment, not a job.

    Returns whether the broker took the message; where there is none, nothing is tried.
    """
    if not takes_messages(task.app):
        return False
    expires = EXPIRES + countdown
    try:
        task.apply_async(countdown=countdown, expires=expires, **PUBLISHING)
    except Exception as error:  # noqa: BLE001 - each transport raises its own
        _warn(error)
        return False
    return True


def ring_on_commit(task: "Task[Any, Any]") -> None:
    """Ring once the present transaction has committed; once a task and transaction."""
    if not conf.ring_on_commit:
        return
    using = router.db_for_write(RenderJob)
    connection = transaction.get_connection(using)
    bell = _Bell(task)
    # Django drops a bell with the savepoint it was hung in. One that still hangs was hung in a
    # savepoint that is open around us too, or released: it rings whenever our rows survive.
    if not any(function == bell for _, function, *_ in connection.run_on_commit):
        transaction.on_commit(bell, using=using, robust=True)


@dataclass(frozen=True)
class _Bell:
    """A ring to come, which equals another one for the same task."""

    task: "Task[Any, Any]"

    def __call__(self) -> None:
        ring(self.task)


def _warn(error: Exception) -> None:
    global _last_warning
    if time.monotonic() - _last_warning >= QUIET:
        _last_warning = time.monotonic()
        logger.warning("The broker took no message; jobs wait for the next tick: %s", error)


def _begin() -> None:
    """Leave a database connection that has died: with CELERY_DB_REUSE_MAX Celery does not look."""
    close_old_connections()
    note("worked_at")


@shared_task(name="django_docraptor.submit", **OPTIONS)
def submit() -> None:
    """Send pending jobs."""
    _begin()
    if lifecycle.submit():
        follow_up()
    else:
        set_alarm(lifecycle.look())


@shared_task(name="django_docraptor.poll", **OPTIONS)
def poll() -> None:
    """Look after the jobs that DocRaptor has; fetch a document at once if one is finished."""
    _begin()
    polled = lifecycle.poll(keep_one=True)
    kept = polled.kept
    if polled.claimed:
        follow_up()
    else:
        set_alarm(lifecycle.look())
    if kept is not None:
        lifecycle.collect_one(kept)
        if not kept.is_final:
            set_alarm(lifecycle.look())


@shared_task(name="django_docraptor.reconcile", **OPTIONS)
def reconcile() -> None:
    """Find out what became of creates of unknown outcome."""
    _begin()
    if lifecycle.reconcile():
        follow_up()
    else:
        set_alarm(lifecycle.look())


@shared_task(name="django_docraptor.collect", **OPTIONS)
def collect() -> None:
    """Fetch and store finished documents."""
    _begin()
    if lifecycle.collect():
        set_alarm(lifecycle.look())


@shared_task(name="django_docraptor.wake", **OPTIONS)
def wake() -> None:
    """The engine's own alarm: look at whatever is due."""
    _begin()
    follow_up()


@shared_task(name="django_docraptor.tick", **OPTIONS)
def tick() -> None:
    """The safety net, for beat: sweep up what was left behind, then look at whatever is due."""
    close_old_connections()
    if not Pulse.rest("worked_at", "ticked_at"):
        note("worked_at")
        note("ticked_at")
        follow_up()


def follow_up() -> None:
    """Ring for what is due now, and set one alarm for what will be.

    Not for a run that found nothing to do: whoever made the rows due has rung, and where every
    message would ring on, duplicates would breed. Should a bell be lost, the alarm's run rings.
    """
    outlook = lifecycle.look()
    if outlook.is_left_behind:
        lifecycle.sweep()
        outlook = lifecycle.look()
    if outlook.is_due(*POLLED):
        ring(poll)
    if outlook.is_due(State.UNCONFIRMED):
        ring(reconcile)
    if outlook.is_due(State.PENDING):
        ring(submit)
    if outlook.is_due(State.DOWNLOADING):
        for _ in range(COLLECTORS if outlook.has_many_downloads else 1):
            ring(collect)
    set_alarm(outlook)


def set_alarm(outlook: lifecycle.Outlook) -> None:
    """Arrange one wake-up for the earliest job, unless one is already on its way."""
    if outlook.next_due is None:
        return
    coming = (outlook.next_due - outlook.now).total_seconds()
    delay = min(LATEST, max(SOONEST, coming + 0.02)) if coming > 0 else GRACE
    if not Pulse.is_armed(outlook.now, outlook.wake_at, delay) and Pulse.arm(delay):
        ring(wake, countdown=delay)
