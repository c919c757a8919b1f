"""Internal. Erase a person's documents: all that jobs say about an owner, or about a source.

Projects import :func:`erase` from ``django_docraptor``. No permission is checked here: the caller
decides who may erase. `lifecycle.erasing` erases one job; this module finds the jobs, removes what
is outside of the database, and reports what is left.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Min, Model, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from django_docraptor import discarded_files
from django_docraptor.erasure_reports import ErasureReport, Remaining
from django_docraptor.lifecycle.erasing import (
    PERSONAL_KINDS,
    erase_group,
    erase_jobs,
    log_entries,
)
from django_docraptor.lifecycle.hosting import expire_document
from django_docraptor.migrated import tables_required
from django_docraptor.models import (
    BudgetUse,
    DiscardedDocument,
    DiscardedFile,
    ErasedJob,
    RenderEvent,
    RenderGroup,
    RenderInput,
    RenderJob,
    RenderJobQuerySet,
    ShareLink,
)
from django_docraptor.models.files import COPY_PREFIX, REMOVABLE_NOW
from django_docraptor.models.sources import parse_key, root_model, same_object, source_key
from django_docraptor.shortcuts import describe_actor
from django_docraptor.states import EventKind
from django_docraptor.usage import forget_owner, owner_key

logger = logging.getLogger(__name__)

# Jobs, events or files that are read and worked on together.
BATCH_SIZE: Final = 100
# Files and documents that could not be removed, after which the others are left to the tick.
MAX_FAILURES: Final = 20
# Its hash is the `subject` of what is left; nothing else refers to the person.
SALT: Final = "django_docraptor.erasure"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data is erased.

    Args:
        text: such as ``owner 17`` or ``source shop.Invoice 17``.
        jobs: the jobs that were not erased yet.
        groups: the groups that were not erased yet.
        user: the owner's row, if there is one.
        is_known: whether the owner has a row.
    """

    text: str
    jobs: RenderJobQuerySet
    groups: QuerySet[RenderGroup]
    user: AbstractBaseUser | None = None
    is_known: bool = True

    @property
    def key(self) -> str:
        """The keyed hash that marks what is left."""
        return self._hash(settings.SECRET_KEY)

    @property
    def left_q(self) -> Q:
        """What is left, also of calls under an earlier SECRET_KEY."""
        keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        return Q(subject__in=[self._hash(key) for key in keys])

    def _hash(self, secret: str | bytes) -> str:
        return str(salted_hmac(SALT, self.text, secret=secret, algorithm="sha256").hexdigest()[:32])


@tables_required()
def erase(
    *,
    owner: AbstractBaseUser | Any = None,
    source: Model | None = None,
    dry_run: bool = False,
) -> ErasureReport:
    """Erase all that jobs say about a person, wherever it is, and keep a line for the bill.

    Cancels unfinished jobs, expires what DocRaptor hosts, deletes files, delivered copies, stored
    inputs, share links, records of downloads, and texts. What cannot be reached now is listed, and
    ticks try it again. Safe to repeat: another call tells what is still open. Call it before the
    user is deleted: then jobs no longer know their owner. Within a transaction, files and hosted
    documents are removed after its commit.

    Args:
        owner: the user, or the primary key: all jobs of this owner. Exactly one of both.
        source: the object, also one that was deleted, such as ``Invoice(pk=17)``: all its jobs,
            of any owner. Those of an inherited model are those of its parent, too.
        dry_run: only count.

    Returns:
        What was erased, and what remains and why: ``str()`` is text, ``to_json()`` is JSON.

    Raises:
        ValidationError: not exactly one was given, or it has no primary key of its model.
    """
    subject = _subject(owner, source)
    if dry_run:
        return _report(subject, _count(subject), dry_run=True)
    counts = _erase_rows(subject)
    if owner is not None:
        forget_owner(owner)
        BudgetUse.forget_owner(str(owner_key(owner)))
    if subject.user is not None:
        counts["mentions"] = _erase_mentions(subject.user)
    using = router.db_for_write(RenderJob)
    if transaction.get_connection(using).in_atomic_block:
        # A lambda, because Django's robust on_commit hooks need a callable with a name.
        transaction.on_commit(lambda: _remove(subject), using=using, robust=True)
    else:
        _remove(subject)
    return _report(subject, counts)


def _subject(owner: Any, source: Model | None) -> Subject:
    """Return whose data is erased.

    Raises:
        ValidationError: see `erase`.
    """
    if (owner is None) == (source is None):
        message = "erase() needs an owner or a source, and not both."
        raise ValidationError({"owner": [message]})
    if source is not None:
        _check_source(source)
        label = root_model(type(source))._meta.label
        jobs, none = RenderJob.objects.filter(same_object(source)), RenderGroup.objects.none()
        return Subject(f"source {label} {source_key(source)}", jobs, none)
    key = owner_key(owner)
    user = get_user_model()._base_manager.filter(pk=key).first()
    jobs, groups = RenderJob.objects.filter(owner_id=key), RenderGroup.objects.filter(owner_id=key)
    return Subject(f"owner {key}", jobs, groups, user, is_known=user is not None)


def _check_source(source: object) -> None:
    """Check that a source has a primary key of its model: another would find no job.

    Raises:
        ValidationError: see `erase`.
    """
    if not isinstance(source, Model) or source.pk is None:
        message = f"source {source!r} must be an object with a primary key: Invoice(pk=17)."
        raise ValidationError({"source": [message]})
    try:
        parse_key(type(source), source.pk)
    except ValidationError as error:
        message = f"source has the key {source.pk!r}, which is none of {source._meta.label}."
        raise ValidationError({"source": [message]}) from error


