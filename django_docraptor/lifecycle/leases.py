"""Internal. How long a claim lasts: longer than any call that is made under it."""

from django_docraptor.client import Timeouts
from django_docraptor.conf import conf
from django_docraptor.states import LEASE_SECONDS, State

# Seconds after the claim within which each call of a batch must begin: one that finds no free
# thread by then is not made.
BEGIN_SECONDS = 20.0
# Seconds after which no further page of DocRaptor's log is read (`account_log`): the whole log,
# then a filtered listing. Each may end with a call that began just before.
LISTING_SECONDS = 45.0 + 15.0
# Seconds for what is written before and after the calls.
MARGIN_SECONDS = 20.0


def call_lease(*, seconds_before: float) -> float:
    """Return the seconds for which a call without a job occupies its slot at most.

    Args:
        seconds_before: how late it may begin.
    """
    timeouts = Timeouts(**conf.timeout)
    return seconds_before + timeouts.connect + timeouts.total + MARGIN_SECONDS


def lease_for(state: State) -> float:
    """Return the seconds for which a claim on a job in a state lasts.

    No call may outlive its claim: another worker would repeat the step meanwhile, and use up a
    document's only download.
    """
    timeouts = Timeouts(**conf.timeout)
    calls = {
        State.SUBMITTING: timeouts.total,
        State.UNCONFIRMED: LISTING_SECONDS + 2 * timeouts.status_total,
        State.QUEUED: timeouts.status_total,
        State.WORKING: timeouts.status_total,
        State.DOWNLOADING: timeouts.total,
    }
    if state not in calls:  # nothing is called
        return LEASE_SECONDS[state]
    needed = BEGIN_SECONDS + timeouts.connect + calls[state] + MARGIN_SECONDS
    return max(LEASE_SECONDS[state], needed)
