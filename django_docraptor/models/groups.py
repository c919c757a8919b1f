"""Internal. Groups of jobs: one row over its jobs, with one outcome and one file.

A project creates one through ``enqueue_group`` and reads its columns and :meth:`progress`. Knows
jobs only as the other side of their foreign key; `lifecycle.grouping` works on groups.
"""

import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models, router
from django.db.models import Count, Exists, F, OuterRef, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_docraptor.models.clock import InsertionTimeField, Now, seconds_from_now
from django_docraptor.models.commits import on_commit_once
from django_docraptor.models.indexes import PartialIndex
from django_docraptor.models.managers import PrimaryDatabaseManager
from django_docraptor.models.owned_files import OwnedFile
from django_docraptor.models.prepared import prepared
from django_docraptor.models.text import sanitize, write_texts
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, MAX_LOST_CLAIMS

if TYPE_CHECKING:
    from django_docraptor.models.group_progress import GroupProgress
    from django_docraptor.models.querysets import RenderJobQuerySet

    Text = models.CharField[Any, str]
    OptionalTime = models.DateTimeField[Any, datetime | None]

# Seconds between two checks of an unfinished group: a quarter of its age, within these bounds. Only
# a process that dies just after a job's end makes a check necessary.
MIN_CHECK_SECONDS, MAX_CHECK_SECONDS = 60.0, 3600.0


class GroupState(models.TextChoices):
    """What became of a group, by the states of its jobs."""

    # Some jobs are unfinished, or the file is being made.
    WORKING = "working", pgettext_lazy("state", "working")
    # All documents are there, and so is the file, if there is to be one.
    COMPLETED = "completed", pgettext_lazy("state", "completed")
    # Some documents are missing: failed, cancelled, deleted or erased.
    PARTIAL = "partial", pgettext_lazy("state", "partial")
    # No document is there, or the file could not be made: `errors` tells why.
    FAILED = "failed", pgettext_lazy("state", "failed")
    # No document is there, because they were cancelled.
    CANCELLED = "cancelled", pgettext_lazy("state", "cancelled")


class Merge(models.TextChoices):
    """What file is made of the documents; "" for none."""

    ZIP = "zip", "ZIP"
    PDF = "pdf", "PDF"


class OnFailure(models.TextChoices):
    """What becomes of the file if a document is missing."""

    NO_FILE = "no_file"
    PARTIAL = "partial"


