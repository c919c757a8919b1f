"""Internal. Store requested jobs: insert a new one, or update the pending one of the same object.

Here is by which fields two requests are compared, and what parallel requests with the same
idempotency key, or for the same object, do to each other. A job is built by ``job_specs``; the
functions that projects call are in ``shortcuts``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import IntegrityError, models, router, transaction
from django.db.models import F, Q

from django_docraptor import wakeups
from django_docraptor.job_specs import EnqueueContext, JobSpec, build_job, validate_spec
from django_docraptor.migrated import tables_required
from django_docraptor.models import (
    RenderInput,
    RenderJob,
    RenderJobQuerySet,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.models.insertion import insert_jobs
from django_docraptor.rechecks import Recheck
from django_docraptor.runners import Step
from django_docraptor.states import EventKind

# Databases limit the number of query parameters.
KEY_BATCH_SIZE: Final = 1000
# Fields that must be equal for two requests to mean the same document of an object.
IDENTITY_FIELDS: Final = (
    "document",
    "document_type",
    "account",
    "test",
    "idempotency_key",
    "hosted",
)
# Number of recent jobs of an object that are searched for equal parameters.
MAX_CANDIDATES: Final = 20
# Fields of a pending job that a newer request updates.
UPDATABLE_JOB_FIELDS: Final = (
    "name",
    "priority",
    "owner_id",
    "storage",
    "hosted_expires_at",
    "not_before",
    "has_secrets",
)
UPDATABLE_INPUT_FIELDS: Final = (
    "content",
    "url",
    "options",
    "language",
    "time_zone",
    "source_model",
)
# All that a request says about the document of an object, by which two requests are compared.
JOB_FIELDS: Final = (*UPDATABLE_JOB_FIELDS, *IDENTITY_FIELDS)
INPUT_FIELDS: Final = (*UPDATABLE_INPUT_FIELDS, "params", "reuse")


@dataclass(frozen=True, slots=True)
class StoredJob:
    """What a request has stored.

    Args:
        job: the job.
        recheck: what is to be decided again about it; ``None`` if the row is not this request's.
        revision: of the row after this request.
        said: what the request says; ``None`` if the row is not this request's.
    """

    job: RenderJob
    recheck: Recheck | None
    revision: int = 0
    said: Mapping[str, Any] | None = None

    @property
    def unchanged(self) -> RenderJobQuerySet:
        """The row, if it is still as this request has stored it and no worker has started it."""
        return RenderJob.objects.not_started().filter(pk=self.job.pk, revision=self.revision)

    def has_stored(self, said: Mapping[str, Any], recheck: Recheck | None) -> bool:
        """Return whether another request would change nothing."""
        if said != self.said or (recheck and recheck.after(self.recheck)) != self.recheck:
            return False
        return self.unchanged.exists()


@tables_required()
def store_or_update(
    spec: JobSpec,
    recheck: Recheck | None = None,
    *,
    by_trigger: bool = False,
    earlier: StoredJob | None = None,
) -> StoredJob:
    """Do what ``shortcuts.enqueue_or_update`` does.

    Args:
        spec: the document.
        recheck: what is to be decided again; its delay makes the job due later.
        by_trigger: as for ``enqueue_or_update``.
        earlier: what a request for the same object has stored in this transaction; if this one
            says the same, nothing is written.
    """
    validate_spec(spec)
    new_job, new_input = build_job(spec, EnqueueContext(by_trigger=by_trigger))
    said = _what_is_said(new_job, new_input)
    if earlier and earlier.has_stored(said, recheck):
        return earlier
    new_input.recheck = recheck and recheck.to_json()
    if recheck and recheck.delay and new_job.not_before is None:
        new_job.due_at = seconds_from_now(recheck.delay)
    using = router.db_for_write(RenderJob)

    def store() -> StoredJob:
        with transaction.atomic(using=using):
            _lock_source(spec.source)
            job = _find_latest_job(new_job, new_input, spec.source)
            if job and _may_update(job, new_job, new_input):
                merged = recheck and recheck.after(Recheck.from_json(job.input.recheck))
                if revision := _update_pending_job(job, new_job, new_input, merged):
                    return StoredJob(job, merged, revision, said)
            stored = _insert_or_find(new_job, new_input)
        is_new = stored is new_job
        return StoredJob(stored, recheck, 0, said) if is_new else StoredJob(stored, None)

    # A worker may claim the pending job at this moment: MariaDB calls that a deadlock.
    return repeat_conflicts(store, using=using)


def _what_is_said(new_job: RenderJob, new_input: RenderInput) -> dict[str, Any]:
    """Return all that a request says about the document of an object."""
    said = {name: getattr(new_job, name) for name in JOB_FIELDS}
    return said | {name: getattr(new_input, name) for name in INPUT_FIELDS}


def _insert_or_find(new_job: RenderJob, new_input: RenderInput) -> RenderJob:
    """Insert a job, or return the account's existing one with the same idempotency key."""
    key = account_key(new_job)
    job_key: object = key or 0
    jobs = find_existing_jobs([new_job]) or store_new_jobs(
        # Without a key, there is no other's job to look for after an error.
        {job_key: (new_job, new_input)},
        savepoint=key is not None,
    )
    return jobs[job_key]


