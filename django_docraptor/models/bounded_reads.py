"""Internal. Read a bounded number of rows from several ranges of jobs by one statement.

Each range is the beginning of an index, so it takes as long for a million jobs as for a few.
"""

import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db import connections, router
from django.db.models import (
    Case,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from django_docraptor.models.clock import as_datetime
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.querysets import RenderJobQuerySet

Key = TypeVar("Key")
# What a statement reads from the rows of one range. Numbers: of the range, of its rows, of those
# that are counted apart; then two times.
COUNTS = "SELECT {number}, COUNT(*), SUM(marked), NULL, NULL FROM ({rows}) AS jobs"
FIRST = "SELECT {number}, COUNT(*), 0, MIN(created_at), MIN(created_at) FROM ({rows}) AS jobs"
SUMS = "SELECT {number}, SUM(number), SUM(marked), NULL, NULL FROM ({rows}) AS sums"
# For each percentile, the times of the job that it is by nearest rank.
TIMES = """
SELECT {number}, total, percent, wanted, finished_at
FROM (
    SELECT wanted, finished_at, ROW_NUMBER() OVER (ORDER BY taken) AS place,
        COUNT(*) OVER () AS total
    FROM ({rows}) AS jobs WHERE finished_at IS NOT NULL
) AS ranked
JOIN (SELECT 50 AS percent UNION ALL SELECT 95) AS percentiles
    ON place * 100 >= total * percent AND (place - 1) * 100 < total * percent
"""
KEYS = "SELECT id FROM ({rows}) AS jobs"
NO_ROWS = Q(pk__in=())


@dataclass(frozen=True, slots=True)
class JobRange:
    """Jobs that are counted, or whose times are read, in the order of an index.

    Args:
        jobs: in this order.
        limit: jobs that are read at most.
        marked: a condition on columns of the job; those that meet it are counted apart.
        reads: ``COUNTS``; ``FIRST``, if it is also read when the first was created; or ``TIMES``
            for percentiles of the time that they took.
    """

    jobs: RenderJobQuerySet
    limit: int
    marked: Q = NO_ROWS
    reads: str = COUNTS


@dataclass(frozen=True, slots=True)
class Summed:
    """Rows of which two columns are added up: ``number`` is the count, ``marked`` what is apart."""

    rows: QuerySet[Any, Any]


@dataclass(slots=True)
class RangeTotals:
    """What was read from a range."""

    limit: int = sys.maxsize
    count: int = 0
    #: How many of them meet the range's condition.
    marked: int = 0
    #: When the first of them was created, if that is read.
    first_created_at: datetime | None = None
    #: From ``wanted_at`` to the end: 50 has the median, 95 the 95th percentile.
    durations: dict[int, timedelta] = field(default_factory=dict)

    @property
    def is_truncated(self) -> bool:
        """Whether there may be more jobs than were read."""
        return self.count >= self.limit


class PreparedRanges(Generic[Key]):
    """The totals of ranges: a statement that is compiled once.

    Args:
        ranges: the first one reads a time, because PostgreSQL would take NULL for a text.
    """

    def __init__(self, ranges: Mapping[Key, JobRange | Summed]) -> None:
        self._ranges = dict(ranges)
        self._using = router.db_for_write(RenderJob)
        self._parts = [_part(each) for each in ranges.values()]
        self._sql, self._values = _compile(self._parts, self._using)

    def fetch(self) -> dict[Key, RangeTotals]:
        """Return the totals of each range."""
        connection = connections[self._using]
        with connection.cursor() as cursor:
            cursor.execute(self._sql, self._values)
            rows = cursor.fetchall()
        totals = [
            RangeTotals(getattr(each, "limit", sys.maxsize)) for each in self._ranges.values()
        ]
        for number, count, marked, first, last in rows:
            total, created_at = totals[number], as_datetime(first, connection.timezone)
            total.count = int(count or 0)
            if self._parts[number][0] is TIMES:
                total.durations[marked] = as_datetime(last, connection.timezone) - created_at
            else:
                total.marked, total.first_created_at = int(marked or 0), created_at
        return dict(zip(self._ranges, totals, strict=True))


def read_keys(ranges: Iterable[RenderJobQuerySet], limit: int) -> list[uuid.UUID]:
    """Return the keys of the first jobs of each range, by one statement, without repetition."""
    parts = [(KEYS, jobs.values("id")[:limit]) for jobs in ranges]
    if not parts:
        return []
    connection = connections[router.db_for_write(RenderJob)]
    with connection.cursor() as cursor:
        cursor.execute(*_compile(parts, connection.alias))
        keys = [key for (key,) in cursor.fetchall()]
    return list(dict.fromkeys(map(RenderJob._meta.pk.to_python, keys)))


def _part(each: JobRange | Summed) -> tuple[str, Any]:
    if isinstance(each, Summed):
        return SUMS, each.rows.values("number", "marked")
    return each.reads, _columns(each)[: each.limit]


def _columns(each: JobRange) -> Any:
    if each.reads is FIRST:
        return each.jobs.values("created_at")
    if each.reads is TIMES:
        wanted = Coalesce("not_before", "created_at", output_field=DateTimeField())
        taken = ExpressionWrapper(F("finished_at") - wanted, output_field=DurationField())
        jobs = each.jobs.annotate(wanted=wanted, taken=taken)
        return jobs.values("wanted", "finished_at", "taken")
    is_marked = Case(
        *([When(each.marked, then=Value(1))] if each.marked != NO_ROWS else []),
        default=Value(0),
        output_field=IntegerField(),
    )
    return each.jobs.annotate(marked=is_marked).values("marked")


def _compile(parts: Sequence[tuple[str, Any]], using: str) -> tuple[str, list[Any]]:
    """Return one statement for the rows of all parts, and its parameters."""
    statements: list[str] = []
    values: list[Any] = []
    for number, (select, rows) in enumerate(parts):
        sql, params = rows.query.get_compiler(using).as_sql()
        statements.append(select.format(number=number, rows=sql))
        values += params
    return " UNION ALL ".join(statements), values
