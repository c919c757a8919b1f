"""Is the engine alive? What the status command, the admin's banner and health checks ask.

Nothing here changes a job.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min
from django.db.models.functions import Now

from django_docraptor.conf import conf
from django_docraptor.models import Account, Pulse, RenderJob
from django_docraptor.states import ACTIVE, State

# A process notes the same sight at most once in so many seconds.
NOTE_EVERY = 15.0
# Seconds for which a job may be overdue before somebody should look: several ticks.
MAX_LAG = 60.0

_noted: dict[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How the engine does, at one moment of the database's clock."""

    now: datetime
    #: Jobs in each unfinished state.
    counts: Mapping[str, int]
    #: Seconds by which the most overdue job is late; 0 if none is. Jobs that wait for a free slot
    #: are not late.
    lag: float
    #: Seconds since each was last seen, ``None`` for never.
    last_tick: float | None
    last_worker: float | None
    last_callback: float | None
    #: Accounts without calls, or without creates, and why.
    stopped: Mapping[str, str]

    def problems(self, max_lag: float = MAX_LAG) -> list[str]:
        """One sentence for each thing that a person should look at; empty if all is well."""
        return [*self.lateness(max_lag), *self._stopped()]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON-safe data."""
        return asdict(self) | {"now": self.now.isoformat(), "problems": self.problems()}

    def lateness(self, max_lag: float = MAX_LAG) -> list[str]:
        """Why jobs are late, if any is later than ``max_lag`` seconds."""
        if self.lag <= max_lag:
            return []
        late = f"The most overdue job has waited for {_spell(self.lag)}"
        if self.last_worker is None and self.last_tick is None:
            return [f"{late}: nothing has ever ticked. Start a Celery worker and beat."]
        if self.last_tick is None or self.last_tick > max_lag:
            quiet = "so far" if self.last_tick is None else f"for {_spell(self.last_tick)}"
            return [f"{late}: nothing has ticked {quiet}. Is beat, or cron, running?"]
        return [f"{late} although ticks come: no worker has taken it. Are all of them busy?"]

    def _stopped(self) -> list[str]:
        return [f"Account {name}: {reason}" for name, reason in self.stopped.items()]


def report() -> Report:
    """Ask the database how the engine does."""
    pulse, now = _pulse()
    counts = dict.fromkeys(sorted(ACTIVE), 0)
    lag = 0.0
    # By state, too: SQLite would group the whole history for the few rows that are due some day.
    unfinished = RenderJob.objects.active().filter(due_at__isnull=False)
    rows = unfinished.values("state").order_by()
    for row in rows.annotate(count=Count("pk"), due=Min("due_at")):
        counts[State(row["state"])] = row["count"]
        if row["state"] != State.PENDING or _free_slots():
            lag = max(lag, (now - row["due"]).total_seconds())
    return Report(
        now=now,
        counts={str(state): count for state, count in counts.items()},
        lag=lag,
        last_tick=_since(pulse.ticked_at, now),
        last_worker=_since(pulse.worked_at, now),
        last_callback=_since(pulse.called_back_at, now),
        stopped=_stopped_accounts(),
    )


def problems(max_lag: float = MAX_LAG) -> list[str]:
    """What is wrong, as sentences: for django-health-check, or any other monitor.

    Args:
        max_lag: seconds by which a job may be overdue.
    """
    return report().problems(max_lag)


def note(column: str) -> None:
    """Note that a tick, a worker or a callback was seen; rarely, to cost next to nothing."""
    now = time.monotonic()
    if now - _noted.get(column, -NOTE_EVERY) >= NOTE_EVERY:
        _noted[column] = now
        Pulse.note(column)


def _free_slots() -> bool:
    return RenderJob.objects.in_flight("default") < conf.max_in_flight


def _pulse() -> tuple[Pulse, datetime]:
    pulse = Pulse.objects.annotate(now=Now()).filter(pk=Pulse.KEY).first()
    if pulse is None:
        Pulse.objects.get_or_create(pk=Pulse.KEY)
        return _pulse()
    return pulse, pulse.now


def _stopped_accounts() -> dict[str, str]:
    return {account.name: _why(account) for account in Account.stopped()}


def _why(account: Account) -> str:
    if getattr(account, "is_paused", False):
        return f"no calls until {account.paused_until:%H:%M:%S} UTC: {account.pause_reason}"
    return (
        f"no creates until {account.circuit_open_until:%H:%M:%S} UTC after {account.faults} "
        f"faults in a row: {account.pause_reason}"
    )


def _since(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())


def _spell(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
