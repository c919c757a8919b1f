"""Internal. DOWNLOADING → COMPLETED: download once, verify, store, confirm.

Every stage can be killed and resumed: the spool keeps the bytes, ``reserved_name`` the storage
name.
"""

import logging
import time
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files import File
from django.db import DatabaseError

from django_docraptor import spool
from django_docraptor.exceptions import (
    CallError,
    DocRaptorError,
    DocumentTooLargeError,
    NotADocumentError,
    NotSentError,
    RateLimitError,
)
from django_docraptor.lifecycle.account_refusals import concerns_account
from django_docraptor.lifecycle.accounts import connect, most_urgent, release
from django_docraptor.lifecycle.claims import fail_killer
from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.lifecycle.pacing import backoff_delay
from django_docraptor.lifecycle.postponement import pause_account_and_postpone, postpone
from django_docraptor.lifecycle.refusals import code_of_refused_download
from django_docraptor.lifecycle.transitions import (
    download_fields,
    fail,
    mark_completed,
    storage_name_for,
)
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.text import is_unstorable, sanitize
from django_docraptor.states import (
    MAX_DOWNLOADS,
    MAX_STORAGE_FAILURES,
    STORE_LEASE_SECONDS,
    ErrorCode,
    State,
)

logger = logging.getLogger(__name__)

# Seconds after which a run leaves the remaining jobs to the next one.
RUN_SECONDS = 5.0
# A download that takes less leaves enough of its lease to store the file.
QUICK_DOWNLOAD_SECONDS = 10.0
# Errors raised before anything was downloaded.
NOTHING_DOWNLOADED_ERRORS = (NotSentError, RateLimitError, spool.SpoolError)
# Characters of a storage's name that an error quotes, and the error if a character is the problem.
MAX_QUOTED_NAME = 500
UNSTORABLE_NAME = "The storage returned a name that the database cannot store: {}."
# Configuration errors, which do not go away by waiting.
PERMANENT_STORAGE_ERRORS = (SuspiciousFileOperation, ImproperlyConfigured)


def download() -> int:
    """Download and store finished documents, one after the other.

    Returns:
        The number of claimed jobs.
    """
    count, stop = 0, time.monotonic() + RUN_SECONDS
    while time.monotonic() < stop and (claimed := claim_next_download()):
        job, may_have_file = claimed
        download_and_store(job, may_have_file=may_have_file)
        count += 1
    return count


def claim_next_download() -> tuple[RenderJob, bool] | None:
    """Claim the most urgent finished document and count its download.

    Returns:
        The job, and whether an earlier download had been started.
    """
    due = RenderJob.objects.filter(state=State.DOWNLOADING)
    for job in most_urgent(due, 1):
        may_have_file = bool(job.reserved_name)
        lease = lease_for(State.DOWNLOADING)
        if due.claim_jobs([job], lease=lease, **download_fields(job)):
            return job, may_have_file
    return None


def download_and_store(job: RenderJob, *, may_have_file: bool = False) -> None:
    """Download the document of a claimed job and store it.

    Args:
        job: claimed, with this download counted.
        may_have_file: an earlier download was started, so that a file may exist already.
    """
    if fail_killer(job):
        return
    started, earlier_downloads = time.monotonic(), job.download_attempts - 1
    try:
        path = spool.path_for(storage_name_for(job))
    except spool.SpoolError as error:
        code = ErrorCode.DOWNLOAD_FAILED
        postpone_or_fail(job, error, code, download_attempts=earlier_downloads)
        return
    is_spooled = path.exists()
    if not is_spooled and earlier_downloads >= MAX_DOWNLOADS:
        message = f"{earlier_downloads} downloads were started, but their workers died."
        fail(job, ErrorCode.DOWNLOAD_FAILED, message)
        return
    if not is_spooled and not download_to_spool(job, path, earlier_downloads):
        return
    # A quick download is small: the current lease is long enough to store it.
    is_quick = not is_spooled and time.monotonic() - started < QUICK_DOWNLOAD_SECONDS
    renewal = {"due_at": seconds_from_now(STORE_LEASE_SECONDS)}
    if is_spooled:
        renewal["download_attempts"] = earlier_downloads
    if is_quick or job.update_leased(**renewal):
        # A name that was reserved earlier, by this attempt or another, may already have a file.
        may_have_file = may_have_file or job.reserved_name != storage_name_for(job)
        store_file(job, path, job.reserved_name, may_have_file=may_have_file)


def download_to_spool(job: RenderJob, path: Path, earlier_downloads: int) -> bool:
    """Download into the spool and verify.

    Returns:
        Whether the document is there.
    """
    keyed = connect(job.account)
    if keyed is None:
        release(job, download_attempts=earlier_downloads)
        return False
    try:
        spool.remove_stale()
        spool.ensure_free_space()
        with spool.open_partial(path, job.lease_token) as file:
            saved = keyed.call(lambda client: client.download(job.download_id, file))
        spool.finalize(
            path,
            job.lease_token,
            job.document_type,
            content_type=getattr(saved, "content_type", ""),  # a custom client may return nothing
            redact=lambda text: keyed.client.redact(text, job.download_id),
        )
    except Exception as error:  # noqa: BLE001 - a custom client may raise anything
        handle_download_error(job, error, earlier_downloads)
        return False
    return True


