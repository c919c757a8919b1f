"""Which jobs: one method per question; and how workers claim them, each row by one of them.

Knows no state machine and no history: a claim changes when a job is due, never its state.
"""

import random
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from django.contrib.contenttypes.models import ContentType
from django.db import connections, models, router, transaction
from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now

from django_docraptor.models.accounts import Account
from django_docraptor.models.clock import after
from django_docraptor.states import ACTIVE, CIRCUIT_FAULTS, UNCONFIRMED_HOLDS_SLOT, State

if TYPE_CHECKING:
    from django_docraptor.models.jobs import RenderJob

# Share of the places that goes by waiting time instead of priority.
FAIR_SHARE = 1 / 8
# Before any moment at which a job was due.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# States of jobs that occupy one of DocRaptor's slots, or may.
IN_SLOTS = (State.SUBMITTING, State.UNCONFIRMED, State.QUEUED, State.WORKING)
# States whose jobs wait while their account is paused: a create under way must be reported.
HELD = ACTIVE - {State.SUBMITTING}
# Rows put off by one statement, and tries to find jobs beside them.
HELD_AT_ONCE, HOLDS = 1000, 3


def _count(rows: models.QuerySet[Any]) -> Coalesce:
    """How many rows, as a part of another question."""
    counted = rows.values("account").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted), 0)


