"""Internal. Report whether the engine is running and jobs are on time.

For the status command, the admin and health checks. Nothing here changes a job.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, F, Func, IntegerField, Min, QuerySet, Subquery
from django.db.models.functions import Left, Right

from django_docraptor.conf import conf
from django_docraptor.health_reports import (
    DEFAULT_MAX_LAG,
    HealthReport,
    LateJobs,
    PostponedJobs,
    Restriction,
    UnprovenJobs,
)
from django_docraptor.models import (
    Account,
    DiscardedDocument,
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
# Seconds of failures after which a reader is told that it takes longer, and after which health
# tells; how many such jobs are read, and how much of their errors.
SLOW_SECONDS = 120.0
MAX_FAILING_SECONDS = 3600.0
MAX_POSTPONED = 200
MAX_REASON_LENGTH = 300
# For how many seconds, and of how many jobs, callbacks are looked for; how long after the document
# one may arrive; and how many must be missing if callbacks have arrived before.
CALLBACK_MEMORY = 24 * 3600.0
MAX_CALLBACKS = 50
CALLBACK_GRACE = timedelta(seconds=30)
MIN_MISSED = 3
# Seconds after which a file that should have been deleted is a problem.
MAX_FILE_AGE = 24 * 3600.0
# Events of a delivery or hook that failed; a back-off that shows that it fails for long; and
# seconds for which one that was given up is told.
FOLLOW_UP_FAILURES = (EventKind.DELIVERY_FAILED, EventKind.HOOK_FAILED)
LONG_BACKOFF = timedelta(minutes=15)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_TOLD_SECONDS = 7 * 24 * 3600.0

_last_recorded: dict[str, float] = {}


def health_report() -> HealthReport:
    """Read the state of the queue and the engine from the database."""
    heartbeat, now = _read_heartbeat()
    counts = dict.fromkeys(sorted(ACTIVE_STATES), 0)
    held, overdue, why = 0, [], restrictions()
    # `due_at` is filtered as well: otherwise SQLite groups all finished jobs, too.
    unfinished = RenderJob.objects.active().filter(due_at__isnull=False)
    rows = unfinished.values("state").order_by()
    for row in rows.annotate(
        count=Count("pk"), held=Count("pk", filter=IS_HELD), first_due_at=Min("due_at")
    ):
        counts[State(row["state"])] = row["count"]
        held += row["held"]
        if row["first_due_at"] < now:
            overdue.append(State(row["state"]))
    late = _late_jobs(overdue, now, why) if overdue else []
    return HealthReport(
        now=now,
        counts={str(state): count for state, count in counts.items()},
        lag=late[0].lag if late else 0.0,
        seconds_since_tick=_seconds_since(heartbeat.ticked_at, now),
        seconds_since_worker=_seconds_since(heartbeat.worked_at, now),
        seconds_since_callback=_seconds_since(heartbeat.called_back_at, now),
        restrictions=why,
        late=late,
        **(_postponed_jobs(now) if any(counts.values()) else {}),
        missed_callbacks=_count_missed_callbacks(heartbeat, now) if conf.callback_base_url else 0,
        held=held,
        held_name=RenderJob.objects.held().aggregate(name=Min("name"))["name"] if held else "",
        failing_follow_ups=vars(heartbeat)["failing_follow_ups"],
        abandoned_follow_up=_abandoned_follow_up(heartbeat, now),
        undeleted_files=DiscardedFile.objects.filter(
            discarded_at__lt=seconds_from_now(-MAX_FILE_AGE)
        ).count(),
        unexpired_documents=DiscardedDocument.objects.filter(
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


def is_slow(job: RenderJob) -> bool:
    """Return whether an unfinished job takes longer than usual.

    The job must be annotated with the database's time.
    """
    is_failing = job.failing_seconds >= SLOW_SECONDS
    return not job.is_final and (is_failing or job.held_at is not None or _is_overdue(job))


def is_told(job: RenderJob) -> bool:
    """Return whether a slow job is among those that the health report tells about."""
    if job.held_at is not None or job.failing_seconds >= MAX_FAILING_SECONDS:
        return True
    is_waiting = job.state == State.PENDING and not _has_free_slot(job.account)
    return _is_overdue(job) and not is_waiting


def _is_overdue(job: RenderJob) -> bool:
    if job.claimed_at is None or job.due_at is None:
        return False
    return (job.claimed_at - job.due_at).total_seconds() > DEFAULT_MAX_LAG


def _has_free_slot(account: str) -> bool:
    return RenderJob.objects.count_in_flight(account) < conf.max_in_flight


def _late_jobs(
    states: Collection[State], now: datetime, why: Iterable[Restriction]
) -> list[LateJobs]:
    """Return how many jobs of each account are late in these states, the latest first.

    Jobs of a paused account are not late, nor are pending ones while their account has no free
    slot.
    """
    rows = list(RenderJob.objects.due_by_account(states))
    pending = {row["account"] for row in rows if row["state"] == State.PENDING}
    in_flight = RenderJob.objects.count_in_flight_by_account(pending)
    waiting = {account for account in pending if in_flight[account] >= conf.max_in_flight}
    waiting |= {each.account for each in why}
    paused = {each.account for each in why if each.stops_all}
    late: dict[str, LateJobs] = {}
    for row in rows:
        account, is_pending = row["account"], row["state"] == State.PENDING
        if account in (waiting if is_pending else paused):
            continue
        before = late.get(account)
        lag = max(0.0, (now - row["first_due_at"]).total_seconds())
        late[account] = LateJobs(
            account=account,
            count=row["count"] + (before.count if before else 0),
            lag=max(lag, before.lag if before else 0.0),
        )
    return sorted(late.values(), key=lambda jobs: -jobs.lag)


def _postponed_jobs(now: datetime) -> dict[str, Any]:
    """Return the jobs that have only been postponed for more than an hour, by one bounded query.

    Those that wait for proof are told apart.
    """
    jobs = RenderJob.objects.postponed(MAX_FAILING_SECONDS)
    texts = Left("errors", MAX_REASON_LENGTH), Right("errors", MAX_REASON_LENGTH)
    rows = list(jobs.values_list("state", "failing_since", *texts)[:MAX_POSTPONED])
    is_truncated = len(rows) == MAX_POSTPONED
    unproven = [row for row in rows if row[0] == State.UNCONFIRMED]
    others = [row for row in rows if row[0] != State.UNCONFIRMED]
    groups = (("unproven", UnprovenJobs, unproven), ("postponed", PostponedJobs, others))
    return {
        name: report(
            count=len(group),
            is_truncated=is_truncated,
            failing_seconds=(now - group[0][1]).total_seconds(),
            reason=Counter(_gist(*texts) for _state, _since, *texts in group).most_common(1)[0][0],
        )
        for name, report, group in groups
        if group
    }


def _gist(start: str, end: str) -> str:
    """Return the line of an error that tells most: the first, or the last of a traceback."""
    is_traceback = start.startswith("Traceback")
    lines = (end if is_traceback else start).strip().splitlines() or [""]
    return lines[-1 if is_traceback else 0].strip()


def _count_missed_callbacks(heartbeat: Heartbeat, now: datetime) -> int:
    """Return for how many of the latest documents no callback has arrived; 0 if one has.

    Without any callback ever, a single document shows it; otherwise one may have been lost.
    """
    yesterday = seconds_from_now(-CALLBACK_MEMORY)
    latest = RenderJob.objects.filter(state=State.COMPLETED, created_at__gt=yesterday)
    columns = ("submitted_at", "finished_at", "callback_at")
    rows = list(latest.order_by("-created_at").values_list(*columns)[:MAX_CALLBACKS])
    # A document that was copied was never submitted.
    sent = [row for row in rows if row[0] and now - row[1] > CALLBACK_GRACE]
    if not sent or any(callback_at for _submitted, _finished, callback_at in rows):
        return 0
    last, first_sent = heartbeat.called_back_at, min(row[0] for row in sent)
    if last is not None and (last > first_sent or len(sent) < MIN_MISSED):
        return 0
    return len(sent)


def _abandoned_follow_up(heartbeat: Heartbeat, now: datetime) -> str:
    since = _seconds_since(heartbeat.gave_up_at, now)
    return heartbeat.gave_up_on if since is not None and since < MAX_TOLD_SECONDS else ""


def _read_heartbeat() -> tuple[Heartbeat, datetime]:
    """Return the engine's row, with what else can be counted in the same query."""
    # The first condition is for the index: no event is older.
    waiting = RenderEvent.objects.filter(signal_due_at__gt=EARLIEST, kind__in=FOLLOW_UP_FAILURES)
    rows = Heartbeat.objects.annotate(
        now=Now(),
        # After a long back-off: they are tried again.
        failing_follow_ups=_count(waiting.filter(signal_due_at__gt=F("at") + LONG_BACKOFF)),
    )
    heartbeat = rows.filter(pk=Heartbeat.KEY).first()
    if heartbeat is None:
        Heartbeat.objects.get_or_create(pk=Heartbeat.KEY)
        return _read_heartbeat()
    return heartbeat, heartbeat.now


def _count(rows: QuerySet[Any]) -> Subquery:
    """Return the number of rows as a subquery; an aggregate would be grouped."""
    count = Func(F("pk"), function="COUNT", output_field=IntegerField())
    return Subquery(rows.order_by().annotate(count=count).values("count"))


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
