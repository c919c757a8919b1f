"""Internal. Enqueue, retry, cancel and expire documents, or render one synchronously.

Every function validates its input before it stores anything, and notifies a worker after the
commit. Projects import these functions from ``django_docraptor``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, Unpack

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from django_docraptor import lifecycle, preflight, registry, wakeups
from django_docraptor.conf import conf
from django_docraptor.job_specs import (
    EnqueueContext,
    JobSpec,
    build_job,
    build_request,
    check_engine_options,
    read_specs,
    spec_from_keywords,
    validate_spec,
)
from django_docraptor.keywords import EnqueueOptions
from django_docraptor.migrated import tables_required
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.payloads import merge_options
from django_docraptor.runners import Step
from django_docraptor.setting_values import MAX_DURATION
from django_docraptor.states import State
from django_docraptor.stored_jobs import (
    account_key,
    find_existing_jobs,
    store_new_jobs,
    store_or_update,
)

if TYPE_CHECKING:
    from django_docraptor.client import SavedDocument

__all__ = [
    "JobSpec",
    "cancel",
    "enqueue",
    "enqueue_many",
    "enqueue_or_update",
    "expire",
    "pause_account",
    "release",
    "render_now",
    "render_spec",
    "resume_account",
    "retry",
]

# The acting user, as in `request.user`.
AnyUser: TypeAlias = AbstractBaseUser | AnonymousUser
# Characters of an account's name, and of the reason for its pause.
MAX_ACCOUNT_NAME = 64
MAX_PAUSE_REASON = 500


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
        account: name of the account that makes, and pays for, the document; see
            ``DOCRAPTOR["ACCOUNTS"]``.
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
        not_before: aware datetime before which nothing is sent, or rendered by a worker; ``None``,
            and a time that has passed: as soon as possible.

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
    return store_specs(specs, EnqueueContext())


@tables_required()
def store_specs(specs: Iterable[JobSpec], context: EnqueueContext) -> list[RenderJob]:
    """Do what :func:`enqueue_many` does, with values that are no keywords of a project."""
    specs = read_specs("specs", specs)
    for spec in specs:
        validate_spec(spec)
    existing_jobs = find_existing_jobs(specs)
    # Specs of an account with the same idempotency key share a job; the others are told apart by
    # their index.
    job_keys = [account_key(spec) or index for index, spec in enumerate(specs)]
    new_jobs: dict[object, tuple[RenderJob, RenderInput]] = {}
    for job_key, spec in zip(job_keys, specs, strict=True):
        if job_key not in existing_jobs and job_key not in new_jobs:
            new_jobs[job_key] = build_job(spec, context)
    jobs = existing_jobs | (store_new_jobs(new_jobs) if new_jobs else {})
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


def retry(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Retry a failed job: resume the attempt that DocRaptor has accepted, or start a new one.

    The history is kept. A new attempt is billed, unless it is a test document; see
    ``job.resume_state``. A resumed one is not: if DocRaptor no longer has it, the job fails with
    ``document_gone``, and only another retry starts a new attempt.

    Returns:
        Whether the job was still failed.
    """
    # An attempt in progress must not be sent twice, and an erased one has nothing to send.
    if job.state != State.FAILED or job.erased_at is not None:
        return False
    resume_state = job.resume_state
    moved = _resume_or_restart(job, by)
    if moved:
        wakeups.notify_on_commit(Step.DISPATCH if resume_state else Step.SUBMIT)
    return moved


def _resume_or_restart(job: RenderJob, by: AnyUser | None) -> bool:
    """Move a failed job by the arrow that its ``resume_state`` asks for."""
    note = describe_actor(by)
    by_owner = by is not None and by.pk is not None and by.pk == job.owner_id
    match job.resume_state:
        case State.QUEUED:
            return lifecycle.resume_polling(job, note, by_owner=by_owner)
        case State.DOWNLOADING:
            return lifecycle.resume_download(job, note, by_owner=by_owner)
        case _:
            return lifecycle.retry_from_start(job, note, by_owner=by_owner)


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
        if lifecycle.mark_cancelled(job, describe_actor(by)):
            if job.group_id is not None:
                wakeups.notify_on_commit(Step.DISPATCH)
            return True
        job.refresh_from_db()
    return False


