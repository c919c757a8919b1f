"""Internal. Which accounts this process can call: their keys, what pauses them, and how they go on.

A key is read in the calling thread, once for each account and batch. If there is none, jobs wait:
that is never a verdict on a document. A process whose key is paused leaves the jobs to others.
"""

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connections, router, transaction
from django.db.models import Q

from django_docraptor.account_settings import listed_names
from django_docraptor.exceptions import ConfigurationError, UnauthorizedError
from django_docraptor.lifecycle.clients import KeyedClient, open_client
from django_docraptor.lifecycle.isolation import PASSING_ERRORS
from django_docraptor.models import (
    ANY_KEY,
    BY_PERSON,
    EVERY_KEY,
    NO_KEY,
    Account,
    Pause,
    RenderJob,
)
from django_docraptor.models.claims import claim_at_once, claims_at_once, read_urgent
from django_docraptor.models.clock import Now, earliest_due
from django_docraptor.models.jobs import NO_FAILURES
from django_docraptor.models.querysets import (
    PAUSABLE_STATES,
    POSTPONE_BATCH_SIZE,
    claimable_together,
)
from django_docraptor.states import (
    ACCOUNT_PAUSE_SECONDS,
    ACCOUNT_REFUSAL_SECONDS,
    MAX_LOST_CLAIMS,
    NO_KEY_SECONDS,
    State,
)

logger = logging.getLogger(__name__)


def connect(account: str) -> KeyedClient | None:
    """Return the account's client with this process's key, or ``None`` if there is no key now.

    Then the account's jobs wait, and the pause tells why.
    """
    try:
        return _open_client(account)
    except ConfigurationError as error:
        begin_pause(account, NO_KEY, NO_KEY_SECONDS, str(error))
        return None


def _open_client(account: str) -> KeyedClient:
    """Open a client; once more if the key is in a database whose connection was lost."""
    try:
        return open_client(account)
    except ConfigurationError as error:
        close_broken_connections()
        if isinstance(error.__cause__, PASSING_ERRORS):
            with suppress(ConfigurationError):
                return open_client(account)
            close_broken_connections()
        raise


def connect_all(accounts: Iterable[str]) -> dict[str, KeyedClient]:
    """Return the clients of the accounts that have a key now."""
    clients = {account: connect(account) for account in set(accounts)}
    return {account: client for account, client in clients.items() if client is not None}


