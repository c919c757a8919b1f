"""Internal. How many places of budgets are taken: one row for each budget and period.

A place is taken in the transaction that commits the intent to send, under the row's lock, and given
back in the one that records that DocRaptor does not bill the attempt. So no history is
counted for each document; a row that is new counts it once.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connections, models, router
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.events import RenderEvent
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.models.usage import SETTLE_SECONDS
from django_docraptor.states import POSSIBLY_BILLED_CODES, EventKind, State

ACCOUNT, DOCUMENT, OWNER = "account", "document", "owner"
DAY, MONTH = "day", "month"
# The column of a job by which each kind of budget counts.
COLUMN_OF: Final[Mapping[str, str]] = {
    ACCOUNT: "account",
    DOCUMENT: "document",
    OWNER: "owner_id",
}
# Seconds after its end for which a row is kept.
KEPT_SECONDS: Final = 62 * 24 * 3600.0


class Scope(NamedTuple):
    """Whose documents a budget counts.

    Args:
        kind: ``account``, ``document`` or ``owner``.
        name: of the account, the document's label, or the owner's primary key.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Period(NamedTuple):
    """A day or a month in the site's time zone.

    Args:
        kind: ``day`` or ``month``.
        begins_at: its beginning.
        ends_at: the beginning of the next one.
    """

    kind: str
    begins_at: datetime
    ends_at: datetime

    @classmethod
    def at(cls, kind: str, moment: datetime) -> "Period":
        """Return the period in which a moment is."""
        local = timezone.localtime(moment, timezone.get_default_timezone())
        first = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
        first = first.replace(day=1) if kind == MONTH else first
        # Noon of a day in the next month, or of the next day, whatever the clock change.
        days = 32 if kind == MONTH else 1
        following = first + timedelta(days=days)
        following = following.replace(day=1) if kind == MONTH else following
        zone = local.tzinfo
        return cls(kind, first.replace(tzinfo=zone), following.replace(tzinfo=zone))


