"""Internal. What is done after a job is completed or has failed, repeated until it succeeds.

A receiver that raises is not called again, so these receivers raise nothing: a failure is recorded
as an event of its own, which is due again. The first call follows ``document_completed`` or
``document_failed``; if a worker dies before its end, the next tick repeats it.
"""

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import router, transaction
from django.db.models import QuerySet
from django.dispatch import Signal

from django_docraptor import lifecycle, registry
from django_docraptor.conf import conf
from django_docraptor.documents.hooks import hook_name
from django_docraptor.instrumentation import log_fields, raised_at
from django_docraptor.models import (
    SIGNAL_LEASE_SECONDS,
    Heartbeat,
    RenderEvent,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.registry import RegisteredDocument
from django_docraptor.signals import (
    delivery_due,
    document_completed,
    document_failed,
    hook_due,
    log_due,
)
from django_docraptor.states import EventKind

logger = logging.getLogger(__name__)

# Longest back-off in seconds: each failure is an event with a traceback.
MAX_BACKOFF_SECONDS: Final = 3600.0
# Tries to read the log of a document: about three hours.
MAX_LOG_TRIES: Final = 12


@dataclass(eq=False, repr=False)
class FollowUp:
    """Something that is tried until it succeeds, for ``RETRY_FOR`` at most.

    Args:
        name: returns its name for a job, for messages.
        failed_kind: kind of the event of a failure.
        max_tries: of something optional: it is given up after so many, and health does not tell.
    """

    name: Callable[[RenderJob], str]
    failed_kind: EventKind
    # A keyword, because subclasses add fields.
    max_tries: int | None = field(default=None, kw_only=True)

    def attempt(self, job: RenderJob, action: Callable[[], object], **detail: Any) -> None:
        """Do it for a job; on failure, record that and schedule the next try.

        Args:
            job: the job.
            action: does it, and may raise anything.
            detail: what the next try needs to know, as JSON.
        """
        try:
            action()
        except Exception as error:  # noqa: BLE001 - storages and hooks raise anything
            logger.error(
                "Job %s: %s failed; the job's history has the traceback of %s",
                job.pk,
                self.name(job),
                raised_at(error),
                extra=log_fields(job),
            )
            self.record_failure(job, error, **detail)

    def failures_of(self, job: RenderJob) -> QuerySet[RenderEvent]:
        """Return its failures since the job was retried, if it was: a retry has another end."""
        return job.events.filter(kind=self.failed_kind, id__gt=RenderEvent.last_retry_of(job))

    def record_failure(self, job: RenderJob, error: Exception, **details: Any) -> None:
        """Record the full traceback, and schedule the next try, or give up."""
        failures = self.failures_of(job)
        tries = failures.count() + 1
        is_over = failures.filter(at__lte=seconds_from_now(-conf.retry_for)).exists()
        is_over = is_over or (self.max_tries is not None and tries >= self.max_tries)
        delay = SIGNAL_LEASE_SECONDS + lifecycle.backoff_delay(tries, maximum=MAX_BACKOFF_SECONDS)
        detail = {"tries": tries, **details} | ({"gave_up": True} if is_over else {})
        note = "".join(traceback.format_exception(error))
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            event = job.record_event(self.failed_kind, note=note, detail=detail)
            due = None if is_over else seconds_from_now(delay)
            RenderEvent.objects.filter(pk=event.pk).update(signal_due_at=due)
            # One of before a retry would repeat it beside this one.
            earlier = job.events.filter(
                kind=self.failed_kind, id__lt=RenderEvent.last_retry_of(job)
            )
            earlier.filter(signal_due_at__isnull=False).update(signal_due_at=None)
            if is_over and self.max_tries is None:
                last = f"({type(error).__name__}), after {tries} tries"
                Heartbeat.record_giving_up(f"{self.name(job)} of job {job.pk} {last}")
        if is_over:
            logger.error(
                "Job %s: gave up %s after %s tries",
                job.pk,
                self.name(job),
                tries,
                extra=log_fields(job),
            )


@dataclass(eq=False, repr=False)
class DocumentFollowUp(FollowUp):
    """A follow-up that a job's document class asks for.

    Args:
        run: does it, and may raise anything.
    """

    run: Callable[[RegisteredDocument, RenderJob], object]

    def run_for(self, job: RenderJob) -> None:
        """Run it for a job, if its document is registered."""
        document = registry.find(job.document)
        if document is not None:
            self.attempt(job, lambda: self.run(document, job))


def _deliver(document: RegisteredDocument, job: RenderJob) -> None:
    document.deliver(job)


def _complete(document: RegisteredDocument, job: RenderJob) -> None:
    document.complete(job)


DELIVERY: Final = DocumentFollowUp(lambda job: "the delivery", EventKind.DELIVERY_FAILED, _deliver)
HOOK: Final = DocumentFollowUp(hook_name, EventKind.HOOK_FAILED, _complete)

LOG: Final = FollowUp(
    lambda job: "reading the generation log", EventKind.LOG_FAILED, max_tries=MAX_LOG_TRIES
)


def handle_delivery(job: RenderJob, **kwargs: Any) -> None:
    """Deliver a job's document, if its class sets ``deliver_to``."""
    DELIVERY.run_for(job)


def handle_hook(job: RenderJob, signal: Signal | None = None, **kwargs: Any) -> None:
    """Call the hook of a job's document, if its class overrides it."""
    if signal is hook_due and not HOOK.failures_of(job).exists():
        return  # the job was retried since: its hook follows its next end
    HOOK.run_for(job)


def handle_log(job: RenderJob, **kwargs: Any) -> None:
    """Read DocRaptor's generation log of a completed job, if it was not read."""
    if conf.generation_log and lifecycle.needs_generation_log(job):
        LOG.attempt(job, lambda: lifecycle.read_generation_log(job))


def connect_log() -> None:
    """Connect the receiver. Called at startup, if ``GENERATION_LOG`` is on."""
    for signal in (document_completed, log_due):
        signal.connect(handle_log, dispatch_uid="django_docraptor.generation_log")


def connect_delivery() -> None:
    """Connect the receiver. Called when a document sets ``deliver_to``."""
    for signal in (document_completed, delivery_due):
        signal.connect(handle_delivery, dispatch_uid="django_docraptor.delivery")


def connect_hooks(*, completed: bool, failed: bool) -> None:
    """Connect the receiver.

    Args:
        completed: whether a document overrides ``on_completed()``.
        failed: whether it overrides ``on_failed()``.
    """
    signals = {
        document_completed: completed,
        document_failed: failed,
        hook_due: completed or failed,
    }
    for signal in (signal for signal, is_needed in signals.items() if is_needed):
        signal.connect(handle_hook, dispatch_uid="django_docraptor.hook")
