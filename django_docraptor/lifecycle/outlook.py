"""What is due, what will be due, and what was left behind by somebody who died."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q
from django.db.models.functions import Now

from django_docraptor.models import SIGNAL_LEASE, Account, RenderEvent, RenderJob, after
from django_docraptor.states import ACTIVE, Kind, State

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How many jobs are due in each state, and when the next one will be."""

    now: datetime
    due: Mapping[State, int]
    next_due: datetime | None


def look() -> Outlook:
    """Ask the database once. Pending jobs that wait for a slot do not count as coming up."""
    rows = (
        RenderJob.objects.filter(due_at__isnull=False)
        .values("state")
        .annotate(
            now=Now(),
            due=Count("pk", filter=Q(due_at__lte=Now())),
            coming=Min("due_at", filter=~Q(state=State.PENDING) | Q(due_at__gt=Now())),
        )
        .order_by()
    )
    found = list(rows)
    coming = [row["coming"] for row in found if row["coming"] is not None]
    return Outlook(
        now=found[0]["now"] if found else datetime.min,  # noqa: DTZ901 - without rows, unused
        due={State(row["state"]): row["due"] for row in found if row["due"]},
        next_due=min(coming, default=None),
    )


def sweep() -> int:
    """Take up what a dead worker left: creates of unknown outcome, and signals unsent."""
    return sum((_lapsed_creates(), _unsent_signals()))


def hold_paused() -> None:
    """Make the due jobs of paused accounts wait for the end of the pause."""
    for account, until in Account.paused().items():
        held = RenderJob.objects.filter(account=account, state__in=ACTIVE).due()
        held.exclude(state=State.SUBMITTING).update(due_at=until, lease_token="")


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
    for event in RenderEvent.objects.filter(signal_due_at__lte=Now()).order_by("id")[:BATCH]:
        mine = RenderEvent.objects.filter(pk=event.pk, signal_due_at__lte=Now())
        if mine.update(signal_due_at=after(SIGNAL_LEASE)):
            event.announce(event.job_id)
            sent += 1
    return sent
