"""Internal. Record that documents were downloaded: how often, and by whom.

A record never costs a download: if the database refuses it, the log says so.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from django.db import Error, router, transaction
from django.db.models import F

from django_docraptor.instrumentation import log_fields
from django_docraptor.models import RenderEvent, RenderJob, ShareLink
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.models.text import write_texts
from django_docraptor.states import EventKind

logger = logging.getLogger(__name__)

# Downloads of a job that its history names. The others are only counted.
MAX_RECORDS = 100
ONE_MORE = F("downloads") + 1


def record_download(
    job: RenderJob, *, by: str = "", as_attachment: bool = True, link: ShareLink | None = None
) -> None:
    """Count a download, and add it to the job's history if it is one of the first `MAX_RECORDS`.

    Two statements in a transaction.

    Args:
        job: the job.
        by: who downloads it, as the note of an event.
        as_attachment: whether the browser saves the file instead of showing it.
        link: the share link by which it is downloaded.
    """
    detail: dict[str, Any] = {"as": "attachment" if as_attachment else "inline"}
    if link is not None:
        detail["link"] = link.short_id

    def record() -> None:
        rows = RenderJob.objects.filter(pk=job.pk, erased_at=None)
        # The first UPDATE locks the row, so that no two requests add the last record.
        if rows.filter(downloads__lt=MAX_RECORDS).update(downloads=ONE_MORE):
            job.record_event(EventKind.DOWNLOADED, note=by, detail=detail)
        else:
            rows.update(downloads=ONE_MORE)

    _write_or_log(record, [job])


def record_downloads(jobs: Iterable[RenderJob], *, by: str = "") -> None:
    """Record that many files were downloaded together, in one archive.

    Three statements in a transaction, for any number of jobs.

    Args:
        jobs: those whose files are in the archive.
        by: who downloads it, as the note of the events.
    """
    by_key = {job.pk: job for job in jobs}
    using = router.db_for_write(RenderEvent)

    def record() -> None:
        rows = RenderJob.objects.filter(pk__in=by_key, erased_at=None)
        rows.update(downloads=ONE_MORE)
        recorded = rows.filter(downloads__lte=MAX_RECORDS).values_list("pk", flat=True)
        keys = list(recorded)
        write_texts(
            by, lambda note: _insert_events([by_key[key] for key in keys], note), using=using
        )

    if by_key:
        _write_or_log(record, list(by_key.values()))


def _insert_events(jobs: list[RenderJob], note: str) -> None:
    RenderEvent.objects.bulk_create(
        RenderEvent(
            job=job,
            attempt=job.attempt,
            kind=EventKind.DOWNLOADED,
            from_state=job.state,
            to_state=job.state,
            message=note,
            detail={"as": "archive"},
        )
        for job in jobs
    )


def _write_or_log(record: Callable[[], None], jobs: list[RenderJob]) -> None:
    """Run a record in a transaction; if the database refuses it, log that."""
    using = router.db_for_write(RenderJob)

    def write() -> None:
        with transaction.atomic(using=using):
            record()

    try:
        repeat_conflicts(write, using=using)
    except Error as error:
        for job in jobs:
            logger.error(
                "Job %s: a download was not recorded: %s", job.pk, error, extra=log_fields(job)
            )
