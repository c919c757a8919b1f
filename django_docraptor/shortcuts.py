"""Internal. Enqueue, retry, cancel and expire documents, or render one synchronously.

Every function validates its input before it stores anything, and notifies a worker after the
commit. Projects import these functions from ``django_docraptor``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, TypeAlias, Unpack

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models import F, Q
from django.views.decorators.debug import sensitive_variables

from django_docraptor import lifecycle, registry, wakeups
from django_docraptor.client import SavedDocument
from django_docraptor.conf import conf
from django_docraptor.job_specs import (
    EnqueueContext,
    EnqueueOptions,
    JobSpec,
    build_job,
    build_request,
    check_engine_options,
    spec_from_keywords,
    validate_spec,
)
from django_docraptor.lifecycle import brake
from django_docraptor.lifecycle.synchronous import create_now
from django_docraptor.lifecycle.transitions import (
    mark_cancelled,
    resume_download,
    resume_polling,
    retry_from_start,
)
from django_docraptor.models import RenderInput, RenderJob, insert_jobs, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.payloads import merge_options
from django_docraptor.preflight import check_content
from django_docraptor.rechecks import Recheck
from django_docraptor.runners import Step
from django_docraptor.states import EventKind, State

__all__ = [
    "JobSpec",
    "cancel",
    "enqueue",
    "enqueue_many",
    "enqueue_or_update",
    "expire",
    "release",
    "render_now",
    "render_spec",
    "retry",
]

# The acting user, as in `request.user`.
AnyUser: TypeAlias = AbstractBaseUser | AnonymousUser

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
UPDATABLE_JOB_FIELDS: Final = ("name", "priority", "owner_id", "storage", "hosted_expires_at")
UPDATABLE_INPUT_FIELDS: Final = (
    "content",
    "url",
    "options",
    "language",
    "time_zone",
    "source_model",
)
# How a failed job goes on, by its `resume_state`.
RETRY_TRANSITIONS: Final[Mapping[State | None, Callable[[RenderJob, str], bool]]] = {
    State.QUEUED: resume_polling,
    State.DOWNLOADING: resume_download,
    None: retry_from_start,
}


def enqueue(**kwargs: Unpack[EnqueueOptions]) -> RenderJob:
    """Enqueue one document: save a job in the current transaction and notify a worker after commit.

    Args:
        name: file name, at most 200 characters (DocRaptor's limit).
        content: the HTML.
        url: public URL from which DocRaptor fetches the HTML, instead of content; or the path of a
            page of this site, such as ``"/invoices/17/"``, whose view is decorated with
            ``document_page``: it is fetched as the owner sees it.
        document_type: ``"pdf"``, ``"xlsx"`` or ``"xls"``.
        document: label of a registered document, which a worker renders.
        options: DocRaptor's options; they override ``DOCRAPTOR["DEFAULTS"]``.
        params: JSON-serializable parameters for the document.
        test: whether to create a free, watermarked test document; default:
            ``DOCRAPTOR["TEST_MODE"]``.
        source: the model instance the document is generated from.
        owner: the user who may download it.
        priority: jobs with a higher number are submitted first.
        idempotency_key: at most one job of the account ever has it; another call with the same
            key and account returns the existing job.
        account: name passed to an ``API_KEY`` callable.
        language: language code for rendering; default: the current language.
        time_zone: time zone name, such as ``"Europe/Vienna"``, or offset from UTC, such as
            ``"+02:00"``, for rendering; default: the current
            time zone.
        storage: alias in ``STORAGES`` for the file; blank for the default document storage.
        hosted: whether DocRaptor hosts the document at a **public** URL, ``job.public_url``,
            instead of storing a file here.
        hosted_expires_at: aware datetime at which the hosted document expires; ``None``: never.
        hosted_download_limit: number of downloads after which it expires; ``None``: unlimited.
        reuse: a ``timedelta``. If the latest document of the same source is not older and the
            request for it was the same, nothing is sent and billed: the job gets a copy of its
            file. ``None`` and ``timedelta(0)``: make a new document.

    Returns:
        The job, or the account's existing one with the same idempotency key.

    Raises:
        TypeError: a keyword is unknown, or there is no name.
        ValidationError: a field is invalid; nothing was saved.
    """
    return enqueue_many([spec_from_keywords("enqueue()", kwargs)])[0]


def enqueue_many(specs: Iterable[JobSpec]) -> list[RenderJob]:
    """Enqueue many documents with few queries and one notification.

    Returns:
        One job per spec, in the same order.

    Raises:
        ValidationError: raised for the first invalid spec; nothing was saved.
    """
    specs, context = list(specs), EnqueueContext()
    for spec in specs:
        validate_spec(spec)
    existing_jobs = _find_existing_jobs(specs)
    # Specs of an account with the same idempotency key share a job; the others are told apart by
    # their index.
    job_keys = [_account_key(spec) or index for index, spec in enumerate(specs)]
    new_jobs: dict[object, tuple[RenderJob, RenderInput]] = {}
    for job_key, spec in zip(job_keys, specs, strict=True):
        if job_key not in existing_jobs and job_key not in new_jobs:
            new_jobs[job_key] = build_job(spec, context)
    jobs = existing_jobs | (_insert_jobs(new_jobs) if new_jobs else {})
    return [jobs[job_key] for job_key in job_keys]


def enqueue_or_update(spec: JobSpec, *, by_trigger: bool = False) -> RenderJob:
    """Enqueue the document of an object, or update its pending job.

    So one document shows the state that the transaction commits. If no worker has started the
    latest job for the same document (label, source, parameters, type, account, test, idempotency
    key), that job is updated; otherwise a new one is created. A new one is also created if that
    job belongs to another owner, or is a snapshot and this spec is not. The row stays locked until
    the transaction ends, so no worker renders uncommitted data.

    Args:
        spec: the document.
        by_trigger: whether a signal asks for it. If it is the same as the latest one, that one's
            file is copied, whatever its age (unless the spec's ``reuse`` says otherwise), and
            ``document_completed`` is not sent again.

    Raises:
        ValidationError: a field is invalid; nothing was saved.
    """
    return store_or_update(spec, by_trigger=by_trigger).job


@dataclass(frozen=True, slots=True)
class StoredJob:
    """What a request has stored.

    Args:
        job: the job.
        recheck: what is to be decided again about it; ``None`` if the row is not this request's.
        revision: of the row after this request.
    """

    job: RenderJob
    recheck: Recheck | None
    revision: int = 0


def store_or_update(
    spec: JobSpec, recheck: Recheck | None = None, *, by_trigger: bool = False
) -> StoredJob:
    """Do what :func:`enqueue_or_update` does.

    Args:
        spec: the document.
        recheck: what is to be decided again; its delay makes the job due later.
        by_trigger: as for :func:`enqueue_or_update`.
    """
    validate_spec(spec)
    new_job, new_input = build_job(spec, EnqueueContext(by_trigger=by_trigger))
    new_input.recheck = recheck and recheck.to_json()
    if recheck and recheck.delay:
        new_job.due_at = seconds_from_now(recheck.delay)
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        _lock_source(spec.source)
        job = _find_latest_job(new_job, new_input, spec.source)
        if job and _may_update(job, new_job, new_input):
            merged = recheck and recheck.after(Recheck.from_json(job.input.recheck))
            if _update_pending_job(job, new_job, new_input, merged):
                revision = RenderJob.objects.values_list("revision", flat=True).get(pk=job.pk)
                return StoredJob(job, merged, revision)
        stored = _insert_or_find(new_job, new_input)
        return StoredJob(stored, recheck if stored is new_job else None)


def _insert_or_find(new_job: RenderJob, new_input: RenderInput) -> RenderJob:
    """Insert a job, or return the account's existing one with the same idempotency key."""
    job_key: object = _account_key(new_job) or 0
    jobs = _find_existing_jobs([new_job]) or _insert_jobs({job_key: (new_job, new_input)})
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
) -> bool:
    """Update a pending job from a newer spec.

    Returns:
        Whether no worker had started it.
    """
    job_columns = {name: getattr(new_job, name) for name in UPDATABLE_JOB_FIELDS}
    next_revision = {"revision": F("revision") + 1}
    pending = RenderJob.objects.not_started().filter(pk=job.pk)
    if not pending.update(**job_columns, **next_revision, **_due_after_update(job, recheck)):
        return False
    input_columns: dict[str, Any] = {
        name: getattr(new_input, name) for name in UPDATABLE_INPUT_FIELDS
    }
    input_columns["recheck"] = recheck and recheck.to_json()
    RenderInput.objects.filter(pk=job.pk).update(**input_columns, **next_revision)
    for name, value in job_columns.items():
        setattr(job, name, value)
    # Only once: an object that is saved often would flood the history.
    if not job.events.filter(kind=EventKind.UPDATED).exists():
        note = "A newer request updated this pending job. Later updates are not listed."
        job.record_event(EventKind.UPDATED, note=note)
    wakeups.notify_on_commit(Step.SUBMIT)
    return True


def _due_after_update(job: RenderJob, recheck: Recheck | None) -> dict[str, Any]:
    """Return when a job that waits for its source to be quiet is due after another request."""
    earlier = Recheck.from_json(job.input.recheck)
    if not (earlier and earlier.delay):
        return {}
    is_delayed = recheck is not None and recheck.delay
    return {"due_at": recheck.next_due_at(job.created_at) if recheck and is_delayed else Now()}


def retry(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Retry a failed job: resume the attempt that DocRaptor has accepted, or start a new one.

    The history is kept. A new attempt is billed, unless it is a test document; see
    ``job.resume_state``. A resumed one is not: if DocRaptor no longer has it, the job fails with
    ``document_gone``, and only another retry starts a new attempt.

    Returns:
        Whether the job was still failed.
    """
    if job.state != State.FAILED:  # an attempt in progress must not be sent twice
        return False
    resume_state = job.resume_state
    moved = RETRY_TRANSITIONS[resume_state](job, describe_actor(by))
    if moved:
        wakeups.notify_on_commit(Step.DISPATCH if resume_state else Step.SUBMIT)
    return moved


def cancel(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Cancel an unfinished job.

    DocRaptor cannot cancel: it still finishes, and may bill, an accepted document. The result is
    discarded.

    Returns:
        Whether the job was still unfinished.
    """
    for _ in State:  # each iteration means that the job has moved to another state meanwhile
        if job.is_final:
            break
        if mark_cancelled(job, describe_actor(by)):
            return True
        job.refresh_from_db()
    return False


def resume_account(account: str) -> lifecycle.Resumed:
    """Let an account go on at once after a pause, or after failures of DocRaptor.

    Args:
        account: its name.

    Returns:
        Whether there was anything to end, and how many of its jobs are due now.
    """
    result = lifecycle.resume(account)
    wakeups.notify_on_commit(Step.DISPATCH)
    return result


def release(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Let a held job go: see ``DOCRAPTOR["MAX_PER_SOURCE"]``.

    The documents of its object are counted from now on.

    Returns:
        Whether the job was held.
    """
    is_released = brake.release(job, describe_actor(by))
    if is_released:
        wakeups.notify_on_commit(Step.SUBMIT)
    return is_released


def expire(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Expire a hosted document now: its public URL stops working.

    One call to DocRaptor; safe to repeat. Existing copies are not affected. An unfinished job
    cannot be expired: cancel it instead.

    Returns:
        Whether this call expired it: False if it is not hosted, not completed, or already expired.

    Raises:
        CallError: the document may still be public; try again if the error is retryable.
        ConfigurationError: there is no API key.
    """
    return lifecycle.expire(job, note=describe_actor(by))


def render_now(target: BinaryIO, **kwargs: Unpack[EnqueueOptions]) -> SavedDocument:
    """Render a document synchronously into ``target``, without a job.

    For documents that take seconds: DocRaptor terminates synchronous documents after 60 s.

    Args:
        target: file opened for writing bytes.
        kwargs: as for :func:`enqueue`.

    Raises:
        TypeError: a keyword is unknown, or there is no name.
        ValidationError: a field is invalid; nothing was sent.
        AccountPausedError: the account is paused; nothing was sent.
        AccountBusyError: no slot of the account became free; nothing was sent.
        CallError: the call failed; ``error.sent`` tells whether it may have been billed.
    """
    return render_spec(target, spec_from_keywords("render_now()", kwargs))


@sensitive_variables("secret_options")
def render_spec(target: BinaryIO, spec: JobSpec) -> SavedDocument:
    """Render the document of a spec synchronously: see :func:`render_now`."""
    validate_spec(spec)
    if spec.hosted:
        message = "render_now() cannot create a hosted document. Use render_hosted_now() instead."
        raise ValidationError({"hosted": [message]})
    secret_options = registry.secret_options_without_job(
        spec.document, spec.source, spec.params, spec.document_type
    )
    spec = replace(spec, options=merge_options(spec.options, secret_options))
    request = build_request(spec, spec.content, EnqueueContext())
    check_engine_options(request)
    ignore = registry.preflight_ignore(spec.document)
    check_content(request, max_bytes=conf.max_content_bytes, ignore=ignore)
    return create_now(
        spec.account, request, lambda client, tagged: client.create_doc(tagged, target)
    )


def describe_actor(user: AnyUser | None) -> str:
    """Return the note of an event that a user has caused; "" without a user."""
    name = user.get_username() if user else ""  # "" for an anonymous user
    return f"by {name}" if name else ""


def _account_key(item: JobSpec | RenderJob) -> tuple[str, str] | None:
    """Return the idempotency key with its account: those of two accounts have nothing in common."""
    key = item.idempotency_key
    return None if key is None else (item.account, key)


def _find_existing_jobs(items: Sequence[JobSpec | RenderJob]) -> dict[object, RenderJob]:
    pairs = [pair for pair in map(_account_key, items) if pair]
    existing_jobs: dict[object, RenderJob] = {}
    for start in range(0, len(pairs), KEY_BATCH_SIZE):
        accounts, keys = map(set, zip(*pairs[start : start + KEY_BATCH_SIZE], strict=True))
        # This may also find pairs that are not asked for: another account's job has another key
        # in the result.
        jobs = RenderJob.objects.filter(account__in=accounts, idempotency_key__in=keys)
        existing_jobs |= {_account_key(job): job for job in jobs}
    return existing_jobs


def _insert_jobs(
    new_jobs: Mapping[object, tuple[RenderJob, RenderInput]],
) -> dict[object, RenderJob]:
    """Insert jobs. If another process has inserted a key first, use its job."""
    try:
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            insert_jobs(new_jobs.values())
            wakeups.notify_on_commit(Step.SUBMIT)
    except IntegrityError:
        if len(new_jobs) > 1:
            with transaction.atomic(using=router.db_for_write(RenderJob)):  # all or none
                partial_results = [_insert_jobs({key: pair}) for key, pair in new_jobs.items()]
            return {key: job for jobs in partial_results for key, job in jobs.items()}
        ((job_key, (new_job, _input)),) = new_jobs.items()
        pair = {"account": new_job.account, "idempotency_key": new_job.idempotency_key}
        job = RenderJob.objects.filter(**pair).first()
        if job is None or _account_key(job) != job_key:  # a spec without a key has its index
            raise
        return {job_key: job}
    for job, _input in new_jobs.values():
        del job.due_at  # set by the database: loaded on access
    return {job_key: job for job_key, (job, _input) in new_jobs.items()}
