"""Internal. PENDING → COMPLETED without a create call, if the same request has a document.

What a job asks for is compared, by a hash, with the newest job of the same document and source. A
signal's job always does so: without it, a receiver that saves the source of a finished document
would have the same document made again, and again. Any other job does so if ``reuse`` allows it.

The file is copied, so that each job has its own, and deleting one takes no other's.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files import File
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from django_docraptor.exceptions import DocRaptorError
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.accounts import release
from django_docraptor.lifecycle.pacing import poll_interval
from django_docraptor.lifecycle.postponement import postpone
from django_docraptor.lifecycle.stored_files import (
    delete_stored,
    delete_unless_referenced,
    name_to_delete,
    stored_name_problem,
)
from django_docraptor.lifecycle.transitions import mark_reused, storage_name_for
from django_docraptor.models import RenderInput, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.models.sources import same_sources
from django_docraptor.payloads import DocumentRequest
from django_docraptor.payloads.json_text import json_pieces
from django_docraptor.payloads.secrets import hash_secrets
from django_docraptor.states import STORE_LEASE_SECONDS, EventKind, State

logger = logging.getLogger(__name__)

# Parts of a request that change the file's name or DocRaptor's log, and not the document.
LABELS = ("name", "tag")
# Columns in which jobs of the same document agree. The input's parameters are compared, too.
IDENTITY_FIELDS = ("document", "content_type_id", "object_id", "account", "document_type", "test")
# Number of recent jobs of an object that are searched.
MAX_CANDIDATES = 20
# States of a job whose document does not exist and never will by itself.
WITHOUT_DOCUMENT = (State.FAILED, State.CANCELLED)
# Columns that are long and not needed.
UNREAD_COLUMNS = ("errors", "public_url", "input__content", "input__url", "input__options")
# Seconds after which a run leaves the remaining copies to the next one.
RUN_SECONDS = 5.0
# Failed copies after which the document is made instead.
MAX_COPY_FAILURES = 5


class NoFileError(DocRaptorError):
    """The earlier file cannot be copied, now or later."""

    code = "no_file_to_reuse"


# Errors after which another try makes no sense.
FINAL_ERRORS = (
    NoFileError,
    FileNotFoundError,
    SuspiciousFileOperation,
    ImproperlyConfigured,
)


@dataclass(frozen=True, slots=True)
class Copy:
    """A claimed job that gets a copy of its twin's file.

    Args:
        may_have_file: an earlier worker may have left a copy under the reserved name.
    """

    job: RenderJob
    twin: RenderJob
    may_have_file: bool


def request_hash(request: DocumentRequest) -> str:
    """Return a hash of what is asked for: content, options, type, and test.

    Two requests of one hash have the same bytes but for the file's name and the tag.
    """
    body = {name: value for name, value in request.to_json().items() if name not in LABELS}
    digest = hashlib.sha256()
    for piece in json_pieces(hash_secrets(body), sort_keys=True, separators=(",", ":")):
        digest.update(piece)
    return digest.hexdigest()


def take_reusable(requests: dict[RenderJob, DocumentRequest]) -> list[Copy]:
    """Take out the jobs for which nothing need be sent, and note the hash of each request.

    A job waits while another one has the same document made.

    Args:
        requests: composed requests by job; those that are not to be sent are removed.

    Returns:
        The copies to make, with their jobs claimed for long enough.
    """
    for job, request in requests.items():
        job.request_hash = request_hash(request)
    jobs = [job for job in requests if may_reuse(job)]
    candidates = _load_candidates(jobs) if jobs else []
    copies: list[Copy] = []
    for job in jobs:
        twin = _newest_other(job, candidates)
        if twin is None:
            continue
        if _is_in_progress(job, twin):
            del requests[job]
            wait_for(job, twin)
        elif _has_document(job, twin):
            del requests[job]
            copies += _claim_for_copy(job, twin)
    return copies


def may_reuse(job: RenderJob) -> bool:
    """Return whether a job may get an earlier file: nothing was ever sent for it."""
    return job.attempt == 0 and not job.hosted and bool(job.object_id) and bool(job.input.reuse)


def _load_candidates(jobs: Iterable[RenderJob]) -> list[RenderJob]:
    """Return the recent jobs of the jobs' objects, newest first, by one query."""
    latest_first = [F("created_at").desc(), F("finished_at").desc(), F("pk").desc()]
    source = [F("document"), F("content_type_id"), F("object_id")]
    rank = Window(RowNumber(), partition_by=source, order_by=latest_first)
    rows = RenderJob.objects.filter(same_sources(jobs), hosted=False).exclude(
        state__in=WITHOUT_DOCUMENT
    )
    rows = rows.select_related("input").defer(*UNREAD_COLUMNS).annotate(database_now=Now())
    ranked = rows.annotate(rank=rank).filter(rank__lte=MAX_CANDIDATES)
    return list(ranked.order_by("rank"))


