"""Internal. The job model, and the only way to change a job's state.

Only :meth:`RenderJob.move`, ``move_claimed`` and ``move_all`` write ``state``, and only
``lifecycle.transitions`` calls them. ``querysets`` finds the jobs to work on.
"""

import logging
import secrets
import time
import uuid
from collections.abc import Mapping
from copy import copy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.contenttypes.models import ContentType
from django.db import models, router, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_docraptor.docraptor_api import DocumentType
from django_docraptor.instrumentation import log_fields
from django_docraptor.models.clock import InsertionTimeField, Now, seconds_from_now
from django_docraptor.models.columns import BlankAsNullField
from django_docraptor.models.conflicts import RowsChangedError, repeat_conflicts
from django_docraptor.models.events import SIGNAL_LEASE_SECONDS, SIGNALS_BY_KIND, RenderEvent
from django_docraptor.models.groups import RenderGroup
from django_docraptor.models.indexes import PartialIndex
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.models.measurements import publish_move
from django_docraptor.models.owned_files import OwnedFile
from django_docraptor.models.querysets import TEXT_COLUMNS, RenderJobQuerySet
from django_docraptor.models.relations import RowInAnyDatabase, SourceInAnyDatabase
from django_docraptor.models.statements import (
    Child,
    Update,
    changed_keys,
    update_rows,
    update_with_child,
)
from django_docraptor.models.text import sanitize, write_texts
from django_docraptor.states import (
    FINAL_STATES,
    POSSIBLY_BILLED_CODES,
    RESUME_STATES,
    EventKind,
    HoldReason,
    State,
    is_allowed,
)

if TYPE_CHECKING:
    from django_docraptor.explanations import Explanation
    from django_docraptor.models.share_links import ShareLink

    # Types of public columns, for type checkers that do not run django-stubs' plugin for mypy.
    Key = models.UUIDField[Any, uuid.UUID]
    OptionalKey = models.UUIDField[Any, uuid.UUID | None]
    Text = models.CharField[Any, str]
    OptionalText = models.CharField[Any, str | None]
    LongText = models.TextField[Any, str]
    Flag = models.BooleanField[Any, bool]
    Number = models.SmallIntegerField[Any, int]
    OptionalNumber = models.PositiveIntegerField[Any, int | None]
    Time = models.DateTimeField[Any, datetime]
    OptionalTime = models.DateTimeField[Any, datetime | None]

logger = logging.getLogger(__name__)
ANY_ROW = Q()
# What the indexes of unfinished jobs contain, so that their size does not depend on the history.
UNFINISHED = Q(due_at__isnull=False)
# Columns of a job whose last step succeeded.
NO_FAILURES: Mapping[str, Any] = {"failures": 0, "failing_since": None, "refused_since": None}
# Columns of a job that is not held.
NOT_HELD: Mapping[str, Any] = {"held_at": None, "held_for": ""}
# What a move writes to an event.
EVENT_COLUMNS = ("attempt", "kind", "from_state", "to_state", "message", "detail", "signal_due_at")
# Columns with text of DocRaptor, of a template or a storage, which may lose a character. In an ID
# or a file's name, each character counts.
EXTERNAL_TEXT_COLUMNS = frozenset(TEXT_COLUMNS)


def _external_texts(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: changes[name] for name in EXTERNAL_TEXT_COLUMNS & changes.keys()}


