"""Internal. Measure how many jobs wait, and for how long, for receivers of metrics.

Ticks call it. It costs a look-up in an index for each state and account, however many jobs there
are, and nothing without a receiver.
"""

import logging
import time
from collections.abc import Iterator, Mapping

from django.db import DatabaseError, router

from django_docraptor import instrumentation
from django_docraptor.instrumentation import QueueMeasured
from django_docraptor.models import Account, RenderJob
from django_docraptor.models.bounded_counts import BoundedCount, count_up_to
from django_docraptor.models.statements import database_now
from django_docraptor.states import ACTIVE_STATES, State

logger = logging.getLogger(__name__)

STATES = sorted(ACTIVE_STATES)
# Jobs of each account and state that are counted, and accounts that are measured one by one.
MAX_COUNTED = 1000
MAX_ACCOUNTS = 50
# Minimum seconds between two measurements of one process.
INTERVAL = 10.0
# The name under which all accounts together are measured.
ALL = ""

_last_measured_at = -INTERVAL


def publish(*, is_idle: bool = False, is_last: bool = False) -> None:
    """Publish depth and lag of each account and state, and of all accounts together.

    Args:
        is_idle: whether it is known that there is no unfinished job.
        is_last: whether this process ends now, so that a value that is seconds old would stay.
    """
    global _last_measured_at
    is_recent = time.monotonic() - _last_measured_at < INTERVAL
    if not instrumentation.receivers or (is_recent and not is_last):
        return
    _last_measured_at = time.monotonic()
    try:
        for event in measure(is_idle=is_idle):
            instrumentation.publish(event)
    except DatabaseError:  # a tick has more important things to do
        logger.exception("The queue could not be measured")


def measure(*, is_idle: bool = False) -> Iterator[QueueMeasured]:
    """Yield a measurement for each state of all accounts together, and of each known account.

    Args:
        is_idle: as for :func:`publish`.
    """
    names = Account.objects.order_by("name").values_list("name", flat=True)[:MAX_ACCOUNTS]
    keys = [(account, state) for account in (ALL, *names) for state in STATES]
    now = database_now(using=router.db_for_write(RenderJob))
    counts = {} if is_idle else _count(keys)
    for account, state in keys:
        found = counts.get((account, state))
        lag = 0.0 if found is None else (now - found.first_due_at).total_seconds()
        yield QueueMeasured(
            account=account,
            state=state,
            depth=0 if found is None else found.count,
            lag_seconds=max(0.0, lag),
        )


def _count(keys: list[tuple[str, State]]) -> Mapping[tuple[str, State], BoundedCount]:
    querysets = {
        (account, state): RenderJob.objects.filter(
            state=state, **({} if account == ALL else {"account": account})
        )
        for account, state in keys
    }
    return count_up_to(MAX_COUNTED, querysets)
