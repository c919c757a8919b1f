"""Internal. What was used on each day, and how far the history is summed up. Knows no job."""

from datetime import date, datetime
from typing import Any

from django.db import connections, models, router
from django.db.models import Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.events import RenderEvent
from django_docraptor.models.managers import PrimaryDatabaseManager

# Seconds after which an event is summed up: its transaction has ended by then, so that no event of
# a smaller number appears later. And how old the first of them is when a run begins: so runs are a
# minute apart at least.
SETTLE_SECONDS = 300.0
FOLD_AFTER_SECONDS = SETTLE_SECONDS + 60.0


class UsageDay(models.Model):
    """What was used on a day (UTC), by account, document and kind; read it through ``usage``.

    Each use counts twice if the job has an owner: in the row without an owner, which is the total,
    and in the owner's. So an owner is forgotten by deleting rows, and the totals stay.
    """

    day: "models.DateField[Any, date]" = models.DateField(_("day"))
    account: "models.CharField[Any, str]" = models.CharField(_("account"), max_length=64)
    document: "models.CharField[Any, str]" = models.CharField(
        _("document"), max_length=200, blank=True
    )
    # The owner's primary key as text, perhaps an e-mail address; "" for the total.
    owner: "models.CharField[Any, str]" = models.CharField(_("owner"), max_length=255, blank=True)
    test: "models.BooleanField[Any, bool]" = models.BooleanField(_("test"))
    completed = models.BigIntegerField(default=0)
    billed = models.BigIntegerField(default=0)
    retries_billed = models.BigIntegerField(default=0)
    failures = models.BigIntegerField(default=0)
    reused = models.BigIntegerField(default=0)
    pages = models.BigIntegerField(default=0)
    file_bytes = models.BigIntegerField(default=0)

    objects = PrimaryDatabaseManager["UsageDay"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("usage")
        verbose_name_plural = _("usage")
        indexes = [models.Index(fields=["day"], name="docraptor_usage_day")]
        constraints = [
            # Totals of a month, and an owner's, are each a range of it.
            models.UniqueConstraint(
                name="docraptor_usage_key",
                fields=["owner", "day", "account", "document", "test"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.account} {self.document}"


class UsageMark(models.Model):
    """Up to which event the history is summed up in UsageDay. Internal. One row."""

    KEY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=KEY)
    event_id: "models.BigIntegerField[Any, int]" = models.BigIntegerField(default=0)
    # Written before UsageDay is, which locks the row.
    locked_at = models.DateTimeField(null=True, blank=True)

    objects = PrimaryDatabaseManager["UsageMark"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("usage mark")
        verbose_name_plural = _("usage marks")

    def __str__(self) -> str:
        return str(self.event_id)

    @classmethod
    def current(cls) -> int:
        """Return the number of the last event that is summed up; 0 if none is."""
        return cls.objects.filter(pk=cls.KEY).values_list("event_id", flat=True).first() or 0

    @classmethod
    def version(cls) -> tuple[int, datetime | None]:
        """Return what differs if another process has written UsageDay meanwhile."""
        rows = cls.objects.filter(pk=cls.KEY).values_list("event_id", "locked_at")
        return rows.first() or (0, None)

    @classmethod
    def lock(cls, *, wait: bool) -> int | None:
        """Lock the row until the transaction ends.

        It writes first, so it also works on databases without row locks.

        Args:
            wait: whether to wait for another process.

        Returns:
            The number of the last event that is summed up; ``None`` if another process has it.
        """
        row = UsageMark.objects.filter(pk=cls.KEY)
        features = connections[router.db_for_write(cls)].features
        may_wait = wait or not features.has_select_for_update_skip_locked or not row.exists()
        if not may_wait and row.select_for_update(skip_locked=True).first() is None:
            return None
        if not row.update(locked_at=Now()):
            # One statement: MariaDB gives one that ignores the other's row a shared lock, and takes
            # two processes that then write it for a deadlock.
            UsageMark.objects.bulk_create(
                [UsageMark(locked_at=Now())],
                update_conflicts=True,
                update_fields=["locked_at"],
                unique_fields=["id"] if features.supports_update_conflicts_with_target else None,
            )
        return cls.current()


def is_settled(seconds: float) -> Q:
    """Return the condition that an event was written some time ago.

    That an event is in the future says that the database's clock was set back since: without this,
    it would hold back all that follow it until its time has come.

    Args:
        seconds: for how long at least. The same is allowed for in the future.
    """
    return Q(at__lte=seconds_from_now(-seconds)) | Q(at__gt=seconds_from_now(seconds))


def first_unsettled(seconds: float) -> "QuerySet[RenderEvent, int]":
    """Return the number of the first event that is not summed up, if it is so old already."""
    mark = UsageMark.objects.filter(pk=UsageMark.KEY).values("event_id")
    following = RenderEvent.objects.filter(pk__gt=Coalesce(Subquery(mark), Value(0)))
    first = following.order_by("pk").values("pk")[:1]
    rows = RenderEvent.objects.filter(is_settled(seconds), pk=Subquery(first)).order_by()
    return rows.values_list("pk", flat=True)
