"""Internal. Claim due jobs by one statement, if the database can skip rows that others lock.

Several workers get different rows at once: none of them reads jobs that another one has claimed by
the time of its UPDATE. MariaDB locks every row that a statement has sorted: the others would then
find nothing. There, and on SQLite, ``querysets`` claims by a conditional UPDATE.
"""

import random
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import cache
from typing import Final

from django.db import connections, router
from django.db.models import CharField

from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.pauses import Pause
from django_docraptor.models.prepared import Parameter, prepared
from django_docraptor.models.querysets import FAIR_SHARE, RenderJobQuerySet, pick_urgent
from django_docraptor.models.statements import combines_writes

BY_PRIORITY: Final = "priority DESC, due_at"
BY_WAITING_TIME: Final = "due_at"
# The jobs of paused accounts are left out. A job whose previous claim lapsed is claimed alone, if
# there is no other or if it is its turn. The last clause returns a row even if nothing was claimed.
CLAIM: Final = """
    WITH due AS (
        SELECT id, lease_token, priority, due_at FROM {job}
        WHERE state IN ({states}) AND due_at <= STATEMENT_TIMESTAMP() {condition} AND NOT EXISTS (
            SELECT FROM {pause} AS pause WHERE pause.account = {job}.account AND {is_paused}
        )
        ORDER BY {order} LIMIT %s
        FOR UPDATE SKIP LOCKED
    ), chosen AS (
        SELECT id FROM due WHERE lease_token = ''
            AND NOT (%s AND EXISTS (SELECT FROM due WHERE lease_token <> ''))
        UNION ALL (
            SELECT id FROM due WHERE lease_token <> ''
                AND (%s OR NOT EXISTS (SELECT FROM due WHERE lease_token = ''))
            ORDER BY {order} LIMIT 1
        )
    ), claimed AS (
        UPDATE {job} SET
            lease_token = %s,
            due_at = STATEMENT_TIMESTAMP() + %s,
            lapsed_claims = CASE WHEN lease_token = '' THEN 0 ELSE lapsed_claims + 1 END
        FROM chosen WHERE {job}.id = chosen.id
        RETURNING {job}.*, STATEMENT_TIMESTAMP() AS database_now
    )
    SELECT claimed.*, EXISTS (SELECT FROM {pause} AS pause WHERE {is_paused}) AS is_any_paused
    FROM (SELECT) AS one_row LEFT JOIN claimed ON TRUE
"""
IS_PAUSED: Final = "NOT pause.creates_only AND pause.paused_until > STATEMENT_TIMESTAMP()"


def claims_at_once() -> bool:
    """Return whether :func:`claim_at_once` works on the jobs' database."""
    return combines_writes(router.db_for_write(RenderJob))


def claim_at_once(
    states: Collection[str], *, account: str = "", limit: int, lease: float
) -> tuple[list[RenderJob], bool]:
    """Claim up to ``limit`` due jobs for ``lease`` seconds, most urgent first.

    One claim in eight prefers those that have waited longest, so that no priority starves.

    Args:
        states: the jobs' states.
        account: only its jobs.
        limit: how many.
        lease: seconds.

    Returns:
        The claimed jobs, and whether any account is paused: its jobs were left out.
    """
    is_by_age = random.random() < FAIR_SHARE  # noqa: S311
    is_turn_of_lapsed = random.random() < FAIR_SHARE  # noqa: S311
    using = router.db_for_write(RenderJob)
    sql = _claim_sql(using, len(states), bool(account), is_by_age)
    params = [*states, *filter(None, [account]), limit, is_turn_of_lapsed, is_turn_of_lapsed]
    params += [secrets.token_hex(16), timedelta(seconds=lease)]
    rows = list(RenderJob.objects.using(using).raw(sql, params))
    jobs = [row for row in rows if row.pk is not None]
    jobs.sort(key=lambda job: (-job.priority, job.created_at))
    return jobs, bool(vars(rows[0])["is_any_paused"])


def read_urgent(
    states: Collection[str], *, account: str = "", without: Collection[str] = (), limit: int
) -> list[RenderJob]:
    """Return up to ``limit`` due jobs, most urgent first, for ``RenderJobQuerySet.claim_jobs``.

    One job in eight is the one that has waited longest, so that no priority starves. Each has
    ``is_account_paused``: some key of its account makes no calls.

    Args:
        states: the jobs' states.
        account: only its jobs.
        without: accounts whose jobs are left out.
        limit: how many.
    """
    left_out = tuple(sorted(without))
    names = {"account": account} if account else {}

    def read(order: Sequence[str], count: int) -> list[RenderJob]:
        query = _urgent(tuple(states), bool(account), left_out, tuple(order), count)
        return query.fetch(**names)

    return pick_urgent(read, limit)


@prepared(RenderJob)
def _urgent(
    states: tuple[str, ...],
    has_account: bool,
    without: tuple[str, ...],
    order: tuple[str, ...],
    limit: int,
) -> RenderJobQuerySet:
    jobs = RenderJob.objects.filter(state__in=states).exclude(account__in=without)
    if has_account:
        jobs = jobs.filter(account=Parameter("account", CharField()))
    return jobs.due_with_pauses().order_by(*order)[:limit]


@cache
def _claim_sql(using: str, states: int, has_account: bool, is_by_age: bool) -> str:
    quote = connections[using].ops.quote_name
    return CLAIM.format(
        job=quote(RenderJob._meta.db_table),
        pause=quote(Pause._meta.db_table),
        states=", ".join(["%s"] * states),
        condition="AND account = %s" if has_account else "",
        order=BY_WAITING_TIME if is_by_age else BY_PRIORITY,
        is_paused=IS_PAUSED,
    )
