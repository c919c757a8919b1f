"""What is due, what will be due, and what was left behind by somebody who died."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from typing import Any

from django.db import connections, router
from django.db.models import QuerySet, Subquery
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from django_docraptor.models import SIGNAL_LEASE, Pulse, RenderEvent, RenderJob, after
from django_docraptor.states import ACTIVE, Kind, State

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When the first job of each state is due, by the database's clock.

    Args:
        first: the earliest due job of each state; states without jobs are left out.
        next_pending: the earliest pending job that is not due yet. Those that are due wait for a
            slot, and are no reason to wake up.
        signal_due_at: the earliest signal that was not seen to be sent.
        wake_at: when the engine's alarm goes off.
        has_many_downloads: three finished documents or more are due to be fetched.
    """

    now: datetime
    first: Mapping[State, datetime]
    next_pending: datetime | None
    signal_due_at: datetime | None
    wake_at: datetime | None
    has_many_downloads: bool

    def is_due(self, *states: State) -> bool:
        """Whether a job in one of these states is due."""
        return any(state in self.first and self.first[state] <= self.now for state in states)

    @property
    def is_left_behind(self) -> bool:
        """Whether there is something for :func:`sweep`."""
        unsent = self.signal_due_at is not None and self.signal_due_at <= self.now
        return unsent or self.is_due(State.SUBMITTING)

    @property
    def next_due(self) -> datetime | None:
        """When somebody should look again."""
        coming = [due for state, due in self.first.items() if state != State.PENDING]
        coming += [due for due in (self.next_pending, self.signal_due_at) if due is not None]
        return min(coming, default=None)


def look() -> Outlook:
    """Ask the database once: a few look-ups in indexes, however many jobs there are."""
    connection = connections[router.db_for_write(RenderJob)]
    columns, sql, params = _question(connection.alias)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    if row is None:
        Pulse.objects.get_or_create(pk=Pulse.KEY)
        return look()
    times = (_as_datetime(value, connection.timezone) for value in row)
    found = dict(zip(columns, times, strict=True))
    now, third = found["now"], found["third_download"]
    return Outlook(
        now=now,
        first={state: found[state.value] for state in ACTIVE if found[state.value] is not None},
        next_pending=found["next_pending"],
        signal_due_at=found["first_signal"],
        wake_at=found["wake_at"],
        has_many_downloads=third is not None and third <= now,
    )


@cache
def _question(using: str) -> tuple[tuple[str, ...], str, tuple[Any, ...]]:
    """The names of its columns, SQL and parameters.

    It is asked after every step and is always the same: making SQL of it costs ten times as much
    as the answer, so that is done once a process.
    """
    jobs, pending, download = RenderJob.objects, State.PENDING, State.DOWNLOADING
    times = {
        **{state.value: _nth(jobs.filter(state=state)) for state in sorted(ACTIVE)},
        "next_pending": _nth(jobs.filter(state=pending, due_at__gt=Now())),
        "third_download": _nth(jobs.filter(state=download), nth=3),
        "first_signal": _nth(
            RenderEvent.objects.filter(signal_due_at__isnull=False), "signal_due_at"
        ),
    }
    columns = ("wake_at", "now", *times)
    pulse = Pulse.objects.filter(pk=Pulse.KEY).annotate(now=Now(), **times)
    sql, params = pulse.values_list(*columns).query.get_compiler(using).as_sql()
    return columns, sql, tuple(params)


def _nth(rows: QuerySet[Any], column: str = "due_at", *, nth: int = 1) -> Subquery:
    return Subquery(rows.order_by(column).values(column)[nth - 1 : nth])


def _as_datetime(value: Any, zone: tzinfo | None) -> Any:
    """What a database gives for a moment: text, or a datetime, perhaps without its zone."""
    moment = parse_datetime(value) if isinstance(value, str) else value
    return make_aware(moment, zone) if moment is not None and is_naive(moment) else moment


def sweep() -> int:
    """Take up what a dead worker left: creates of unknown outcome, and signals unsent."""
    return sum((_lapsed_creates(), _unsent_signals()))


def _lapsed_creates() -> int:
    lapsed = RenderJob.objects.filter(state=State.SUBMITTING).due()[:BATCH]
    return sum(
        job.move(
            State.UNCONFIRMED,
            kind=Kind.UNCONFIRMED,
            leased=True,
            note="The worker that sent this attempt did not report back.",
            due_at=Now(),
        )
        for job in lapsed
    )


def _unsent_signals() -> int:
    sent = 0
    due = RenderEvent.objects.filter(signal_due_at__lte=Now()).select_related("job")
    for event in due.order_by("signal_due_at", "id")[:BATCH]:
        mine = RenderEvent.objects.filter(pk=event.pk, signal_due_at__lte=Now())
        if mine.update(signal_due_at=after(SIGNAL_LEASE)):
            event.announce(event.job)
            sent += 1
    return sent
