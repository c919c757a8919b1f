"""Internal. Report whether the engine is running and jobs are on time.

For the status command, the admin and health checks. Nothing here changes a job.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Exists, F, Func, IntegerField, QuerySet, Subquery
from django.db.models.functions import Left, Right
from django.utils.translation import gettext as _

from django_docraptor.account_settings import settings_for_report
from django_docraptor.budget_limits import Limit, limit_in_force
from django_docraptor.conf import conf
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.health_reports import (
    DEFAULT_MAX_LAG,
    HealthReport,
    LateJobs,
    PostponedJobs,
    ReachedBudget,
    Restriction,
    UnprovenJobs,
    account_problem,
    engine_problem,
)
from django_docraptor.models import (
    Account,
    BudgetUse,
    DiscardedDocument,
    DiscardedFile,
    Heartbeat,
    Pause,
    RenderEvent,
    RenderJob,
    RenderJobQuerySet,
    seconds_from_now,
)
from django_docraptor.models.admission import count_in_flight_by_key
from django_docraptor.models.bounded_counts import BoundedCount, PreparedCounts
from django_docraptor.models.clock import Now
from django_docraptor.models.due_accounts import first_due_by_account
from django_docraptor.models.prepared import compiled_once, prepared
from django_docraptor.states import ACTIVE_STATES, EventKind, State

UNFINISHED = sorted(ACTIVE_STATES)
# The held jobs among the pending ones, in counts.
HELD = "held"
# Jobs of each state and account that are counted, and accounts whose late jobs are.
MAX_COUNTED = 1000
MAX_COUNTED_ACCOUNTS = 20
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
FOLLOW_UP_FAILURES = (
    EventKind.DELIVERY_FAILED,
    EventKind.HOOK_FAILED,
    EventKind.MAIL_FAILED,
)
LONG_BACKOFF = timedelta(minutes=15)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# Budgets that are told about.
MAX_BUDGETS = 10
MAX_TOLD_SECONDS = 7 * 24 * 3600.0


def health_report(*, max_counted: int | None = MAX_COUNTED) -> HealthReport:
    """Read the state of the queue and the engine from the database.

    It takes as long for a million waiting jobs as for a thousand.

    Args:
        max_counted: how far jobs are counted, in each state; ``None`` counts all.
    """
    return read_report(max_counted=max_counted)


def read_report(*, max_counted: int | None = MAX_COUNTED, min_lag: float = 0.0) -> HealthReport:
    """Return the health report, without late jobs if no job is late by so much.

    Args:
        max_counted: as for `health_report`.
        min_lag: seconds. A page that is shown often saves the queries for jobs that have just
            become due.
    """
    heartbeat, now = _read_heartbeat()
    flags = {**vars(heartbeat), **_read_flags()}
    waiting, why = _count_waiting(max_counted), restrictions() if flags["is_restricted"] else []
    overdue = [state for state in UNFINISHED if state in waiting]
    latest_due_at = now - timedelta(seconds=min_lag)
    overdue = [state for state in overdue if waiting[state].first_due_at < latest_due_at]
    late = _late_jobs(overdue, now, why, max_counted) if overdue else []
    return HealthReport(
        now=now,
        counts={str(each): waiting[each].count if each in waiting else 0 for each in UNFINISHED},
        max_counted=max_counted,
        lag=late[0].lag if late else 0.0,
        seconds_since_tick=_seconds_since(heartbeat.ticked_at, now),
        seconds_since_worker=_seconds_since(heartbeat.worked_at, now),
        seconds_since_callback=_seconds_since(heartbeat.called_back_at, now),
        restrictions=why,
        late=late,
        **(_postponed_jobs(now) if flags["first_postponed_at"] else {}),
        missed_callbacks=_count_missed_callbacks(heartbeat, now),
        held=waiting[HELD].count if HELD in waiting else 0,
        **(_first_held() if HELD in waiting else {}),
        budgets=_reached_budgets() if flags["is_budget_reached"] else [],
        failing_follow_ups=flags["failing_follow_ups"],
        abandoned_follow_up=_abandoned_follow_up(heartbeat, now),
        undeleted_files=flags["undeleted_files"],
        unexpired_documents=flags["unexpired_documents"],
    )


def _count_waiting(max_counted: int | None) -> dict[str, BoundedCount]:
    """Return how many jobs each unfinished state has, and how many are held, by one statement."""
    return _waiting(max_counted).fetch()


@compiled_once(RenderJob)
def _waiting(max_counted: int | None) -> PreparedCounts[str]:
    jobs: dict[str, RenderJobQuerySet] = {
        state: RenderJob.objects.filter(state=state) for state in UNFINISHED
    }
    return PreparedCounts(max_counted, {**jobs, HELD: RenderJob.objects.held()})


def health_problems(max_lag: float = DEFAULT_MAX_LAG) -> list[str]:
    """Return one sentence per problem, for django-health-check or another monitor.

    Args:
        max_lag: seconds by which a job may be overdue.
    """
    return health_report().problems(max_lag)


def waiting_reasons(account: str = "") -> list[str]:
    """Return one sentence for each reason why no job moves: the engine, or paused accounts.

    For a moment at which a person waits for one: it does not wait until a job is late.

    Args:
        account: the account that matters; "" for all.
    """
    since_tick = since_worker = None
    if found := Heartbeat.read():
        row, now = found
        since_tick = _seconds_since(row.ticked_at, now)
        since_worker = _seconds_since(row.worked_at, now)
    problem = engine_problem(since_tick, since_worker)
    told = [each for each in restrictions() if account in ("", each.account)]
    return [*([problem] if problem else []), *map(account_problem, told)]


def failing_reason(account: str) -> str:
    """Return the last error of jobs of an account that are tried again; "" if there are none."""
    jobs = RenderJob.objects.postponed(0).filter(account=account)
    texts = Left("errors", MAX_REASON_LENGTH), Right("errors", MAX_REASON_LENGTH)
    row = jobs.values_list(*texts).first()
    if row is None or not (reason := _gist(*row)):
        return ""
    return _("Other jobs of the account are tried again, because of: %(reason)s") % {
        "reason": reason
    }


def is_slow(job: RenderJob) -> bool:
    """Return whether an unfinished job takes longer than usual.

    The job must be annotated with the database's time.
    """
    is_failing = job.failing_seconds >= SLOW_SECONDS
    return not job.is_final and (is_failing or job.held_at is not None or _is_overdue(job))


def is_late(job: RenderJob) -> bool:
    """Return whether something is wrong with an unfinished job or the engine.

    A job that only waits for a free slot is slow and not late. The job must be annotated with the
    database's time.
    """
    return is_slow(job) and (job.failing_seconds >= SLOW_SECONDS or is_told(job))


def is_blocked(job: RenderJob) -> bool:
    """Return whether an unfinished job waits because of its account, which health tells about."""
    is_pending = job.state == State.PENDING
    return not job.is_final and any(
        each.account == job.account and (each.stops_all or is_pending) for each in restrictions()
    )


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
    return account not in _without_free_slot([account])


def _without_free_slot(accounts: Collection[str]) -> set[str]:
    """Return which of the accounts have as many documents in progress as they may."""
    in_flight = count_in_flight_by_key(accounts)
    return {
        account
        for account in accounts
        if in_flight[account] >= settings_for_report(account).max_in_flight
    }


def _first_held() -> dict[str, Any]:
    """Return the name of the held job that is due first, and why it is held."""
    first = RenderJob.objects.held().order_by("due_at").only("name", "held_for").first()
    return {"held_name": first.name, "held_reason": first.get_held_for_display()} if first else {}


def _reached_budgets() -> list[ReachedBudget]:
    """Return the budgets that are reached by the limits in force, which may have been raised."""
    reached = []
    for row in BudgetUse.reached().order_by("kind", "name", "period")[:MAX_BUDGETS]:
        limit = _limit_of(row)
        number = limit.reached_by(row.used or 0) if limit else None
        if number is not None:
            reached.append(
                ReachedBudget(
                    kind=row.kind,
                    name=row.name,
                    period=row.period,
                    used=row.used or 0,
                    limit=number,
                    ends_at=row.ends_at,
                )
            )
    return reached


def _limit_of(row: BudgetUse) -> Limit | None:
    """Return a budget's limit in force; if it cannot be told, as it was last looked at."""
    try:
        return limit_in_force(row.scope, row.period)
    except (ConfigurationError, ValidationError):  # the key may be of a former user model
        return Limit(row.scope, row.period, row.hard, row.soft)


