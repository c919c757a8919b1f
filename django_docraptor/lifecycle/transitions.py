"""Internal. Move a job along one arrow of the state diagram.

Each function takes the job as it was read, writes the new state and its event, and returns whether
the row moved. The steps decide; only this module calls :meth:`RenderJob.move`. The diagram stands
in ``states``.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from copy import copy
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db import IntegrityError, router, transaction
from django.db.models import Case, CharField, DateTimeField, Q, Value, When
from django.db.models.functions import Coalesce

from django_docraptor.billing import EVIDENCE, IS_ACCEPTED, REASON, is_disproof
from django_docraptor.client import RemoteStatus
from django_docraptor.conf import conf
from django_docraptor.discarded_files import drop_group_files
from django_docraptor.exceptions import CallError
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.budgets import Places, give_back_place, has_budget
from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.lifecycle.pacing import poll_interval
from django_docraptor.models import (
    DiscardedDocument,
    ErasedJob,
    GroupState,
    RenderInput,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.models.clock import Now, earliest_due
from django_docraptor.models.commits import durable_transaction, savepoint_if_nested
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.models.groups import MIN_CHECK_SECONDS
from django_docraptor.models.jobs import NO_FAILURES, NOT_HELD
from django_docraptor.names import storage_name
from django_docraptor.payloads.secrets import delete_secrets
from django_docraptor.states import LOG_CHECK_AGES, ErrorCode, EventKind, State

logger = logging.getLogger(__name__)

# A lost outcome is the first of consecutive failures, which end when it is settled.
FIRST_FAILURE: Mapping[str, Any] = {"failures": 1, "failing_since": Now()}
NO_CALLBACK: Mapping[str, Any] = {"callback_at": None}
# Columns of a group of which a document was retried.
REOPENED: Mapping[str, Any] = {
    "state": GroupState.WORKING,
    "due_at": seconds_from_now(MIN_CHECK_SECONDS),
    "finished_at": None,
    "failures": 0,
    "failing_since": None,
    "lapsed_claims": 0,
    "errors": "",
}


def begin_attempts(jobs: Iterable[RenderJob], places: Places | None = None) -> list[RenderJob]:
    """Commit the intents to send the jobs' next attempts, by one transaction.

    Args:
        jobs: claimed jobs.
        places: those of their budgets, which they take in the same transaction. ``places.refused``
            has the jobs that get none.

    Returns:
        The jobs whose claim was still valid, and for which no callback has arrived since.
    """
    using, before = router.db_for_write(RenderJob), [(job, copy(job)) for job in jobs]
    batches = _alike(job for job, _ in before)

    def commit() -> list[RenderJob]:
        if places is None:
            with durable_transaction(using, statements=len(batches)):
                return [job for batch in batches for job in _begin_alike(batch)]
        with transaction.atomic(using=using, durable=True):
            passed = places.take(job for job, _ in before)
            begun = [job for batch in _alike(passed) for job in _begin_alike(batch, places.now)]
            places.save(passed, begun)
            return begun

    def reset() -> None:
        for job, unchanged in before:
            vars(job).update(vars(copy(unchanged)))

    return repeat_conflicts(commit, using=using, reset=reset)


def _alike(jobs: Iterable[RenderJob]) -> list[list[RenderJob]]:
    """Group jobs that were sent, and have failed, equally often."""
    groups = groupby(jobs, lambda job: (job.attempt, job.failures))
    return [list(group) for _, group in groups]


def _begin_alike(jobs: list[RenderJob], sent_at: datetime | None = None) -> list[RenderJob]:
    """Write the intents for jobs of one group, now or at a time that was just read."""
    hashes = {job.pk: job.request_hash for job in jobs}
    begun = RenderJob.move_claimed(
        jobs,
        State.SUBMITTING,
        kind=EventKind.SUBMITTING,
        where=NO_CALLBACK,
        failures=jobs[0].failures,
        attempt=jobs[0].attempt + 1,
        sent_at=sent_at or Now(),
        due_at=seconds_from_now(lease_for(State.SUBMITTING)),
        callback_at=None,
        status_id="",
        download_id="",
        download_attempts=0,
        deadline_at=seconds_from_now(conf.deadline),
        request_hash=_value_by_key(hashes),
        **NOT_HELD,
    )
    for job in begun:
        job.request_hash = hashes[job.pk]
    return begun


def _value_by_key(values: dict[Any, str]) -> Case | str:
    """Return the value of each row, so that one statement writes them all."""
    if len(values) == 1:
        return next(iter(values.values()))
    cases = (When(pk=key, then=Value(value)) for key, value in values.items())
    return Case(*cases, default=Value(""), output_field=CharField())


def mark_accepted(job: RenderJob, status_id: str) -> bool:
    """Save the status_id, however late it comes: the attempt number guards it, not the lease.

    The row may be SUBMITTING or, if the response was late or DocRaptor's log lists the attempt,
    UNCONFIRMED. If the job has moved on, the response is recorded in its history. If another job
    has the status_id, this one fails: it must not get the other's document.
    """
    try:
        with savepoint_if_nested(router.db_for_write(RenderJob)):
            is_accepted = _save_status_id(job, status_id)
    except IntegrityError as error:  # the index knows both, even if they come at the same time
        _fail_shared_status_id(job, status_id, error)
        return False
    if not is_accepted:
        _record_late_response(job, status_id)
    return is_accepted


def _save_status_id(job: RenderJob, status_id: str) -> bool:
    has_callback = When(callback_at__isnull=False, then=Now())
    first_poll = seconds_from_now(poll_interval(0, job.account))
    for state in (State.SUBMITTING, State.UNCONFIRMED):
        job.state = state
        if job.move(
            State.QUEUED,
            kind=EventKind.ACCEPTED,
            detail={"status_id": status_id} | _seconds("render_seconds", job.render_seconds),
            status_id=status_id,
            submitted_at=Now(),
            deadline_at=seconds_from_now(conf.deadline),
            due_at=Case(has_callback, default=first_poll, output_field=DateTimeField()),
            error_code="",
            errors="",
        ):
            return True
    return False


def _seconds(name: str, value: float | None) -> dict[str, float]:
    """Return a measured duration as a detail of an event; empty if it was not measured."""
    return {} if value is None else {name: round(value, 3)}


def _fail_shared_status_id(job: RenderJob, status_id: str, error: IntegrityError) -> None:
    """Fail a job that was given the status_id of another: a person decides.

    Raises:
        IntegrityError: no other job has it, so the error is about something else.
    """
    others = RenderJob.objects.filter(status_id=status_id).exclude(pk=job.pk)
    other = others.order_by().values_list("pk", flat=True).first()
    if other is None:
        raise error
    errors = (
        f"DocRaptor gave this attempt the status_id of another job, {other}. It is unknown which "
        "document is its own. Look for it in DocRaptor's log: a retry creates and bills another."
    )
    logger.error(
        "Job %s: DocRaptor gave it the status_id of job %s", job.pk, other, extra=log_fields(job)
    )
    for state in (State.SUBMITTING, State.UNCONFIRMED):
        job.state = state
        if job.move(
            State.FAILED,
            kind=EventKind.FAILED,
            note=errors,
            detail={REASON: ErrorCode.SUBMIT_UNCONFIRMED.value, "status_id": status_id},
            error_code=ErrorCode.SUBMIT_UNCONFIRMED.value,
            errors=errors,
        ):
            return


def _record_late_response(job: RenderJob, status_id: str) -> None:
    """Record a response that came after the job had moved on: it may be billed in addition.

    If the job has failed with this attempt, it gets the status_id, so that a retry asks for the
    document instead of paying for another one.
    """
    current = RenderJob.objects.filter(pk=job.pk).first()
    if current is not None and current.status_id == status_id:  # known from DocRaptor's log
        return
    logger.warning(
        "Job %s: ignored a late response for attempt %s", job.pk, job.attempt, extra=log_fields(job)
    )
    if current is not None:
        # A row of a later attempt, or of one whose status_id is known, does not match.
        given_up = RenderJob.objects.filter(pk=job.pk, state=State.FAILED, attempt=job.attempt)
        with suppress(IntegrityError), transaction.atomic(using=given_up.db):  # another's, too
            given_up.filter(status_id="").update(status_id=status_id)
        if current.erased_at is not None and current.hosted:
            _record_erased_document(current, status_id)
        current.record_event(
            EventKind.LATE_RESPONSE,
            note=f"DocRaptor accepted attempt {job.attempt} after the job had moved on.",
            detail={"attempt": job.attempt, "status_id": status_id},
        )


def _record_erased_document(job: RenderJob, status_id: str) -> None:
    """Record the hosted document of an erased job, which DocRaptor would make public."""
    erased = ErasedJob.objects.filter(job_id=job.pk).first()
    DiscardedDocument.objects.create(
        account=job.account,
        status_id=status_id,
        expires_at=job.hosted_expires_at,
        subject=erased.subject if erased else "",
    )


def _end_attempt(
    job: RenderJob, to_state: State, *, kind: EventKind, detail: Mapping[str, Any], **changes: Any
) -> bool:
    """Move a job whose attempt may have ended without a bill: then its budgets' place is free."""
    is_free = is_disproof(kind, detail, from_state=job.state)
    if not (is_free and has_budget(job)):
        return job.move(to_state, kind=kind, detail=detail, **changes)
    using, before = router.db_for_write(RenderJob), copy(job)

    def move() -> bool:
        with transaction.atomic(using=using):
            is_moved = job.move(to_state, kind=kind, detail=detail, **changes)
            if is_moved:
                give_back_place(job)
        return is_moved

    return repeat_conflicts(move, using=using, reset=lambda: vars(job).update(vars(copy(before))))


