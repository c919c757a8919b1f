"""DOWNLOADING → COMPLETED: fetch once, verify, store, confirm.

Each stage can be killed and taken up: the spool keeps the bytes, ``pending_name`` keeps the name.
"""

import time
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files import File
from django.db.models.functions import Coalesce, Now

from django_docraptor import spool
from django_docraptor.exceptions import (
    CallError,
    ConfigurationError,
    DocRaptorError,
    NotADocumentError,
    NotSentError,
    RateLimitError,
    TooLargeError,
    UnauthorizedError,
)
from django_docraptor.lifecycle.backoff import delay, fail, pause, put_off
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderJob, after, logger
from django_docraptor.states import (
    LEASE,
    MAX_FETCH_ATTEMPTS,
    MAX_STORAGE_FAILURES,
    STORING_LEASE,
    Kind,
    Reason,
    State,
)
from django_docraptor.storage import document_name

# Seconds after which a run leaves the rest to the next one.
BUDGET = 5.0
# Seconds within which a download leaves enough of its lease for storing what came.
QUICK = 10.0
# Failures before anything was downloaded.
UNSPENT = (NotSentError, RateLimitError, ConfigurationError, spool.SpoolError)
# Faults of the set-up, which no waiting mends.
HOPELESS = (SuspiciousFileOperation, ImproperlyConfigured)


def collect() -> int:
    """Fetch and store finished documents, one after the other. Returns how many were claimed."""
    claimed, stop = 0, time.monotonic() + BUDGET
    while time.monotonic() < stop and (taken := take_one()):
        job, tried_before = taken
        collect_one(job, tried_before=tried_before)
        claimed += 1
    return claimed


def take_one() -> tuple[RenderJob, bool] | None:
    """A claimed job whose download has begun, and whether one had been begun before."""
    due = RenderJob.objects.filter(state=State.DOWNLOADING)
    for job in due.best(1):
        tried_before = bool(job.pending_name)
        if due.take([job], lease=LEASE[State.DOWNLOADING], **begun(job)):
            return job, tried_before
    return None


def begun(job: RenderJob) -> dict[str, Any]:
    """What a row says once its download has begun: the try is counted, its name is reserved."""
    return {
        "fetch_attempts": job.fetch_attempts + 1,
        "pending_name": job.pending_name or name_of(job),
    }


def name_of(job: RenderJob) -> str:
    """The name that the attempt's file gets in the storage."""
    return document_name(job.pk, job.attempt, job.document_type, job.created_at)


def collect_one(job: RenderJob, *, tried_before: bool = False) -> None:
    """Bring a claimed job, whose download has begun, from DocRaptor into the storage."""
    started, spent = time.monotonic(), job.fetch_attempts - 1
    try:
        path = spool.path_for(name_of(job))
    except spool.SpoolError as error:
        try_later(job, error, Reason.FETCH_FAILED, fetch_attempts=spent)
        return
    is_spooled = path.exists()
    if not is_spooled and spent >= MAX_FETCH_ATTEMPTS:
        fail(job, Reason.FETCH_FAILED, f"{spent} downloads were begun, and their workers died.")
        return
    if not is_spooled and not fetch(job, path, spent):
        return
    # What came quickly is small: the lease that it came under covers storing it.
    is_covered = not is_spooled and time.monotonic() - started < QUICK
    renewal = {"due_at": after(STORING_LEASE)} | ({"fetch_attempts": spent} if is_spooled else {})
    if is_covered or job.set(**renewal):
        # A name that was reserved before, for this attempt or an earlier one, may have a file.
        may_be_there = tried_before or job.pending_name != name_of(job)
        keep(job, path, job.pending_name, may_be_there)


def fetch(job: RenderJob, path: Path, spent: int) -> bool:
    """Download into the spool. Returns whether the verified document is there."""
    try:
        spool.sweep()
        spool.ensure_room()
        client = client_for(job.account)
        with spool.writing(path, job.lease_token) as file:
            client.download(job.download_id, file)
        spool.accept(
            path,
            job.lease_token,
            job.document_type,
            redact=lambda text: client.redact(text, job.download_id),
        )
    except Exception as error:  # noqa: BLE001 - a custom client may raise anything
        not_fetched(job, error, spent)
        return False
    return True


def not_fetched(job: RenderJob, error: Exception, spent: int) -> None:
    """Sort a failed download: ``spent`` downloads had been begun before this one."""
    if isinstance(error, UnauthorizedError):
        job.set(fetch_attempts=spent)
        pause(job, error)
    elif isinstance(error, UNSPENT):
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
        with path.open("rb") as file:  # at first: who confirms meanwhile discards the spool's
            if tried_before:  # what a killed try may have left under the reserved name
                job.file.storage.delete(name)
            saved = job.file.storage.save(name, File(file, name=name))
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
        rendered_at=Coalesce("rendered_at", Now()),
    )
    if not done and not _is_wanted(job, saved):
        logger.warning("Job %s had moved on: the file it no longer wants is removed", job.pk)
        job.file.storage.delete(saved)
    spool.discard(path)


def _is_wanted(job: RenderJob, saved: str) -> bool:
    """Whether the row has that file, or another worker is about to confirm it."""
    now = RenderJob.objects.filter(pk=job.pk).first()
    if now is None:
        return False
    return now.file.name == saved or (not now.is_final and now.pending_name == saved)
