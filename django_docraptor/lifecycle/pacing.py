"""Internal. Decide how long to wait between two polls. ``patience`` decides it after an error."""

import random

from django_docraptor.account_settings import DEFAULT_ACCOUNT
from django_docraptor.callback_urls import callback_base_url
from django_docraptor.conf import conf

# Chosen by `make bench` (docs/explanation/performance.md): a finished document waits on average
# less than a tenth of its render time, or 0.75 s. Renders of 5, 60 and 600 s take 5, 20 and 37
# calls.
POLL_INTERVAL = {"floor": 1.1, "ceiling": 40.0, "fraction": 0.18}
# With callbacks, polls are only the safety net and detect failures.
POLL_INTERVAL_WITH_CALLBACK = {"floor": 10.0, "ceiling": 60.0, "fraction": 0.5}
# Wide enough that renders of equal length are not all polled at the same phase.
JITTER = (0.8, 1.2)


def poll_interval(attempt_age: float, account: str = DEFAULT_ACCOUNT) -> float:
    """Return the seconds until the next poll of an attempt.

    The interval is a fraction of the age, so that a finished document waits only a small part of
    its render time.

    Args:
        attempt_age: seconds since the attempt was sent.
        account: its account, which may have a ``CALLBACK_BASE_URL`` of its own.
    """
    schedule = POLL_INTERVAL_WITH_CALLBACK if callback_base_url(account) else POLL_INTERVAL
    schedule = schedule | dict(conf.poll)
    interval = min(schedule["ceiling"], max(schedule["floor"], schedule["fraction"] * attempt_age))
    return interval * random.uniform(*JITTER)  # noqa: S311
