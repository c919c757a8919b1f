"""Internal. The steps of a job's lifecycle, where database and HTTP meet. No queue here.

Each step claims due rows, works outside any transaction, and writes the outcome by a conditional
UPDATE. A step may run at any time, in any number of processes, and may be killed.

``submit``           PENDING → SUBMITTING → QUEUED or UNCONFIRMED; COMPLETED by a copy
``reconcile``        UNCONFIRMED → QUEUED, PENDING or FAILED
``poll``             QUEUED, WORKING → DOWNLOADING or FAILED; COMPLETED if hosted
``download``         DOWNLOADING → COMPLETED or FAILED
``recover``          recovers interrupted creates and unsent signals
``expire``           expires a hosted document
``expire_discarded`` expires the hosted documents of deleted jobs
``run_once``         runs every step once
``resume``           ends the pauses of an account
``repair_clock``     brings forward what waits, if the database's clock was set back
``record_callback``  makes a job due at once

The steps do not call each other. ``patience`` decides what follows an error, ``accounts`` which
keys may be used, ``evidence`` what DocRaptor's log proves; ``transitions`` has one function for
each arrow of the state diagram, and nothing else moves a job.
"""

from django_docraptor.lifecycle.accounts import Resumed, resume
from django_docraptor.lifecycle.callbacks import record_callback
from django_docraptor.lifecycle.clock_repair import repair_clock
from django_docraptor.lifecycle.downloading import download, download_and_store
from django_docraptor.lifecycle.engine import run_once
from django_docraptor.lifecycle.hosting import expire, expire_discarded
from django_docraptor.lifecycle.polling import PollResult, poll
from django_docraptor.lifecycle.reconciliation import reconcile
from django_docraptor.lifecycle.recovery import recover
from django_docraptor.lifecycle.schedule import Schedule, read_schedule
from django_docraptor.lifecycle.submission import submit

__all__ = [
    "PollResult",
    "Resumed",
    "Schedule",
    "download",
    "download_and_store",
    "expire",
    "expire_discarded",
    "poll",
    "read_schedule",
    "reconcile",
    "record_callback",
    "recover",
    "repair_clock",
    "resume",
    "run_once",
    "submit",
]
