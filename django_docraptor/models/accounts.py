"""Internal. The lock and the circuit breaker of an account. Knows nothing about jobs."""

from collections.abc import Iterable
from datetime import datetime

from django.db import models, router
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from django_docraptor.account_settings import names_may_share_keys
from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.models.pauses import Pause
from django_docraptor.models.statements import lock_row
from django_docraptor.models.text import write_texts
from django_docraptor.states import (
    CIRCUIT_BASE_SECONDS,
    CIRCUIT_MAX_SECONDS,
    CIRCUIT_THRESHOLD,
    PROBE_LOST_SECONDS,
    PROBE_RETRY_SECONDS,
)


class KeyLock(models.Model):
    """The lock of an API key that several names may have. Internal."""

    key_hash = models.CharField(max_length=16, primary_key=True)
    locked_at = models.DateTimeField(null=True)

    objects = PrimaryDatabaseManager["KeyLock"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("API key")
        default_permissions = ()

    def __str__(self) -> str:
        return self.key_hash

    @classmethod
    def lock(cls, key_hash: str) -> None:
        """Lock the key until the transaction ends."""
        lock_row(cls, key_hash)


class Account(models.Model):
    """The lock and the failures of one DocRaptor account. Internal."""

    name = models.CharField(_("name"), max_length=64, primary_key=True)
    locked_at = models.DateTimeField(null=True, blank=True)
    # The error of the latest failure that opened the circuit.
    pause_reason = models.TextField(_("reason"), blank=True)
    # Consecutive create calls that failed because of the service; CIRCUIT_THRESHOLD of them open
    # the circuit.
    failures = models.PositiveSmallIntegerField(_("consecutive failures"), default=0)
    circuit_open_until = models.DateTimeField(
        _("submissions suspended until"), null=True, blank=True
    )
    # The latest probe (lifecycle.probes): a test document that dates DocRaptor's log. Blank if it
    # was not accepted.
    probe_tag = models.CharField(max_length=64, blank=True)
    probed_at = models.DateTimeField(null=True, blank=True)

    # Hash of the key with which it last created a document: names with one key share its limits.
    key_hash = models.CharField(_("API key"), max_length=16, blank=True, db_index=True)
    # When DocRaptor last refused a key of it (401).
    refused_at = models.DateTimeField(_("API key last refused"), null=True, blank=True)

    objects = PrimaryDatabaseManager["Account"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        permissions = [
            ("pause_account", _("Can pause an account")),
            ("resume_account", _("Can resume an account")),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def lock(cls, name: str, key_hash: str = "") -> None:
        """Lock the account until the transaction ends.

        Args:
            name: its name.
            key_hash: of the key with which a document is to be created; it is remembered.
        """
        lock_row(cls, name, {"key_hash": key_hash} if key_hash else {})

    @classmethod
    def lock_slots(cls, name: str, key_hash: str) -> tuple[str, ...]:
        """Lock what limits the creates with a key until the transaction ends.

        Where names may share keys, that is a row of the key, which no name creates without; else it
        is the account. Call it first, so that what the transaction counts is read later.

        Args:
            name: of the account that is about to create; it is remembered that it has the key.
            key_hash: `account_settings.hash_key` of the key.

        Returns:
            The names whose documents count for it, in order.
        """
        if not names_may_share_keys():
            cls.lock(name, key_hash)
            return (name,)
        KeyLock.lock(key_hash)
        names = cls._names_of_key(key_hash)
        if name not in names:
            cls.lock(name, key_hash)
        return tuple(sorted({*names, name}))

    @classmethod
    def names_with_key(cls, key_hash: str, name: str) -> tuple[str, ...]:
        """Return the names that have last created with a key, and one that is about to, in order.

        Only where names may share keys, this is a query.
        """
        names = cls._names_of_key(key_hash) if names_may_share_keys() else ()
        return tuple(sorted({*names, name}))

    @classmethod
    def _names_of_key(cls, key_hash: str) -> set[str]:
        return set(cls.objects.filter(key_hash=key_hash).values_list("name", flat=True))

    @classmethod
    def names_sharing_key(cls, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return, for each name, those that have last created with the same key, itself included.

        Only where names may share keys, this is a query.
        """
        names = list(names)
        alone: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
        if not (names and names_may_share_keys()):
            return alone
        own = cls.objects.filter(pk__in=names).exclude(key_hash="").values("key_hash")
        rows = cls.objects.filter(key_hash__in=own).order_by("name")
        key_of = dict(rows.values_list("name", "key_hash"))
        sharing: dict[str, list[str]] = {}
        for name, key_hash in key_of.items():
            sharing.setdefault(key_hash, []).append(name)
        return alone | {name: tuple(sharing[key_of[name]]) for name in names if name in key_of}

    @classmethod
    def record_failure(cls, name: str, reason: str) -> None:
        """Count a create call that failed because of the service.

        Too many consecutive ones open the circuit.
        """
        cls.objects.filter(pk=name).update(failures=F("failures") + 1)
        account = cls.objects.filter(pk=name, failures__gte=CIRCUIT_THRESHOLD).first()
        if account is not None:
            # Without a limit, 2.0**exponent would overflow after days of failures.
            exponent = min(account.failures - CIRCUIT_THRESHOLD, 16)
            seconds = min(CIRCUIT_MAX_SECONDS, CIRCUIT_BASE_SECONDS * 2.0**exponent)
            until = seconds_from_now(seconds)
            rows = cls.objects.filter(pk=name)
            write_texts(
                reason,
                lambda text: rows.update(circuit_open_until=until, pause_reason=text),
                using=router.db_for_write(cls),
            )

    @classmethod
    def close_circuit(cls, *names: str) -> None:
        """Forget the failures of accounts, and allow creates."""
        cls.objects.filter(pk__in=names, failures__gt=0).update(
            circuit_open_until=None, failures=0, pause_reason=""
        )

    @classmethod
    def claim_probe(
        cls, name: str, tag: str, *, needed_after: datetime, valid_seconds: float
    ) -> bool:
        """Record that a probe is about to be sent, if one may be.

        Args:
            name: the account's name.
            tag: the probe's tag.
            needed_after: a previous probe that was sent later will do, unless it is lost.
            valid_seconds: how long a previous probe that will not do excludes another, because
                others may wait for it.

        Returns:
            Whether it may be sent.
        """
        is_lost = Q(probed_at__lte=seconds_from_now(-PROBE_LOST_SECONDS))
        is_over = Q(probed_at__lt=needed_after, probed_at__lte=seconds_from_now(-valid_seconds))
        may_replace = Q(probed_at__isnull=True) | is_over | is_lost
        has_failed = Q(probe_tag="", probed_at__lte=seconds_from_now(-PROBE_RETRY_SECONDS))
        is_ahead = Q(probed_at__gt=Now())  # the database's clock was set back
        is_open = Q(circuit_open_until__isnull=False, circuit_open_until__gt=Now())
        rows = cls.objects.filter(may_replace | has_failed | is_ahead, ~is_open, pk=name)
        return bool(rows.update(probe_tag=tag, probed_at=Now()))

    @classmethod
    def drop_probe(cls, name: str, tag: str) -> None:
        """Forget a probe that was not accepted: another may be sent soon."""
        cls.objects.filter(pk=name, probe_tag=tag).update(probe_tag="")

    @classmethod
    def restricted_names(cls) -> list[str]:
        """Return the accounts that are paused, or whose circuit counts failures."""
        paused = Pause.objects.active().values_list("account", flat=True)
        failing = cls.objects.filter(failures__gt=0).values_list("name", flat=True)
        return sorted({*paused, *failing})

    @classmethod
    def with_open_circuit(cls) -> models.QuerySet["Account"]:
        """Return the accounts that submit no new documents because of failures of the service."""
        return cls.objects.filter(circuit_open_until__gt=Now()).order_by("name")
