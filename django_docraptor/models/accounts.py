"""What holds for all jobs of one account: pauses, and the circuit breaker. Knows no jobs."""

from datetime import datetime

from django.db import connections, models, router
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import after
from django_docraptor.models.primary import PrimaryManager
from django_docraptor.states import CIRCUIT_BASE, CIRCUIT_CAP, CIRCUIT_FAULTS


class Account(models.Model):
    """What holds for all jobs of one DocRaptor account."""

    TROUBLED = Q(paused_until__isnull=False) | Q(faults__gt=0)

    name = models.CharField(max_length=64, primary_key=True)
    admitted_at = models.DateTimeField(null=True, blank=True)
    # After a 401 no call at all is made until then.
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)
    pause_reason = models.TextField(_("reason"), blank=True)
    # Create calls in a row that met a faulty service; from CIRCUIT_FAULTS on the circuit is open.
    faults = models.PositiveSmallIntegerField(_("faults in a row"), default=0)
    circuit_open_until = models.DateTimeField(_("no creates until"), null=True, blank=True)

    objects = PrimaryManager["Account"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("account")
        verbose_name_plural = _("accounts")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def lock(cls, name: str) -> None:
        """Let one transaction at a time pass, on every database: a write comes first."""
        if not cls.objects.filter(pk=name).update(admitted_at=Now()):
            cls._insert_or_lock(name)

    @classmethod
    def _insert_or_lock(cls, name: str) -> None:
        """One statement: MariaDB lets several failed inserts share a lock and then deadlock."""
        connection = connections[router.db_for_write(cls)]
        by_name = connection.features.supports_update_conflicts_with_target
        Account.objects.bulk_create(
            [Account(name=name, admitted_at=Now())],
            update_conflicts=True,
            update_fields=["admitted_at"],
            unique_fields=["name"] if by_name else None,
        )

    @classmethod
    def pause(cls, name: str, seconds: float, reason: str) -> None:
        """Make no calls for an account for a while; its jobs wait."""
        cls.objects.update_or_create(
            pk=name, defaults={"paused_until": after(seconds), "pause_reason": reason}
        )

    @classmethod
    def fault(cls, name: str, reason: str) -> None:
        """Count a create that met a faulty service; too many in a row open the circuit."""
        cls.objects.filter(pk=name).update(faults=F("faults") + 1)
        account = cls.objects.filter(pk=name, faults__gte=CIRCUIT_FAULTS).first()
        if account is not None:
            more = min(account.faults - CIRCUIT_FAULTS, 16)  # a float holds no week of faults
            seconds = min(CIRCUIT_CAP, CIRCUIT_BASE * 2.0**more)
            cls.objects.filter(pk=name).update(
                circuit_open_until=after(seconds), pause_reason=reason
            )

    @classmethod
    def resume(cls, name: str) -> None:
        """Forget pause and faults: a call has succeeded."""
        cls.objects.filter(cls.TROUBLED, pk=name).update(
            paused_until=None, circuit_open_until=None, faults=0, pause_reason=""
        )

    @classmethod
    def paused(cls) -> dict[str, datetime]:
        """Accounts that are paused now, and until when."""
        rows = cls.objects.filter(paused_until__gt=Now())
        return {row.name: row.paused_until for row in rows if row.paused_until}

    @classmethod
    def stopped(cls) -> models.QuerySet["Account"]:
        """Accounts whose jobs wait now: no calls at all (``is_paused``), or no new documents."""
        paused = Q(paused_until__isnull=False, paused_until__gt=Now())
        waiting = Account.objects.filter(paused | Q(circuit_open_until__gt=Now()))
        return waiting.annotate(is_paused=paused).order_by("name")