def return_to_pending(
    job: RenderJob,
    error: Exception,
    note: str,
    *,
    delay: float,
    is_repeated: bool = False,
    **changes: Any,
) -> bool:
    """Return a job to PENDING after an attempt that DocRaptor certainly did not accept.

    The next attempt is not billed twice.

    Args:
        note: the error's text.
        delay: seconds until the job is submitted again.
        is_repeated: there were such attempts before, so that this one leaves no events.
        changes: other columns to set by the same UPDATE.
    """
    return _end_attempt(
        job,
        State.PENDING,
        kind=EventKind.NOT_ACCEPTED,
        undone_kind=EventKind.SUBMITTING if is_repeated else None,
        require_lease=True,
        note=note,
        detail=error_details(error, changes.get("failures", 0)),
        due_at=seconds_from_now(delay),
        errors=note,
        **changes,
    )


def mark_unconfirmed(job: RenderJob, error: CallError) -> bool:
    """Mark the outcome as unknown: DocRaptor's log is checked before anything is sent again."""
    return job.move(
        State.UNCONFIRMED,
        kind=EventKind.UNCONFIRMED,
        require_lease=True,
        note=str(error),
        detail=error_details(error),
        due_at=seconds_from_now(LOG_CHECK_AGES[0]),
        errors=str(error),
        **FIRST_FAILURE,
    )