def _newest_other(job: RenderJob, candidates: Iterable[RenderJob]) -> RenderJob | None:
    """Return the newest other job of the same document that has been or is being made."""
    return next((other for other in candidates if _is_twin(job, other)), None)


def _is_twin(job: RenderJob, other: RenderJob) -> bool:
    is_same = all(getattr(job, name) == getattr(other, name) for name in IDENTITY_FIELDS)
    if other.pk == job.pk or not is_same:
        return False
    if not other.request_hash and not _may_be_composed_now(job, other):
        return False
    other_input = getattr(other, "input", None)  # it may have been pruned
    if other_input is None:
        return other.request_hash == job.request_hash
    return bool(other_input.params == job.input.params)


def _may_be_composed_now(job: RenderJob, other: RenderJob) -> bool:
    """Return whether a worker may be composing the other request, and so be about to send it.

    If it is the same worker, the earlier job goes first. If it is another worker, that one may have
    looked before this job was claimed, so this job waits.
    """
    now = other.claimed_at or timezone.now()
    if not other.lease_token or other.due_at is None or other.due_at <= now:
        return False
    is_earlier = (other.created_at, other.pk) < (job.created_at, job.pk)
    return is_earlier or other.lease_token != job.lease_token


def _is_in_progress(job: RenderJob, twin: RenderJob) -> bool:
    """Return whether the twin's worker is making the same document, or is about to."""
    is_same = twin.request_hash in ("", job.request_hash)
    return not twin.is_final and twin.held_at is None and is_same


def _has_document(job: RenderJob, twin: RenderJob) -> bool:
    """Return whether the twin has the same document, and is young enough."""
    if twin.state != State.COMPLETED or not twin.file or not twin.finished_at:
        return False
    now = twin.claimed_at or timezone.now()
    is_young = now - twin.finished_at <= (job.input.reuse or timedelta(0))
    return twin.request_hash == job.request_hash and is_young


def wait_for(job: RenderJob, twin: RenderJob) -> None:
    """Look again later. The twin comes to an end, as every job does."""
    seconds = poll_interval(twin.attempt_age, twin.account)
    job.update_leased(lease_token="", due_at=seconds_from_now(seconds))


def _claim_for_copy(job: RenderJob, twin: RenderJob) -> Iterator[Copy]:
    """Extend the claim, and reserve the name of the copy."""
    may_have_file = bool(job.reserved_name)
    name = job.reserved_name or storage_name_for(job)
    if job.update_leased(due_at=seconds_from_now(STORE_LEASE_SECONDS), reserved_name=name):
        yield Copy(job, twin, may_have_file)


def make_copies(copies: Iterable[Copy]) -> None:
    """Copy the files and complete the jobs. Copies that take long are left to the next run."""
    stop = time.monotonic() + RUN_SECONDS
    for copy in copies:
        if time.monotonic() > stop:
            release(copy.job)
        else:
            make_copy(copy)


def make_copy(copy: Copy) -> None:
    """Copy one file and complete its job. If that is impossible, the document is made instead."""
    job = copy.job
    try:
        name = _copy_file(copy)
    except FINAL_ERRORS as error:
        make_instead(job, error)
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        if job.failures + 1 >= MAX_COPY_FAILURES:
            make_instead(job, error)
        else:
            postpone(job, error)
    else:
        kind = EventKind.UNCHANGED if job.input.by_trigger else EventKind.REUSED
        if not mark_reused(job, copy.twin, file=name, kind=kind):
            delete_unless_referenced(job, name)


def _copy_file(copy: Copy) -> str:
    """Copy the twin's file to the job's storage, in bounded memory.

    Returns:
        The name that the storage gave it.
    """
    job, twin = copy.job, copy.twin
    storage = job.file.storage
    with twin.file.open("rb") as file:
        sha256 = hashlib.sha256()
        for chunk in file.chunks():
            sha256.update(chunk)
        if sha256.hexdigest() != twin.sha256:
            raise NoFileError(f"The file of job {twin.pk} has changed since it was stored.")
        file.seek(0)
        if copy.may_have_file:
            delete_stored(job, job.reserved_name)
        name: Any = storage.save(job.reserved_name, File(file, name=job.reserved_name))
    if problem := stored_name_problem(name):
        delete_stored(job, name_to_delete(name, job.reserved_name))
        raise NoFileError(problem)
    return str(name)


def make_instead(job: RenderJob, error: Exception) -> None:
    """Have the document made after all: the earlier file cannot be copied."""
    text = f"{type(error).__name__}: {error}"
    logger.warning(
        "Job %s: the earlier file cannot be copied: %s", job.pk, text, extra=log_fields(job)
    )
    RenderInput.objects.filter(pk=job.pk).update(reuse=None)
    message = f"The earlier file cannot be copied, so the document is made: {text}"
    postpone(job, NoFileError(message), delay=0, counted=False)
