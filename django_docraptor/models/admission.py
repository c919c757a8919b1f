"""Internal. The pending jobs of a locked account: which may be sent next, and their claim."""

from collections.abc import Sequence
from functools import lru_cache, partial

from django.db import connections, router
from django.db.models import CharField

from django_docraptor.models.clock import offset_minutes
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.prepared import Parameter, PreparedQuery
from django_docraptor.models.querysets import claim_columns, pick_urgent, set_small_contents
from django_docraptor.models.statements import Update, changed_keys, update_rows
from django_docraptor.states import State


def read_candidates(account: str, key_hash: str, limit: int) -> list[RenderJob]:
    """Return an account's due jobs with their inputs, most urgent first, and lock them if possible.

    Each has what limits further submissions, see ``with_account_limits``. Call it while the account
    is locked.
    """
    using = router.db_for_write(RenderJob)
    offset = offset_minutes(connections[using])
    jobs = pick_urgent(partial(_read, using, offset, account, key_hash), limit)
    set_small_contents(jobs)
    return jobs


def _read(
    using: str, offset: int, account: str, key_hash: str, order: Sequence[str], limit: int
) -> list[RenderJob]:
    query = _prepare(using, offset, tuple(order), limit)
    return query.fetch(account=account, key_hash=key_hash)


@lru_cache(maxsize=64)
def _prepare(
    using: str, _offset: int, order: tuple[str, ...], limit: int
) -> PreparedQuery[RenderJob]:
    """Compile the query; again when the database's zone changes its offset."""
    account, key_hash = (Parameter(name, CharField()) for name in ("account", "key_hash"))
    pending = RenderJob.objects.using(using).filter(state=State.PENDING)
    pending = pending.with_account_limits(account, key_hash).with_input().lock_available("self")
    return PreparedQuery(pending.due_now().order_by(*order)[:limit])


def claim_candidates(jobs: list[RenderJob], *, lease: float) -> list[RenderJob]:
    """Claim candidates: one whose previous claim lapsed, or several others.

    The account is locked, and so are the rows if the database has row locks: nothing else claims
    them or moves them. Elsewhere a row may have changed, and is left as it is.

    Args:
        jobs: some of :func:`read_candidates`.
        lease: seconds.

    Returns:
        The claimed jobs.
    """
    if not jobs:
        return []
    keys, claim = [job.pk for job in jobs], claim_columns(jobs[0], lease)
    where = {"id": keys, "state": State.PENDING, "lease_token": jobs[0].lease_token}
    using = router.db_for_write(RenderJob)
    count = update_rows(Update(RenderJob, where, claim), using=using)
    claimed = changed_keys(RenderJob, keys, count, lease_token=claim["lease_token"], using=using)
    jobs = [job for job in jobs if job.pk in claimed]
    for job in jobs:
        job._apply(claim)
    return jobs
