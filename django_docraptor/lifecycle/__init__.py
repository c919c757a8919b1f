"""Internal. The steps of a job's lifecycle, where database and HTTP meet. No queue here.

Each step claims due rows, works outside any transaction, and writes the outcome by a conditional
UPDATE. A step may run at any time, in any number of processes, and may be killed.

``submit``           PENDING → SUBMITTING → QUEUED or UNCONFIRMED; COMPLETED by a copy
``reconcile``        UNCONFIRMED → QUEUED, PENDING or FAILED
``poll``             QUEUED, WORKING → DOWNLOADING or FAILED; COMPLETED if hosted
``download``         DOWNLOADING → COMPLETED or FAILED
``merge_groups``     gives groups their outcome and their file
``recover``          recovers interrupted creates and unsent signals
``read_generation_log``  reads DocRaptor's log of a completed job, once
``expire``           expires a hosted document
``expire_discarded`` expires the hosted documents of deleted jobs
``finish_erasures``  looks once more for what was written about erased jobs
``run_once``         runs every step once
``pause``            pauses an account, because a person wants it
``resume``           ends the pauses of an account
``repair_clock``     brings forward what waits, if the database's clock was set back
``record_callback``  makes a job due at once
``release``          lets held jobs go
``compare_bills``    compares DocRaptor's log with the history, for the bill
``create_now``       makes a synchronous call, without a job

The steps do not call each other. ``patience`` decides what follows an error, ``accounts`` which
keys may be used, ``evidence`` what DocRaptor's log proves; ``transitions`` has one function for
each arrow of the state diagram, and nothing else moves a job.

Names are imported when they are first used: a request that enqueues a document needs none of them.
"""

from typing import TYPE_CHECKING

from django_docraptor.lazy_names import import_on_use

if TYPE_CHECKING:
    from django_docraptor.lifecycle.accounts import Resumed, close_broken_connections, pause, resume
    from django_docraptor.lifecycle.bill import BillReport, Difference, Period, compare_bills
    from django_docraptor.lifecycle.brake import release
    from django_docraptor.lifecycle.callbacks import record_callback
    from django_docraptor.lifecycle.clock_repair import repair_clock
    from django_docraptor.lifecycle.downloading import download, download_and_store
    from django_docraptor.lifecycle.engine import run_once
    from django_docraptor.lifecycle.erasing import finish_erasures
    from django_docraptor.lifecycle.generation_log import (
        needs_generation_log,
        read_generation_log,
    )
    from django_docraptor.lifecycle.grouping import merge_groups
    from django_docraptor.lifecycle.hosting import expire, expire_discarded
    from django_docraptor.lifecycle.patience import backoff_delay
    from django_docraptor.lifecycle.polling import PollResult, poll
    from django_docraptor.lifecycle.reconciliation import reconcile
    from django_docraptor.lifecycle.recovery import recover
    from django_docraptor.lifecycle.schedule import Schedule, read_schedule
    from django_docraptor.lifecycle.stored_files import name_to_delete, stored_name_problem
    from django_docraptor.lifecycle.submission import submit
    from django_docraptor.lifecycle.synchronous import create_now
    from django_docraptor.lifecycle.transitions import (
        mark_cancelled,
        reopen,
        resume_download,
        resume_polling,
        retry_from_start,
    )

else:  # hidden from type checkers, which would take any name for an Any
    __getattr__ = import_on_use(
        __name__,
        {
            "accounts": ["Resumed", "close_broken_connections", "pause", "resume"],
            "bill": ["BillReport", "Difference", "Period", "compare_bills"],
            "brake": ["release"],
            "callbacks": ["record_callback"],
            "clock_repair": ["repair_clock"],
            "downloading": ["download", "download_and_store"],
            "engine": ["run_once"],
            "erasing": ["finish_erasures"],
            "generation_log": ["needs_generation_log", "read_generation_log"],
            "grouping": ["merge_groups"],
            "hosting": ["expire", "expire_discarded"],
            "patience": ["backoff_delay"],
            "polling": ["PollResult", "poll"],
            "reconciliation": ["reconcile"],
            "recovery": ["recover"],
            "schedule": ["Schedule", "read_schedule"],
            "stored_files": ["name_to_delete", "stored_name_problem"],
            "submission": ["submit"],
            "synchronous": ["create_now"],
            "transitions": [
                "mark_cancelled",
                "reopen",
                "resume_download",
                "resume_polling",
                "retry_from_start",
            ],
        },
    )

__all__ = [
    "BillReport",
    "Difference",
    "Period",
    "PollResult",
    "Resumed",
    "Schedule",
    "backoff_delay",
    "close_broken_connections",
    "compare_bills",
    "create_now",
    "download",
    "download_and_store",
    "expire",
    "expire_discarded",
    "finish_erasures",
    "mark_cancelled",
    "merge_groups",
    "name_to_delete",
    "needs_generation_log",
    "pause",
    "poll",
    "read_generation_log",
    "read_schedule",
    "reconcile",
    "record_callback",
    "recover",
    "release",
    "reopen",
    "repair_clock",
    "resume",
    "resume_download",
    "resume_polling",
    "retry_from_start",
    "run_once",
    "stored_name_problem",
    "submit",
]