def _lock_source(source: models.Model | None) -> None:
    """Lock the source's row, so that concurrent transactions do not each create a job."""
    using = router.db_for_write(RenderJob)
    features = transaction.get_connection(using).features
    if source is None or not features.has_select_for_update:
        return
    if router.db_for_write(type(source)) != using:
        return
    rows = type(source)._base_manager.using(using).filter(pk=source.pk)
    locked_rows = rows.select_for_update(no_key=features.has_select_for_no_key_update)
    list(locked_rows.values_list("pk"))


def _find_latest_job(
    new_job: RenderJob, new_input: RenderInput, source: models.Model | None
) -> RenderJob | None:
    """Return the latest job for the same document. An older one must not be updated past it."""
    if source is None:
        return None
    identity = {name: getattr(new_job, name) for name in IDENTITY_FIELDS}
    jobs = RenderJob.objects.for_source(source).filter(**identity)
    jobs = jobs.annotate(is_snapshot=Q(input__content__gt=""))
    latest = jobs.select_related("input").defer("input__content").latest_first()
    candidates = latest[:MAX_CANDIDATES]
    return next((job for job in candidates if _stored_params(job) == new_input.params), None)


def _may_update(job: RenderJob, new_job: RenderJob, new_input: RenderInput) -> bool:
    """Return whether an update takes no other owner's document and overwrites no snapshot."""
    is_snapshot: bool = getattr(job, "is_snapshot", False)
    return job.owner_id in (None, new_job.owner_id) and (bool(new_input.content) or not is_snapshot)


def _stored_params(job: RenderJob) -> Any:
    stored_input = getattr(job, "input", None)  # the input may have been pruned
    return stored_input and stored_input.params


def _update_pending_job(
    job: RenderJob, new_job: RenderJob, new_input: RenderInput, recheck: Recheck | None
) -> int:
    """Update a pending job from a newer spec.

    Returns:
        Its new revision; 0 if a worker has started it.
    """
    job_columns = {name: getattr(new_job, name) for name in UPDATABLE_JOB_FIELDS}
    revision = _update_row(job, job_columns | _due_after_update(job, new_job, recheck))
    if not revision:
        return 0
    input_columns: dict[str, Any] = {
        name: getattr(new_input, name) for name in UPDATABLE_INPUT_FIELDS
    }
    input_columns["preflight_digest"] = new_input.preflight_digest
    input_columns["recheck"] = recheck and recheck.to_json()
    RenderInput.objects.filter(pk=job.pk).update(**input_columns, revision=revision)
    for name, value in job_columns.items():
        setattr(job, name, value)
    # Only once: an object that is saved often would flood the history.
    if not job.revision or not job.events.filter(kind=EventKind.UPDATED).exists():
        note = "A newer request updated this pending job. Later updates are not listed."
        job.record_event(EventKind.UPDATED, note=note)
    job.revision = revision
    wakeups.notify_on_commit(Step.SUBMIT)
    return revision


