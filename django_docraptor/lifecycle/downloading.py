"""Internal. DOWNLOADING → COMPLETED: download once, verify, store, confirm.

Every stage can be killed and resumed: the spool keeps the bytes, ``reserved_name`` the storage
name.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.files import File
from django.db import DatabaseError

from django_docraptor import discarded_files, spool
from django_docraptor.exceptions import DocRaptorError, RejectedError
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.account_refusals import concerns_account
from django_docraptor.lifecycle.accounts import claim, connect, release
from django_docraptor.lifecycle.claims import fail_killer
from django_docraptor.lifecycle.clients import KeyedClient
from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.lifecycle.patience import Stage
from django_docraptor.lifecycle.post_processing import (
    PostProcessError,
    is_post_processed,
    post_process,
)
from django_docraptor.lifecycle.postponement import pause_account_and_postpone, postpone_or_fail
from django_docraptor.lifecycle.stored_files import (
    UNSTORABLE_NAME,
    delete_stored,
    delete_unless_referenced,
    name_to_delete,
    stored_name_problem,
)
from django_docraptor.lifecycle.transitions import (
    download_fields,
    fail,
    mark_completed,
    storage_name_for,
)
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.jobs import NO_FAILURES
from django_docraptor.models.measurements import publish_step
from django_docraptor.models.text import is_unstorable
from django_docraptor.states import (
    STORE_LEASE_SECONDS,
    ErrorCode,
    State,
)

logger = logging.getLogger(__name__)

# Seconds after which a run leaves the remaining jobs to the next one.
RUN_SECONDS = 5.0
# A download that takes less leaves enough of its lease to store the file.
QUICK_DOWNLOAD_SECONDS = 10.0


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
    for job in claim([State.DOWNLOADING], limit=1, lease=lease_for(State.DOWNLOADING)):
        may_have_file = bool(job.reserved_name)
        if job.update_leased(**download_fields(job)):
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
    # What a failed download writes: it has ended, and no file was stored for it.
    undo: dict[str, Any] = {"download_attempts": earlier_downloads}
    if not may_have_file:
        undo["reserved_name"] = ""
    try:
        path = spool.path_for(storage_name_for(job))
    except spool.SpoolError as error:
        postpone_or_fail(job, Stage.DOWNLOAD, error, **undo)
        return
    is_spooled = path.exists()
    if not is_spooled and not download_to_spool(job, path, undo):
        return
    # A quick download is small: the current lease is long enough to store it.
    is_quick = not is_spooled and time.monotonic() - started < QUICK_DOWNLOAD_SECONDS
    is_quick = is_quick and not is_post_processed(job)
    renewal = {"due_at": seconds_from_now(STORE_LEASE_SECONDS)}
    if is_spooled:
        renewal["download_attempts"] = earlier_downloads
    if is_quick or job.update_leased(**renewal):
        # A name that was reserved earlier, by this attempt or another, may already have a file.
        may_have_file = may_have_file or job.reserved_name != storage_name_for(job)
        process_and_store(
            job, path, may_have_file=may_have_file, earlier_downloads=earlier_downloads
        )


def download_to_spool(job: RenderJob, path: Path, undo: Mapping[str, Any]) -> bool:
    """Download into the spool and verify, if the document may be downloaded.

    Args:
        undo: columns that a failed download writes.

    Returns:
        Whether the document is there.
    """
    keyed = connect(job.account)
    if keyed is None:
        release(job, **undo)
        return False
    try:
        if job.refused_since is not None and not ask_before_download(job, keyed, undo):
            return False
        if spool.remove_stale():
            discarded_files.remove_erased_from_spool()
        spool.ensure_free_space()
        with spool.open_partial(path, job.lease_token) as file:
            saved = keyed.ask(
                "download", lambda client: client.download(job.download_id, file), job=job
            )
        spool.finalize(
            path,
            job.lease_token,
            job.document_type,
            content_type=getattr(saved, "content_type", ""),  # a custom client may return nothing
            redact=lambda text: keyed.client.redact(text, job.download_id),
        )
    except Exception as error:  # noqa: BLE001 - a custom client may raise anything
        handle_download_error(job, error, undo)
        return False
    # What the storage does next is not a part of the download's row of failures.
    vars(job).update(NO_FAILURES)
    return True


def ask_before_download(job: RenderJob, keyed: KeyedClient, undo: Mapping[str, Any]) -> bool:
    """Ask for the status of a document whose file was refused, before its next download.

    If the status cannot be read, the download itself is the question.

    Returns:
        Whether to download it.
    """
    try:
        remote = keyed.ask("get_status", lambda client: client.get_status(job.status_id), job=job)
    except DocRaptorError as error:
        logger.warning(
            "Job %s: no status before the next download: %s", job.pk, error, extra=log_fields(job)
        )
        return job.update_leased(due_at=seconds_from_now(lease_for(State.DOWNLOADING)))
    if remote.is_failed:
        code = ErrorCode.RENDER_FAILED
        fail(job, code, remote.failure_reason, message=remote.message, **undo)
        return False
    if not remote.is_completed:
        message = f"DocRaptor had finished the document, but reports {remote.status!r} again."
        postpone_or_fail(job, Stage.DOWNLOAD, RejectedError(message), **undo)
        return False
    return job.update_leased(
        due_at=seconds_from_now(lease_for(State.DOWNLOADING)),
        download_id=remote.download_id or job.download_id,
    )


def handle_download_error(job: RenderJob, error: Exception, undo: Mapping[str, Any]) -> None:
    """Handle a failed download: try again later.

    A refused, failed or cut download has ended, so it does not count as begun.
    """
    if concerns_account(error):
        pause_account_and_postpone(job, error, **undo)
        return
    if not isinstance(error, (DocRaptorError, OSError)):
        logger.error(
            "Job %s: unexpected error in a download", job.pk, exc_info=error, extra=log_fields(job)
        )
    postpone_or_fail(job, Stage.DOWNLOAD, error, **undo)


def process_and_store(
    job: RenderJob, path: Path, *, may_have_file: bool, earlier_downloads: int
) -> None:
    """Let the document class process the spooled file, and store the result."""
    try:
        result = post_process(job, path)
    except PostProcessError as error:
        postpone_or_fail(job, Stage.POST_PROCESS, error, download_attempts=earlier_downloads)
        return
    try:
        store_file(
            job,
            path,
            result,
            may_have_file=may_have_file,
            earlier_downloads=earlier_downloads,
        )
    finally:
        if result != path:
            spool.discard(result)


def store_file(
    job: RenderJob, path: Path, result: Path, *, may_have_file: bool, earlier_downloads: int
) -> None:
    """Save a file to the storage, then complete the job.

    Args:
        path: the downloaded file, for another try.
        result: the file to save.
    """
    name, started = job.reserved_name, time.monotonic()
    try:
        size, sha256 = spool.size_and_sha256(result)
        stored_name: object
        # Open first: another worker that completes the job deletes the spool file.
        with result.open("rb") as file:
            if may_have_file:  # what a killed worker may have left under the reserved name
                delete_stored(job, name)
            stored_name = job.file.storage.save(name, File(file, name=name))
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        postpone_or_fail(job, Stage.STORAGE, error, download_attempts=earlier_downloads)
    else:
        if problem := stored_name_problem(stored_name):
            fail_stored(job, problem, name_to_delete(stored_name, name))
        else:
            seconds = time.monotonic() - started
            publish_step(job, "store", seconds)
            confirm_stored(job, path, str(stored_name), size, sha256, seconds)


def confirm_stored(
    job: RenderJob, path: Path, stored_name: str, size: int, sha256: str, store_seconds: float
) -> None:
    """Complete the job with the stored file. If the job has moved on, delete the file."""
    try:
        is_completed = mark_completed(
            job, file=stored_name, size=size, sha256=sha256, store_seconds=store_seconds
        )
    except (DatabaseError, UnicodeEncodeError) as error:
        if not is_unstorable(error):
            raise
        fail_stored(job, UNSTORABLE_NAME.format(ascii(stored_name)), stored_name)
        return
    if not is_completed:
        delete_unless_referenced(job, stored_name)
    spool.discard(path)


def fail_stored(job: RenderJob, problem: str, stored_name: str) -> None:
    """Fail a job whose stored file the row cannot refer to, and delete that file.

    A retry stores the spooled file again.
    """
    fail(job, ErrorCode.STORAGE_ERROR, problem)
    delete_unless_referenced(job, stored_name)
