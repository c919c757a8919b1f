"""A job, what it says of itself, and the one way to change its state.

Nothing outside :meth:`RenderJob.move` and :meth:`RenderJob.move_all` writes ``state``. Which jobs
there are to work on is the business of ``queries``.
"""

import logging
import secrets
import uuid
from collections.abc import Callable, Mapping
from copy import copy
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models, router, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_docraptor.models.clock import after
from django_docraptor.models.events import SIGNAL_LEASE, SIGNALS, RenderEvent
from django_docraptor.models.primary import PrimaryManager
from django_docraptor.models.queries import RenderJobQuerySet
from django_docraptor.models.text import storable
from django_docraptor.states import (
    FINAL,
    MAY_HAVE_BEEN_BILLED,
    RESUMES_AT,
    Kind,
    State,
    is_allowed,
)
from django_docraptor.storage import DocumentFileField, get_document_storage
from django_docraptor.vocabulary import DocumentType

logger = logging.getLogger("django_docraptor")
ALL = Q()


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

    # How often a newer order was taken up; as the input's, unless the two were not read together.
    renewals = models.PositiveIntegerField(default=0)
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

    objects = PrimaryManager.from_queryset(RenderJobQuerySet)()

    class Meta:
        base_manager_name = "objects"
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
        changes = storable({"lease_token": "", "failures": 0, **changes, "state": to})
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
        cls, claimed: list["RenderJob"], to: State, *, kind: Kind, only: Q = ALL, **changes: Any
    ) -> list["RenderJob"]:
        """Do what :meth:`move` does to jobs of one state and one claim, which gets a new token.

        Two statements, however many jobs; part of the caller's transaction.

        Args:
            kind: of the lines of history; none that carries a signal.
            only: what else must hold of a row that moves.
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
        rows = RenderJob.objects.filter(only, pk__in=keys, state=source, lease_token=token)
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
        changes = storable(changes)
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
    ) -> RenderEvent:
        """Write a line of history for the job as it now stands."""
        signal = SIGNALS.get(kind)
        heard = signal is not None and signal.has_listeners(RenderJob)
        return RenderEvent.objects.create(
            job=self,
            attempt=self.attempt,
            kind=kind,
            from_state=source or self.state,
            to_state=self.state,
            message=storable(note),
            detail=storable(detail or {}),
            signal_due_at=after(SIGNAL_LEASE) if heard else None,
        )

    def _see(self, changes: Mapping[str, Any]) -> None:
        """Show what was written; what the database worked out is read when somebody asks."""
        for column, value in changes.items():
            if hasattr(value, "resolve_expression"):
                self.__dict__.pop(column, None)
            else:
                setattr(self, column, value)
