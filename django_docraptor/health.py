"""Internal. Report whether the engine is running and jobs are on time.

For the status command, the admin and health checks. Nothing here changes a job.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min

from django_docraptor.conf import conf
from django_docraptor.models import (
    Account,
    DiscardedFile,
    Heartbeat,
    Pause,
    RenderEvent,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.models.querysets import IS_HELD
from django_docraptor.states import ACTIVE_STATES, EventKind, State

# Minimum seconds between two heartbeats of the same kind from one process.
HEARTBEAT_INTERVAL = 15.0
# Default seconds by which a job may be overdue before it is a problem: several ticks.
DEFAULT_MAX_LAG = 60.0
# Seconds after which a file that should have been deleted is a problem.
MAX_FILE_AGE = 24 * 3600.0
# Events of a delivery or hook that failed; a back-off that shows that it fails for long; and
# seconds for which one that was given up is told.
FOLLOW_UP_FAILURES = (EventKind.DELIVERY_FAILED, EventKind.HOOK_FAILED)
LONG_BACKOFF = timedelta(minutes=15)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_TOLD_SECONDS = 7 * 24 * 3600.0

_last_recorded: dict[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Why jobs of an account wait, and until when. The reason is for people, without secrets."""

    account: str
    reason: str
    since: datetime | None
    until: datetime
    #: Whether a key of the account makes no calls at all; otherwise documents that DocRaptor has
    #: accepted go on.
    stops_all: bool = False
    #: Consecutive failures of the service that opened the circuit; ``None`` for a pause.
    failures: int | None = None

    def __str__(self) -> str:
        until = f"until {self.until:%H:%M:%S} UTC"
        if self.failures is not None:
            return (
                f"submits no new documents {until} after {self.failures} consecutive failures: "
                f"{self.reason}"
            )
        return f"is paused {until}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """State of the queue and the engine at one time of the database's clock."""

    now: datetime
    #: Jobs in each unfinished state.
    counts: Mapping[str, int]
    #: Seconds by which the most overdue job is late, or 0. Jobs that wait for a free slot are not
    #: late.
    lag: float
    #: Seconds since the last tick, worker activity and callback; ``None`` if there was none.
    seconds_since_tick: float | None
    seconds_since_worker: float | None
    seconds_since_callback: float | None
    #: Why accounts are paused or submit nothing new.
    restrictions: Sequence[Restriction]
    #: Files of jobs that were deleted more than a day ago, which the storage has not deleted.
    undeleted_files: int = 0
    #: Deliveries and ``on_completed()`` hooks that have failed for about half an hour or longer.
    failing_follow_ups: int = 0
    #: The last one that was given up within a week, with the reason.
    abandoned_follow_up: str = ""

    #: Jobs that wait until a person releases them, and the name of one of them.
    held: int = 0
    held_name: str = ""

    def problems(self, max_lag: float = DEFAULT_MAX_LAG) -> list[str]:
        """Return one sentence per problem; empty if there is none."""
        return [
            *self.lateness_problems(max_lag),
            *self._account_problems(),
            *self._file_problems(),
            *self._follow_up_problems(),
            *self.held_problems(),
        ]

    @property
    def restricted_accounts(self) -> dict[str, str]:
        """Accounts that are paused or submit nothing new, with the reasons."""
        texts: dict[str, list[str]] = {}
        for restriction in self.restrictions:
            texts.setdefault(restriction.account, []).append(str(restriction))
        return {account: "\nIt ".join(lines) for account, lines in texts.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-serializable data."""
        data = asdict(self)
        del data["restrictions"]
        return data | {
            "now": self.now.isoformat(),
            "restricted_accounts": self.restricted_accounts,
            "problems": self.problems(),
        }

    def lateness_problems(self, max_lag: float = DEFAULT_MAX_LAG) -> list[str]:
        """Return why jobs are late, if one is later than ``max_lag`` seconds."""
        if self.lag <= max_lag:
            return []
        prefix = f"The most overdue job is {_format_duration(self.lag)} late"
        since = self.seconds_since_tick
        if since is None and self.seconds_since_worker is None:
            return [
                f"{prefix}, and the engine has never run. Start a Celery worker and Celery beat, "
                "or run docraptor_tick."
            ]
        if since is None or since > max_lag:
            ticks = "no tick so far" if since is None else f"no tick for {_format_duration(since)}"
            return [
                f"{prefix}, and there has been {ticks}. Check that Celery beat (or cron) is "
                "running."
            ]
        return [
            f"{prefix} although ticks arrive. Check that the Celery workers are running and not "
            "all busy."
        ]

    def held_problems(self) -> list[str]:
        """Return that jobs are held, if there are any."""
        if not self.held:
            return []
        held = "1 job is held" if self.held == 1 else f"{self.held} jobs are held"
        return [
            f"{held}, such as {self.held_name!r}, because more documents of one object were "
            "sent than DOCRAPTOR['MAX_PER_SOURCE'] allows: something may ask for it again and "
            "again. Their pages in the admin say more. Release them there if they are wanted, or "
            "cancel them."
        ]

    def _account_problems(self) -> list[str]:
        return [f"Account {name} {text}" for name, text in self.restricted_accounts.items()]

    def _follow_up_problems(self) -> Iterator[str]:
        if count := self.failing_follow_ups:
            yield (
                f"{count} deliveries or on_completed() hooks have been failing for a while. They "
                "are tried again; the history of the jobs has the errors."
            )
        if self.abandoned_follow_up:
            yield (
                f"Given up after {_format_duration(conf.retry_for)}: {self.abandoned_follow_up}. "
                "Mend the cause, and call deliver(job) or complete(job) of the document's class."
            )

    def _file_problems(self) -> Iterator[str]:
        if count := self.undeleted_files:
            files = "1 file of a deleted job" if count == 1 else f"{count} files of deleted jobs"
            yield (
                f"{files} could not be removed from the storage for more than a day. Allow this "
                "site to delete there; the log has the storage's error."
            )


def health_report() -> HealthReport:
    """Read the state of the queue and the engine from the database."""
    heartbeat, now = _read_heartbeat()
    counts = dict.fromkeys(sorted(ACTIVE_STATES), 0)
    held, lag, why = 0, 0.0, restrictions()
    # `due_at` is filtered as well: otherwise SQLite groups all finished jobs, too.
    unfinished = RenderJob.objects.active().filter(due_at__isnull=False)
    rows = unfinished.values("state").order_by()
    for row in rows.annotate(
        count=Count("pk"), held=Count("pk", filter=IS_HELD), first_due_at=Min("due_at")
    ):
        counts[State(row["state"])] = row["count"]
        held += row["held"]
        if row["first_due_at"] < now:
            lag = max(lag, _lag(State(row["state"]), now, why))
    return HealthReport(
        now=now,
        counts={str(state): count for state, count in counts.items()},
        lag=lag,
        seconds_since_tick=_seconds_since(heartbeat.ticked_at, now),
        seconds_since_worker=_seconds_since(heartbeat.worked_at, now),
        seconds_since_callback=_seconds_since(heartbeat.called_back_at, now),
        restrictions=why,
        held=held,
        held_name=RenderJob.objects.held().aggregate(name=Min("name"))["name"] if held else "",
        failing_follow_ups=_count_failing_follow_ups(),
        abandoned_follow_up=_abandoned_follow_up(heartbeat, now),
        undeleted_files=DiscardedFile.objects.filter(
            discarded_at__lt=seconds_from_now(-MAX_FILE_AGE)
        ).count(),
    )


def health_problems(max_lag: float = DEFAULT_MAX_LAG) -> list[str]:
    """Return one sentence per problem, for django-health-check or another monitor.

    Args:
        max_lag: seconds by which a job may be overdue.
    """
    return health_report().problems(max_lag)


def record_heartbeat(column: str) -> None:
    """Record a heartbeat in a column of Heartbeat.

    At most once per HEARTBEAT_INTERVAL and process.
    """
    now = time.monotonic()
    if now - _last_recorded.get(column, -HEARTBEAT_INTERVAL) >= HEARTBEAT_INTERVAL:
        _last_recorded[column] = now
        Heartbeat.record(column)


def _lag(state: State, now: datetime, why: Iterable[Restriction]) -> float:
    """Return the seconds by which the most overdue job of a state is late.

    Jobs of a paused account are not late, nor are pending ones while their account has no free
    slot.
    """
    due = RenderJob.objects.filter(state=state).due().values_list("account").order_by()
    is_pending = state == State.PENDING
    paused = {each.account for each in why if each.stops_all or is_pending}
    return max(
        (
            (now - first_due_at).total_seconds()
            for account, first_due_at in due.annotate(first_due_at=Min("due_at"))
            if account not in paused and (not is_pending or _has_free_slot(account))
        ),
        default=0.0,
    )


def _count_failing_follow_ups() -> int:
    """Return how many are tried again after a long back-off."""
    # The first condition is for the index: no event is older.
    waiting = RenderEvent.objects.filter(signal_due_at__gt=EARLIEST, kind__in=FOLLOW_UP_FAILURES)
    return waiting.filter(signal_due_at__gt=F("at") + LONG_BACKOFF).count()


def _abandoned_follow_up(heartbeat: Heartbeat, now: datetime) -> str:
    since = _seconds_since(heartbeat.gave_up_at, now)
    return heartbeat.gave_up_on if since is not None and since < MAX_TOLD_SECONDS else ""


def _has_free_slot(account: str) -> bool:
    return RenderJob.objects.count_in_flight(account) < conf.max_in_flight


def _read_heartbeat() -> tuple[Heartbeat, datetime]:
    heartbeat = Heartbeat.objects.annotate(now=Now()).filter(pk=Heartbeat.KEY).first()
    if heartbeat is None:
        Heartbeat.objects.get_or_create(pk=Heartbeat.KEY)
        return _read_heartbeat()
    return heartbeat, heartbeat.now


def restrictions() -> list[Restriction]:
    """Return why the jobs of accounts wait: pauses, and circuits that are open."""
    pauses = [
        Restriction(
            account=pause.account,
            reason=pause.reason,
            since=pause.since,
            until=pause.paused_until,
            stops_all=not pause.creates_only,
        )
        for pause in Pause.objects.told()
    ]
    circuits = [
        Restriction(
            account=account.name,
            reason=account.pause_reason,
            since=None,
            until=account.circuit_open_until,
            failures=account.failures,
        )
        for account in Account.with_open_circuit()
        if account.circuit_open_until is not None
    ]
    return sorted([*pauses, *circuits], key=lambda restriction: restriction.account)


def _seconds_since(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())


def _format_duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
