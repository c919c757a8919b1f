"""Internal. Count waiting jobs up to a limit: what a person reads needs no million."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

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
    """Return how many unfinished jobs each queryset has, by one statement.

    Each is a range of an index that is ordered by ``due_at``, of which at most ``limit`` rows are
    read; ``None`` reads all.

    Returns:
        The counts of the querysets that are not empty.
    """
    if not querysets:
        return {}
    connection = connections[router.db_for_write(RenderJob)]
    parts: list[str] = []
    values: list[Any] = []
    for number, jobs in enumerate(querysets.values()):
        rows = jobs.filter(due_at__isnull=False).order_by("due_at").values("due_at")[:limit]
        sql, params = rows.query.get_compiler(connection.alias).as_sql()
        parts.append(COUNT.format(number=number, rows=sql))
        values += params
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        found = {number: (count, first) for number, count, first in cursor.fetchall()}
    return {
        key: BoundedCount(found[number][0], as_datetime(found[number][1], connection.timezone))
        for number, key in enumerate(querysets)
        if found[number][0]
    }
