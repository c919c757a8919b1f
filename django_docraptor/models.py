"""Jobs, their input and their history, and the one way to change a job's state.

No HTTP and no Celery here. Nothing outside :meth:`RenderJob.move` writes ``state``.
"""

import logging
import random
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models, router, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.dispatch import Signal
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_docraptor.payloads import DocumentType
from django_docraptor.signals import (
    delivery_due,
    document_completed,
    document_failed,
    document_submitted,
)
from django_docraptor.states import (
    ACTIVE,
    CIRCUIT_BASE,
    CIRCUIT_CAP,
    CIRCUIT_FAULTS,
    FINAL,
    MAY_HAVE_BEEN_BILLED,
    RESUMES_AT,
    UNCONFIRMED_HOLDS_SLOT,
    Kind,
    State,
    is_allowed,
)
from django_docraptor.storage import DocumentFileField, get_document_storage

logger = logging.getLogger("django_docraptor")

SIGNALS: Mapping[str, Signal] = {
    Kind.ACCEPTED: document_submitted,
    Kind.COMPLETED: document_completed,
    Kind.FAILED: document_failed,
    Kind.NOT_DELIVERED: delivery_due,
}
# Seconds after which a signal that was not seen to be sent is sent again.
SIGNAL_LEASE = 60
# Share of the places that goes by waiting time instead of priority.
FAIR_SHARE = 1 / 8
# Jobs stored at once from which it pays to ask the database's clock first.
MANY = 50
# Before any moment at which a job was due.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# States of jobs that occupy one of DocRaptor's slots, or may.
IN_SLOTS = (State.SUBMITTING, State.UNCONFIRMED, State.QUEUED, State.WORKING)
# Seconds by which alarms may differ and still count as one.
WAKE_SLACK = 0.1
# States whose jobs wait while their account is paused: a create under way must be reported.
HELD = ACTIVE - {State.SUBMITTING}
# Rows put off by one statement, and tries to find jobs beside them.
HELD_AT_ONCE, HOLDS = 1000, 3


def after(seconds: float) -> Any:
    """So many seconds from now, by the database's clock: hosts' clocks may differ."""
    return Now() + timedelta(seconds=seconds)


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
            held = self.filter(account=account, state__in=HELD).due()
            with transaction.atomic(using=router.db_for_write(self.model)):
                keys = list(held.unlocked().values_list("pk", flat=True)[:HELD_AT_ONCE])
                self.filter(pk__in=keys).due().update(due_at=until, lease_token="")


