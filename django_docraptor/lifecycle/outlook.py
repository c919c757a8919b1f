"""What is due, what will be due, and what was left behind by somebody who died."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, QuerySet, Subquery
from django.db.models.functions import Now

from django_docraptor.models import SIGNAL_LEASE, Pulse, RenderEvent, RenderJob, after
from django_docraptor.states import ACTIVE, Kind, State

BATCH = 100
# Finished documents that are worth several workers.
MANY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When the first job of each state is due, by the database's clock.

    Args:
        first: the earliest due job of each state; states without jobs are left out.
        next_pending: the earliest pending job that is not due yet. Those that are due wait for a
            slot, and are no reason to wake up.
        signal_due_at: the earliest signal that was not seen to be sent.
        wake_at: when the engine's alarm goes off.
        has_many_downloads: several finished documents are due to be fetched.
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
    pending = RenderJob.objects.filter(state=State.PENDING, due_at__gt=Now())
    unsent = RenderEvent.objects.filter(signal_due_at__isnull=False)
    firsts = {state.value: _first(RenderJob.objects.filter(state=state)) for state in ACTIVE}
    downloads = RenderJob.objects.filter(state=State.DOWNLOADING).due()
    pulse = Pulse.objects.annotate(
        now=Now(),
        next_pending=_first(pending),
        first_signal=_first(unsent, "signal_due_at"),
        has_many=Exists(downloads.order_by("due_at")[MANY - 1 : MANY]),
        **firsts,
    )
    row: Mapping[str, Any] | None = pulse.filter(pk=Pulse.KEY).values().first()
    if row is None:
        Pulse.objects.get_or_create(pk=Pulse.KEY)
        return look()
    return Outlook(
        now=row["now"],
        first={state: row[state.value] for state in ACTIVE if row[state.value] is not None},
        next_pending=row["next_pending"],
        signal_due_at=row["first_signal"],
        wake_at=row["wake_at"],
        has_many_downloads=row["has_many"],
    )


def _first(rows: QuerySet[Any], column: str = "due_at") -> Subquery:
    return Subquery(rows.order_by(column).values(column)[:1])


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
    for event in due.order_by("id")[:BATCH]:
        mine = RenderEvent.objects.filter(pk=event.pk, signal_due_at__lte=Now())
        if mine.update(signal_due_at=after(SIGNAL_LEASE)):
            event.announce(event.job)
            sent += 1
    return sent
