"""Internal. The models: jobs with their inputs and events, accounts, and the engine's state.

A project may use :class:`RenderJob` and read its ``events`` and ``input``; the rest is internal.

``jobs``        :class:`RenderJob`, and :meth:`~RenderJob.move`, the only way to change its state
``querysets``   filters for jobs, and claiming
``bounded_counts``  counts of unfinished jobs, up to a limit
``due_accounts``  the accounts that have due jobs
``claims``      claiming by one statement
``admission``   the pending jobs of an account, and their claim
``prepared``    queries that are compiled once per process
``inputs``      the stored input of a job
``groups``      documents that belong together
``group_progress``  how many documents of a group are where
``events``      a job's history, and its signals
``insertion``   bulk insertion of jobs
``accounts``    the lock and the circuit breaker of an account
``pauses``      which API key of an account makes no calls, and why
``synchronous_calls``  slots of calls without a job
``heartbeat``   the engine's last signs of life and its next wake-up
``wakeups``     wake-ups that were sent and that no worker has received yet
``usage``       what was used on each day, and how far the history is summed up
``budgets``     how many places of budgets are taken
``share_links``  URLs that give a private file to anyone who has them
``files``       what deleted and erased jobs have left
``statements``  UPDATEs that run for each document, with the row of its history
``commits``     transactions; run a function once after the current one
``sources``     the primary key of a source as text; jobs of the same source
``clock``       times by the database's clock
``indexes``     an index of unfinished jobs only
``managers``    a manager that reads from the primary database
``columns``     a column that Django does not have
``checks``      system checks of the database
``text``        text that every database accepts; an error in one line

No HTTP and no queue here.
"""

from django_docraptor.models.accounts import Account, KeyLock
from django_docraptor.models.budgets import BudgetUse
from django_docraptor.models.clock import seconds_from_now
from django_docraptor.models.events import SIGNAL_LEASE_SECONDS, RenderEvent
from django_docraptor.models.files import DiscardedDocument, DiscardedFile, ErasedJob
from django_docraptor.models.groups import GroupState, RenderGroup
from django_docraptor.models.heartbeat import Heartbeat, record_heartbeat
from django_docraptor.models.inputs import RenderInput
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.pauses import (
    ANY_KEY,
    BY_PERSON,
    EVERY_KEY,
    NO_KEY,
    UNTIL_RESUMED,
    Pause,
)
from django_docraptor.models.querysets import RenderJobQuerySet
from django_docraptor.models.share_links import LinkState, ShareLink
from django_docraptor.models.synchronous_calls import SynchronousCall
from django_docraptor.models.usage import UsageDay, UsageMark
from django_docraptor.models.wakeups import SentWakeup

__all__ = [
    "ANY_KEY",
    "BY_PERSON",
    "EVERY_KEY",
    "NO_KEY",
    "SIGNAL_LEASE_SECONDS",
    "UNTIL_RESUMED",
    "Account",
    "BudgetUse",
    "DiscardedDocument",
    "DiscardedFile",
    "ErasedJob",
    "GroupState",
    "Heartbeat",
    "KeyLock",
    "LinkState",
    "Pause",
    "RenderEvent",
    "RenderGroup",
    "RenderInput",
    "RenderJob",
    "RenderJobQuerySet",
    "SentWakeup",
    "ShareLink",
    "SynchronousCall",
    "UsageDay",
    "UsageMark",
    "record_heartbeat",
    "seconds_from_now",
]
