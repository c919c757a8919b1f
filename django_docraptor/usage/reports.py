"""Internal. What was used in a period: the sums, and what is not summed up yet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import BigIntegerField, Case, F, Q, QuerySet, Sum, When

from django_docraptor.billing import COUNTERS, Usage, utc_day
from django_docraptor.models import RenderEvent, RenderJob, UsageDay, UsageMark
from django_docraptor.states import State
from django_docraptor.usage.histories import NOTHING, Days, jobs_of, owner_key, used_by

# Events after the sum that are counted on demand.
MAX_LIVE = 50_000
# How often figures are read again because they have changed meanwhile.
MAX_READS: Final = 5

ACCOUNT, DOCUMENT, OWNER, DAY = "account", "document", "owner", "day"
GROUPS: Final = (ACCOUNT, DOCUMENT, OWNER, DAY)
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """What was used by an account, a document or an owner, or on a day.

    Args:
        key: its name; for a day its ISO date; "" for jobs without it, and for a total.
        live: of production documents.
        test: of test documents.
    """

    key: str
    live: Usage = NOTHING
    test: Usage = NOTHING

    @property
    def both(self) -> Usage:
        """What production and test documents have used together."""
        return self.live + self.test

    def plus(self, used: Usage, *, test: bool) -> "UsageLine":
        """Return the line with more of one kind."""
        return (
            replace(self, test=self.test + used) if test else replace(self, live=self.live + used)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """What was used in a period.

    Args:
        lines: by key.
        total: of all lines.
        is_complete: whether all events are counted; otherwise no tick has run for long.
    """

    lines: tuple[UsageLine, ...]
    total: UsageLine
    is_complete: bool


def read_usage(
    first: date,
    last: date,
    *groups: str,
    account: str | None = None,
) -> dict[str, UsageReport]:
    """Return what was used in a period, once for each way of grouping it.

    Args:
        first: its first day, in UTC.
        last: its last day.
        groups: of ``GROUPS``.
        account: only this account.
    """
    where = {} if account is None else {"account": account}

    def read(mark: int) -> dict[str, UsageReport]:
        live, is_complete = _live(mark, Q(**where), MAX_LIVE)
        recent = {key: used for key, used in live.items() if first <= key.day <= last}
        rows = UsageDay.objects.filter(day__range=(first, last), **where)
        return {by: _report(rows, recent, by, is_complete=is_complete) for by in groups}

    return _read_unchanged(read)


def billed_and_free(month: date) -> QuerySet[UsageDay, Any]:
    """Return the sums of a month as rows: ``number`` is billed, ``marked`` is free.

    They are some minutes old: :func:`read_usage` counts what is newer, too.

    Args:
        month: its first day. Later months are added.
    """
    rows = UsageDay.objects.filter(owner="", day__gte=month).order_by()
    return rows.annotate(
        number=Case(When(Q(test=False), then=F("billed")), output_field=BigIntegerField()),
        marked=Case(
            When(Q(test=True), then=F("completed")),
            default=F("reused"),
            output_field=BigIntegerField(),
        ),
    )


def _report(rows: QuerySet[UsageDay], live: Days, by: str, *, is_complete: bool) -> UsageReport:
    lines: dict[str, UsageLine] = {}
    total = UsageLine(key="")
    for key, test, used in _figures(rows.filter(owner=""), live, "day" if by == OWNER else by):
        total = total.plus(used, test=test)
        key = "" if by == OWNER else key
        lines[key] = lines.get(key, UsageLine(key=key)).plus(used, test=test)
    if by == OWNER:  # what is left is of jobs without an owner
        for key, test, used in _figures(rows.exclude(owner=""), live, OWNER):
            lines[key] = lines.get(key, UsageLine(key=key)).plus(used, test=test)
            lines[""] = lines.get("", UsageLine(key="")).plus(NOTHING - used, test=test)
    shown = sorted((line for line in lines.values() if line.live or line.test), key=_rank(by))
    return UsageReport(lines=tuple(shown), total=total, is_complete=is_complete)


def _rank(by: str) -> Callable[[UsageLine], Any]:
    """Return the order: days as they follow, other lines with the highest bill first."""
    if by == DAY:
        return lambda line: line.key
    return lambda line: (-line.live.billed, -line.both.completed, line.key)


def _figures(rows: QuerySet[UsageDay], live: Days, by: str) -> Iterator[tuple[str, bool, Usage]]:
    """Yield what the rows, and what is not summed up yet, say about each key."""
    sums = {name: Sum(name) for name in COUNTERS}
    # An alias for each sum, because a column of the same name hides the field.
    summed = (
        rows.order_by().values_list(by, "test").annotate(**{f"sum_{n}": s for n, s in sums.items()})
    )
    for key, test, *values in summed:
        yield str(key), test, Usage(**dict(zip(COUNTERS, values, strict=True)))
    for each, used in live.items():
        if bool(each.owner) == (by == OWNER):
            yield str(getattr(each, by)), each.test, used


def billed_since(
    since: date,
    *,
    account: str | None = None,
    document: str | None = None,
    owner: Any = None,
) -> int:
    """Return how many attempts DocRaptor has billed, or may bill, since a day began.

    With those that are being sent at this moment. The history is exact: a count within the
    account's lock sees every attempt that was sent before.

    Args:
        since: a day, or a time, whose day in UTC counts from its beginning.
        account: only this account's attempts.
        document: only those of the document class with this label.
        owner: only those of this user's documents: the user, or the primary key.

    Raises:
        ValidationError: ``since`` is no day, or ``owner`` is no user who can own documents.
    """
    first = _day_of(since)
    where = {
        name: value
        for name, value in (("account", account), ("document", document))
        if value is not None
    }
    key = None if owner is None else owner_key(owner)
    owner_text = "" if key is None else str(key)
    jobs = {"test": False, **where} | ({} if key is None else {"owner_id": key})

    def read(mark: int) -> int:
        rows = UsageDay.objects.filter(day__gte=first, owner=owner_text, test=False, **where)
        summed = rows.aggregate(sum=Sum("billed"))["sum"] or 0
        # First: what is settled while this reads is found in its job's history then.
        sending = RenderJob.objects.filter(state=State.SUBMITTING, **jobs).order_by()
        keys = list(sending.values_list("pk", flat=True))
        keys += jobs_of(RenderEvent.objects.filter(pk__gt=mark))
        days = used_by(dict.fromkeys(keys), after=mark, where=Q(**jobs), with_intents=True)
        return summed + sum(
            used.billed
            for each, used in days.items()
            if each.day >= first and each.owner == owner_text
        )

    return _read_unchanged(read)


def _day_of(since: object) -> date:
    if isinstance(since, datetime):
        return utc_day(since)
    if isinstance(since, date):
        return since
    message = f"since must be a date or a datetime, not {type(since).__name__}."
    raise ValidationError({"since": [message]})


def _read_unchanged(read: Callable[[int], R]) -> R:
    """Read what belongs together, again if it was summed up meanwhile.

    Args:
        read: reads; it gets the number of the last event that is summed up.
    """
    before = UsageMark.version()
    for _ in range(MAX_READS):
        found = read(before[0])
        after = UsageMark.version()
        if after == before:
            break
        before = after
    return found


def _live(mark: int, where: Q, limit: int) -> tuple[Days, bool]:
    """Return what is not summed up yet, and whether all of it was counted.

    Args:
        mark: the number of the last event that is summed up.
        where: which jobs count.
        limit: how many events are read.
    """
    events = RenderEvent.objects.filter(pk__gt=mark).order_by("pk")
    last = events.values_list("pk", flat=True)[limit : limit + 1].first()
    if last is not None:
        events = events.filter(pk__lt=last)
    until = None if last is None else last - 1
    return used_by(jobs_of(events), after=mark, until=until, where=where), last is None