def mark_interrupted(job: RenderJob) -> bool:
    """Mark the outcome as unknown, because the worker that sent the attempt did not record it."""
    return job.move(
        State.UNCONFIRMED,
        kind=EventKind.UNCONFIRMED,
        require_lease=True,
        note="The worker that sent this attempt did not record the outcome.",
        due_at=Now(),
        **FIRST_FAILURE,
    )


def resubmit_unconfirmed(job: RenderJob, reason: str, *, evidence: str) -> bool:
    """Return an attempt that DocRaptor did not accept, or that is free, to PENDING.

    Args:
        reason: why it is sent again.
        evidence: what the decision rests on, for counting: ``proof``, ``none`` or ``unreadable``.
    """
    return _end_attempt(
        job,
        State.PENDING,
        kind=EventKind.NEVER_ACCEPTED,
        require_lease=True,
        note=f"{reason} It will be submitted again.",
        detail={EVIDENCE: evidence},
        due_at=Now(),
    )


def fail_unconfirmed(job: RenderJob, reason: str, *, is_proven: bool = False) -> bool:
    """Fail a job whose outcome cannot be settled, or whose attempt may not be repeated.

    A person decides, because a retry may be billed again.

    Args:
        reason: why.
        is_proven: it is proven that DocRaptor did not accept the attempt.
    """
    if is_proven and not job.callback_at:
        advice = "So it was not accepted, and a retry is not billed twice."
    elif job.callback_at:
        advice = (
            "DocRaptor sent a callback, so the document was created, but its status_id is unknown. "
            "Look for it in DocRaptor's log: a retry creates and bills another one."
        )
    else:
        advice = (
            "It is unknown whether DocRaptor accepted and billed it. "
            "Check DocRaptor's log, and retry the job if it is not listed."
        )
    detail = {IS_ACCEPTED: False} if is_proven and not job.callback_at else {}
    return fail(job, ErrorCode.SUBMIT_UNCONFIRMED, f"{reason} {advice}", detail=detail)