def _erase_rows(subject: Subject) -> Counter[str]:
    """Erase the jobs, also those that are enqueued meanwhile, as none keeps its owner or source."""
    counts: Counter[str] = Counter()
    while keys := list(subject.jobs.order_by().values_list("pk", flat=True)[:BATCH_SIZE]):
        erased = erase_jobs(keys, subject=subject.key)
        if not erased["jobs"]:  # another call has them
            break
        counts += erased
    for group in subject.groups:
        counts += erase_group(group, subject=subject.key)
    return counts


def _erase_mentions(user: AbstractBaseUser) -> int:
    """Erase that a user did something with jobs of others. The history keeps what was done."""
    note = describe_actor(user)
    events = RenderEvent.objects.filter(message=note).order_by()
    rows = events.values_list("pk", "message") if note else ()
    # Compared here, too: some databases ignore case.
    keys = [key for key, message in rows if message == note]
    for start in range(0, len(keys), BATCH_SIZE):
        RenderEvent.objects.filter(pk__in=keys[start : start + BATCH_SIZE]).update(message="")
    return len(keys) + ShareLink.objects.filter(created_by=user.pk).update(created_by=None)


def _remove(subject: Subject) -> None:
    """Delete the files and expire the documents that are listed, as far as that works now."""
    files = list(DiscardedFile.objects.filter(subject.left_q, REMOVABLE_NOW))
    failures = 0
    for start in range(0, len(files), BATCH_SIZE):
        batch = files[start : start + BATCH_SIZE]
        failures += len(batch) - discarded_files.delete_files(batch)
        if failures >= MAX_FAILURES:
            break
    failures = 0
    for document in DiscardedDocument.objects.filter(subject.left_q, REMOVABLE_NOW):
        failures += not expire_document(document)
        if failures >= MAX_FAILURES:
            break


def _count(subject: Subject) -> Counter[str]:
    """Count what a call would erase now."""
    jobs = subject.jobs.order_by()
    keys = jobs.values("pk")
    events = RenderEvent.objects.filter(job__in=keys)
    counts = Counter(
        jobs=jobs.count(),
        groups=subject.groups.count(),
        cancelled=jobs.active().count(),
        inputs=RenderInput.objects.filter(job__in=keys).count(),
        files=jobs.exclude(file="").count() + subject.groups.exclude(file="").count(),
        copies=events.filter(kind=EventKind.DELIVERED).count(),
        hosted=jobs.public().count(),
        share_links=ShareLink.objects.filter(job__in=keys).count(),
        downloads=events.filter(kind=EventKind.DOWNLOADED).count(),
        texts=events.exclude(message="").exclude(kind__in=PERSONAL_KINDS).count(),
    )
    if apps.is_installed("django.contrib.admin"):
        found = list(jobs.values_list("pk", flat=True))
        for start in range(0, len(found), BATCH_SIZE):
            counts["log_entries"] += log_entries(found[start : start + BATCH_SIZE]).count()
    return counts


def _report(subject: Subject, counts: Counter[str], *, dry_run: bool = False) -> ErasureReport:
    """Return the report of a call: what was listed and is still there was not erased."""
    # In a dry run, its jobs are not there because another process is faster.
    remaining = tuple(item for item in _remaining(subject) if not (dry_run and item.kind == "jobs"))
    erased = dict(counts)
    if not dry_run:
        for item in remaining:
            erased[item.kind] = max(0, erased.get(item.kind, 0) - item.count)
    return ErasureReport(
        subject=subject.text,
        at=timezone.localtime(),
        dry_run=dry_run,
        erased=erased,
        remaining=remaining,
        second_look=ErasedJob.objects.filter(subject.left_q).count(),
        is_known=subject.is_known,
    )


def _remaining(subject: Subject) -> Iterable[Remaining]:
    """Yield what this and earlier calls have listed, and what is not removed yet."""
    files = DiscardedFile.objects.filter(subject.left_q)
    of_fields = Q(storage__startswith=COPY_PREFIX)
    documents = DiscardedDocument.objects.filter(subject.left_q)
    groups: Sequence[tuple[str, QuerySet[Any], str]] = (
        (
            "files",
            files.exclude(of_fields).filter(failures__gt=0),
            "The storage did not delete them.",
        ),
        (
            "files",
            files.exclude(of_fields).filter(failures=0),
            "They wait for their turn, or a worker may be storing them at this moment.",
        ),
        ("copies", files.filter(of_fields), "The storage of the field did not delete them."),
        ("hosted", documents.exclude(download_id=""), "DocRaptor did not expire them."),
        (
            "hosted",
            documents.filter(download_id=""),
            "DocRaptor was still making them, or did not tell: they are expired when it has.",
        ),
    )
    for kind, rows, reason in groups:
        if count := rows.count():
            next_try = rows.aggregate(first=Min("due_at"))["first"]
            yield Remaining(
                kind=kind,
                count=count,
                reason=f"{reason} Ticks try again.",
                next_try=timezone.localtime(next_try),
            )
    if count := subject.jobs.count():
        reason = "They were enqueued meanwhile, or another process erases them. Call again."
        yield Remaining(kind="jobs", count=count, reason=reason)