def handle_download_error(job: RenderJob, error: Exception, earlier_downloads: int) -> None:
    """Handle a failed download.

    Args:
        earlier_downloads: number of downloads started before this one.
    """
    if concerns_account(error):
        job.update_leased(download_attempts=earlier_downloads)
        pause_account_and_postpone(job, error)
    elif isinstance(error, NOTHING_DOWNLOADED_ERRORS):
        code = ErrorCode.DOWNLOAD_FAILED
        postpone_or_fail(job, error, code, download_attempts=earlier_downloads)
    elif isinstance(error, DocumentTooLargeError):
        fail(job, ErrorCode.DOCUMENT_TOO_LARGE, str(error))
    elif isinstance(error, CallError) and not error.retryable and earlier_downloads:
        message = f"DocRaptor does not allow another download: {error}"
        fail(job, code_of_refused_download(job, error), message)
    elif job.download_attempts >= MAX_DOWNLOADS:
        is_invalid = isinstance(error, NotADocumentError)
        code = ErrorCode.NOT_A_DOCUMENT if is_invalid else ErrorCode.DOWNLOAD_FAILED
        fail(job, code, str(error))
    else:
        postpone(job, error)


def postpone_or_fail(job: RenderJob, error: Exception, code: ErrorCode, **changes: int) -> None:
    """Postpone with a growing delay, or fail after MAX_STORAGE_FAILURES."""
    if job.failures + 1 >= MAX_STORAGE_FAILURES:
        fail(job, code, str(error), **changes)
    elif not changes or job.update_leased(**changes):
        delay = getattr(error, "retry_after", None) or backoff_delay(job.failures)
        postpone(job, error, delay=delay)


def store_file(job: RenderJob, path: Path, name: str, *, may_have_file: bool) -> None:
    """Save the spooled file to the storage, then complete the job."""
    try:
        size, sha256 = spool.size_and_sha256(path)
        stored_name: object
        # Open first: another worker that completes the job deletes the spool file.
        with path.open("rb") as file:
            if may_have_file:  # what a killed worker may have left under the reserved name
                job.file.storage.delete(name)
            stored_name = job.file.storage.save(name, File(file, name=name))
    except PERMANENT_STORAGE_ERRORS as error:
        fail(job, ErrorCode.STORAGE_ERROR, f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        postpone_or_fail(job, StorageError(error), ErrorCode.STORAGE_ERROR)
    else:
        if problem := stored_name_problem(stored_name):
            # A file without a name of its own is most likely under the one that was asked for.
            fail_stored(job, problem, str(stored_name or name))
        else:
            confirm_stored(job, path, str(stored_name), size, sha256)


def stored_name_problem(name: object) -> str:
    """Return why the row cannot refer to a file by the name that a storage returned, or ""."""
    returned = ascii(name)[:MAX_QUOTED_NAME]
    if not isinstance(name, str) or not name:
        return f"The storage returned {returned} instead of the file's name."
    limit = RenderJob._meta.get_field("file").max_length or 0
    if len(name) > limit:
        return (
            f"The storage returned a name of {len(name)} characters, but the database has room for "
            f"{limit}: {returned}."
        )
    return "" if sanitize(name) == name else UNSTORABLE_NAME.format(returned)


class StorageError(DocRaptorError):
    """The storage could not save the file."""

    code = "storage_error"

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"The storage could not save the file: {type(cause).__name__}: {cause}")


def confirm_stored(job: RenderJob, path: Path, stored_name: str, size: int, sha256: str) -> None:
    """Complete the job with the stored file. If the job has moved on, delete the file."""
    try:
        is_completed = mark_completed(job, file=stored_name, size=size, sha256=sha256)
    except (DatabaseError, UnicodeEncodeError) as error:
        if not is_unstorable(error):
            raise
        fail_stored(job, UNSTORABLE_NAME.format(ascii(stored_name)), stored_name)
        return
    if not is_completed and not _is_referenced(job, stored_name):
        logger.warning("Job %s moved on while its file was stored: deleting the file", job.pk)
        delete_stored(job, stored_name)
    spool.discard(path)


def fail_stored(job: RenderJob, problem: str, stored_name: str) -> None:
    """Fail a job whose stored file the row cannot refer to, and delete that file.

    A retry stores the spooled file again.
    """
    fail(job, ErrorCode.STORAGE_ERROR, problem)
    if not _is_referenced(job, stored_name):
        delete_stored(job, stored_name)


def delete_stored(job: RenderJob, stored_name: str) -> None:
    """Delete a file that no row refers to. On failure an unused file remains."""
    try:
        job.file.storage.delete(stored_name)
    except Exception:
        logger.exception("Job %s: could not delete the stored file %r", job.pk, stored_name)


def _is_referenced(job: RenderJob, stored_name: str) -> bool:
    """Return whether the row references the file, or another worker is about to."""
    current = RenderJob.objects.filter(pk=job.pk).first()
    if current is None:
        return False
    is_reserved = not current.is_final and current.reserved_name == stored_name
    return current.file.name == stored_name or is_reserved
