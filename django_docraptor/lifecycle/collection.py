"""DOWNLOADING → COMPLETED: fetch once, verify, store, confirm.

Each stage can be killed and taken up: the spool keeps the bytes, ``pending_name`` keeps the name.
"""

import time
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files import File
from django.db.models.functions import Now

from django_docraptor import spool
from django_docraptor.exceptions import (
    CallError,
    DocRaptorError,
    NotADocumentError,
    NotSentError,
    RateLimitError,
    TooLargeError,
    UnauthorizedError,
)
from django_docraptor.lifecycle.backoff import delay, fail, pause_account, put_off
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderJob, after, logger
from django_docraptor.states import (
    ACCOUNT_PAUSE,
    LEASE,
    MAX_FETCH_ATTEMPTS,
    MAX_STORAGE_FAILURES,
    STORING_LEASE,
    Kind,
    Reason,
    State,
)
from django_docraptor.storage import document_name, document_storage

# Seconds after which a run leaves the rest to the next one.
BUDGET = 5.0
# Seconds within which a download leaves enough of its lease for storing what came.
QUICK = 10.0
# Faults of the set-up, which no waiting mends.
HOPELESS = (SuspiciousFileOperation, ImproperlyConfigured)


def collect() -> int:
    """Fetch and store finished documents, one after the other. Returns how many were claimed."""
    due = RenderJob.objects.filter(state=State.DOWNLOADING)
    claimed, stop = 0, time.monotonic() + BUDGET
    while time.monotonic() < stop:
        jobs = due.claim(limit=1, lease=LEASE[State.DOWNLOADING])
        if not jobs:
            break
        collect_one(jobs[0])
        claimed += 1
    return claimed


def begun(job: RenderJob) -> dict[str, Any]:
    """What a row says once its download has begun: the try is counted, its name is reserved."""
    return {
        "fetch_attempts": job.fetch_attempts + 1,
        "pending_name": job.pending_name or name_of(job),
        "due_at": after(LEASE[State.DOWNLOADING]),
    }


def name_of(job: RenderJob) -> str:
    """The name that the attempt's file gets in the storage."""
    return document_name(job.pk, job.attempt, job.document_type, job.created_at)


def collect_one(job: RenderJob, *, is_begun: bool = False) -> None:
    """Bring one claimed job from DocRaptor into the storage.

    Args:
        is_begun: the row says already that its download has begun.
    """
    own, started = name_of(job), time.monotonic()
    # A name that was reserved before, for this attempt or another, may have a file already.
    name = job.pending_name or own
    tried_before = bool(job.pending_name) and not (is_begun and name == own)
    try:
        path = spool.path_for(own)
    except spool.SpoolError as error:
        try_later(job, error, Reason.FETCH_FAILED)
        return
    is_spooled = path.exists()
    if not is_spooled and not fetch(job, path, is_begun=is_begun):
        return
    # What came quickly is small: the lease that it came under covers storing it.
    is_covered = not is_spooled and time.monotonic() - started < QUICK
    if is_covered or job.set(pending_name=name, due_at=after(STORING_LEASE)):
        keep(job, path, name, tried_before)


def fetch(job: RenderJob, path: Path, *, is_begun: bool) -> bool:
    """Download into the spool. Returns whether the verified document is there."""
    spent = job.fetch_attempts - is_begun
    try:
        spool.ensure_room()
        client = client_for(job.account)
        if not is_begun and not job.set(**begun(job)):
            return False
        with spool.writing(path, job.lease_token) as file:
            client.download(job.download_id, file)
        spool.accept(path, job.lease_token, job.document_type)
    except (DocRaptorError, OSError) as error:
        not_fetched(job, error, spent)
        return False
    return True


def not_fetched(job: RenderJob, error: DocRaptorError | OSError, spent: int) -> None:
    """Sort a failed download: ``spent`` downloads had been begun before this one."""
    if isinstance(error, UnauthorizedError):
        pause_account(job, error)
        job.set(fetch_attempts=spent)
        put_off(job, error, seconds=ACCOUNT_PAUSE, counted=False)
    elif isinstance(error, (NotSentError, RateLimitError, spool.SpoolError)):
        try_later(job, error, Reason.FETCH_FAILED, fetch_attempts=spent)
    elif isinstance(error, TooLargeError):
        fail(job, Reason.TOO_LARGE, str(error))
    elif isinstance(error, CallError) and not error.retryable and spent:
        message = f"The document cannot be downloaded again: {error}"
        fail(job, Reason.DOWNLOAD_SPENT, message)
    elif job.fetch_attempts >= MAX_FETCH_ATTEMPTS:
        bad = isinstance(error, NotADocumentError)
        fail(job, Reason.NOT_A_DOCUMENT if bad else Reason.FETCH_FAILED, str(error))
    else:
        put_off(job, error)


def try_later(job: RenderJob, error: Exception, reason: Reason, **changes: int) -> None:
    """Wait with a growing delay, a bounded number of times."""
    if job.failures + 1 >= MAX_STORAGE_FAILURES:
        fail(job, reason, str(error), **changes)
    elif job.set(**changes) if changes else True:
        put_off(job, error, seconds=getattr(error, "retry_after", None) or delay(job.failures))


def keep(job: RenderJob, path: Path, name: str, tried_before: bool) -> None:
    """Save the spooled document through the storage, then confirm it in the row."""
    try:
        size, sha256 = spool.digest(path)
        if tried_before:  # what a killed try may have left under the reserved name
            document_storage.delete(name)
        with path.open("rb") as file:
            saved = document_storage.save(name, File(file, name=name))
    except HOPELESS as error:
        fail(job, Reason.STORAGE_ERROR, f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        try_later(job, StorageFailedError(error), Reason.STORAGE_ERROR)
    else:
        confirm(job, path, saved, size, sha256)


class StorageFailedError(DocRaptorError):
    """The storage did not take the file."""

    code = "storage_error"

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"The storage did not take the file: {type(cause).__name__}: {cause}")


def confirm(job: RenderJob, path: Path, saved: str, size: int, sha256: str) -> None:
    """Make the stored file the job's; if the job has gone its own way, remove the file."""
    done = job.move(
        State.COMPLETED,
        kind=Kind.COMPLETED,
        leased=True,
        detail={"size": size, "sha256": sha256},
        file=saved,
        pending_name="",
        file_size=size,
        sha256=sha256,
        error_code="",
        errors="",
        rendered_at=job.rendered_at or Now(),
    )
    if not done and not _is_wanted(job, saved):
        logger.warning("Job %s had moved on: the file it no longer wants is removed", job.pk)
        document_storage.delete(saved)
    spool.discard(path)


def _is_wanted(job: RenderJob, saved: str) -> bool:
    """Whether the row has that file, or another worker is about to confirm it."""
    now = RenderJob.objects.filter(pk=job.pk).first()
    if now is None:
        return False
    return now.file.name == saved or (not now.is_final and now.pending_name == saved)