class RenderGroup(OwnedFile):  # type: ignore[django-manager-missing] # of RenderJob
    """Documents that belong together. Read it freely; change it by the functions for groups.

    ``claim_next()``, ``update_leased()``, ``make_due_if_finished()`` and
    ``make_due_on_commit()`` are internal.
    """

    id: "models.UUIDField[Any, uuid.UUID]" = models.UUIDField(
        primary_key=True, default=uuid.uuid4, editable=False
    )
    name: "Text" = models.CharField(_("name"), max_length=200)
    idempotency_key: "models.CharField[Any, str | None]" = models.CharField(
        _("idempotency key"), max_length=200, null=True, blank=True, unique=True
    )
    merge: "Text" = models.CharField(_("type"), max_length=8, choices=Merge.choices, blank=True)
    on_failure: "Text" = models.CharField(max_length=8, default=OnFailure.NO_FILE)
    total: "models.PositiveIntegerField[Any, int]" = models.PositiveIntegerField(_("documents"))
    state: "Text" = models.CharField(
        _("state"), max_length=16, choices=GroupState.choices, default=GroupState.WORKING
    )
    # When it is looked at next, or the end of a worker's lease; NULL if nothing is left to do. Of a
    # group that has an outcome: its signal is not known to have been sent.
    due_at: "OptionalTime" = models.DateTimeField(_("due at"), null=True, blank=True)
    lease_token = models.CharField(max_length=32, blank=True)
    lapsed_claims = models.PositiveSmallIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(_("consecutive failures"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    # Incremented when a file is dropped, so that no two files have the same name.
    revision = models.PositiveIntegerField(default=1)
    errors: "models.TextField[Any, str]" = models.TextField(_("errors"), blank=True)
    created_at: "models.DateTimeField[Any, datetime]" = InsertionTimeField(_("created at"))
    finished_at: "OptionalTime" = models.DateTimeField(_("finished at"), null=True, blank=True)

    jobs: "RenderJobQuerySet"
    objects: ClassVar[PrimaryDatabaseManager[Self]] = PrimaryDatabaseManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("group of documents")
        verbose_name_plural = _("groups of documents")
        get_latest_by = "created_at"
        indexes = [
            PartialIndex(
                fields=["due_at"], name="docraptor_group_due", where=Q(due_at__isnull=False)
            ),
            models.Index(fields=["created_at"], name="docraptor_group_created"),
        ]
        constraints = [
            models.CheckConstraint(
                name="docraptor_group_working_is_due",
                condition=~Q(state=GroupState.WORKING) | Q(due_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the URL of the download view."""
        return reverse("django_docraptor:group-download", args=[self.pk])

    @property
    def is_final(self) -> bool:
        """Whether it has an outcome, until a document is retried."""
        return self.state != GroupState.WORKING

    @property
    def document_type(self) -> str:
        """The type of the file: ``zip`` or ``pdf``, or "" for none."""
        return self.merge

    def progress(self) -> "GroupProgress":
        """Count the documents by one query."""
        return type(self).progress_of([self])[self.pk]

    @classmethod
    def progress_of(cls, groups: Iterable["RenderGroup"]) -> "dict[uuid.UUID, GroupProgress]":
        """Count the documents of groups by one query of an index."""
        from django_docraptor.models.group_progress import GroupProgress

        totals = {group.pk: group.total for group in groups}
        counts: dict[uuid.UUID, dict[str, int]] = {key: {} for key in totals}
        rows = cls._jobs().filter(group__in=totals).order_by().values_list("group", "state")
        for key, state, count in rows.annotate(count=Count("pk")):
            name = state if state in FINAL_STATES else "unfinished"
            counts[key][name] = counts[key].get(name, 0) + count
        return {key: GroupProgress(total=totals[key], **counts[key]) for key in totals}

    @classmethod
    def _jobs(cls) -> "models.QuerySet[Any]":
        # RenderJob: it imports this module, so it is only available through the relation.
        jobs: Any = cls._meta.get_field("jobs").related_model
        rows: models.QuerySet[Any] = jobs.objects.all()
        return rows

    @classmethod
    def claim_next(cls, *, lease: float) -> "RenderGroup | None":
        """Claim the group that has been due longest.

        One conditional UPDATE, so that two workers never claim the same one.

        Args:
            lease: seconds.
        """
        for _try in range(MAX_LOST_CLAIMS):
            if not (groups := _longest_due().fetch()):
                break
            (group,) = groups
            token, lapsed = secrets.token_hex(16), group.lapsed_claims + bool(group.lease_token)
            rows = cls.objects.filter(
                pk=group.pk, due_at__lte=Now(), lease_token=group.lease_token, state=group.state
            )
            due_at = seconds_from_now(lease)
            if rows.update(lease_token=token, due_at=due_at, lapsed_claims=lapsed):
                group.lease_token, group.lapsed_claims = token, lapsed
                return group
        return None

    def update_leased(self, **changes: Any) -> bool:
        """Update columns, if this object's lease is still valid.

        Returns:
            Whether it was valid.
        """
        rows = type(self).objects.filter(pk=self.pk, lease_token=self.lease_token)
        texts = {"errors": changes.pop("errors")} if "errors" in changes else {}

        def write(texts: dict[str, Any]) -> bool:
            columns = sanitize(changes) | texts
            if not rows.update(**columns):
                return False
            for name, value in columns.items():
                if hasattr(value, "resolve_expression"):
                    self.__dict__.pop(name, None)  # loaded on access
                else:
                    setattr(self, name, value)
            return True

        return write_texts(texts, write, using=router.db_for_write(type(self)))

    def next_check(self) -> Any:
        """Return when an unfinished group is due again, as a database expression."""
        age = (getattr(self, "database_now", self.created_at) - self.created_at).total_seconds()
        return seconds_from_now(min(MAX_CHECK_SECONDS, max(MIN_CHECK_SECONDS, age / 4)))

    @classmethod
    def make_due_if_finished(cls, key: Any) -> None:
        """Make a group due now if no job of it is unfinished: called after the end of each."""
        rows = cls.objects.filter(pk=key, state=GroupState.WORKING, lease_token="")
        unfinished = Exists(cls._unfinished(OuterRef("pk")))
        rows.filter(~unfinished, due_at__gt=Now()).update(due_at=Now())

    @classmethod
    def has_work(cls) -> bool:
        """Return whether there is a group with work left of which no job is unfinished."""
        keys = cls.objects.filter(due_at__isnull=False).order_by("due_at")
        return any(not cls._unfinished(key).exists() for key in keys.values_list("pk", flat=True))

    @classmethod
    def _unfinished(cls, key: Any) -> "models.QuerySet[Any]":
        """Return the unfinished jobs of a group.

        By state: a few look-ups in the index of both, however many of its jobs have ended.
        """
        return cls._jobs().filter(group=key, state__in=sorted(ACTIVE_STATES))

    @classmethod
    def make_due_on_commit(cls, key: Any) -> None:
        """Do so after the current transaction, in which a job of the group has ended."""
        on_commit_once(_MakeDue(key), using=router.db_for_write(cls))


@prepared(RenderGroup)
def _longest_due() -> "models.QuerySet[RenderGroup]":
    """Return the group that has been due longest, with the database's time."""
    due = RenderGroup.objects.filter(due_at__lte=Now()).annotate(database_now=Now())
    return due.order_by("due_at")[:1]


@dataclass(repr=False)
class _MakeDue:
    """Makes a group due if it is finished; equal to any other for the same one."""

    key: Any

    def __call__(self) -> None:
        RenderGroup.make_due_if_finished(self.key)


# What a group without a file has in its columns.
NO_GROUP_FILE: Mapping[str, Any] = {
    "file": "",
    "reserved_name": "",
    "file_size": None,
    "sha256": "",
    "lease_token": "",
    "revision": F("revision") + 1,
}
