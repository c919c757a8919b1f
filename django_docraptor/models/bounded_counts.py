"""Internal. Count waiting jobs up to a limit: what a person reads needs no million."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db import connections, router

from django_docraptor.models.clock import as_datetime
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.querysets import RenderJobQuerySet

Key = TypeVar("Key")
COUNT = "SELECT {number}, COUNT(*), MIN(counted_{number}.due_at) FROM ({rows}) AS counted_{number}"


@dataclass(frozen=True, slots=True)
class BoundedCount:
    """How many jobs there are, at most the limit, and when the first is due."""

    count: int
    first_due_at: datetime


def count_up_to(
    limit: int | None, querysets: Mapping[Key, RenderJobQuerySet]
) -> dict[Key, BoundedCount]:
    """Return how many unfinished jobs each queryset has, as `PreparedCounts` does."""
    return PreparedCounts(limit, querysets).fetch()


class PreparedCounts(Generic[Key]):
    """The numbers of unfinished jobs of querysets: a statement that is compiled once.

    Args:
        limit: how many rows are read of each queryset, a range of an index that is ordered by
            ``due_at``; ``None`` reads all.
        querysets: may be none.
    """

    def __init__(self, limit: int | None, querysets: Mapping[Key, RenderJobQuerySet]) -> None:
        self._using = router.db_for_write(RenderJob)
        self._keys = list(querysets)
        parts: list[str] = []
        self._values: list[Any] = []
        for number, jobs in enumerate(querysets.values()):
            rows = jobs.filter(due_at__isnull=False).order_by("due_at").values("due_at")[:limit]
            sql, params = rows.query.get_compiler(self._using).as_sql()
            parts.append(COUNT.format(number=number, rows=sql))
            self._values += params
        self._sql = " UNION ALL ".join(parts)

    def fetch(self) -> dict[Key, BoundedCount]:
        """Return the counts of the querysets that are not empty."""
        if not self._keys:
            return {}
        connection = connections[self._using]
        with connection.cursor() as cursor:
            cursor.execute(self._sql, self._values)
            found = {number: (count, first) for number, count, first in cursor.fetchall()}
        return {
            key: BoundedCount(found[number][0], as_datetime(found[number][1], connection.timezone))
            for number, key in enumerate(self._keys)
            if found[number][0]
        }
