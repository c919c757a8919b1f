"""Time, SPEED times faster: the app's leases, looks, pauses and back-offs, divided openly.

Only numbers change, at the one place where they live, before anybody reads them. What is not a
wait of the app's own (timeouts of a call, budgets of a run, Celery's) stays in real seconds.
"""

from importlib import import_module

from django_docraptor import states
from tests.chaos import SPEED

PLAIN = (
    "MAX_RENDER_SECONDS",
    "STORE_LEASE_SECONDS",
    "UNCONFIRMED_SLOT_SECONDS",
    "ACCOUNT_PAUSE_SECONDS",
    "CIRCUIT_BASE_SECONDS",
    "CIRCUIT_MAX_SECONDS",
)
# Where constants stand in modules that need Django's registry: scaled when it is ready.
LATER = (
    ("django_docraptor.models.jobs", "SIGNAL_LEASE_SECONDS"),
    ("django_docraptor.lifecycle.outlook", "SIGNAL_LEASE_SECONDS"),
    ("django_docraptor.lifecycle.backoff", "BASE"),
    ("django_docraptor.lifecycle.backoff", "CAP"),
)
# Settings: 660 s for a document; 1, 60 s and a fifth for polls, with a floor that a test can bear.
DEADLINE = 660 / SPEED
POLL = {"floor": 0.3, "ceiling": 60 / SPEED, "fraction": 0.2}
# Redis gives a worker's unacknowledged message to another after an hour.
VISIBILITY_TIMEOUT = 3600 / SPEED


def scale_states() -> None:
    """Scale the rules; to be called before anything else of the app is imported."""
    for name in PLAIN:
        setattr(states, name, getattr(states, name) / SPEED)
    states.LEASE_SECONDS = {
        state: seconds / SPEED for state, seconds in states.LEASE_SECONDS.items()
    }
    states.LOG_CHECK_AGES = tuple(look / SPEED for look in states.LOG_CHECK_AGES)


def scale_engine() -> None:
    """Scale what stands in the engine's own modules."""
    for path, name in LATER:
        module = import_module(path)
        setattr(module, name, getattr(module, name) / SPEED)
