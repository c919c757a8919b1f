"""Internal. Delete finished jobs after their retention period.

Transactions are short, because the engine runs meanwhile. ``discarded_files`` deletes the files: a
crash at any point leaves no COMPLETED row without its file and no forgotten file.

Never deleted are unfinished jobs, jobs with an unsent signal, and jobs whose hosted document is
still public: without its row it could not be expired.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import OperationalError, connections, router, transaction
from django.db.models import Exists, Model, OuterRef, ProtectedError, Q, QuerySet, RestrictedError

from django_docraptor import discarded_files, registry, usage
from django_docraptor.account_settings import account_names, account_settings
from django_docraptor.conf import conf
from django_docraptor.instrumentation import log_fields
from django_docraptor.models import (
    BudgetUse,
    DiscardedFile,
    RenderEvent,
    RenderGroup,
    RenderInput,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.states import FINAL_STATES, State

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)
T = TypeVar("T")
BATCH_SIZE = 200
# Attempts at a transaction that the database aborts.
MAX_TRIES = 3
# Number of undeletable files after which a run stops deleting rows.
MAX_FAILED_FILES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionLimit:
    """How long a document's finished jobs and their inputs are kept; ``None``: forever.

    Args:
        label: the document's label; "" for jobs without a document.
        accounts: only the jobs of these; default: of all.
        other_accounts: not the jobs of these.
    """

    label: str
    jobs: timedelta | None
    inputs: timedelta | None
    accounts: tuple[str, ...] = ()
    other_accounts: tuple[str, ...] = ()

    def includes(self, prefix: str = "") -> Q:
        """Return the condition on a job that this limit is for.

        Args:
            prefix: of the job's columns in a query of another table.
        """
        condition = Q(**{f"{prefix}document": self.label})
        if self.accounts:
            condition &= Q(**{f"{prefix}account__in": self.accounts})
        if self.other_accounts:
            condition &= ~Q(**{f"{prefix}account__in": self.other_accounts})
        return condition


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """Number of rows and files that a batch or a run has deleted.

    Args:
        failed_files: files that could not be deleted; the next run tries again.
        protected: jobs that a foreign key with PROTECT or RESTRICT keeps.
        longest_transaction: seconds.
    """

    jobs: int = 0
    inputs: int = 0
    files: int = 0
    failed_files: int = 0
    protected: int = 0
    longest_transaction: float = 0.0

    def __add__(self, other: "PruneResult") -> "PruneResult":
        """Return the sum of two results, with the longer of their transactions."""
        return PruneResult(
            jobs=self.jobs + other.jobs,
            inputs=self.inputs + other.inputs,
            files=self.files + other.files,
            failed_files=self.failed_files + other.failed_files,
            protected=self.protected + other.protected,
            longest_transaction=max(self.longest_transaction, other.longest_transaction),
        )


def retention_limits(
    labels: Sequence[str] = (),
    *,
    jobs: timedelta | None = None,
    inputs: timedelta | None = None,
) -> Iterator[RetentionLimit]:
    """Yield a limit per document: its own ``retention``, or else its account's setting.

    An account with a ``RETENTION`` of its own has limits of its own.

    Args:
        labels: only these documents; default: all with jobs.
        jobs: overrides ``RETENTION["jobs"]`` and, for documents in ``labels``, their own
            ``retention``.
        inputs: overrides ``RETENTION["inputs"]``.
    """
    own = accounts_with_retention()
    groups = [
        *(((name,), (), settings) for name, settings in own.items()),
        ((), tuple(own), conf.retention),
    ]
    for label in labels or labels_with_jobs():
        document_age = None if labels and jobs is not None else document_retention(label)
        for accounts, other_accounts, settings in groups:
            yield RetentionLimit(
                label=label,
                jobs=_first_age(document_age, jobs, settings.get("jobs")),
                inputs=_first_age(inputs, settings.get("inputs")),
                accounts=accounts,
                other_accounts=other_accounts,
            )


def accounts_with_retention() -> dict[str, Mapping[str, timedelta]]:
    """Return the ``RETENTION`` of the accounts that have one of their own.

    Raises:
        ConfigurationError: the provider of ``ACCOUNTS`` failed.
    """
    retentions = {name: account_settings(name).retention for name in account_names()}
    return {name: own for name, own in retentions.items() if own is not conf.retention}


def document_retention(label: str) -> timedelta | None:
    """Return the ``retention`` that a document declares."""
    document = registry.find(label)
    return document.retention if document else None


def labels_with_jobs() -> Iterator[str]:
    """Yield the labels of documents with jobs, by one index lookup each."""
    rows = RenderJob.objects.order_by("document").values_list("document", flat=True)
    label = rows.first()
    while label is not None:
        yield label
        label = rows.filter(document__gt=label).first()


def count_prunable(limit: RetentionLimit) -> PruneResult:
    """Count what a run would delete now."""
    return PruneResult(
        jobs=_old_jobs(limit, limit.jobs).count() if limit.jobs is not None else 0,
        inputs=_old_inputs(limit, limit.inputs).count() if limit.inputs is not None else 0,
    )


def prune(
    limits: Iterable[RetentionLimit], *, batch_size: int = BATCH_SIZE
) -> Iterator[PruneResult]:
    """Delete what is older than the limits.

    Args:
        limits: as from `retention_limits`.
        batch_size: rows per transaction.

    Yields:
        The result of each batch. The caller may stop at any time.
    """
    BudgetUse.delete_old()
    earlier_keys = list(discarded_files.deletable_files().values_list("pk", flat=True))
    failed_files = 0
    for limit in limits:
        for result in _prune_document(limit, batch_size):
            failed_files += result.failed_files
            yield result
            if failed_files >= MAX_FAILED_FILES:
                return
    yield from _delete_empty_groups(batch_size)
    for first in range(0, len(earlier_keys), batch_size):
        files = DiscardedFile.objects.filter(pk__in=earlier_keys[first : first + batch_size])
        yield _delete_files(list(files))


def _prune_document(limit: RetentionLimit, batch_size: int) -> Iterator[PruneResult]:
    if limit.jobs is not None:
        old_jobs = _old_jobs(limit, limit.jobs)
        for keys in _key_batches(old_jobs, "finished_at", batch_size):
            yield _delete_jobs(old_jobs.filter(pk__in=keys))
    if limit.inputs is not None:
        old_inputs = _old_inputs(limit, limit.inputs)
        for keys in _key_batches(old_inputs, "job__finished_at", batch_size):
            started = time.monotonic()
            deleted, _by_model = _retry_on_deadlock(RenderInput.objects.filter(pk__in=keys).delete)
            yield PruneResult(inputs=deleted, longest_transaction=time.monotonic() - started)


def _old_jobs(limit: RetentionLimit, age: timedelta) -> QuerySet[RenderJob]:
    unsent = RenderEvent.objects.filter(job=OuterRef("pk"), signal_due_at__isnull=False)
    not_public = Q(public_url="") | Q(hosted_expires_at__lte=Now())
    return RenderJob.objects.filter(
        limit.includes(),
        not_public,
        ~Exists(unsent),
        state__in=FINAL_STATES,
        finished_at__lt=seconds_from_now(-age.total_seconds()),
    )


def _old_inputs(limit: RetentionLimit, age: timedelta) -> QuerySet[RenderInput]:
    """Return the inputs of completed jobs only: other jobs may be retried."""
    return RenderInput.objects.filter(
        limit.includes("job__"),
        job__state=State.COMPLETED,
        job__finished_at__lt=seconds_from_now(-age.total_seconds()),
    )


def _key_batches(rows: QuerySet[M], column: str, size: int) -> Iterator[list[Any]]:
    """Yield the keys of rows in batches, oldest first.

    Each batch starts after the previous one, even if its rows were not deleted. The keys are read
    outside any transaction, because SQLite has a single writer.
    """
    rows = rows.order_by(column, "pk")
    batch: list[tuple[datetime, Any]] = list(rows.values_list(column, "pk")[:size])
    while batch:
        yield [key for _finished_at, key in batch]
        finished_at, key = batch[-1]
        same_time = Q(**{column: finished_at, "pk__gt": key})
        later = Q(**{f"{column}__gt": finished_at})
        # The last condition is implied, but lets the database read a range of the index.
        following = rows.filter(same_time | later, **{f"{column}__gte": finished_at})
        batch = list(following.values_list(column, "pk")[:size])


def _delete_jobs(rows: QuerySet[RenderJob]) -> PruneResult:
    """Delete jobs, then their files."""
    started = time.monotonic()
    try:
        jobs, files = _retry_on_deadlock(lambda: _delete_rows(rows))
    except (ProtectedError, RestrictedError) as error:
        protected = list(rows.only("attempt", "account", "document"))
        if len(protected) > 1:
            return sum((_delete_jobs(rows.filter(pk=job.pk)) for job in protected), PruneResult())
        for job in protected:
            logger.warning(
                "Job %s: not deleted, because another row protects it: %s",
                job.pk,
                error.args[0],
                extra=log_fields(job),
            )
        return PruneResult(protected=len(protected))
    seconds = time.monotonic() - started
    return PruneResult(jobs=jobs, longest_transaction=seconds) + _delete_files(files)


def _retry_on_deadlock(delete: Callable[[], T]) -> T:
    """Run a transaction; retry it if the database aborted it.

    For a DELETE, MariaDB scans a small table and locks rows of concurrent runs on the way; then it
    aborts one of them as a deadlock.
    """
    for _try in range(MAX_TRIES - 1):
        try:
            return delete()
        except OperationalError as error:
            logger.info("The database aborted a batch; retrying: %s", error)
    return delete()


def _delete_rows(rows: QuerySet[RenderJob]) -> tuple[int, list[DiscardedFile]]:
    """Delete the rows that are still old and final, and record their files.

    Skips rows that others have locked.
    """
    using = router.db_for_write(RenderJob)
    can_skip_locked = connections[using].features.has_select_for_update_skip_locked
    with transaction.atomic(using=using):
        jobs = list(
            rows.select_for_update(skip_locked=can_skip_locked).values_list(
                "pk", "group", *discarded_files.FILE_COLUMNS
            )
        )
        recorded = discarded_files.record_files(columns for _key, _group, *columns in jobs)
        if groups := {group for _key, group, *_rest in jobs if group}:
            recorded += discarded_files.drop_group_files(groups, **discarded_files.INCOMPLETE)
        keys = [key for key, *_rest in jobs]
        usage.count_before_deletion(keys)
        with discarded_files.files_recorded(), usage.counted():
            RenderJob.objects.filter(pk__in=keys).only("pk").delete()
    return len(jobs), recorded


def _delete_empty_groups(batch_size: int) -> Iterator[PruneResult]:
    """Delete the groups that have an outcome and no jobs any more; their files went with those."""
    jobs = RenderJob.objects.filter(group=OuterRef("pk"))
    rows = RenderGroup.objects.filter(~Exists(jobs), due_at=None)
    keys = list(rows.values_list("pk", flat=True))
    for first in range(0, len(keys), batch_size):
        started = time.monotonic()
        _delete_groups(rows.filter(pk__in=keys[first : first + batch_size]))
        yield PruneResult(longest_transaction=time.monotonic() - started)


def _delete_groups(rows: QuerySet[RenderGroup]) -> None:
    try:
        _retry_on_deadlock(rows.delete)
    except (ProtectedError, RestrictedError):
        for group in rows:
            with suppress(ProtectedError, RestrictedError):  # the project keeps it
                group.delete()


def _delete_files(files: Sequence[DiscardedFile]) -> PruneResult:
    """Delete files and count them."""
    deleted = discarded_files.delete_files(files)
    return PruneResult(files=deleted, failed_files=len(files) - deleted)


def _first_age(*ages: timedelta | None) -> timedelta | None:
    """Return the first age that is given; ``None`` if it is forever, or there is none."""
    age = next((age for age in ages if age is not None), None)
    return None if age == timedelta.max else age