def _update_row(job: RenderJob, columns: Mapping[str, Any]) -> int:
    """Update a job that no worker has started, and return its new revision, or 0.

    The revision is read only if another request has changed it since the job was read.
    """
    pending = RenderJob.objects.not_started().filter(pk=job.pk)
    if pending.filter(revision=job.revision).update(**columns, revision=job.revision + 1):
        return job.revision + 1
    if not pending.update(**columns, revision=F("revision") + 1):
        return 0
    return RenderJob.objects.values_list("revision", flat=True).get(pk=job.pk)


def due_as_asked(job: RenderJob, new_job: RenderJob) -> dict[str, Any]:
    """Return when a pending job is due if a request asks for another time; empty if not.

    Args:
        job: the pending job.
        new_job: as the request describes it.
    """
    if job.not_before == new_job.not_before:
        return {}
    return {"due_at": new_job.not_before or Now()}


def _due_after_update(
    job: RenderJob, new_job: RenderJob, recheck: Recheck | None
) -> dict[str, Any]:
    """Return when a job that waits, for a time or for its source to be quiet, is due now."""
    if new_job.not_before is not None or job.not_before is not None:
        return due_as_asked(job, new_job)
    earlier = Recheck.from_json(job.input.recheck)
    if not (earlier and earlier.delay):
        return {}
    is_delayed = recheck is not None and recheck.delay
    return {"due_at": recheck.next_due_at(job.created_at) if recheck and is_delayed else Now()}


def account_key(item: JobSpec | RenderJob) -> tuple[str, str] | None:
    """Return the idempotency key with its account: those of two accounts have nothing in common."""
    key = item.idempotency_key
    return None if key is None else (item.account, key)


def find_existing_jobs(items: Sequence[JobSpec | RenderJob]) -> dict[object, RenderJob]:
    """Return the jobs that have the idempotency keys of these items, by :func:`account_key`."""
    pairs = [pair for pair in map(account_key, items) if pair]
    existing_jobs: dict[object, RenderJob] = {}
    for start in range(0, len(pairs), KEY_BATCH_SIZE):
        accounts, keys = map(set, zip(*pairs[start : start + KEY_BATCH_SIZE], strict=True))
        # This may also find pairs that are not asked for: another account's job has another key
        # in the result.
        jobs = RenderJob.objects.filter(account__in=accounts, idempotency_key__in=keys)
        existing_jobs |= {account_key(job): job for job in jobs}
    return existing_jobs


def store_new_jobs(
    new_jobs: Mapping[object, tuple[RenderJob, RenderInput]], *, savepoint: bool = True
) -> dict[object, RenderJob]:
    """Insert jobs. If another process has inserted a key first, use its job.

    Args:
        new_jobs: the jobs with their inputs, by what identifies them in the result.
        savepoint: whether an error leaves the caller's transaction usable.
    """
    try:
        insert_jobs(new_jobs.values(), savepoint=savepoint)
    except IntegrityError:
        if len(new_jobs) > 1:
            with transaction.atomic(using=router.db_for_write(RenderJob)):  # all or none
                partial_results = [store_new_jobs({key: pair}) for key, pair in new_jobs.items()]
            return {key: job for jobs in partial_results for key, job in jobs.items()}
        ((job_key, (new_job, _input)),) = new_jobs.items()
        pair = {"account": new_job.account, "idempotency_key": new_job.idempotency_key}
        job = RenderJob.objects.filter(**pair).first()
        if job is None or account_key(job) != job_key:  # a spec without a key has its index
            raise
        return {job_key: job}
    wakeups.notify_on_commit(Step.SUBMIT)
    for job, _input in new_jobs.values():
        del job.due_at  # set by the database: loaded on access
    return {job_key: job for job_key, (job, _input) in new_jobs.items()}
