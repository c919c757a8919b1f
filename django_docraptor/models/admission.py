"""Internal. The pending jobs of a locked account: which may be sent next, and their claim.

And how many documents are in progress, which decides it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from django.db import router
from django.db.models import CharField, QuerySet

from django_docraptor.models.accounts import Account
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.prepared import Parameter, prepared
from django_docraptor.models.querysets import (
    RenderJobQuerySet,
    claim_columns,
    pick_urgent,
    set_small_contents,
)
from django_docraptor.models.statements import Update, changed_keys, update_rows
from django_docraptor.states import State


def read_candidates(
    account: str, key_hash: str, limit: int, sharing: Sequence[str] = ()
) -> list[RenderJob]:
    """Return an account's due jobs with their inputs, most urgent first, and lock them if possible.

    Each has what limits further submissions, see ``with_account_limits``. Call it while the account
    is locked.

    Args:
        account: its name.
        key_hash: of the key with which they are to be created.
        limit: how many.
        sharing: the names that have the key, if there are several.
    """
    names = {f"sharing_{number}": name for number, name in enumerate(sharing)}
    values = {"account": account, "key_hash": key_hash, **names}

    def read(order: Sequence[str], count: int) -> list[RenderJob]:
        return _candidates(tuple(order), count, len(sharing)).fetch(**values)

    jobs = pick_urgent(read, limit)
    set_small_contents(jobs)
    return jobs


@prepared(RenderJob)
def _candidates(order: tuple[str, ...], limit: int, sharing: int) -> RenderJobQuerySet:
    account, key_hash = (Parameter(name, CharField()) for name in ("account", "key_hash"))
    names = [Parameter(f"sharing_{number}", CharField()) for number in range(sharing)]
    pending = RenderJob.objects.filter(state=State.PENDING)
    pending = pending.with_account_limits(account, key_hash, names)
    pending = pending.with_input().lock_available("self")
    return pending.due_now().order_by(*order)[:limit]


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


def count_in_flight_by_key(accounts: Collection[str]) -> Counter[str]:
    """Return, for each account, the occupied slots of its key: those of all names with it."""
    if not accounts:
        return Counter()
    sharing = Account.names_sharing_key(accounts)
    names = {name for group in sharing.values() for name in group}
    counts: Counter[str] = Counter()
    for name, count in _in_flight(tuple(sorted(names))).fetch():
        counts[name] += count
    return Counter({name: sum(counts[each] for each in group) for name, group in sharing.items()})


@prepared(RenderJob)
def _in_flight(names: tuple[str, ...]) -> QuerySet[Any, Any]:
    return RenderJob.objects.in_flight_by_account(names)
