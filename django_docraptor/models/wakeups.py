"""Internal. Wake-ups that were sent and that no worker has received yet.

For queues that store a row for each message: one message stands for all others of its step.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.managers import PrimaryDatabaseManager


class SentWakeup(models.Model):
    """One row for each step: until when no other message is needed. Internal."""

    step = models.CharField(max_length=16, primary_key=True)
    expires_at = models.DateTimeField(null=True)

    objects = PrimaryDatabaseManager["SentWakeup"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("sent wake-up")
        verbose_name_plural = _("sent wake-ups")

    def __str__(self) -> str:
        return f"{self.step} until {self.expires_at}"

    @classmethod
    def claim(cls, step: str, seconds: float) -> bool:
        """Reserve the only message for a step, for ``seconds``.

        Returns:
            Whether the caller must send it. If ``False``, another one is on its way.
        """
        is_free = models.Q(expires_at=None) | models.Q(expires_at__lte=Now())
        expires_at = seconds_from_now(seconds)
        if cls.objects.filter(is_free, step=step).update(expires_at=expires_at):
            return True
        return cls.objects.get_or_create(step=step, defaults={"expires_at": expires_at})[1]

    @classmethod
    def forget(cls, step: str) -> None:
        """Record that the message was received: the next one must be sent."""
        cls.objects.filter(step=step, expires_at__isnull=False).update(expires_at=None)
