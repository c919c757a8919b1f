"""A job's history, and the signals that go with it until they are known to be sent.

Knows a job only as the row that an event belongs to.
"""

import logging
from collections.abc import Mapping

from django.db import models
from django.db.models.functions import Now
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.primary import PrimaryManager
from django_docraptor.signals import (
    delivery_due,
    document_completed,
    document_failed,
    document_submitted,
)
from django_docraptor.states import Kind

logger = logging.getLogger("django_docraptor")

SIGNALS: Mapping[str, Signal] = {
    Kind.ACCEPTED: document_submitted,
    Kind.COMPLETED: document_completed,
    Kind.FAILED: document_failed,
    Kind.NOT_DELIVERED: delivery_due,
}
# Seconds after which a signal that was not seen to be sent is sent again.
SIGNAL_LEASE = 60


class RenderEvent(models.Model):
    """One line of a job's history: append-only, without secrets and without content."""

    job = models.ForeignKey(
        "django_docraptor.RenderJob", on_delete=models.CASCADE, related_name="events"
    )
    attempt = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=16)
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16)
    message = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    # The event carries a signal that is not yet known to have been sent.
    signal_due_at = models.DateTimeField(null=True, blank=True)

    objects = PrimaryManager["RenderEvent"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["id"]
        indexes = [models.Index(fields=["signal_due_at"], name="docraptor_event_signal")]

    def __str__(self) -> str:
        return f"{self.kind} ({self.job_id}, attempt {self.attempt})"

    def announce(self, job: models.Model) -> None:
        """Send the event's signal, then note that it was sent."""
        # RenderJob, which imports this module and so is known here by the relation alone.
        sender = RenderEvent._meta.get_field("job").related_model
        try:
            answers = SIGNALS[self.kind].send_robust(sender, job=job)
        except Exception:  # Django's own log fails on a failing receiver without a name
            logger.exception("Receivers failed for job %s", job.pk)
            answers = []
        for receiver, answer in answers:
            if isinstance(answer, Exception):
                name = getattr(receiver, "__qualname__", receiver)
                logger.error("Receiver %s failed for job %s", name, job.pk, exc_info=answer)
        RenderEvent.objects.filter(pk=self.pk).update(signal_due_at=None)
