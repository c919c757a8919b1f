"""Internal. Make jobs due again after the database's clock was set back.

Every ``due_at`` that was written before is too late then. What is certain is repaired: a claim
never lasts longer than its lease, and a heartbeat is never in the future.
"""

import logging
from datetime import timedelta

from django.db import router, transaction
from django.db.models import F, Q, QuerySet

from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.models import (
    UNTIL_RESUMED,
    Account,
    Heartbeat,
    Pause,
    RenderEvent,
    RenderGroup,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.models.heartbeat import CLOCK_TOLERANCE
from django_docraptor.models.prepared import prepared
from django_docraptor.states import ACTIVE_STATES, STORE_LEASE_SECONDS, State

logger = logging.getLogger(__name__)

# Claims in these states are renewed while a file is stored.
STORING_STATES = frozenset({State.PENDING, State.DOWNLOADING})


def repair_clock() -> None:
    """Shorten claims that last too long, and bring forward what waits, if the clock was set back.

    Otherwise these are two small queries.
    """
    _shorten_claims()
    if (found := Heartbeat.read()) is None:
        return
    heartbeat, now = found
    if seconds := heartbeat.seconds_set_back(now):
        _bring_forward(heartbeat, seconds)


def _shorten_claims() -> None:
    """Let claims that end later than any lease end when one from now would."""
    limits = {state: _longest_claim(state) for state in sorted(ACTIVE_STATES)}
    for state in map(State, set(_states_of_too_long_claims(*limits.items()).fetch())):
        too_long = _too_long_claims(state, limits[state])
        count = too_long.update(due_at=seconds_from_now(lease_for(state)))
        logger.error(
            "%s claims of %s jobs would have lasted longer than a lease: the database's clock was "
            "set back. They were shortened.",
            count,
            state.value,
        )


@prepared(RenderJob)
def _states_of_too_long_claims(*limits: tuple[State, float]) -> QuerySet[RenderJob, str]:
    """Return the state of each claim that ends later than its state's limit, see below."""
    # One look-up in an index per state: SQLite would read the whole table for a disjunction.
    first, *others = (_too_long_claims(*limit).values_list("state", flat=True) for limit in limits)
    return first.union(*others, all=True)


def _longest_claim(state: State) -> float:
    """Return the seconds after which no claim ends, whatever the clocks say."""
    lease = STORE_LEASE_SECONDS if state in STORING_STATES else lease_for(state)
    return lease + CLOCK_TOLERANCE


def _too_long_claims(state: State, seconds: float) -> QuerySet[RenderJob]:
    last = seconds_from_now(seconds)
    return RenderJob.objects.filter(state=state, due_at__gt=last).exclude(lease_token="").order_by()


def _bring_forward(heartbeat: Heartbeat, seconds: float) -> None:
    """Bring forward what waits, by the time by which the clock was set back, once."""
    back = timedelta(seconds=seconds)
    # One that was never tried may have been enqueued since, with a delay that must be kept.
    is_fresh = Q(state=State.PENDING, attempt=0, failures=0, created_at__lte=Now())
    # A person has named this time, by another clock.
    is_asked_for = Q(not_before__isnull=False, due_at=F("not_before"))
    waiting = RenderJob.objects.active().filter(lease_token="", held_at=None, due_at__gt=Now())
    groups = RenderGroup.objects.filter(due_at__gt=Now())  # also claims: a file is made again
    unsent = RenderEvent.objects.filter(signal_due_at__gt=Now())
    pauses = Pause.objects.filter(paused_until__gt=Now(), paused_until__lt=UNTIL_RESUMED)
    open_circuits = Account.objects.filter(circuit_open_until__gt=Now())
    unchanged = {"ticked_at": heartbeat.ticked_at, "worked_at": heartbeat.worked_at}
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        mine = Heartbeat.objects.filter(pk=Heartbeat.KEY, **unchanged)
        if not mine.update(ticked_at=Now(), worked_at=Now(), wakeup_at=None):
            return
        count = waiting.exclude(is_fresh | is_asked_for).update(due_at=F("due_at") - back)
        groups.update(due_at=F("due_at") - back)
        unsent.update(signal_due_at=F("signal_due_at") - back)
        pauses.update(paused_until=F("paused_until") - back)
        open_circuits.update(circuit_open_until=F("circuit_open_until") - back)
    logger.error(
        "The database's clock was set back by %.0f s: %s waiting jobs were brought forward.",
        seconds,
        count,
    )
