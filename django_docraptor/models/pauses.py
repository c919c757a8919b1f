"""Internal. Pauses: which API key of an account makes no calls, until when and why.

A pause belongs to a key, so that a worker with an old one does not stop those with the right one.
The key itself is never stored. Knows nothing about jobs.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import ClassVar, Final, Self

from django.db import models, router
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.models.text import write_texts
from django_docraptor.states import HELD_UNTIL

# Values of `key_hash` that are no hash: every key of the account, because DocRaptor refuses it or
# because a person has paused it; no key could be read.
ANY_KEY: Final = "*"
BY_PERSON: Final = "person"
NO_KEY: Final = ""
EVERY_KEY: Final = (ANY_KEY, BY_PERSON)
# The end of a pause that only resuming ends, as far as tests may move it.
UNTIL_RESUMED: Final = HELD_UNTIL
_LAST_END: Final = UNTIL_RESUMED - timedelta(days=365_000)
# Seconds after which a pause that is over is deleted, when another one begins.
KEPT_SECONDS: Final = 24 * 3600.0


class PauseQuerySet(models.QuerySet["Pause"]):
    """Filters for pauses. Internal."""

    def active(self) -> Self:
        """Return the pauses that are not over."""
        return self.filter(paused_until__gt=Now())

    def active_for(self, key_hash: str) -> Self:
        """Return the pauses that are not over and hold back a key, by its `hash_key`."""
        return self.active().filter(key_hash__in=(key_hash, *EVERY_KEY))

    def told(self) -> Self:
        """Return the pauses to tell people about: not those of a key that another has replaced."""
        return self.active().filter(is_replaced=False).order_by("account", "since")


class Pause(models.Model):
    """One API key of an account that makes no calls for a while. Internal."""

    account = models.CharField(_("account"), max_length=64)
    key_hash = models.CharField(max_length=16, blank=True)
    # Polls and downloads go on: DocRaptor only refuses new documents.
    creates_only = models.BooleanField(default=False)
    # Another key has worked since: workers that still have this one wait, which is no problem.
    is_replaced = models.BooleanField(default=False)
    since = models.DateTimeField(_("since"))
    paused_until = models.DateTimeField(_("paused until"), db_index=True)
    reason = models.TextField(_("reason"), blank=True)

    # A manager; its type is that of the queryset, whose methods it has.
    objects: ClassVar[PauseQuerySet] = PrimaryDatabaseManager.from_queryset(  # type: ignore[assignment]
        PauseQuerySet
    )()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        constraints = [
            models.UniqueConstraint(name="docraptor_pause_key", fields=["account", "key_hash"]),
        ]

    def __str__(self) -> str:
        return f"{self.account} until {self.ends_at or 'it is resumed'}"

    @property
    def ends_at(self) -> datetime | None:
        """When it ends by itself; ``None`` if only resuming ends it."""
        return self.paused_until if self.paused_until < _LAST_END else None

    @property
    def is_by_person(self) -> bool:
        """Whether a person has paused the account."""
        return self.key_hash == BY_PERSON

    @classmethod
    def begin(
        cls,
        account: str,
        key_hash: str,
        *,
        seconds: float | None,
        reason: str,
        creates_only: bool = False,
    ) -> bool:
        """Begin a pause, or replace the end and the reason of one.

        Args:
            account: name of the account.
            key_hash: `account_settings.hash_key` of the key, ``ANY_KEY``, ``BY_PERSON`` or
                ``NO_KEY``.
            seconds: how long from now; ``None``: until the account is resumed.
            reason: text for people, without secrets.
            creates_only: calls other than creates go on.

        Returns:
            Whether it is new.
        """
        rows = cls.objects.filter(account=account, key_hash=key_hash)
        until = UNTIL_RESUMED if seconds is None else seconds_from_now(seconds)

        def write(text: str) -> bool:
            values = {"paused_until": until, "reason": text, "creates_only": creates_only}
            if rows.active().update(**values):
                return False
            cls.objects.update_or_create(
                account=account,
                key_hash=key_hash,
                defaults=values | {"since": Now(), "is_replaced": False},
            )
            return True

        is_new = write_texts(reason, write, using=router.db_for_write(cls))
        if is_new:
            over = cls.objects.filter(account=account)
            over.filter(paused_until__lt=seconds_from_now(-KEPT_SECONDS)).delete()
        return is_new

    @classmethod
    def end_after_success(cls, accounts: Collection[str], key_hash: str) -> None:
        """End the pause of a key that works, and stop telling about the accounts' other keys.

        That a key works disproves neither a refusal of documents nor what a person wants.
        """
        pauses = cls.objects.filter(account__in=accounts, creates_only=False)
        pauses.filter(key_hash__in=(key_hash, NO_KEY)).delete()
        pauses.exclude(key_hash__in=EVERY_KEY).update(is_replaced=True)
