"""Internal. Read a bounded number of rows from several ranges of jobs by one statement.

Each range is the beginning of an index, so it takes as long for a million jobs as for a few.
"""

import sys
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import connections, router
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from django_docraptor.models.clock import as_datetime
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.querysets import RenderJobQuerySet

Key = TypeVar("Key")
# What a statement reads from the rows of one range.
TOTALS = (
    "SELECT {number}, COUNT(*), SUM({rows}.marked), MIN({rows}.created_at), MIN({rows}.created_at)"
)
SUMS = "SELECT {number}, SUM({rows}.number), SUM({rows}.marked), NULL, NULL"
TIMES = "SELECT {number}, 1, 0, COALESCE({rows}.not_before, {rows}.created_at), {rows}.finished_at"
KEYS = "SELECT {rows}.id"
NO_ROWS = Q(pk__in=())


@dataclass(frozen=True, slots=True)
class JobRange:
    """Jobs that are counted, or whose times are read, in the order of an index.

    Args:
        jobs: in this order.
        limit: jobs that are read at most.
        marked: a condition on columns of the job; those that meet it are counted apart.
        reads_times: whether the time that each job took is read.
    """

    jobs: RenderJobQuerySet
    limit: int
    marked: Q = NO_ROWS
    reads_times: bool = False


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
    #: When the first of them was created, or wanted if the times are read.
    first_created_at: datetime | None = None
    #: From ``wanted_at`` to the end, of each.
    durations: list[timedelta] = field(default_factory=list)

    @property
    def is_truncated(self) -> bool:
        """Whether there may be more jobs than were read."""
        return self.count >= self.limit


def read_ranges(ranges: Mapping[Key, JobRange | Summed]) -> dict[Key, RangeTotals]:
    """Return the totals of each range, by one statement. The first is one of jobs."""
    connection = connections[router.db_for_write(RenderJob)]
    parts, totals = [_part(each) for each in ranges.values()], [RangeTotals() for _ in ranges]
    for total, each in zip(totals, ranges.values(), strict=True):
        if isinstance(each, JobRange):
            total.limit = each.limit
    for number, count, marked, first, last in _rows(parts) if parts else ():
        total = totals[number]
        total.count += int(count or 0)
        total.marked += int(marked or 0)
        created_at = as_datetime(first, connection.timezone)
        finished_at = as_datetime(last, connection.timezone)
        total.first_created_at = total.first_created_at or created_at
        if parts[number][0] is TIMES and finished_at is not None:
            total.durations.append(finished_at - created_at)
    return dict(zip(ranges, totals, strict=True))


def read_keys(ranges: Iterable[RenderJobQuerySet], limit: int) -> list[uuid.UUID]:
    """Return the keys of the first jobs of each range, by one statement, without repetition."""
    parts = [(KEYS, jobs.values("id")[:limit]) for jobs in ranges]
    to_python = RenderJob._meta.pk.to_python
    return list(dict.fromkeys(to_python(key) for (key,) in _rows(parts))) if parts else []


def _part(each: JobRange | Summed) -> tuple[str, Any]:
    if isinstance(each, Summed):
        return SUMS, each.rows.values("number", "marked")
    return TIMES if each.reads_times else TOTALS, _columns(each)[: each.limit]


def _columns(each: JobRange) -> Any:
    if each.reads_times:
        return each.jobs.values("created_at", "not_before", "finished_at")
    is_marked = Case(
        *([When(each.marked, then=Value(1))] if each.marked != NO_ROWS else []),
        default=Value(0),
        output_field=IntegerField(),
    )
    return each.jobs.annotate(marked=is_marked).values("created_at", "marked")


def _rows(parts: list[tuple[str, Any]]) -> list[tuple[Any, ...]]:
    connection = connections[router.db_for_write(RenderJob)]
    statements: list[str] = []
    values: list[Any] = []
    for number, (select, rows) in enumerate(parts):
        name = f"range_{number}"
        sql, params = rows.query.get_compiler(connection.alias).as_sql()
        statements.append(f"{select.format(number=number, rows=name)} FROM ({sql}) AS {name}")
        values += params
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(statements), values)
        return list(cursor.fetchall())
