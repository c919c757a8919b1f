"""Internal. A job's history, and its signals, which are kept until they have been sent.

A project may read a job's ``events``; everything else is internal. Knows a job only as the target
of a foreign key.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _

from django_docraptor.instrumentation import log_fields
from django_docraptor.models.clock import InsertionTimeField
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.signals import (
    delivery_due,
    document_completed,
    document_failed,
    document_submitted,
    document_warned,
    hook_due,
    log_due,
    mail_due,
    send_to_all,
)
from django_docraptor.states import EventKind

logger = logging.getLogger(__name__)

SIGNALS_BY_KIND: Mapping[str, Signal] = {
    EventKind.ACCEPTED: document_submitted,
    EventKind.COMPLETED: document_completed,
    EventKind.REUSED: document_completed,
    # A trigger's document that is the same as before: only delivery looks at it, because a receiver
    # of document_completed that saves the source would ask for it again, and so on.
    EventKind.UNCHANGED: delivery_due,
    EventKind.FAILED: document_failed,
    EventKind.DELIVERY_FAILED: delivery_due,
    EventKind.HOOK_FAILED: hook_due,
    EventKind.MAIL_FAILED: mail_due,
    EventKind.WARNED: document_warned,
    EventKind.LOG_FAILED: log_due,
}
# Seconds after which a signal that was not marked as sent is sent again.
SIGNAL_LEASE_SECONDS = 60


class RenderEvent(models.Model):
    """One entry in a job's history, without secrets or content.

    They are only added, but for an attempt that failed as many did before it: that leaves none.

    Read it through ``job.events``; its methods are internal.
    """

    job = models.ForeignKey(
        "django_docraptor.RenderJob", on_delete=models.CASCADE, related_name="events"
    )
    attempt: "models.PositiveSmallIntegerField[Any, int]" = models.PositiveSmallIntegerField(
        default=0
    )
    at: "models.DateTimeField[Any, datetime]" = InsertionTimeField()
    kind: "models.CharField[Any, str]" = models.CharField(max_length=16)
    from_state: "models.CharField[Any, str]" = models.CharField(max_length=16, blank=True)
    to_state: "models.CharField[Any, str]" = models.CharField(max_length=16)
    message: "models.TextField[Any, str]" = models.TextField(blank=True)
    detail: "models.JSONField[Any, dict[str, Any]]" = models.JSONField(default=dict)
    # Set while the event's signal is not known to have been sent.
    signal_due_at = models.DateTimeField(null=True, blank=True)
    # Workers in a row that died or hung while they sent it.
    signal_lapses = models.PositiveSmallIntegerField(default=0)

    objects = PrimaryDatabaseManager["RenderEvent"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["id"]
        indexes = [models.Index(fields=["signal_due_at"], name="docraptor_event_signal")]

    def __str__(self) -> str:
        return f"{self.kind} ({self.job_id}, attempt {self.attempt})"

    @classmethod
    def last_retry_of(cls, job: models.Model) -> int:
        """Return the key of the event of a job's last retry; 0 without one."""
        retries = cls.objects.filter(job=job, kind=EventKind.RETRIED).order_by("-id")
        return retries.values_list("id", flat=True).first() or 0

    def send_signal_on_commit(self, job: models.Model, *, using: str) -> None:
        """Send the event's signal, if it has one, after the current transaction commits."""
        if self.signal_due_at is not None:
            # A lambda, because Django's robust on_commit hooks need a callable with a name.
            transaction.on_commit(lambda: self.send_signal(job), using=using, robust=True)

    def send_signal(self, job: models.Model) -> None:
        """Send the event's signal, then mark it as sent."""
        # RenderJob: it imports this module, so it is only available through the relation.
        sender = RenderEvent._meta.get_field("job").related_model
        signal, subject, fields = SIGNALS_BY_KIND[self.kind], f"Job {job.pk}", log_fields(job)
        for name, error in send_to_all(signal, sender, subject=subject, fields=fields, job=job):
            logger.error(
                "%s: receiver %s raised an exception", subject, name, exc_info=error, extra=fields
            )
        RenderEvent.objects.filter(pk=self.pk).update(signal_due_at=None)
