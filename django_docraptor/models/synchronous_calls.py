"""Internal. Synchronous create calls that are being made: each occupies one of DocRaptor's slots.

Each row has a lease, so that a killed process gives its slot back. Knows nothing about jobs.
"""

from typing import ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.managers import PrimaryDatabaseManager


class SynchronousCallQuerySet(models.QuerySet["SynchronousCall"]):
    """Filters for synchronous calls. Internal."""

    def active(self) -> Self:
        """Return the calls that occupy a slot."""
        return self.filter(ends_at__gt=Now())


class SynchronousCall(models.Model):
    """A synchronous create call that is being made, or waits for its slot. Internal."""

    account = models.CharField(_("account"), max_length=64)
    # The end of its lease.
    ends_at = models.DateTimeField()

    # A manager; its type is that of the queryset, whose methods it has.
    objects: ClassVar[SynchronousCallQuerySet] = PrimaryDatabaseManager.from_queryset(  # type: ignore[assignment]
        SynchronousCallQuerySet
    )()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("synchronous call")
        verbose_name_plural = _("synchronous calls")
        indexes = [models.Index(name="docraptor_sync_call", fields=["account", "ends_at"])]

    def __str__(self) -> str:
        return f"{self.account} until {self.ends_at}"

    @classmethod
    def begin(cls, account: str, *, seconds: float) -> int:
        """Insert a call, and return its key. Call it while the account is locked.

        So calls of an account are numbered in their order.
        """
        cls.objects.filter(account=account, ends_at__lte=Now()).delete()
        call = cls(account=account, ends_at=seconds_from_now(seconds))
        call.save(force_insert=True)
        key: int = call.pk
        return key

    @classmethod
    def end(cls, key: int, *, after_seconds: float = 0.0) -> None:
        """Give a call's slot back, now or later."""
        rows = cls.objects.filter(pk=key)
        if after_seconds:
            rows.update(ends_at=seconds_from_now(after_seconds))
        else:
            rows.delete()
