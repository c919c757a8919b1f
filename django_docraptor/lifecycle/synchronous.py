"""Internal. Create a document by one synchronous call, without a job, but by the account's rules.

The call waits for a slot of its account, is not made while the account is paused, has a tag by
which DocRaptor's log lists it, and pauses the account if the response concerns it.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import Error as AnyDatabaseError
from django.db import connections, router, transaction
from django.db.models import Q

from django_docraptor.conf import conf
from django_docraptor.exceptions import (
    AccountBusyError,
    AccountPausedError,
    CallError,
    ConfigurationError,
    DocRaptorError,
    Sent,
)
from django_docraptor.lifecycle.account_refusals import concerns_account
from django_docraptor.lifecycle.accounts import close_broken_connections, pause_after
from django_docraptor.lifecycle.budgets import take_place
from django_docraptor.lifecycle.clients import KeyedClient, open_client
from django_docraptor.lifecycle.leases import call_lease
from django_docraptor.models import Account, Pause, RenderJob, SynchronousCall
from django_docraptor.models.clock import Now
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.payloads import DocumentRequest
from django_docraptor.states import MAX_SYNCHRONOUS_SECONDS

if TYPE_CHECKING:
    from django_docraptor.client import Client

logger = logging.getLogger(__name__)

R = TypeVar("R")

TAG_PREFIX: Final = "now:"
# Seconds for which a call waits for a free slot, and between two tries.
MAX_WAIT_SECONDS = 10.0
POLL_SECONDS = 0.25


def create_now(
    account: str,
    request: DocumentRequest,
    create: "Callable[[Client, DocumentRequest], R]",
    *,
    name: str = "create_doc",
    document: str = "",
    owner_id: Any = None,
) -> R:
    """Make a synchronous create call.

    Args:
        account: name of the account.
        request: the document; a tag of the call's own is put before its tag.
        create: makes the call.
        name: of the client's method that it calls.
        document: label of the document class, for its budget.
        owner_id: the owner's primary key, for the same.

    Raises:
        ConfigurationError: there is no API key, or this host may not make production documents.
        AccountPausedError: the account is paused; nothing was sent.
        AccountBusyError: no slot became free; nothing was sent.
        BudgetExceededError: a budget has no place left; nothing was sent.
        CallError: the call failed; ``tag`` is its tag.
    """
    if not (request.test or conf.is_live_allowed):
        raise ConfigurationError(
            "DOCRAPTOR['ALLOW_LIVE'] allows no production documents on this host. Nothing was sent."
        )
    keyed, own_tag = open_client(account), f"{TAG_PREFIX}{secrets.token_hex(8)}"
    tagged = replace(request, tag=f"{own_tag} {request.tag or ''}".strip())
    with _occupied_slot(keyed):
        give_back = None if request.test else take_place(account, document, owner_id)
        try:
            return keyed.call(name, lambda client: create(client, tagged))
        except CallError as error:
            error.tag = own_tag
            if give_back and not _may_be_rendering(error):
                give_back()
            if error.sent == Sent.MAYBE:
                logger.warning(
                    "Account %s: the outcome of a synchronous call is unknown. If it was accepted, "
                    "DocRaptor's log lists it with the tag %s",
                    account,
                    own_tag,
                )
            if concerns_account(error):
                pause_after(account, error, creates_only=True)
            raise


@contextmanager
def _occupied_slot(keyed: KeyedClient) -> Iterator[None]:
    """Occupy one of the account's slots during the call.

    Within a transaction of the caller, no row is written, because no other process would see it,
    and its locks would stop the engine for the duration of the call: then the call is only made if
    a slot is free.

    Args:
        keyed: the account's client.
    """
    using = router.db_for_write(RenderJob)
    connection = connections[using]
    if connection.in_atomic_block or not connection.get_autocommit():
        _check_account(keyed, Account.names_with_key(keyed.key_hash, keyed.account), Q())
        yield
        return
    key, names = repeat_conflicts(partial(_begin_call, keyed, using), using=using)
    ends_after = 0.0
    try:
        _wait_for_turn(keyed, names, key)
        # DocRaptor may still be rendering, whatever ends the call.
        ends_after = MAX_SYNCHRONOUS_SECONDS
        yield
        ends_after = 0.0
    except DocRaptorError as error:
        ends_after = MAX_SYNCHRONOUS_SECONDS if _may_be_rendering(error) else 0.0
        raise
    finally:
        _end_call(key, ends_after)


def _begin_call(keyed: KeyedClient, using: str) -> tuple[int, tuple[str, ...]]:
    """Return the key of the call's row, and the names that share its slots."""
    with transaction.atomic(using=using):
        # Jobs are claimed under the same lock, so that they and this call see each other.
        names = Account.lock_slots(keyed.account, keyed.key_hash)
        seconds = call_lease(seconds_before=MAX_WAIT_SECONDS)
        return SynchronousCall.begin(keyed.account, seconds=seconds), names