class BudgetUse(models.Model):
    """The documents that were billed to one budget in one period. Internal."""

    # A hash of scope and period: a name may be long, and databases compare text differently.
    key = models.CharField(max_length=40, primary_key=True)
    kind = models.CharField(max_length=16)
    name = models.CharField(max_length=255)
    period = models.CharField(max_length=8)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField(db_index=True)
    # Places that are taken; NULL before they were counted for the first time.
    used: "models.PositiveIntegerField[Any, int | None]" = models.PositiveIntegerField(null=True)
    # The limits when they were last looked at: they find the rows for reports.
    hard: "models.PositiveIntegerField[Any, int | None]" = models.PositiveIntegerField(null=True)
    soft: "models.PositiveIntegerField[Any, int | None]" = models.PositiveIntegerField(null=True)
    # When people were told that they were reached.
    hard_told_at = models.DateTimeField(null=True)
    soft_told_at = models.DateTimeField(null=True)
    locked_at = models.DateTimeField(null=True)

    objects = PrimaryDatabaseManager["BudgetUse"]()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("budget use")
        verbose_name_plural = _("budget uses")

    def __str__(self) -> str:
        return f"{self.scope}, {self.period} from {self.begins_at:%Y-%m-%d}"

    @property
    def scope(self) -> Scope:
        """Whose documents are counted."""
        return Scope(self.kind, self.name)

    @classmethod
    def lock(
        cls, wanted: Collection[tuple[Scope, str]], moment: datetime
    ) -> dict[tuple[Scope, str], "BudgetUse"]:
        """Lock the rows of a moment's periods until the transaction ends; insert those missing.

        In the order of their keys, and by one statement, so that two processes do not wait for
        each other. It writes first, so it also works on databases without row locks.

        Args:
            wanted: the scopes, each with the kind of its period.
            moment: by the database's clock.
        """
        rows = {pair: cls._new(pair[0], Period.at(pair[1], moment)) for pair in wanted}
        ordered = sorted(rows.values(), key=lambda row: row.key)
        supports = connections[router.db_for_write(cls)].features
        BudgetUse.objects.bulk_create(
            ordered,
            update_conflicts=True,
            update_fields=["locked_at"],
            unique_fields=["key"] if supports.supports_update_conflicts_with_target else None,
        )
        keys = [row.key for row in ordered]
        locked = {row.key: row for row in BudgetUse.objects.select_for_update().filter(pk__in=keys)}
        found = {pair: locked[row.key] for pair, row in rows.items()}
        for row in found.values():
            if row.used is None:
                row.used = _count_attempts(row.scope, row.begins_at)
        return found

    @classmethod
    def _new(cls, scope: Scope, period: Period) -> "BudgetUse":
        return BudgetUse(
            key=_key(scope, period),
            kind=scope.kind,
            name=scope.name,
            period=period.kind,
            begins_at=period.begins_at,
            ends_at=period.ends_at,
            locked_at=Now(),
        )

    @classmethod
    def save_all(cls, rows: Iterable["BudgetUse"]) -> None:
        """Write the columns of locked rows that change."""
        columns = ["used", "hard", "soft", "hard_told_at", "soft_told_at"]
        BudgetUse.objects.bulk_update(list(rows), columns)

    @classmethod
    def give_back(cls, scopes: Iterable[Scope], taken_at: datetime) -> None:
        """Give the place of an attempt back that DocRaptor does not bill.

        Args:
            scopes: whose documents it was.
            taken_at: when the place was taken.
        """
        keys = sorted(
            _key(scope, Period.at(kind, taken_at)) for scope in scopes for kind in (DAY, MONTH)
        )
        BudgetUse.objects.filter(pk__in=keys, used__gt=0).update(used=F("used") - 1)

    @classmethod
    def reached(cls) -> QuerySet["BudgetUse"]:
        """Return the rows of current periods whose limit was reached when it was last looked at."""
        is_reached = Q(used__gte=F("hard")) | Q(used__gte=F("soft"))
        return BudgetUse.objects.filter(is_reached, begins_at__lte=Now(), ends_at__gt=Now())

    @classmethod
    def forget_owner(cls, key: str) -> None:
        """Delete what says how much an owner has used."""
        BudgetUse.objects.filter(kind=OWNER, name=key).delete()

    @classmethod
    def delete_old(cls) -> int:
        """Delete the rows of periods that ended long ago."""
        return BudgetUse.objects.filter(ends_at__lt=seconds_from_now(-KEPT_SECONDS)).delete()[0]


def _key(scope: Scope, period: Period) -> str:
    text = f"{scope.kind}\n{scope.name}\n{period.kind}\n{period.begins_at.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _count_attempts(scope: Scope, since: datetime) -> int:
    """Return how many attempts were sent since then and are not proven unbilled: once for a row."""
    from django_docraptor.billing import EVIDENCE, IS_ACCEPTED, PROOF, REASON, REFUSED_KINDS

    job = {f"job__{COLUMN_OF[scope.kind]}": scope.name, "job__test": False}
    # Events are numbered nearly by their time. From the last one, few are read in a new period.
    earlier = RenderEvent.objects.filter(at__lt=since - timedelta(seconds=SETTLE_SECONDS))
    last = earlier.order_by("-pk").values_list("pk", flat=True).first() or 0
    recent = RenderEvent.objects.filter(pk__gt=last, at__gte=since)
    sent = recent.filter(kind=EventKind.SUBMITTING, **job)
    is_closed = ~Q(**{f"detail__{REASON}__in": sorted(POSSIBLY_BILLED_CODES)})
    is_disproof = (
        Q(kind__in=sorted(REFUSED_KINDS))
        | Q(kind=EventKind.NEVER_ACCEPTED, **{f"detail__{EVIDENCE}": PROOF})
        | Q(is_closed | Q(**{f"detail__{IS_ACCEPTED}": False}), kind=EventKind.FAILED)
    )
    later = RenderEvent.objects.filter(
        is_disproof, job=OuterRef("job"), attempt=OuterRef("attempt"), pk__gt=OuterRef("pk")
    )
    return sent.exclude(Exists(later.exclude(from_state=State.PENDING))).order_by().count()