class RenderJob(models.Model):
    """One logical document being made. Read it freely; change it through the front door."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.CharField(_("account"), max_length=64, default="default")
    document = models.CharField(_("document"), max_length=200, blank=True)
    name = models.CharField(_("name"), max_length=200)
    document_type = models.CharField(
        _("type"), max_length=8, choices=[(kind.value, kind.value.upper()) for kind in DocumentType]
    )
    test = models.BooleanField(_("test"), default=True)
    priority = models.SmallIntegerField(_("priority"), default=0)
    content_type = models.ForeignKey(
        ContentType, on_delete=models.SET_NULL, null=True, blank=True, db_index=False
    )
    object_id = models.CharField(max_length=64, blank=True)
    source = GenericForeignKey("content_type", "object_id")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
    )
    idempotency_key = models.CharField(max_length=200, null=True, blank=True, unique=True)

    state = models.CharField(_("state"), max_length=16, choices=State.choices)
    due_at = models.DateTimeField(_("due at"), null=True, blank=True)
    lease_token = models.CharField(max_length=32, blank=True)
    deadline_at = models.DateTimeField(_("deadline"), null=True, blank=True)
    failures = models.PositiveSmallIntegerField(_("failures in a row"), default=0)

    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    status_id = models.CharField(_("status id"), max_length=200, blank=True)
    callback_at = models.DateTimeField(_("called back at"), null=True, blank=True)
    download_id = models.CharField(max_length=200, blank=True)
    fetch_attempts = models.PositiveSmallIntegerField(_("downloads"), default=0)

    error_code = models.CharField(_("error code"), max_length=32, blank=True)
    errors = models.TextField(_("errors"), blank=True)
    message = models.TextField(_("message"), blank=True)
    number_of_pages = models.PositiveIntegerField(_("pages"), null=True, blank=True)

    # Alias in STORAGES of where the file is; blank for the rule.
    storage = models.CharField(_("storage"), max_length=64, blank=True)
    file = DocumentFileField(
        _("file"), storage=get_document_storage, upload_to="docraptor", max_length=255, blank=True
    )
    pending_name = models.CharField(max_length=255, blank=True)
    file_size = models.PositiveBigIntegerField(_("size"), null=True, blank=True)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)

    # A hosted document stays at DocRaptor, at an address that anyone who has it may read.
    hosted = models.BooleanField(_("hosted"), default=False)
    hosted_expires_at = models.DateTimeField(_("public until"), null=True, blank=True)
    public_url = models.TextField(_("public address"), blank=True)
    expired_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    created_at = models.DateTimeField(_("created at"), db_default=Now())
    submitted_at = models.DateTimeField(_("accepted at"), null=True, blank=True)
    rendered_at = models.DateTimeField(_("rendered at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    objects = RenderJobQuerySet.as_manager()

    class Meta:
        verbose_name = _("render job")
        verbose_name_plural = _("render jobs")
        get_latest_by = "created_at"
        permissions = [
            ("retry_renderjob", _("Can retry a render job")),
            ("cancel_renderjob", _("Can cancel a render job")),
            ("expire_renderjob", _("Can end a hosted document")),
        ]
        indexes = [
            models.Index(fields=["state", "due_at"], name="docraptor_job_due"),
            models.Index(fields=["state", "-priority", "due_at"], name="docraptor_job_next"),
            models.Index(fields=["state", "created_at"], name="docraptor_job_state"),
            models.Index(fields=["created_at"], name="docraptor_job_created"),
            models.Index(fields=["content_type", "object_id"], name="docraptor_job_source"),
            models.Index(fields=["status_id"], name="docraptor_job_status_id"),
            models.Index(fields=["document", "finished_at"], name="docraptor_job_document"),
        ]
        constraints = [
            models.CheckConstraint(
                name="docraptor_job_final_iff_not_due",
                condition=Q(state__in=sorted(FINAL), due_at__isnull=True)
                | (~Q(state__in=sorted(FINAL)) & Q(due_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="docraptor_job_public_is_hosted",
                condition=Q(public_url="") | Q(hosted=True, file=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_state_display()})"

    def get_absolute_url(self) -> str:
        """Where those who may read the document download it."""
        return reverse("django_docraptor:download", args=[self.pk])

    def may_be_read_by(self, user: AbstractBaseUser) -> bool:
        """The policy where no document says otherwise: its owner, or who may view jobs."""
        if not user.is_authenticated or not user.is_active:
            return False
        # A user model without permissions is a legitimate one.
        has_perm: Callable[[str], bool] = getattr(user, "has_perm", lambda permission: False)
        return self.owner_id == user.pk or has_perm("django_docraptor.view_renderjob")

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in FINAL

    @property
    def is_public(self) -> bool:
        """Whether anyone with ``public_url`` may read the document, as far as is known here.

        Only DocRaptor knows when a download limit is used up.
        """
        until = self.hosted_expires_at
        return bool(self.public_url) and (until is None or until > timezone.now())

    @property
    def tag(self) -> str:
        """The present attempt's tag: what finds it in DocRaptor's log."""
        return f"{self.id.hex}:{self.attempt}"

    @property
    def as_seen(self) -> Q:
        """What tells the row as this object shows it from one that somebody has touched since."""
        return Q(
            state=self.state,
            attempt=self.attempt,
            lease_token=self.lease_token,
            callback_at__isnull=self.callback_at is None,
        )

    @property
    def claimed_at(self) -> datetime | None:
        """The database's clock when this object was claimed: the only "now" hosts agree on."""
        return getattr(self, "database_now", None)

    @property
    def age(self) -> float:
        """Seconds since the present attempt was sent, when this object was claimed."""
        if self.claimed_at is None or self.sent_at is None:
            return 0.0
        return (self.claimed_at - self.sent_at).total_seconds()

    @property
    def is_past_deadline(self) -> bool:
        """Whether the attempt's deadline had passed when this object was claimed."""
        if self.claimed_at is None or self.deadline_at is None:
            return False
        return self.deadline_at <= self.claimed_at

    @property
    def resumes_at(self) -> State | None:
        """Where a retry would take up the finished attempt; ``None`` if it starts a new one."""
        state = RESUMES_AT.get(self.error_code)
        if self.state != State.FAILED or state is None:
            return None
        has_id = self.download_id if state == State.DOWNLOADING else self.status_id
        return state if has_id else None

    @property
    def may_have_been_billed(self) -> bool:
        """Whether the failed attempt may be on the bill although it brought nothing."""
        return self.state == State.FAILED and self.error_code in MAY_HAVE_BEEN_BILLED

    def move(
        self,
        to: State,
        *,
        kind: Kind,
        leased: bool = False,
        note: str = "",
        detail: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> bool:
        """Change the state, if the row is still where this object saw it, and write the history.

        Args:
            leased: also require that the row still carries this object's lease token.
            note: what the history should say, whole.
            changes: other columns to set by the same UPDATE.

        Returns:
            Whether the row moved. ``False``: somebody else was faster; touch nothing.

        Raises:
            ValueError: the state machine has no such transition.
        """
        source = State(self.state)
        if not is_allowed(source, to):
            raise ValueError(f"A job cannot go from {source.value} to {to.value}.")
        if to in FINAL:
            changes |= {"due_at": None, "finished_at": Now()}
        changes = {"lease_token": "", "failures": 0, **changes, "state": to}
        rows = RenderJob.objects.filter(pk=self.pk, state=source, attempt=self.attempt)
        if leased:
            rows = rows.filter(lease_token=self.lease_token)
        using = router.db_for_write(RenderJob)
        with transaction.atomic(using=using, savepoint=False):
            if not rows.update(**changes):
                return False
            self._see(changes)
            event = self.record(kind, source=source, note=note, detail=detail)
            if event.signal_due_at is not None:
                seen = copy(self)
                # A lambda, since Django's robust hooks fail on callables without a name.
                transaction.on_commit(lambda: event.announce(seen), using=using, robust=True)
        logger.info("Job %s: %s -> %s (attempt %s)", self.pk, source.value, to.value, self.attempt)
        return True

    @classmethod
    def move_all(
        cls, claimed: list["RenderJob"], to: State, *, kind: Kind, **changes: Any
    ) -> list["RenderJob"]:
        """Do what :meth:`move` does to jobs of one state and one claim, which gets a new token.

        Two statements, however many jobs; part of the caller's transaction.

        Args:
            kind: of the lines of history; none that carries a signal.
            changes: other columns to set, the same for all.

        Returns:
            Those that moved; touch no others.

        Raises:
            ValueError: the state machine has no such transition.
        """
        source, token = State(claimed[0].state), claimed[0].lease_token
        if not is_allowed(source, to):
            raise ValueError(f"A job cannot go from {source.value} to {to.value}.")
        keys = [job.pk for job in claimed]
        rows = RenderJob.objects.filter(pk__in=keys, state=source, lease_token=token)
        changes |= {"state": to, "lease_token": secrets.token_hex(16)}
        if rows.update(**changes) < len(keys):
            ours = RenderJob.objects.filter(pk__in=keys, lease_token=changes["lease_token"])
            moved = set(ours.values_list("pk", flat=True))
            claimed = [job for job in claimed if job.pk in moved]
        for job in claimed:
            job._see(changes)
        RenderEvent.objects.bulk_create(
            RenderEvent(
                job_id=job.pk, attempt=job.attempt, kind=kind, from_state=source, to_state=to
            )
            for job in claimed
        )
        return claimed

    def set(self, **changes: Any) -> bool:
        """Change columns other than the state while this object's lease holds.

        Returns whether it still held.
        """
        if "state" in changes:
            raise ValueError("The state changes through move().")
        rows = RenderJob.objects.filter(
            pk=self.pk, state=self.state, attempt=self.attempt, lease_token=self.lease_token
        )
        held = bool(rows.update(**changes))
        if held:
            self._see(changes)
        return held

    def record(
        self,
        kind: Kind,
        *,
        source: State | None = None,
        note: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> "RenderEvent":
        """Write a line of history for the job as it now stands."""
        signal = SIGNALS.get(kind)
        heard = signal is not None and signal.has_listeners(RenderJob)
        return RenderEvent.objects.create(
            job=self,
            attempt=self.attempt,
            kind=kind,
            from_state=source or self.state,
            to_state=self.state,
            message=note,
            detail=dict(detail or {}),
            signal_due_at=after(SIGNAL_LEASE) if heard else None,
        )

    def _see(self, changes: Mapping[str, Any]) -> None:
        """Show what was written; what the database worked out is read when somebody asks."""
        for column, value in changes.items():
            if hasattr(value, "resolve_expression"):
                self.__dict__.pop(column, None)
            else:
                setattr(self, column, value)


class RenderInput(models.Model):
    """What a job is made from, apart from it so that job rows stay narrow."""

    job = models.OneToOneField(
        RenderJob, on_delete=models.CASCADE, primary_key=True, related_name="input"
    )
    content = models.TextField(blank=True)
    url = models.TextField(blank=True)
    options = models.JSONField(default=dict)
    params = models.JSONField(default=dict)
    language = models.CharField(max_length=35, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("stored input")
        verbose_name_plural = _("stored inputs")

    def __str__(self) -> str:
        return f"Input of {self.job_id}"


class RenderEvent(models.Model):
    """One line of a job's history: append-only, without secrets and without content."""

    job = models.ForeignKey(RenderJob, on_delete=models.CASCADE, related_name="events")
    attempt = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=16)
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16)
    message = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    # The event carries a signal that is not yet known to have been sent.
    signal_due_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["id"]
        indexes = [models.Index(fields=["signal_due_at"], name="docraptor_event_signal")]

    def __str__(self) -> str:
        return f"{self.kind} ({self.job_id}, attempt {self.attempt})"

    def announce(self, job: RenderJob) -> None:
        """Send the event's signal, then note that it was sent."""
        try:
            answers = SIGNALS[self.kind].send_robust(RenderJob, job=job)
        except Exception:  # Django's own log fails on a failing receiver without a name
            logger.exception("Receivers failed for job %s", job.pk)
            answers = []
        for receiver, answer in answers:
            if isinstance(answer, Exception):
                name = getattr(receiver, "__qualname__", receiver)
                logger.error("Receiver %s failed for job %s", name, job.pk, exc_info=answer)
        RenderEvent.objects.filter(pk=self.pk).update(signal_due_at=None)


class DiscardedFile(models.Model):
    """A stored file whose job is gone, still to be deleted: `retention` works the list off."""

    name = models.CharField(max_length=255, primary_key=True)
    storage = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("discarded file")
        verbose_name_plural = _("discarded files")

    def __str__(self) -> str:
        return self.name


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

    class Meta:
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
            seconds = min(CIRCUIT_CAP, CIRCUIT_BASE * 2.0 ** (account.faults - CIRCUIT_FAULTS))
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


class Pulse(models.Model):
    """One row: when the engine was last seen, and when it will wake by itself."""

    KEY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=KEY)
    wake_at = models.DateTimeField(null=True, blank=True)
    ticked_at = models.DateTimeField(_("last tick"), null=True, blank=True)
    worked_at = models.DateTimeField(_("worker last seen"), null=True, blank=True)
    called_back_at = models.DateTimeField(_("last callback"), null=True, blank=True)

    class Meta:
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


def store(jobs: Iterable[tuple[RenderJob, RenderInput]], *, batch_size: int = 1000) -> None:
    """Insert jobs with their inputs and first events, in one transaction.

    The first job of many asks for the database's clock; the others then carry its reading as plain
    values, which PostgreSQL takes in a column at a time.
    """
    pairs = list(jobs)
    new = [job for job, _input in pairs]
    told: dict[str, Any] = {}
    with transaction.atomic(using=router.db_for_write(RenderJob), savepoint=False):
        if len(new) > MANY:
            first, *new = new
            RenderJob.objects.bulk_create([first])
            told["at"] = RenderJob.objects.values_list("created_at", flat=True).get(pk=first.pk)
            for job in new:
                job.created_at = job.due_at = told["at"]
        RenderJob.objects.bulk_create(new, batch_size=batch_size)
        RenderInput.objects.bulk_create([entry for _job, entry in pairs], batch_size=batch_size)
        RenderEvent.objects.bulk_create(
            [
                RenderEvent(job_id=job.pk, kind=Kind.ENQUEUED, to_state=job.state, **told)
                for job, _input in pairs
            ],
            batch_size=batch_size,
        )