def _wait_for_turn(keyed: KeyedClient, names: Sequence[str], key: int) -> None:
    """Wait until fewer documents than ``MAX_IN_FLIGHT`` are ahead.

    Meanwhile no further job is submitted: a person waits for this call.
    """
    stop = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            _check_account(keyed, names, Q(pk__lt=key))
        except AccountBusyError:
            if time.monotonic() >= stop:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return


def _check_account(keyed: KeyedClient, names: Sequence[str], calls_ahead: Q) -> None:
    """Check that the account may create a document now.

    Raises:
        AccountPausedError: it is paused.
        AccountBusyError: as many documents as allowed are in progress.
    """
    _check_pauses(keyed)
    _check_circuit(keyed.account)
    in_flight = RenderJob.objects.count_in_flight(*names, calls=calls_ahead)
    limit = keyed.settings.max_in_flight
    if in_flight >= limit:
        raise AccountBusyError(
            f"DocRaptor is processing {in_flight} documents of the account {keyed.account!r}, and "
            f"DOCRAPTOR['MAX_IN_FLIGHT'] is {limit}. Nothing was sent. Try again "
            "later, or enqueue the document."
        )


def _check_pauses(keyed: KeyedClient) -> None:
    pauses = Pause.objects.filter(account=keyed.account).active_for(keyed.key_hash)
    pauses = pauses.annotate(database_now=Now())
    if pause := pauses.order_by("-paused_until").first():
        raise _paused_error(pause, keyed.account, pause.reason, pause.ends_at)


def _check_circuit(name: str) -> None:
    accounts = Account.with_open_circuit().annotate(database_now=Now())
    account = accounts.filter(pk=name).first()
    if account and account.circuit_open_until:
        raise _paused_error(account, name, account.pause_reason, account.circuit_open_until)


def _paused_error(
    row: object, account: str, reason: str, until: datetime | None
) -> AccountPausedError:
    now: datetime = getattr(row, "database_now")  # noqa: B009 - an annotation
    end, remedy = "it is resumed", "To go on, run"
    if until is not None:
        end = f"{until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        remedy = "It goes on by itself then, or at once by"
    return AccountPausedError(
        f"The account {account!r} is paused until {end}: {reason.rstrip('.')}. Nothing was sent. "
        f"{remedy} manage.py docraptor_resume.",
        account=account,
        reason=reason,
        paused_until=until,
        retry_after=None if until is None else max(0.0, (until - now).total_seconds()),
    )


def _may_be_rendering(error: DocRaptorError) -> bool:
    return isinstance(error, CallError) and error.sent == Sent.MAYBE


def _end_call(key: int, after_seconds: float) -> None:
    """Give the slot back. If that fails, its lease ends: the document must not be lost by it."""
    try:
        SynchronousCall.end(key, after_seconds=after_seconds)
    except AnyDatabaseError:
        logger.warning("The slot of a synchronous call is occupied for minutes", exc_info=True)
        close_broken_connections()
