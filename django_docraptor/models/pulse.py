"""When the engine was last seen, and when it will wake by itself: one row for all processes."""

from datetime import datetime

from django.db import models
from django.db.models import Exists, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import after
from django_docraptor.models.events import RenderEvent
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.primary import PrimaryManager

# Seconds by which alarms may differ and still count as one.
WAKE_SLACK = 0.1


class Pulse(models.Model):
    """One row: when the engine was last seen, and when it will wake by itself."""

    KEY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=KEY)
    wake_at = models.DateTimeField(null=True, blank=True)
    ticked_at = models.DateTimeField(_("last tick"), null=True, blank=True)
    worked_at = models.DateTimeField(_("worker last seen"), null=True, blank=True)
    called_back_at = models.DateTimeField(_("last callback"), null=True, blank=True)

    objects = PrimaryManager["Pulse"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("pulse")
        verbose_name_plural = _("pulse")

    def __str__(self) -> str:
        return f"last tick {self.ticked_at}"

    @staticmethod
    def is_armed(now: datetime, wake_at: datetime | None, delay: float) -> bool:
        """Whether an alarm seen a moment ago makes one in ``delay`` seconds needless."""
        seconds = -1.0 if wake_at is None else (wake_at - now).total_seconds()
        return WAKE_SLACK <= seconds <= delay + WAKE_SLACK

    @classmethod
    def arm(cls, delay: float) -> bool:
        """Whether the caller should arrange a wake-up in ``delay`` seconds.

        Not if another one comes no later: so alarms do not multiply. One that is all but over is
        no alarm, since its own run may be the one that asks.
        """
        none = Q(wake_at=None) | Q(wake_at__lt=after(WAKE_SLACK))
        later = Q(wake_at__gt=after(delay + WAKE_SLACK))
        if cls.objects.filter(none | later, pk=cls.KEY).update(wake_at=after(delay)):
            return True
        return cls.objects.get_or_create(pk=cls.KEY, defaults={"wake_at": after(delay)})[1]

    @classmethod
    def rest(cls, *columns: str) -> bool:
        """Note what was seen, if there is nothing to do: all that an idle tick costs.

        Returns whether there is nothing; if not, nothing was noted.
        """
        unfinished = RenderJob.objects.active()
        unsent = RenderEvent.objects.filter(signal_due_at__isnull=False)
        idle = cls.objects.filter(~Exists(unfinished), ~Exists(unsent), pk=cls.KEY)
        return bool(idle.update(**dict.fromkeys(columns, Now())))

    @classmethod
    def note(cls, *columns: str) -> None:
        """Note that something was seen just now: a tick, a worker, a callback."""
        seen = dict.fromkeys(columns, Now())
        if not cls.objects.filter(pk=cls.KEY).update(**seen):
            cls.objects.get_or_create(pk=cls.KEY, defaults=seen)