class RenderJob(OwnedFile):
    """One document to be generated. Read it freely, but change it only through ``shortcuts``.

    ``move()``, ``move_claimed()``, ``move_all()``, ``update_leased()``, ``record_event()``,
    ``unchanged_q``, ``claimed_at``, ``attempt_age``, ``failing_seconds``, ``refused_seconds``,
    ``render_seconds``, ``request_id``, ``moved_here_at`` and ``is_past_deadline`` are internal.
    """

    id: "Key" = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account: "Text" = models.CharField(_("account"), max_length=64, default="default")
    document: "Text" = models.CharField(_("document"), max_length=200, blank=True)
    name: "Text" = models.CharField(_("name"), max_length=200)
    # ID of the finished job whose document this one generates again. It may have been deleted.
    again_of: "OptionalKey" = models.UUIDField(_("generated again from"), null=True, blank=True)
    document_type: "Text" = models.CharField(
        _("type"), max_length=8, choices=[(kind.value, kind.value.upper()) for kind in DocumentType]
    )
    test: "Flag" = models.BooleanField(_("test"), default=True)
    # Whether the stored options contain a password, which is deleted on completion.
    has_secrets: "Flag" = models.BooleanField(default=False)
    priority: "Number" = models.SmallIntegerField(_("priority"), default=0)
    content_type = RowInAnyDatabase(ContentType, db_index=False)
    object_id: "Text" = models.CharField(max_length=64, blank=True)
    source = SourceInAnyDatabase("content_type", "object_id")
    idempotency_key: "OptionalText" = models.CharField(  # noqa: DJ001 - unlike "", NULLs may repeat
        _("idempotency key"), max_length=200, null=True, blank=True
    )

    # The group of which it is a part, and its place in the file.
    group = models.ForeignKey(
        RenderGroup,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="jobs",
        verbose_name=_("group of documents"),
    )
    group_position: "OptionalNumber" = models.PositiveIntegerField(null=True, blank=True)

    state: "Text" = models.CharField(_("state"), max_length=16, choices=State.choices)
    # When it entered its state; ``None`` if it has not moved since it was created. For metrics.
    moved_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(_("due at"), null=True, blank=True)
    # Nothing is sent earlier. Only a time that was still to come when the job was enqueued.
    not_before: "OptionalTime" = models.DateTimeField(_("not before"), null=True, blank=True)
    lease_token = models.CharField(max_length=32, blank=True)
    # Claims of the current step in a row whose workers died or hung.
    lapsed_claims = models.PositiveSmallIntegerField(default=0)
    deadline_at = models.DateTimeField(_("deadline"), null=True, blank=True)
    # Consecutive failures; since when; and since when DocRaptor itself has refused without another
    # failure in between. Only time decides; the number is the exponent of the back-off.
    failures = models.PositiveSmallIntegerField(_("consecutive failures"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    refused_since = models.DateTimeField(null=True, blank=True)
    # Set while the job is held, and why; see `lifecycle.brake`.
    held_at: "OptionalTime" = models.DateTimeField(_("held since"), null=True, blank=True)
    held_for: "Text" = models.CharField(
        _("held because of"), max_length=16, blank=True, choices=HoldReason.choices
    )

    # Incremented together with the input's when a newer request updates the job; a difference shows
    # that the two were not read together.
    revision = models.PositiveIntegerField(default=0)
    attempt: "Number" = models.PositiveSmallIntegerField(_("attempt"), default=0)
    sent_at: "OptionalTime" = models.DateTimeField(_("sent at"), null=True, blank=True)
    # SHA-256 of what the latest attempt asked for; see `lifecycle.reuse`.
    request_hash = models.CharField(max_length=64, blank=True)
    status_id: "Text" = BlankAsNullField(_("status ID"), max_length=200)
    callback_at: "OptionalTime" = models.DateTimeField(
        _("callback received at"), null=True, blank=True
    )
    download_id = models.CharField(max_length=200, blank=True)
    download_attempts = models.PositiveSmallIntegerField(_("download attempts"), default=0)

    error_code: "Text" = models.CharField(_("error code"), max_length=32, blank=True)
    errors: "LongText" = models.TextField(_("errors"), blank=True)
    message: "LongText" = models.TextField(_("message"), blank=True)
    number_of_pages: "OptionalNumber" = models.PositiveIntegerField(
        _("number of pages"), null=True, blank=True
    )
    # Of DocRaptor's generation log: the number of warnings, None if it was not read, and the first.
    warnings: "OptionalNumber" = models.PositiveIntegerField(_("warnings"), null=True, blank=True)
    generation_log: "LongText" = models.TextField(_("generation log"), blank=True)

    # A hosted document stays at DocRaptor, at a URL that gives access to anyone.
    hosted: "Flag" = models.BooleanField(_("hosted"), default=False)
    hosted_expires_at: "OptionalTime" = models.DateTimeField(
        _("public until"), null=True, blank=True
    )
    public_url: "LongText" = models.TextField(_("public URL"), blank=True)
    expired_at: "OptionalTime" = models.DateTimeField(_("expired at"), null=True, blank=True)

    created_at: "Time" = InsertionTimeField(_("created at"))
    submitted_at: "OptionalTime" = models.DateTimeField(_("accepted at"), null=True, blank=True)
    rendered_at: "OptionalTime" = models.DateTimeField(_("rendered at"), null=True, blank=True)
    finished_at: "OptionalTime" = models.DateTimeField(_("finished at"), null=True, blank=True)
    # Set when all that the row said of a person was erased. It never moves again.
    erased_at: "OptionalTime" = models.DateTimeField(_("erased at"), null=True, blank=True)

    # The W3C traceparent in which it was enqueued, for a receiver of traces.
    trace_parent = models.CharField(max_length=55, blank=True)

    # Managers; their types are those of the querysets, whose methods they have.
    events: "models.QuerySet[RenderEvent]"
    share_links: "models.QuerySet[ShareLink]"
    # Not a column: how long this process took to render the HTML of the current attempt.
    render_seconds: float | None = None
    # Nor are these: DocRaptor's ID of the call that leads to the next move, for its event; and the
    # monotonic time at which this process moved the object.
    request_id: str = ""
    moved_here_at: float | None = None
    objects: ClassVar[RenderJobQuerySet] = PrimaryDatabaseManager.from_queryset(  # type: ignore[assignment]
        RenderJobQuerySet
    )()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("render job")
        verbose_name_plural = _("render jobs")
        get_latest_by = "created_at"
        permissions = [
            ("retry_renderjob", _("Can retry a render job")),
            ("cancel_renderjob", _("Can cancel a render job")),
            ("expire_renderjob", _("Can expire a hosted document")),
            ("share_renderjob", _("Can share a document by a link")),
            ("preview_documents", _("Can preview documents of sample objects")),
        ]
        indexes = [
            PartialIndex(fields=["state", "due_at"], name="docraptor_job_due", where=UNFINISHED),
            PartialIndex(
                fields=["state", "-priority", "due_at"], name="docraptor_job_next", where=UNFINISHED
            ),
            # One account's jobs, so that another's backlog is not read.
            PartialIndex(
                fields=["state", "account", "-priority", "due_at"],
                name="docraptor_job_account_next",
                where=UNFINISHED,
            ),
            PartialIndex(
                fields=["state", "account", "due_at"],
                name="docraptor_job_account_due",
                where=UNFINISHED,
            ),
            PartialIndex(
                fields=["failing_since"],
                name="docraptor_job_failing",
                where=Q(failing_since__isnull=False),
            ),
            PartialIndex(
                fields=["created_at"], name="docraptor_job_warned", where=Q(warnings__gt=0)
            ),
            models.Index(fields=["state", "created_at"], name="docraptor_job_state"),
            # The newest 10,000 failed jobs are on as many pages of a large table.
            PartialIndex(
                fields=["error_code", "created_at"],
                name="docraptor_job_error",
                where=Q(state=State.FAILED),
            ),
            # In the order of the list; the column is counted for the numbers above it.
            models.Index(fields=["created_at", "id", "test"], name="docraptor_job_created"),
            models.Index(fields=["content_type", "object_id"], name="docraptor_job_source"),
            models.Index(fields=["document", "finished_at"], name="docraptor_job_document"),
            PartialIndex(
                fields=["group", "state"],
                name="docraptor_job_group",
                where=Q(group__isnull=False),
            ),
        ]
        constraints = [
            # The key comes first: people search for it alone. The operator class lets PostgreSQL
            # find keys by their beginning, too, whatever the collation is.
            models.UniqueConstraint(
                name="docraptor_job_key",
                fields=["idempotency_key", "account"],
                opclasses=["varchar_pattern_ops", "varchar_ops"],
            ),
            # Two jobs with one status_id would share a document.
            models.UniqueConstraint(name="docraptor_job_status_id", fields=["status_id"]),
            models.CheckConstraint(
                name="docraptor_job_final_iff_not_due",
                condition=Q(state__in=sorted(FINAL_STATES), due_at__isnull=True)
                | (~Q(state__in=sorted(FINAL_STATES)) & Q(due_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="docraptor_job_public_is_hosted",
                condition=Q(public_url="") | Q(hosted=True, file=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_state_display()})"

    def get_absolute_url(self) -> str:
        """Return the URL of the download view."""
        return reverse("django_docraptor:download", args=[self.pk])

    @property
    def is_final(self) -> bool:
        """Whether the job is completed, failed or cancelled."""
        return self.state in FINAL_STATES

    @property
    def is_public(self) -> bool:
        """Whether anyone with ``public_url`` can read the document, as far as is known here.

        Only DocRaptor knows when a download limit is reached.
        """
        expires_at = self.hosted_expires_at
        return bool(self.public_url) and (expires_at is None or expires_at > timezone.now())

    @property
    def wanted_at(self) -> datetime:
        """From when on the document was wanted: ``not_before``, or when it was enqueued."""
        return self.not_before or self.created_at

    @property
    def time_taken(self) -> timedelta | None:
        """From ``wanted_at`` to the end; ``None`` while the job is unfinished."""
        if self.finished_at is None:
            return None
        return max(timedelta(), self.finished_at - self.wanted_at)  # it may have been cancelled

    @property
    def tag(self) -> str:
        """The current attempt's tag, which identifies it in DocRaptor's log."""
        return f"{self.id.hex}:{self.attempt}"

    @property
    def reference(self) -> str:
        """What a customer quotes: the first eight digits of the ID, such as ``8c41-e07b``."""
        return f"{self.id.hex[:4]}-{self.id.hex[4:8]}"

    @property
    def unchanged_q(self) -> Q:
        """A condition that matches the row only if it has not changed since it was read."""
        return Q(
            state=self.state,
            attempt=self.attempt,
            lease_token=self.lease_token,
            callback_at__isnull=self.callback_at is None,
        )

    @property
    def claimed_at(self) -> datetime | None:
        """Time of the database's clock when this object was claimed.

        It is the only clock that all hosts share.
        """
        return getattr(self, "database_now", None)

    @property
    def attempt_age(self) -> float:
        """Seconds between sending the current attempt and claiming this object."""
        return self._seconds_since(self.sent_at)

    @property
    def failing_seconds(self) -> float:
        """Seconds between the first of the consecutive failures and claiming this object."""
        return self._seconds_since(self.failing_since)

    @property
    def refused_seconds(self) -> float:
        """Seconds between the first of the consecutive refusals and claiming this object."""
        return self._seconds_since(self.refused_since)

    def _seconds_since(self, time: datetime | None) -> float:
        if self.claimed_at is None or time is None:
            return 0.0
        return (self.claimed_at - time).total_seconds()

    @property
    def is_past_deadline(self) -> bool:
        """Whether the attempt's deadline had passed when this object was claimed."""
        if self.claimed_at is None or self.deadline_at is None:
            return False
        return self.deadline_at <= self.claimed_at

    @property
    def resume_state(self) -> State | None:
        """The state in which a retry resumes the failed attempt; ``None`` for a new attempt."""
        if self.state != State.FAILED or self.error_code not in RESUME_STATES:
            return None
        if RESUME_STATES[self.error_code] == State.DOWNLOADING and self.download_id:
            return State.DOWNLOADING
        return State.QUEUED if self.status_id else None

    @property
    def may_have_been_billed(self) -> bool:
        """Whether DocRaptor may have billed the failed attempt, though its document is missing."""
        is_sent = self.state == State.FAILED and self.attempt > 0
        return is_sent and self.error_code in POSSIBLY_BILLED_CODES

    @property
    def explanation(self) -> "Explanation | None":
        """What the failure means, in words; ``None`` if the job has not failed."""
        from django_docraptor.explanations import explain  # many texts, for few jobs

        return explain(self.error_code, self.errors) if self.state == State.FAILED else None

    def move(
        self,
        to_state: State,
        *,
        kind: EventKind,
        undone_kind: EventKind | None = None,
        require_lease: bool = False,
        note: str = "",
        detail: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> bool:
        """Change the state if the row is still in this object's state and attempt.

        The same transaction records an event and, if the event has a signal, sends it after the
        commit. Only ``lifecycle.transitions`` calls this.

        Args:
            kind: kind of the event.
            undone_kind: of the attempt's event that this move undoes: it is deleted, and no other
                is recorded.
            require_lease: also require this object's lease token.
            note: full message of the event.
            detail: JSON details of the event.
            changes: other columns to set in the same UPDATE.

        Returns:
            Whether the row moved. If ``False``, another process was faster: change nothing.

        Raises:
            ValueError: the transition is not allowed.
        """
        from_state = self._state_before(to_state)
        if to_state in FINAL_STATES:
            changes |= {"due_at": None, "finished_at": Now()}
        reset = {"lease_token": "", "lapsed_claims": 0, **NOT_HELD, **NO_FAILURES}
        reset["moved_at"] = Now()
        changes = sanitize({**reset, **changes, "state": to_state})
        where: dict[str, Any] = {"id": self.pk, "state": from_state, "attempt": self.attempt}
        where["erased_at"] = None
        if require_lease:
            where["lease_token"] = self.lease_token
        using = router.db_for_write(RenderJob)

        def write(texts: dict[str, Any]) -> bool:
            columns = changes | _external_texts(texts)
            if undone_kind is not None:
                return self._move_back(where, columns, undone_kind, using=using)
            event = self._event(
                kind, to_state, from_state=from_state, note=texts["note"], detail=texts["detail"]
            )
            return self._move_with_event(where, columns, event, using=using)

        called = {"request_id": self.request_id} if self.request_id else {}
        texts = {"note": note, "detail": {**called, **(detail or {})}, **_external_texts(changes)}
        before = copy(self)
        is_moved = repeat_conflicts(
            lambda: write_texts(texts, write, using=using),
            using=using,
            reset=lambda: vars(self).update(vars(copy(before))),
        )
        if not is_moved:
            return False
        logger.info(
            "Job %s: %s -> %s (attempt %s)",
            self.pk,
            from_state,
            to_state,
            self.attempt,
            extra=log_fields(self),
        )
        if to_state in FINAL_STATES and self.group_id is not None:
            RenderGroup.make_due_on_commit(self.group_id)
        return True

    def _move_with_event(
        self,
        where: Mapping[str, Any],
        changes: Mapping[str, Any],
        event: RenderEvent,
        *,
        using: str,
    ) -> bool:
        """Update the row and insert the event in one transaction; send its signal afterwards."""
        columns = {name: getattr(event, name) for name in EVENT_COLUMNS}
        child = Child(RenderEvent, "job", columns)
        moved = update_with_child(Update(RenderJob, where, changes), child, using=using)
        if not moved:
            return False
        self._apply_move(changes, using=using)
        event.pk = moved[self.pk]
        event.send_signal_on_commit(copy(self), using=using)
        return True

    def _move_back(
        self,
        where: Mapping[str, Any],
        changes: Mapping[str, Any],
        undone_kind: EventKind,
        *,
        using: str,
    ) -> bool:
        """Update the row and delete the attempt's event that this undoes, in one transaction."""
        with transaction.atomic(using=using, savepoint=False):
            if not update_rows(Update(RenderJob, where, changes), using=using):
                return False
            self.events.filter(kind=undone_kind, attempt=self.attempt).delete()
        self._apply_move(changes, using=using)
        return True

    @classmethod
    def move_claimed(
        cls,
        jobs: list["RenderJob"],
        to_state: State,
        *,
        kind: EventKind,
        where: Mapping[str, Any],
        **changes: Any,
    ) -> list["RenderJob"]:
        """Move jobs of one state, attempt and claim, as :meth:`move` does, by one transaction.

        The claim gets a new lease token.

        Args:
            jobs: at least one claimed job; all have the same state, attempt and lease token.
            kind: kind of the events; it must not have a signal.
            where: values that other columns of the rows must have.
            changes: other columns to set in the same UPDATE, the same for all jobs.

        Returns:
            The jobs that moved. Do not change the others.

        Raises:
            ValueError: the transition is not allowed.
        """
        first = jobs[0]
        from_state, keys = first._state_before(to_state), [job.pk for job in jobs]
        where = {"state": from_state, "lease_token": first.lease_token, **where, "id": keys}
        changes |= {"state": to_state, "lease_token": secrets.token_hex(16), "lapsed_claims": 0}
        changes["moved_at"] = Now()
        columns = {
            "attempt": changes.get("attempt", first.attempt),
            "kind": kind,
            "from_state": from_state,
            "to_state": to_state,
        }
        using = router.db_for_write(RenderJob)
        moved = update_with_child(
            Update(cls, where, changes), Child(RenderEvent, "job", columns), using=using
        )
        moved_jobs = [job for job in jobs if job.pk in moved]
        for job in moved_jobs:
            job._apply_move(changes, using=using)
        return moved_jobs

    @classmethod
    def move_all(
        cls,
        jobs: list["RenderJob"],
        to_state: State,
        *,
        kind: EventKind,
        condition: Q = ANY_ROW,
        note: str = "",
        **changes: Any,
    ) -> list["RenderJob"]:
        """Move jobs of one state and one claim, as :meth:`move` does.

        The claim gets a new lease token; unclaimed jobs stay unclaimed. It takes two statements for
        any number of jobs, in the caller's transaction.

        Args:
            jobs: at least one job; all have the same state and lease token.
            kind: kind of the events; it must not have a signal.
            condition: a further condition on the rows.
            note: full message of the events.
            changes: other columns to set in the same UPDATE, the same for all jobs.

        Returns:
            The jobs that moved. Do not change the others.

        Raises:
            ValueError: the transition is not allowed.
            RowsChangedError: another process has changed some of several unclaimed jobs, so that it
                is unknown which have moved. Roll back.
        """
        from_state, keys = jobs[0]._state_before(to_state), [job.pk for job in jobs]
        rows = RenderJob.objects.filter(
            condition,
            pk__in=keys,
            state=from_state,
            lease_token=jobs[0].lease_token,
            erased_at=None,
        )
        token = secrets.token_hex(16) if jobs[0].lease_token else ""
        changes |= {"state": to_state, "lease_token": token, "lapsed_claims": 0, "moved_at": Now()}
        count = rows.update(**changes)
        if count < len(keys) and not token:
            raise RowsChangedError
        using = router.db_for_write(RenderJob)
        moved_keys = changed_keys(RenderJob, keys, count, lease_token=token, using=using)
        jobs = [job for job in jobs if job.pk in moved_keys]
        for job in jobs:
            job._apply_move(changes, using=using)
        states = {"from_state": from_state, "to_state": to_state}
        RenderEvent.objects.bulk_create(
            RenderEvent(job_id=job.pk, attempt=job.attempt, kind=kind, message=note, **states)
            for job in jobs
        )
        return jobs

    def _state_before(self, to_state: State) -> State:
        """Return this object's state, from which the job may move to the other.

        Raises:
            ValueError: the transition is not allowed.
        """
        from_state = State(self.state)
        if not is_allowed(from_state, to_state):
            raise ValueError(f"A job cannot move from {from_state.value} to {to_state.value}.")
        return from_state

    def update_leased(self, **changes: Any) -> bool:
        """Update columns other than the state, if this object's lease is still valid.

        Returns:
            Whether it was valid.

        Raises:
            ValueError: the changes contain the state.
        """
        if "state" in changes:
            raise ValueError("Use move() to change the state.")
        using = router.db_for_write(RenderJob)
        where = {
            "id": self.pk,
            "state": self.state,
            "attempt": self.attempt,
            "lease_token": self.lease_token,
        }
        changes = sanitize(changes)

        def write(texts: dict[str, Any]) -> bool:
            updated = bool(update_rows(Update(RenderJob, where, changes | texts), using=using))
            if updated:
                self._apply(changes | texts)
            return updated

        return write_texts(_external_texts(changes), write, using=using)

    def record_event(
        self,
        kind: EventKind,
        *,
        from_state: State | None = None,
        note: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> RenderEvent:
        """Record an event for the job in its current state."""

        def insert(texts: dict[str, Any]) -> RenderEvent:
            event = self._event(kind, self.state, from_state=from_state or self.state, **texts)
            event.save(force_insert=True)
            return event

        return write_texts(
            {"note": note, "detail": detail or {}},
            insert,
            using=router.db_for_write(RenderEvent),
        )

    def _event(
        self,
        kind: EventKind,
        to_state: State | str,
        *,
        from_state: State | str,
        note: str,
        detail: Mapping[str, Any],
    ) -> RenderEvent:
        signal = SIGNALS_BY_KIND.get(kind)
        has_receivers = signal is not None and signal.has_listeners(RenderJob)
        return RenderEvent(
            job=self,
            attempt=self.attempt,
            kind=kind,
            from_state=from_state,
            to_state=to_state,
            message=note,
            detail=detail,
            signal_due_at=seconds_from_now(SIGNAL_LEASE_SECONDS) if has_receivers else None,
        )

    def _apply_move(self, changes: Mapping[str, Any], *, using: str) -> None:
        """Set the written values on the object that has moved, and publish the move."""
        publish_move(self, changes, using=using)
        self._apply(changes)
        self.request_id, self.moved_here_at = "", time.monotonic()

    def _apply(self, changes: Mapping[str, Any]) -> None:
        """Set the written values on the object. Database expressions are loaded on access."""
        for column, value in changes.items():
            if hasattr(value, "resolve_expression"):
                self.__dict__.pop(column, None)
            else:
                setattr(self, column, value)
