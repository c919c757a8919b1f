"""Internal. Download the selected jobs: their files as one ZIP, or their columns as CSV.

Both are streamed: one block of a file, or one batch of rows, is in memory.
"""

import csv
import logging
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any, Final, cast

from django.db.models import QuerySet, prefetch_related_objects
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from django_docraptor.admin.columns import ERRORS_START
from django_docraptor.admin.downloads import is_readable, mark_readable
from django_docraptor.archives import BLOCK_SIZE, MISSING_NAME, missing_text, new_entry
from django_docraptor.csv_text import safe_cell
from django_docraptor.explanations import explain
from django_docraptor.instrumentation import log_fields
from django_docraptor.models import RenderJob
from django_docraptor.responses import record_downloads
from django_docraptor.responses.streaming import BlockwiseResponse
from django_docraptor.shortcuts import describe_actor
from django_docraptor.states import State

logger = logging.getLogger(__name__)

# Files of one ZIP, and rows of one CSV file.
MAX_FILES: Final = 200
MAX_ROWS: Final = 50_000
BATCH_SIZE: Final = 500
COLUMNS: Final = (
    *("id", "name", "document", "type", "test", "state", "error_code", "reason", "account"),
    *("owner", "source", "attempt", "pages", "size", "created_at", "submitted_at", "finished_at"),
    "seconds",
)


class _Sink:
    """Collects what a ZipFile writes. It cannot seek, so that the ZIP file is written in order."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, block: bytes) -> int:
        """Keep a block until it is sent."""
        self._blocks.append(bytes(block))
        return len(block)

    def flush(self) -> None:
        """Do nothing: the blocks are sent by the response."""

    def take(self) -> bytes:
        """Return what was written since the last call."""
        blocks, self._blocks = self._blocks, []
        return b"".join(blocks)


def zip_response(request: HttpRequest, jobs: list[RenderJob]) -> BlockwiseResponse | None:
    """Return a ZIP of the files that the user may download; ``None`` if there are none.

    Each of them is recorded as downloaded.

    Args:
        request: tells the user.
        jobs: at most ``MAX_FILES``.
    """
    mark_readable(request, jobs)
    included = [job for job in jobs if job.file and is_readable(job)]
    if not included:
        return None
    missing = [
        f"{job.name}: {_('You may not download it.') if job.file else _('It has no file.')}"
        for job in jobs
        if job not in included
    ]
    record_downloads(included, by=describe_actor(cast(Any, request.user)))
    return _attachment(zip_blocks(included, missing), "application/zip", "zip")


def zip_blocks(jobs: Iterable[RenderJob], missing: Iterable[str] = ()) -> Iterator[bytes]:
    """Yield a ZIP of the jobs' files, each under a name of its own.

    Args:
        jobs: with files.
        missing: lines about documents that are not in it.
    """
    sink, names, lines = _Sink(), set[str](), list(missing)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # type: ignore[call-overload] # it only writes
        for job in jobs:
            try:
                file = job.file.open("rb")
            except Exception:  # a storage raises errors of its own
                logger.exception(
                    "Job %s: the file could not be opened for a ZIP", job.pk, extra=log_fields(job)
                )
                lines.append(f"{job.name}: {_('Its file could not be read.')}")
                continue
            with file, archive.open(new_entry(job, names), "w") as target:
                while block := file.read(BLOCK_SIZE):
                    target.write(block)
                    yield sink.take()
        if lines:
            archive.writestr(MISSING_NAME, missing_text(lines))
    yield sink.take()


def csv_response(queryset: QuerySet[RenderJob]) -> BlockwiseResponse | None:
    """Return the rows as CSV, in their order; ``None`` if there are more than ``MAX_ROWS``."""
    keys = list(queryset.values_list("pk", flat=True)[: MAX_ROWS + 1])
    if len(keys) > MAX_ROWS:
        return None
    return _attachment(csv_blocks(queryset, keys), "text/csv; charset=utf-8", "csv")


def csv_blocks(queryset: QuerySet[RenderJob], keys: list[uuid.UUID]) -> Iterator[bytes]:
    """Yield the rows of these jobs as CSV, a batch at a time, with names of the columns first."""
    language = translation.get_language()
    # Excel takes a file without this mark for another encoding.
    yield "\ufeff".encode() + _csv([COLUMNS])
    for start in range(0, len(keys), BATCH_SIZE):
        batch = keys[start : start + BATCH_SIZE]
        found = {job.pk: job for job in queryset.order_by().filter(pk__in=batch)}
        jobs = [found[key] for key in batch if key in found]
        prefetch_related_objects(jobs, "owner")
        with translation.override(language):
            yield _csv(_row(job) for job in jobs)


def _row(job: RenderJob) -> list[Any]:
    reason = ""
    if job.state == State.FAILED:
        reason = str(explain(job.error_code, getattr(job, ERRORS_START, "")).title)
    source = job.content_type
    took = None if job.time_taken is None else job.time_taken.total_seconds()
    return [
        job.pk,
        job.name,
        job.document,
        job.document_type,
        "test" if job.test else "live",
        job.state,
        job.error_code,
        reason,
        job.account,
        job.owner,
        f"{source.app_label}.{source.model} {job.object_id}" if source else "",
        job.attempt,
        job.number_of_pages,
        job.file_size,
        *(
            time and time.isoformat(timespec="milliseconds")
            for time in (job.created_at, job.submitted_at, job.finished_at)
        ),
        None if took is None else f"{took:.3f}",
    ]


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = StringIO()
    csv.writer(text).writerows([safe_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _attachment(blocks: Iterator[bytes], content_type: str, extension: str) -> BlockwiseResponse:
    response = BlockwiseResponse(blocks, content_type=content_type)
    name = f"documents-{timezone.localtime():%Y-%m-%d-%H%M%S}.{extension}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    add_never_cache_headers(response)
    return response
