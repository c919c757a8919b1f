"""Divide the app's leases, checks, pauses and back-offs by SPEED.

Only constants change, before anything reads them. The run's time limits and Celery's settings are
not changed. A constant that does not exist raises AttributeError: the site does not
start.
"""

import sys
from importlib import import_module

from django_docraptor import states
from tests.chaos import SPEED

STATE_CONSTANTS = (
    "MAX_RENDER_SECONDS",
    "MAX_SYNCHRONOUS_SECONDS",
    "LOG_MARGIN_SECONDS",
    "MAX_LOG_CHECK_INTERVAL",
    "PROBE_RETRY_SECONDS",
    "PROBE_LOST_SECONDS",
    "STORE_LEASE_SECONDS",
    "UNCONFIRMED_SLOT_SECONDS",
    "ACCOUNT_PAUSE_SECONDS",
    "ACCOUNT_REFUSAL_SECONDS",
    "NO_KEY_SECONDS",
    "CIRCUIT_BASE_SECONDS",
    "CIRCUIT_MAX_SECONDS",
)
# Constants in modules that need Django's app registry: scaled when it is ready.
MODULE_CONSTANTS = (
    ("django_docraptor.models.events", "SIGNAL_LEASE_SECONDS"),
    ("django_docraptor.lifecycle.patience", "BASE_DELAY"),
    ("django_docraptor.lifecycle.patience", "MAX_DELAY"),
    ("django_docraptor.lifecycle.patience", "REFUSAL_SECONDS"),
    ("django_docraptor.lifecycle.account_log", "ORDER_TOLERANCE"),
    ("django_docraptor.lifecycle.evidence", "CLOCK_TOLERANCE"),
    ("django_docraptor.lifecycle.evidence", "DAY"),
    ("django_docraptor.lifecycle.reconciliation", "LISTING_MARGIN"),
)
# Constants about calls, whose timeouts are a tenth of the usual ones.
CALL_SPEED = 10
CALL_CONSTANTS = (
    ("django_docraptor.lifecycle.leases", "BEGIN_SECONDS"),
    ("django_docraptor.lifecycle.leases", "LISTING_SECONDS"),
    ("django_docraptor.lifecycle.leases", "MARGIN_SECONDS"),
    ("django_docraptor.lifecycle.account_log", "READ_SECONDS"),
    ("django_docraptor.lifecycle.account_log", "FILTERED_SECONDS"),
)
TIMEOUTS = {"connect": 1, "create_read": 1.5, "status_read": 1.5, "download_read": 1.5, "total": 4}
# Settings: 660 s for a document; polls after 1 to 60 s and a fifth of the age, with a floor that
# the sandbox can bear.
DEADLINE = 660 / SPEED
POLL = {"floor": 0.3, "ceiling": 60 / SPEED, "fraction": 0.2}
# The outage (fault_rates) lasts ten hours on a scale of its own: in real time, even a thirtieth of
# them would be longer than a run. A job may fail for three days before it gives up.
OUTAGE_SECONDS = 15.0
RETRY_FOR = OUTAGE_SECONDS * 72 / 10
# Redis delivers an unacknowledged message to another worker after an hour.
VISIBILITY_TIMEOUT = 3600 / SPEED


def scale_states() -> None:
    """Scale the constants of `states`. Call it before any other module of the app is imported."""
    for name in STATE_CONSTANTS:
        setattr(states, name, getattr(states, name) / SPEED)
    states.LEASE_SECONDS = {
        state: seconds / SPEED for state, seconds in states.LEASE_SECONDS.items()
    }
    states.LOG_CHECK_AGES = tuple(age / SPEED for age in states.LOG_CHECK_AGES)


def scale_engine() -> None:
    """Scale constants of other modules, with every copy that a module has imported by name."""
    for constants, speed in ((MODULE_CONSTANTS, SPEED), (CALL_CONSTANTS, CALL_SPEED)):
        for path, name in constants:
            _scale(path, name, speed)


def _scale(path: str, name: str, speed: float) -> None:
    value = getattr(import_module(path), name)
    for key, module in list(sys.modules.items()):
        if key.startswith("django_docraptor.") and vars(module).get(name) is value:
            setattr(module, name, value / speed)