def close_broken_connections() -> None:
    """Close the connections of this thread that an error has broken, or that are too old.

    One in a transaction is the caller's: a task that runs eagerly, in the process that enqueues,
    may be in one, and in a ``TestCase`` always is.
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            continue
        with suppress(AnyDatabaseError):  # a driver may refuse to close it twice
            connection.close_if_unusable_or_obsolete()


def claim(
    states: Collection[str], *, account: str = "", limit: int, lease: float
) -> list[RenderJob]:
    """Claim up to ``limit`` due jobs for ``lease`` seconds, most urgent first.

    Those whose account this process cannot call stay as they are. A job whose previous claim lapsed
    is claimed alone.

    Args:
        states: the jobs' states.
        account: only its jobs.
        limit: how many.
        lease: seconds.
    """
    claimed: list[RenderJob] = []
    if claims_at_once():
        claimed, is_any_paused = claim_at_once(states, account=account, limit=limit, lease=lease)
        is_alone = bool(claimed) and claimed[0].lapsed_claims > 0
        if not is_any_paused or is_alone or len(claimed) == limit:
            return claimed
    return claimed + _claim_by_comparing(states, account, limit - len(claimed), lease)


def _claim_by_comparing(
    states: Collection[str], account: str, limit: int, lease: float
) -> list[RenderJob]:
    """Claim by a conditional UPDATE; if others were faster with all of the jobs, the next ones."""
    claimed: list[RenderJob] = []
    for _ in range(MAX_LOST_CLAIMS):
        chosen = claimable_together(_most_urgent(states, account, limit))
        claimed = RenderJob.objects.filter(state__in=states).claim_jobs(chosen, lease=lease)
        if claimed or not chosen:
            break
    return claimed


def _most_urgent(states: Collection[str], account: str, limit: int) -> list[RenderJob]:
    """Return up to ``limit`` due jobs of accounts that this process can call."""
    rows = read_urgent(states, account=account, limit=limit)
    if not any(getattr(row, "is_account_paused", False) for row in rows):
        return rows
    return read_urgent(states, account=account, without=_uncallable_accounts(), limit=limit)


def _uncallable_accounts() -> list[str]:
    """Return the paused accounts for which this process has no other key."""
    paused: dict[str, set[str]] = {}
    active = Pause.objects.active().filter(creates_only=False)
    for account, key_hash in active.values_list("account", "key_hash"):
        paused.setdefault(account, set()).add(key_hash)
    clients = connect_all(paused)
    return [
        account
        for account, hashes in paused.items()
        if account not in clients
        or not hashes.isdisjoint(EVERY_KEY)
        or clients[account].key_hashes <= hashes
    ]


def release(job: RenderJob, **changes: Any) -> None:
    """Give a claimed job back, due at once and without counting: another process may go on."""
    job.update_leased(lease_token="", due_at=Now(), **changes)


def pause_after(account: str, error: Exception, *, creates_only: bool = False) -> None:
    """Pause the key that DocRaptor rejected, or the account whose documents it refuses.

    So do all names that have the key.

    Args:
        account: name of the account.
        error: one that concerns the account.
        creates_only: documents that DocRaptor has accepted go on after a refusal.
    """
    if isinstance(error, UnauthorizedError):
        key_hash, names = error.key_hash or ANY_KEY, _names_with_key_of(account)
        _begin_pauses(names, key_hash, ACCOUNT_PAUSE_SECONDS, str(error))
        Account.objects.filter(pk__in=names).update(refused_at=Now())
    else:
        pause_refused(account, str(error), creates_only=creates_only)


def pause_refused(account: str, reason: str, *, creates_only: bool = True) -> None:
    """Pause an account whose documents DocRaptor refuses, until the reason may have gone."""
    names = _names_with_key_of(account)
    _begin_pauses(names, ANY_KEY, ACCOUNT_REFUSAL_SECONDS, reason, creates_only=creates_only)


def _names_with_key_of(account: str) -> tuple[str, ...]:
    """Return the names of accounts that have one key, and so one account at DocRaptor."""
    return Account.names_sharing_key([account])[account]


def begin_pause(
    account: str, key_hash: str, seconds: float, reason: str, *, creates_only: bool = False
) -> None:
    """Pause a key of an account. A new pause is logged once, and its pending jobs say why."""
    _begin_pauses([account], key_hash, seconds, reason, creates_only=creates_only)


def _begin_pauses(
    names: Collection[str],
    key_hash: str,
    seconds: float,
    reason: str,
    *,
    creates_only: bool = False,
) -> None:
    """Pause all accounts that have a key: people are told once, however many tenants share it."""
    new = [
        name
        for name in names
        if _begin_pause(name, key_hash, seconds, reason, creates_only=creates_only)
    ]
    if len(new) == 1:
        logger.error("Account %s is paused; its jobs wait: %s", new[0], reason)
    elif new:
        logger.error("Accounts %s are paused; their jobs wait: %s", listed_names(new), reason)


def pause(account: str, seconds: float | None, reason: str, *, creates_only: bool = False) -> bool:
    """Pause an account because a person wants it: no success of a call ends it.

    Args:
        account: its name.
        seconds: how long from now; ``None``: until it is resumed.
        reason: text for people.
        creates_only: documents that DocRaptor has accepted go on.

    Returns:
        Whether no person had paused it: otherwise the end and the reason are replaced.
    """
    is_new = _begin_pause(account, BY_PERSON, seconds, reason, creates_only=creates_only)
    logger.warning("Account %s is paused by a person; its jobs wait: %s", account, reason)
    return is_new


def _begin_pause(
    account: str, key_hash: str, seconds: float | None, reason: str, *, creates_only: bool
) -> bool:
    Account.objects.get_or_create(pk=account)  # the admin lists it, and can resume it
    # The time of a pause does not count: afterwards a failure is the first of a new row.
    failing = RenderJob.objects.active().filter(account=account, state__in=PAUSABLE_STATES)
    failing.filter(failing_since__isnull=False).update(**NO_FAILURES)
    is_new = Pause.begin(
        account, key_hash, seconds=seconds, reason=reason, creates_only=creates_only
    )
    if is_new:
        waiting = RenderJob.objects.filter(state=State.PENDING, account=account, errors="")
        keys = list(waiting.due().order_by().values_list("pk", flat=True)[:POSTPONE_BATCH_SIZE])
        waiting.filter(pk__in=keys).update(errors=reason)
    return is_new


@dataclass(frozen=True, slots=True)
class Resumed:
    """What resuming an account has changed.

    Args:
        was_restricted: there was a pause, or failures of DocRaptor were counted.
        due: number of its jobs that are due now.
    """

    was_restricted: bool
    due: int


def resume(account: str) -> Resumed:
    """End all pauses of an account, close its circuit and make its waiting jobs due now.

    So do all names that have its key, unless a person has paused them. Jobs that were never tried
    keep their time, unless an open circuit had postponed them; none is due before its
    ``not_before``.
    """
    others = [name for name in _names_with_key_of(account) if name != account]
    results = [_resume(account, Q()), *(_resume(name, ~Q(key_hash=BY_PERSON)) for name in others)]
    return Resumed(any(each.was_restricted for each in results), sum(each.due for each in results))


def _resume(account: str, pauses: Q) -> Resumed:
    jobs = RenderJob.objects.filter(account=account, state__in=PAUSABLE_STATES, lease_token="")
    jobs = jobs.filter(held_at__isnull=True)  # these wait for a person, whatever the account does
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        until = Account.objects.filter(pk=account).values_list("circuit_open_until", flat=True)
        by_circuit = Q(due_at__in=[time for time in until if time])
        is_postponed = Q(failures__gt=0) | ~Q(errors="") | by_circuit
        was_restricted = account in Account.restricted_names()
        Account.close_circuit(account)
        Pause.objects.filter(pauses, account=account).delete()
        jobs.filter(is_postponed, due_at__gt=Now()).update(due_at=earliest_due())
    return Resumed(was_restricted, jobs.due().count())