def _late_jobs(
    states: Collection[State], now: datetime, why: Iterable[Restriction], max_counted: int | None
) -> list[LateJobs]:
    """Return how many jobs of each account are late in these states, the latest first.

    Jobs of a paused account are not late, nor are pending ones while their account has no free
    slot.
    """
    due = {state: first_due_by_account(state) for state in states}
    pending = due.get(State.PENDING, {})
    waiting = _without_free_slot(pending) | {each.account for each in why}
    paused = {each.account for each in why if each.stops_all}
    late: dict[str, dict[State, datetime]] = {}
    for state, accounts in due.items():
        for account in accounts.keys() - (waiting if state == State.PENDING else paused):
            late.setdefault(account, {})[state] = accounts[account]
    latest = sorted(late, key=lambda account: min(late[account].values()))
    counts = _count_late(
        [(account, state) for account in latest[:MAX_COUNTED_ACCOUNTS] for state in late[account]],
        max_counted,
    )
    return [
        _late_jobs_of(account, min(late[account].values()), now, counts.get(account), max_counted)
        for account in latest
    ]


def _count_late(
    groups: Iterable[tuple[str, State]], max_counted: int | None
) -> dict[str, list[int]]:
    """Return how many jobs of each account and state are due, up to a limit, by one statement."""
    counts: dict[str, list[int]] = {}
    for (account, _state), found in _late(max_counted, tuple(sorted(groups))).fetch().items():
        counts.setdefault(account, []).append(found.count)
    return counts