def return_refused(job: RenderJob, reason: str) -> bool:
    """Return a job to PENDING whose accepted attempt failed for a reason of the account.

    Nothing was made or billed. The next attempt is sent when the account's pause is over.
    """
    return _end_attempt(
        job,
        State.PENDING,
        kind=EventKind.REFUSED,
        require_lease=True,
        note=reason,
        detail={"status_id": job.status_id} if job.status_id else {},
        status_id="",
        callback_at=None,  # a callback for this attempt does not hold the next one back
        due_at=Now(),
        errors=reason,
    )


def mark_working(job: RenderJob) -> bool:
    """Record that DocRaptor is rendering the document, and schedule the next poll."""
    return job.move(
        State.WORKING,
        kind=EventKind.WORKING,
        require_lease=True,
        due_at=seconds_from_now(poll_interval(job.attempt_age, job.account)),
        errors="",
    )


def mark_rendered(job: RenderJob, remote: RemoteStatus, *, keep_claim: bool) -> bool:
    """Record that DocRaptor has finished the document.

    Args:
        keep_claim: this worker downloads it under the same claim.
    """
    claim: dict[str, Any] = {"due_at": Now()}
    if keep_claim:
        claim = download_fields(job) | {
            "lease_token": job.lease_token,
            "due_at": seconds_from_now(lease_for(State.DOWNLOADING)),
        }
    return job.move(
        State.DOWNLOADING,
        kind=EventKind.RENDERED,
        require_lease=True,
        download_id=remote.download_id,
        number_of_pages=remote.number_of_pages,
        message=remote.message,
        rendered_at=Now(),
        errors="",
        **claim,
    )


def download_fields(job: RenderJob) -> dict[str, Any]:
    """Return the column values that count a download and reserve its storage name."""
    return {
        "download_attempts": job.download_attempts + 1,
        "reserved_name": job.reserved_name or storage_name_for(job),
    }


def storage_name_for(job: RenderJob) -> str:
    """Return the storage name of the current attempt's file."""
    return storage_name(job.pk, job.attempt, job.document_type, job.created_at)


def _complete(job: RenderJob, **move: Any) -> bool:
    """Complete a job. Its passwords are deleted: it can neither be sent again nor retried.

    Args:
        move: arguments of :meth:`RenderJob.move`.
    """
    if not job.has_secrets:
        return job.move(State.COMPLETED, require_lease=True, **move)
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        is_moved = job.move(State.COMPLETED, require_lease=True, has_secrets=False, **move)
        if is_moved:
            for job_input in RenderInput.objects.filter(pk=job.pk).select_for_update():
                job_input.options = delete_secrets(job_input.options)
                job_input.save(update_fields=["options"])
    return is_moved


def mark_completed(
    job: RenderJob, *, file: str, size: int, sha256: str, store_seconds: float | None = None
) -> bool:
    """Make the stored file the job's.

    Args:
        file: the name that the storage gave it.
        size: bytes.
        store_seconds: how long the storage took, for the history.
    """
    return _complete(
        job,
        kind=EventKind.COMPLETED,
        detail={"size": size, "sha256": sha256} | _seconds("store_seconds", store_seconds),
        file=file,
        reserved_name="",
        file_size=size,
        sha256=sha256,
        error_code="",
        errors="",
        rendered_at=Coalesce("rendered_at", Now()),
    )


def mark_published(job: RenderJob, remote: RemoteStatus) -> bool:
    """Complete a hosted job: the document is public at DocRaptor."""
    return _complete(
        job,
        kind=EventKind.COMPLETED,
        detail={"hosted": True},
        download_id=remote.download_id,
        public_url=remote.download_url,
        number_of_pages=remote.number_of_pages,
        message=remote.message,
        rendered_at=Now(),
        error_code="",
        errors="",
    )


def mark_reused(job: RenderJob, twin: RenderJob, *, file: str, kind: EventKind) -> bool:
    """Complete a job of which nothing was sent, with its own copy of another's file.

    Args:
        twin: the completed job of the same request.
        file: the name that the storage gave the copy.
        kind: REUSED, or UNCHANGED if a signal asked for a document that is the same as before.
    """
    return _complete(
        job,
        kind=kind,
        note=f"The request is the same as that of job {twin.pk}. Its file was copied, and nothing "
        "was sent to DocRaptor.",
        detail={"job": str(twin.pk), "size": twin.file_size, "sha256": twin.sha256},
        request_hash=twin.request_hash,
        file=file,
        reserved_name="",
        file_size=twin.file_size,
        sha256=twin.sha256,
        number_of_pages=twin.number_of_pages,
        message=twin.message,
        rendered_at=Now(),
        error_code="",
        errors="",
    )


