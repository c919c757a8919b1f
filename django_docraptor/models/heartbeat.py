"""Internal. The engine's last signs of life and its next scheduled wake-up."""

import time
from datetime import datetime
from functools import reduce
from operator import and_
from typing import Any

from django.db import models
from django.db.models import Exists, Q
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.events import RenderEvent
from django_docraptor.models.files import DiscardedDocument, DiscardedFile, ErasedJob
from django_docraptor.models.groups import RenderGroup
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.models.prepared import prepared
from django_docraptor.models.usage import FOLD_AFTER_SECONDS, first_unsettled

# Seconds by which two wake-ups may differ and still count as one.
WAKEUP_TOLERANCE = 0.1
# Seconds by which a heartbeat may be in the future before the clock counts as set back.
CLOCK_TOLERANCE = 30.0
# Minimum seconds between two heartbeats of the same kind from one process.
HEARTBEAT_INTERVAL = 15.0

_last_recorded: dict[str, float] = {}


class Heartbeat(models.Model):
    """The engine's last signs of life and its next scheduled wake-up. Internal.

    One row for all processes.
    """

    KEY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=KEY)
    wakeup_at = models.DateTimeField(null=True, blank=True)
    ticked_at = models.DateTimeField(_("last tick"), null=True, blank=True)
    worked_at = models.DateTimeField(_("worker last seen"), null=True, blank=True)
    called_back_at = models.DateTimeField(_("last callback"), null=True, blank=True)

    # The last delivery or hook of a document class that was given up.
    gave_up_at = models.DateTimeField(null=True, blank=True)
    gave_up_on = models.TextField(blank=True)

    objects = PrimaryDatabaseManager["Heartbeat"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("engine status")
        verbose_name_plural = _("engine status")

    def __str__(self) -> str:
        return f"last tick {self.ticked_at}"

    @classmethod
    def read(cls) -> "tuple[Heartbeat, datetime] | None":
        """Return the row and the database's time, unless nothing was recorded so far."""
        rows: list[Any] = _heartbeats().fetch()
        return (rows[0], rows[0].now) if rows else None

    @staticmethod
    def has_wakeup_within(now: datetime, wakeup_at: datetime | None, delay: float) -> bool:
        """Return whether a wake-up that was just read makes another one unnecessary.

        Args:
            now: the database's time when ``wakeup_at`` was read.
            wakeup_at: time of the scheduled wake-up, if there is one.
            delay: seconds until the other wake-up.
        """
        seconds = -1.0 if wakeup_at is None else (wakeup_at - now).total_seconds()
        return WAKEUP_TOLERANCE <= seconds <= delay + WAKEUP_TOLERANCE

    @classmethod
    def claim_wakeup(cls, delay: float) -> bool:
        """Reserve a wake-up in ``delay`` seconds, unless an earlier one is scheduled.

        So wake-ups do not multiply. One that is due within WAKEUP_TOLERANCE does not count,
        because its own run may be the caller.

        Returns:
            Whether the caller must send it.
        """
        wakeup_at = seconds_from_now(delay)
        is_unset = Q(wakeup_at=None) | Q(wakeup_at__lt=seconds_from_now(WAKEUP_TOLERANCE))
        is_later = Q(wakeup_at__gt=seconds_from_now(delay + WAKEUP_TOLERANCE))
        if cls.objects.filter(is_unset | is_later, pk=cls.KEY).update(wakeup_at=wakeup_at):
            return True
        return cls.objects.get_or_create(pk=cls.KEY, defaults={"wakeup_at": wakeup_at})[1]

    def seconds_set_back(self, now: datetime) -> float:
        """Return by how much the database's clock was set back since the last sign of life, or 0.

        Args:
            now: the database's time when the row was read.
        """
        times = [time for time in (self.ticked_at, self.worked_at) if time is not None]
        seconds = max(((time - now).total_seconds() for time in times), default=0.0)
        return seconds if seconds > CLOCK_TOLERANCE else 0.0

    @classmethod
    def record_if_idle(cls, *columns: str) -> bool:
        """Record a heartbeat if there is nothing to do, by a single UPDATE.

        Returns:
            Whether there was nothing to do; otherwise nothing was recorded.
        """
        unfinished = RenderJob.objects.running()
        unsent = RenderEvent.objects.filter(signal_due_at__isnull=False)
        files = DiscardedFile.objects.filter(due_at__lte=Now())
        documents = DiscardedDocument.objects.filter(due_at__lte=Now())
        erased = ErasedJob.objects.filter(due_at__lte=Now())
        groups = RenderGroup.objects.filter(due_at__lte=Now())
        old = first_unsettled(FOLD_AFTER_SECONDS)
        work = (unfinished, unsent, files, documents, erased, groups, old)
        is_idle = reduce(and_, (~Exists(rows) for rows in work))
        idle = cls.objects.filter(is_idle, pk=cls.KEY)
        return bool(idle.update(**dict.fromkeys(columns, Now())))

    @classmethod
    def record_giving_up(cls, what: str) -> None:
        """Record what was given up, for people who ask about the engine's health."""
        values = {"gave_up_at": Now(), "gave_up_on": what}
        cls.objects.update_or_create(pk=cls.KEY, defaults=values)

    @classmethod
    def record(cls, *columns: str) -> None:
        """Record that a tick, a worker or a callback was just seen."""
        times = dict.fromkeys(columns, Now())
        # A time in the future is the evidence that the clock was set back, until that is repaired.
        past = {f"{column}__gt": seconds_from_now(CLOCK_TOLERANCE) for column in columns}
        if not cls.objects.filter(pk=cls.KEY).exclude(**past).update(**times):
            cls.objects.get_or_create(pk=cls.KEY, defaults=times)


@prepared(Heartbeat)
def _heartbeats() -> "models.QuerySet[Heartbeat]":
    return Heartbeat.objects.annotate(now=Now()).filter(pk=Heartbeat.KEY)


def record_heartbeat(column: str) -> None:
    """Record a heartbeat in a column of Heartbeat.

    At most once per HEARTBEAT_INTERVAL and process.
    """
    now = time.monotonic()
    if now - _last_recorded.get(column, -HEARTBEAT_INTERVAL) >= HEARTBEAT_INTERVAL:
        _last_recorded[column] = now
        Heartbeat.record(column)