@compiled_once(RenderJob)
def _late(
    max_counted: int | None, groups: tuple[tuple[str, State], ...]
) -> PreparedCounts[tuple[str, State]]:
    jobs = {
        (account, state): RenderJob.objects.filter(state=state, account=account).due()
        for account, state in groups
    }
    return PreparedCounts(max_counted, jobs)


def _late_jobs_of(
    account: str,
    first_due_at: datetime,
    now: datetime,
    counts: list[int] | None,
    max_counted: int | None,
) -> LateJobs:
    """Return what is late of an account, of which at least one job is."""
    is_truncated = counts is None or (max_counted is not None and max(counts) >= max_counted)
    return LateJobs(
        account=account,
        count=sum(counts or [1]),
        is_truncated=is_truncated,
        lag=max(0.0, (now - first_due_at).total_seconds()),
    )


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

    Without any callback ever, a single document shows it; otherwise one may have been lost. Only
    the documents of accounts with a ``CALLBACK_BASE_URL`` are counted.
    """
    if not (conf.callback_base_url or conf.accounts):
        return 0
    yesterday = seconds_from_now(-CALLBACK_MEMORY)
    latest = RenderJob.objects.filter(state=State.COMPLETED, created_at__gt=yesterday)
    columns = ("submitted_at", "finished_at", "callback_at", "account")
    rows = list(latest.order_by("-created_at").values_list(*columns)[:MAX_CALLBACKS])
    called = {name for name in {row[3] for row in rows} if _has_callbacks(name)}
    # A document that was copied was never submitted.
    sent = [row for row in rows if row[0] and row[3] in called and now - row[1] > CALLBACK_GRACE]
    if not sent or any(callback_at for _submitted, _finished, callback_at, _account in rows):
        return 0
    last, first_sent = heartbeat.called_back_at, min(row[0] for row in sent)
    if last is not None and (last > first_sent or len(sent) < MIN_MISSED):
        return 0
    return len(sent)


def _has_callbacks(account: str) -> bool:
    return bool(settings_for_report(account).callback_base_url)


def _abandoned_follow_up(heartbeat: Heartbeat, now: datetime) -> str:
    since = _seconds_since(heartbeat.gave_up_at, now)
    return heartbeat.gave_up_on if since is not None and since < MAX_TOLD_SECONDS else ""


def _read_heartbeat() -> tuple[Heartbeat, datetime]:
    """Return the engine's row, with what else can be counted in the same query."""
    found = _heartbeats().fetch()
    if not found:
        Heartbeat.objects.get_or_create(pk=Heartbeat.KEY)
        return _read_heartbeat()
    row: Any = found[0]
    return row, row.now


def _read_flags() -> dict[str, Any]:
    """Return what small tables tell, by one query: mostly that no other query is worth its time."""
    (row,) = _flags().fetch()
    return vars(row)


@prepared(Heartbeat)
def _heartbeats() -> QuerySet[Heartbeat]:
    # The first condition is for the index: no event is older.
    waiting = RenderEvent.objects.filter(signal_due_at__gt=EARLIEST, kind__in=FOLLOW_UP_FAILURES)
    postponed = RenderJob.objects.postponed(MAX_FAILING_SECONDS)
    rows = Heartbeat.objects.annotate(
        now=Now(),
        # Their index has this order: a database may choose another for EXISTS.
        first_postponed_at=Subquery(postponed.values("failing_since")[:1]),
        # After a long back-off: they are tried again.
        failing_follow_ups=_count(waiting.filter(signal_due_at__gt=F("at") + LONG_BACKOFF)),
    )
    return rows.filter(pk=Heartbeat.KEY)


@prepared(Heartbeat)
def _flags() -> QuerySet[Heartbeat]:
    yesterday = seconds_from_now(-MAX_FILE_AGE)
    rows = Heartbeat.objects.only("pk")
    rows = rows.annotate(
        is_restricted=Exists(Pause.objects.told()) | Exists(Account.with_open_circuit()),
        is_budget_reached=Exists(BudgetUse.reached()),
        undeleted_files=_count(DiscardedFile.objects.filter(discarded_at__lt=yesterday)),
        unexpired_documents=_count(DiscardedDocument.objects.filter(discarded_at__lt=yesterday)),
    )
    return rows.filter(pk=Heartbeat.KEY)


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
            until=pause.ends_at,
            stops_all=not pause.creates_only,
            is_by_person=pause.is_by_person,
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
