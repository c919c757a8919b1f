"""Internal. Which accounts have due jobs, by a look-up for each account.

``SELECT DISTINCT`` reads each waiting job, so that a backlog of one account slows down all others.
Here an account costs a look-up or two in an index, however many jobs it has.
"""

from datetime import datetime
from functools import cache
from typing import Any

from django.db import connections, router
from django.db.models import CharField, Min, QuerySet, Subquery
from django.db.models.expressions import RawSQL

from django_docraptor.models.clock import Now, as_datetime, offset_minutes
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.prepared import Parameter, prepared
from django_docraptor.models.querysets import RenderJobQuerySet

# Accounts that are looked up one by one.
MAX_LOOK_UPS = 100
# An account and its first `due_at`; the next account is looked up behind the one before it.
LOOSE_SCAN = """
WITH RECURSIVE known (account) AS (
    SELECT * FROM ({first}) AS first_account
    UNION ALL
    SELECT ({following}) FROM known WHERE known.account IS NOT NULL
), due AS (
    SELECT known.account, ({due_at}) AS due_at FROM known WHERE known.account IS NOT NULL
)
SELECT account, due_at FROM due WHERE due_at IS NOT NULL ORDER BY due_at
"""


def first_due_by_account(state: str) -> dict[str, datetime]:
    """Return the accounts that have due jobs in a state, and since when, the longest first."""
    connection = connections[router.db_for_write(RenderJob)]
    if connection.vendor == "mysql":
        return _look_up_each(state)
    sql, params = _loose_scan(connection.alias, state, offset_minutes(connection))
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows = cursor.fetchall()
    return {account: as_datetime(due_at, connection.timezone) for account, due_at in rows}


def _unfinished(using: str, state: str) -> RenderJobQuerySet:
    # All of them have a `due_at`; the condition is that of the index.
    return RenderJob.objects.using(using).filter(state=state, due_at__isnull=False).order_by()


@cache
def _loose_scan(using: str, state: str, _offset: int) -> tuple[str, tuple[Any, ...]]:
    """Return SQL and parameters, compiled once per process, because they run for each submit."""
    jobs = _unfinished(using, state)
    accounts = jobs.order_by("account").values("account")
    known: Any = RawSQL("known.account", ())
    parts = {
        "first": accounts[:1],
        "following": accounts.filter(account__gt=known)[:1],
        "due_at": jobs.due().filter(account=known).order_by("due_at").values("due_at")[:1],
    }
    compiled = {name: _compile(rows, using) for name, rows in parts.items()}
    sql = LOOSE_SCAN.format_map({name: text for name, (text, _params) in compiled.items()})
    return sql, tuple(value for _text, params in compiled.values() for value in params)


def _compile(rows: QuerySet[Any, Any], using: str) -> tuple[str, tuple[Any, ...]]:
    sql, params = rows.query.get_compiler(using).as_sql()
    return sql, tuple(params)


def _look_up_each(state: str) -> dict[str, datetime]:
    """Find the accounts by a statement for each.

    MariaDB and MySQL use no range of an index for a value of an outer query. Sites with one account
    need one statement: the last account is looked up together with the first. If there are very
    many accounts, the others are grouped by one statement.
    """
    found: dict[str, datetime] = {}
    rows = _first_account(state).fetch()
    while rows:
        ((account, due_at, now, last_account),) = rows
        if due_at <= now:
            found[account] = due_at
        if account == last_account:
            break
        if len(found) >= MAX_LOOK_UPS:
            jobs = _unfinished(router.db_for_write(RenderJob), state)
            others: Any = jobs.due().filter(account__gt=account).values_list("account")
            found |= dict(others.annotate(first_due_at=Min("due_at")))
            break
        rows = _next_account(state).fetch(account=account)
    return dict(sorted(found.items(), key=lambda item: item[1]))


@prepared(RenderJob)
def _first_account(state: str) -> QuerySet[RenderJob, Any]:
    return _accounts(state)[:1]


@prepared(RenderJob)
def _next_account(state: str) -> QuerySet[RenderJob, Any]:
    return _accounts(state).filter(account__gt=Parameter("account", CharField()))[:1]


def _accounts(state: str) -> QuerySet[RenderJob, Any]:
    jobs = _unfinished(router.db_for_write(RenderJob), state)
    last = Subquery(jobs.order_by("-account").values("account")[:1])
    first: Any = jobs.order_by("account", "due_at").annotate(now=Now(), last_account=last)
    rows: QuerySet[RenderJob, Any] = first.values_list("account", "due_at", "now", "last_account")
    return rows