def fail(
    job: RenderJob,
    code: ErrorCode,
    errors: str,
    *,
    detail: Mapping[str, Any] | None = None,
    **changes: Any,
) -> bool:
    """Fail a job with an error code and the full error text.

    Args:
        detail: further details of the event.
        changes: other columns to set by the same UPDATE.

    Returns:
        Whether the claim was still valid.
    """
    return _end_attempt(
        job,
        State.FAILED,
        kind=EventKind.FAILED,
        require_lease=True,
        note=errors,
        detail={REASON: code.value, **(detail or {})},
        error_code=code.value,
        errors=errors,
        **changes,
    )


def mark_cancelled(job: RenderJob, note: str) -> bool:
    """Cancel an unfinished job. DocRaptor may still finish, and bill, what it has accepted."""
    return job.move(State.CANCELLED, kind=EventKind.CANCELLED, note=note)


def retry_from_start(job: RenderJob, note: str, *, by_owner: bool = False) -> bool:
    """Return a failed job to PENDING for a new attempt.

    A callback for the old attempt does not hold the new one back.

    Args:
        note: who did it.
        by_owner: whether the job's owner did it.
    """
    return _retry(job, State.PENDING, note, by_owner, callback_at=None)


def resume_polling(job: RenderJob, note: str, *, by_owner: bool = False) -> bool:
    """Return a failed job to QUEUED: DocRaptor has accepted the attempt, and is asked for it."""
    return _retry(job, State.QUEUED, note, by_owner)


def resume_download(job: RenderJob, note: str, *, by_owner: bool = False) -> bool:
    """Return a failed job to DOWNLOADING: DocRaptor has finished the document."""
    return _retry(job, State.DOWNLOADING, note, by_owner)


def _retry(job: RenderJob, to_state: State, note: str, by_owner: bool, **changes: Any) -> bool:
    detail = {"by_owner": True} if by_owner else {}
    columns = _retried_columns() | changes

    def move() -> bool:
        return job.move(to_state, kind=EventKind.RETRIED, note=note, detail=detail, **columns)

    if job.group_id is None:
        return move()
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        is_moved = move()
        if is_moved:
            reopen([job.group_id])
    return is_moved


def reopen(groups: Collection[Any]) -> None:
    """Let groups wait for their jobs again, in the current transaction. Their files are deleted.

    Args:
        groups: keys of groups; may be empty.
    """
    if groups:
        drop_group_files(groups, **REOPENED)


def _retried_columns() -> dict[str, Any]:
    return {
        "due_at": earliest_due(),
        "finished_at": None,
        "download_attempts": 0,
        "deadline_at": seconds_from_now(conf.deadline),
    }


def retry_together(
    jobs: list[RenderJob], note: str, *, read_at: datetime, from_start: bool = False
) -> None:
    """Retry failed jobs, each as it would be alone, by two statements for each state they go to.

    Args:
        jobs: failed jobs.
        read_at: the database's time when they were read: one that has failed again since then is
            another attempt.
        from_start: start all of them again.

    Raises:
        RowsChangedError: another process has changed some of them. Roll back.
    """
    groups: dict[State, list[RenderJob]] = {}
    for job in jobs:
        to_state = None if from_start else job.resume_state
        groups.setdefault(to_state or State.PENDING, []).append(job)
    for to_state, alike in groups.items():
        # A callback for the old attempt does not hold a new one back.
        changes: dict[str, Any] = {"callback_at": None} if to_state == State.PENDING else {}
        RenderJob.move_all(
            alike,
            to_state,
            kind=EventKind.RETRIED,
            condition=Q(finished_at__lte=read_at),
            note=note,
            **NOT_HELD,
            **NO_FAILURES,
            **_retried_columns(),
            **changes,
        )
    reopen({job.group_id for job in jobs if job.group_id is not None})


def error_details(error: Exception, failures: int = 0) -> dict[str, Any]:
    """Return the details of an error for the job's history.

    Args:
        failures: consecutive failures, with this one: not all of them are in the history.
    """
    details: dict[str, Any] = {"error": getattr(error, "code", type(error).__name__)}
    if isinstance(error, CallError):
        details |= {"sent": error.sent.value}
        details |= {"status": error.status} if error.status else {}
        details |= {"request_id": error.request_id} if error.request_id else {}
        details |= {"body": error.body} if error.body else {}
    return details | ({"failures": failures} if failures > 1 else {})
