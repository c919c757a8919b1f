"""Internal. After success: what DocRaptor's log says of the making of a document.

A document without its logo is a success. Whatever happens here, the job stays completed.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from django.db import router, transaction

from django_docraptor.client import LogEntry, LogPage
from django_docraptor.exceptions import CallError, ConfigurationError, DocRaptorError
from django_docraptor.lifecycle.account_log import attempt_tag, list_page
from django_docraptor.lifecycle.accounts import connect
from django_docraptor.lifecycle.clients import KeyedClient
from django_docraptor.models import Pause, RenderJob
from django_docraptor.models.text import write_texts
from django_docraptor.states import EventKind, State

# Each entry has its whole log, so a page is small. The attempt is looked for around the time at
# which it was sent, by two clocks; then among the newest, in case the filter is misread.
PAGE_SIZE: Final = 25
MAX_PAGES: Final = 3
MAX_CLOCK_DIFFERENCE: Final = timedelta(minutes=2)
# No further page is read after so many seconds.
READ_SECONDS: Final = 15.0


class GenerationLogError(DocRaptorError):
    """The generation log of a document cannot be read yet."""

    code = "generation_log"


def needs_generation_log(job: RenderJob) -> bool:
    """Return whether DocRaptor has made the document, and its log was not read."""
    is_made = job.state == State.COMPLETED and bool(job.status_id)  # a copy was not made
    return is_made and job.warnings is None and job.erased_at is None


def read_generation_log(job: RenderJob) -> None:
    """Read the log of a completed job, and record its warnings. Safe to repeat.

    Raises:
        DocRaptorError: it cannot be read at present.
    """
    keyed = connect(job.account)
    if keyed is None:
        raise ConfigurationError(f"There is no API key for the account {job.account!r} now.")
    pauses = Pause.objects.filter(account=job.account, creates_only=False)
    if pauses.active_for(keyed.key_hash).exists():
        raise GenerationLogError(f"The account {job.account!r} is paused.")
    for page in _pages(keyed, job):
        for entry in page:
            if entry.warnings is not None and _is_of(entry, job):
                _record(job, entry.warnings, entry.first_warnings)
                return
    raise GenerationLogError(
        "DocRaptor's log does not list the attempt, or lists it without a generation log."
    )


def _pages(keyed: KeyedClient, job: RenderJob) -> Iterator[LogPage]:
    """Yield the pages on which the attempt is looked for."""
    stop = time.monotonic() + READ_SECONDS
    if job.sent_at is not None:
        period = {
            "start": job.sent_at - MAX_CLOCK_DIFFERENCE,
            "end": job.sent_at + MAX_CLOCK_DIFFERENCE,
        }
        for number in range(1, MAX_PAGES + 1):
            try:
                page = list_page(keyed, **period, page=number, per_page=PAGE_SIZE)
            except CallError as error:
                if error.retryable:
                    raise
                break  # the service does not accept the filter
            yield page
            if not page or time.monotonic() > stop:
                break
    yield list_page(keyed, page=1, per_page=PAGE_SIZE)


def _is_of(entry: LogEntry, job: RenderJob) -> bool:
    return attempt_tag(entry) == job.tag or entry.status_id == job.status_id


def _record(job: RenderJob, warnings: int, first_warnings: str) -> None:
    """Write the columns and, if there are warnings, an event whose signal tells the project."""
    using = router.db_for_write(RenderJob)
    rows = RenderJob.objects.filter(pk=job.pk, state=State.COMPLETED, warnings=None, erased_at=None)

    def write(texts: dict[str, Any]) -> None:
        with transaction.atomic(using=using):
            if not rows.update(warnings=warnings, **texts):
                return
            job.warnings, job.generation_log = warnings, texts["generation_log"]
            if warnings:
                event = job.record_event(EventKind.WARNED, detail={"warnings": warnings})
                event.send_signal_on_commit(job, using=using)

    write_texts({"generation_log": first_warnings}, write, using=using)
