"""Internal. Read when jobs are due, and whether dead workers have left something to recover."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connections, router
from django.db.models import QuerySet, Subquery

from django_docraptor.models import Heartbeat, Pause, RenderEvent, RenderGroup, RenderJob
from django_docraptor.models.clock import Now, as_datetime, offset_minutes
from django_docraptor.states import ACTIVE_STATES, HELD_UNTIL, State

STATES = sorted(ACTIVE_STATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When the first job of each state is due, by the database's clock.

    Args:
        now: the time of the query.
        first_due_at: earliest ``due_at`` per state; states without jobs are missing.
        next_pending_at: earliest future ``due_at`` of a pending job. Pending jobs that are already
            due wait for a slot and need no wake-up.
        signal_due_at: when the first unsent signal is due.
        wakeup_at: time of the scheduled wake-up.
        has_many_downloads: whether at least three downloads are due.
        pause_ends_at: when the first pause of an account ends; ``None`` without any.
        group_due_at: when the first group is due.
    """

    now: datetime
    first_due_at: Mapping[State, datetime]
    next_pending_at: datetime | None
    signal_due_at: datetime | None
    wakeup_at: datetime | None
    has_many_downloads: bool
    pause_ends_at: datetime | None = None
    group_due_at: datetime | None = None

    def has_due(self, *states: State) -> bool:
        """Return whether a job in one of these states is due."""
        return any(
            state in self.first_due_at and self.first_due_at[state] <= self.now for state in states
        )

    @property
    def needs_recovery(self) -> bool:
        """Whether ``recover()`` has work to do."""
        is_signal_due = self.signal_due_at is not None and self.signal_due_at <= self.now
        return is_signal_due or self.has_due(State.SUBMITTING)

    @property
    def has_due_group(self) -> bool:
        """Whether a group is due."""
        return self.group_due_at is not None and self.group_due_at <= self.now

    @property
    def next_due_at(self) -> datetime | None:
        """When the next job, signal or group is due."""
        times = [due_at for state, due_at in self.first_due_at.items() if state != State.PENDING]
        others = (self.next_pending_at, self.signal_due_at, self.group_due_at)
        times += [due_at for due_at in others if due_at]
        if self.pause_ends_at is not None and self.has_due(State.PENDING):
            times.append(self.pause_ends_at)
        return min(times, default=None)


def read_schedule() -> Schedule:
    """Read the schedule by one query: a few index lookups, however many jobs there are."""
    connection = connections[router.db_for_write(RenderJob)]
    columns, sql, params = _schedule_query(connection.alias, offset_minutes(connection))
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    if row is None:
        Heartbeat.objects.get_or_create(pk=Heartbeat.KEY)
        return read_schedule()
    values = (as_datetime(value, connection.timezone) for value in row)
    times = dict(zip(columns, values, strict=True))
    now, third_download_at = times["now"], times["third_download_at"]
    return Schedule(
        now=now,
        first_due_at={state: times[state.value] for state in ACTIVE_STATES if times[state.value]},
        next_pending_at=times["next_pending_at"],
        signal_due_at=times["signal_due_at"],
        wakeup_at=times["wakeup_at"],
        has_many_downloads=third_download_at is not None and third_download_at <= now,
        pause_ends_at=times["pause_ends_at"],
        group_due_at=times["group_due_at"],
    )


@cache
def _schedule_query(using: str, _offset: int) -> tuple[tuple[str, ...], str, tuple[Any, ...]]:
    """Return the schedule query: column names, SQL and parameters.

    The query runs after every step and never changes. Compiling it takes ten times as long as
    running it, so it is compiled once per process, and again when the zone in which the database
    stores times changes its offset.
    """
    jobs, pending, downloading = RenderJob.objects, State.PENDING, State.DOWNLOADING
    # All of them have a `due_at`; the condition is that of the index.
    unfinished = jobs.filter(due_at__isnull=False)
    times = {
        **{state.value: _nth_time(unfinished.filter(state=state)) for state in STATES},
        "next_pending_at": _nth_time(
            jobs.filter(state=pending, due_at__gt=Now(), due_at__lt=HELD_UNTIL)
        ),
        "third_download_at": _nth_time(unfinished.filter(state=downloading), nth=3),
        "signal_due_at": _nth_time(
            RenderEvent.objects.filter(signal_due_at__isnull=False), "signal_due_at"
        ),
        "pause_ends_at": _nth_time(Pause.objects.active(), "paused_until"),
        "group_due_at": _nth_time(RenderGroup.objects.filter(due_at__isnull=False)),
    }
    columns = ("wakeup_at", "now", *times)
    heartbeat = Heartbeat.objects.filter(pk=Heartbeat.KEY).annotate(now=Now(), **times)
    sql, params = heartbeat.values_list(*columns).query.get_compiler(using).as_sql()
    return columns, sql, tuple(params)


def _nth_time(rows: QuerySet[Any], column: str = "due_at", *, nth: int = 1) -> Subquery:
    return Subquery(rows.order_by(column).values(column)[nth - 1 : nth])
