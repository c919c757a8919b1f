"""Internal. Pauses: which API key of an account makes no calls, until when and why.

A pause belongs to a key, so that a worker with an old one does not stop those with the right one.
The key itself is never stored. Knows nothing about jobs.
"""

from typing import ClassVar, Final, Self

from django.db import models, router
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.models.text import write_texts

# Values of `key_hash` that are no hash: every key of the account; no key could be read.
ANY_KEY: Final = "*"
NO_KEY: Final = ""
# Seconds after which a pause that is over is deleted, when another one begins.
KEPT_SECONDS: Final = 24 * 3600.0


def hash_key(key: str) -> str:
    """Return a short keyed hash that tells an API key apart from others, and reveals nothing."""
    digest = salted_hmac("django_docraptor.api_key", key, algorithm="sha256").hexdigest()
    return str(digest[:16])


class PauseQuerySet(models.QuerySet["Pause"]):
    """Filters for pauses. Internal."""

    def active(self) -> Self:
        """Return the pauses that are not over."""
        return self.filter(paused_until__gt=Now())

    def active_for(self, key_hash: str) -> Self:
        """Return the pauses that are not over and hold back a key, by its :func:`hash_key`."""
        return self.active().filter(key_hash__in=(key_hash, ANY_KEY))

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
        return f"{self.account} until {self.paused_until}"

    @classmethod
    def begin(
        cls, account: str, key_hash: str, *, seconds: float, reason: str, creates_only: bool = False
    ) -> bool:
        """Begin a pause, or prolong one.

        Args:
            account: name of the account.
            key_hash: :func:`hash_key` of the key, ``ANY_KEY`` or ``NO_KEY``.
            seconds: how long from now.
            reason: text for people, without secrets.
            creates_only: calls other than creates go on.

        Returns:
            Whether it is new.
        """
        rows = cls.objects.filter(account=account, key_hash=key_hash)
        until = seconds_from_now(seconds)

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
    def end_after_success(cls, account: str, key_hash: str) -> None:
        """End the pause of a key that works, and stop telling about the account's other keys."""
        pauses = cls.objects.filter(account=account, creates_only=False)
        pauses.filter(key_hash__in=(key_hash, NO_KEY)).delete()
        pauses.exclude(key_hash=ANY_KEY).update(is_replaced=True)