class RenderJobQuerySet(models.QuerySet["RenderJob"]):
    """One method per question."""

    def active(self) -> Self:
        """Jobs that are not in a final state."""
        return self.filter(state__in=ACTIVE)

    def due(self) -> Self:
        """Jobs that somebody should do something about now."""
        return self.filter(due_at__lte=Now())

    def in_flight(self, account: str) -> int:
        """How many jobs of an account occupy, or are about to occupy, one of its slots."""
        return sum(rows.count() for rows in self._in_slots(account))

    def _in_slots(self, account: str) -> "tuple[RenderJobQuerySet, RenderJobQuerySet]":
        """Those that DocRaptor has, or may have; those that a worker is about to send.

        Apart, each is a small range of an index: neither the history nor what waits is read.
        """
        rows = self.model.objects.filter(account=account).order_by()
        known = ~Q(state=State.UNCONFIRMED) | Q(sent_at__gt=after(-UNCONFIRMED_HOLDS_SLOT))
        claimed = rows.filter(state=State.PENDING, due_at__gt=Now()).exclude(lease_token="")
        # All of them have a `due_at`; where no range says so, SQLite would rather read everything.
        return rows.filter(known, state__in=IN_SLOTS, due_at__gt=LONG_AGO), claimed

    def governed(self, account: str) -> Self:
        """An account's jobs, each with what says how many more of them may be sent.

        ``in_flight``: jobs in slots; ``open_until``: no creates before then; ``is_half_open``: one
        create may try the service; ``is_troubled``: a call that succeeds has something to forget.
        """
        sent, claimed = (_count(rows) for rows in self._in_slots(account))
        own = Account.objects.filter(pk=account)
        return self.filter(account=account).annotate(
            in_flight=sent + claimed,
            open_until=Subquery(
                own.filter(circuit_open_until__gt=Now()).values("circuit_open_until")
            ),
            is_half_open=Exists(own.filter(faults__gte=CIRCUIT_FAULTS)),
            is_troubled=Exists(own.filter(Account.TROUBLED)),
        )

    def for_source(self, source: models.Model) -> Self:
        """Jobs made from one object."""
        content_type = ContentType.objects.get_for_model(source)
        return self.filter(content_type=content_type, object_id=str(source.pk))

    def untouched(self) -> Self:
        """Jobs of which nothing was ever sent, and on which no worker has begun."""
        return self.filter(state=State.PENDING, attempt=0, lease_token="")

    def public(self) -> Self:
        """Hosted jobs whose document anyone with its address may read, as far as is known here."""
        lasts = Q(hosted_expires_at=None) | Q(hosted_expires_at__gt=Now())
        return self.filter(lasts, hosted=True).exclude(public_url="")

    def newest_first(self) -> Self:
        """By the order in which the documents were asked for; for finished jobs."""
        return self.order_by("-created_at", "-finished_at", "-pk")

    def unlocked(self, *of: str) -> Self:
        """Only rows that no other transaction holds, where the database can tell; then ours.

        Within a transaction. So a worker never waits for a project's long transaction.

        Args:
            of: ``"self"``, where rows of other tables are read along.
        """
        features = connections[router.db_for_write(self.model)].features
        if not features.has_select_for_update_skip_locked:
            return self
        of = of if features.has_select_for_update_of else ()
        return self.select_for_update(skip_locked=True, of=of)

    def claim(self, *, limit: int, lease: float) -> list["RenderJob"]:
        """Take up to ``limit`` due jobs for ``lease`` seconds, most urgent first."""
        return self.take(self.best(limit), lease=lease)

    def best(self, limit: int) -> list["RenderJob"]:
        """Up to ``limit`` due jobs, most urgent first, for :meth:`take`.

        One place in eight goes to whoever has waited longest, so that no priority starves. Jobs of
        paused accounts are put off to the end of the pause instead.
        """
        paused = Account.objects.filter(pk=OuterRef("account"), paused_until__gt=Now())
        due = self.due().annotate(database_now=Now(), is_held=Exists(paused))
        for _try in range(HOLDS):
            rows = due._choose(limit)
            if not any(getattr(row, "is_held", False) for row in rows):
                return rows
            self.model.objects.hold_paused()
        return []

    def _choose(self, limit: int) -> list["RenderJob"]:
        fair = sum(random.random() < FAIR_SHARE for _ in range(limit))  # noqa: S311
        urgent = list(self.order_by("-priority", "due_at")[:limit])
        if not fair or len(urgent) < limit:
            return urgent
        longest = list(self.order_by("due_at")[:fair])
        return list(dict.fromkeys([*longest, *urgent]))[:limit]

    def take(
        self, chosen: list["RenderJob"], *, lease: float, is_alone: bool = False, **changes: Any
    ) -> list["RenderJob"]:
        """Claim those of the chosen jobs that are still due, for ``lease`` seconds.

        One conditional UPDATE: concurrent claimers get different rows, without row locks.

        Args:
            is_alone: nobody else can have touched the rows since they were chosen: they are locked.
            changes: other columns to set by the same UPDATE.
        """
        if not chosen:
            return []
        claim = {**changes, "lease_token": secrets.token_hex(16), "due_at": after(lease)}
        keys = [job.pk for job in chosen]
        due = self.filter(pk__in=keys).due()
        if len(chosen) == 1:  # the row can be recognised by what was read: no need to read again
            due = due.filter(chosen[0].as_seen)
        taken = due.update(**claim)
        if taken == len(chosen) and (taken == 1 or is_alone):
            for job in chosen:
                job._see(claim)
            return chosen
        if not taken:
            return []
        mine = self.model.objects.filter(pk__in=keys, lease_token=claim["lease_token"])
        return list(mine.annotate(database_now=Now()).order_by("-priority", "created_at"))

    def hold_paused(self) -> None:
        """Make the due jobs of paused accounts wait for the end of the pause.

        Rows that others hold are left to the next time: so nobody waits for anybody in a circle.
        """
        for account, until in Account.paused().items():
            self.filter(account=account, state__in=HELD).put_off(until)

    def put_off(self, until: datetime) -> None:
        """Make some of the due jobs wait till then: those that nobody holds."""
        with transaction.atomic(using=router.db_for_write(self.model)):
            rows = self.due().order_by()
            keys = list(rows.unlocked("self").values_list("pk", flat=True)[:HELD_AT_ONCE])
            self.model.objects.filter(pk__in=keys).due().update(due_at=until, lease_token="")