def pause_account(
    account: str,
    *,
    duration: timedelta | None = None,
    reason: str = "",
    creates_only: bool = False,
    by: AnyUser | None = None,
) -> bool:
    """Pause an account: its jobs wait, without counting as failing, and synchronous calls raise.

    Calls under way end as they would. Another call replaces the duration and the reason.

    Args:
        account: its name.
        duration: after which it goes on by itself; ``None``: when it is resumed.
        reason: why, for people: without secrets, at most 500 characters.
        creates_only: documents that DocRaptor has accepted go on; only new ones wait.
        by: the acting user, whom the reason names.

    Returns:
        Whether no person had paused it already.

    Raises:
        ValidationError: the name, the duration or the reason is invalid; nothing was changed.
    """
    _check_pause(account, duration, reason)
    text = reason.strip() or "paused by a person"
    note = describe_actor(by)
    return lifecycle.pause(
        account,
        None if duration is None else duration.total_seconds(),
        f"{text} ({note})" if note else text,
        creates_only=creates_only,
    )


def _check_pause(account: str, duration: timedelta | None, reason: str) -> None:
    errors: dict[str, str] = {}
    if not 0 < len(account) <= MAX_ACCOUNT_NAME:
        errors["account"] = f"{account!r} is not a name of 1 to {MAX_ACCOUNT_NAME} characters."
    if duration is not None and not timedelta(0) < duration <= MAX_DURATION:
        errors["duration"] = (
            f"{duration} is not longer than 0 and at most {MAX_DURATION.days} days. "
            "Use None to pause the account until it is resumed."
        )
    if len(reason) > MAX_PAUSE_REASON:
        errors["reason"] = f"It has {len(reason)} characters. Shorten it to {MAX_PAUSE_REASON}."
    if errors:
        raise ValidationError(errors)


def resume_account(account: str) -> "lifecycle.Resumed":
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
    """Let a held job go, past what it is held for (``job.held_for``).

    If that is ``MAX_PER_SOURCE``, the documents of its object are counted from now on.

    Returns:
        Whether the job was held.
    """
    is_released = release_jobs([job.pk], by=by) > 0
    job.refresh_from_db(fields=["state", "held_at", "held_for", "due_at", "errors"])
    return is_released


def release_jobs(keys: Sequence[Any], *, by: AnyUser | None = None) -> int:
    """Do what :func:`release` does for many jobs, by a few statements, in one transaction.

    Args:
        keys: of the jobs.
        by: who releases them.

    Returns:
        How many were held.
    """
    released = lifecycle.release(keys, describe_actor(by))
    if released:
        wakeups.notify_on_commit(Step.SUBMIT)
    return released


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


def render_now(target: BinaryIO, **kwargs: Unpack[EnqueueOptions]) -> "SavedDocument":
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
        BudgetExceededError: a budget has no place left; nothing was sent.
        CallError: the call failed; ``error.sent`` tells whether it may have been billed.
    """
    return render_spec(target, spec_from_keywords("render_now()", kwargs))


@sensitive_variables("secret_options")
def render_spec(target: BinaryIO, spec: JobSpec) -> "SavedDocument":
    """Render the document of a spec synchronously: see :func:`render_now`."""
    validate_spec(spec)
    if spec.hosted:
        message = "render_now() cannot create a hosted document. Use render_hosted_now() instead."
        raise ValidationError({"hosted": [message]})
    if registry.post_processor(spec.document) is not None:
        message = f"render_now() would leave out post_process() of {spec.document}. Enqueue it."
        raise ValidationError({"document": [message]})
    if spec.not_before is not None:
        message = "render_now() renders at once. Leave out not_before, or use enqueue()."
        raise ValidationError({"not_before": [message]})
    secret_options = registry.secret_options_without_job(
        spec.document, spec.source, spec.params, spec.document_type
    )
    spec = replace(spec, options=merge_options(spec.options, secret_options))
    request = build_request(spec, spec.content, EnqueueContext())
    check_engine_options(request)
    ignore = registry.preflight_ignore(spec.document)
    preflight.check_content(request, max_bytes=conf.max_content_bytes, ignore=ignore)
    return lifecycle.create_now(
        spec.account,
        request,
        lambda client, tagged: client.create_doc(tagged, target),
        document=spec.document,
        owner_id=getattr(spec.owner, "pk", None),
    )


def describe_actor(user: AnyUser | None) -> str:
    """Return the note of an event that a user has caused; "" without a user."""
    name = user.get_username() if user else ""  # "" for an anonymous user
    return f"by {name}" if name else ""
