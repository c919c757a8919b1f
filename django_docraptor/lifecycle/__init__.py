"""The steps of a job's life, where database and HTTP meet. No Celery here.

Each step claims due rows, does its work outside any transaction, and writes what came of it by
conditional UPDATE. Each is safe to run at any time, by any number of processes, and to kill.

``submit``      PENDING → SUBMITTING → QUEUED, or UNCONFIRMED
``reconcile``   UNCONFIRMED → QUEUED, PENDING or FAILED
``poll``        QUEUED, WORKING → DOWNLOADING or FAILED
``collect``     DOWNLOADING → COMPLETED or FAILED
``sweep``       lapsed leases and unsent signals
``run``         all of them, until nothing is due: the whole engine in one call
"""

from django_docraptor.lifecycle.collection import collect, collect_one
from django_docraptor.lifecycle.hints import note_callback
from django_docraptor.lifecycle.outlook import Outlook, look, sweep
from django_docraptor.lifecycle.polling import Polled, poll
from django_docraptor.lifecycle.reconciliation import reconcile
from django_docraptor.lifecycle.running import run
from django_docraptor.lifecycle.submission import submit

__all__ = [
    "Outlook",
    "Polled",
    "collect",
    "collect_one",
    "look",
    "note_callback",
    "poll",
    "reconcile",
    "run",
    "submit",
    "sweep",
]
