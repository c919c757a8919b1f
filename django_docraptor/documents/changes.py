"""Internal. Whether a document's source was saved after the document's content was rendered.

The time is declared, or else that of an ``auto_now`` field. Without one, nothing is guessed.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from django.db.models import DateTimeField, Model
from django.utils.timezone import is_naive

from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.states import ErrorCode, State

if TYPE_CHECKING:
    from django_docraptor.documents.declaration import Document

logger = logging.getLogger(__name__)

# The source's time is that of the host which saved it, the document's is that of the database.
CLOCK_TOLERANCE: Final = timedelta(seconds=1)
# Errors of a job whose content was rendered when it failed.
RENDERING_ERRORS: Final = (ErrorCode.TEMPLATE_ERROR, ErrorCode.INVALID_REQUEST)


def source_changed_at(document: "type[Document[Any]]", source: Model) -> datetime | None:
    """Return when a document's source was last saved; ``None`` if that is not known.

    A deferred field is not loaded, and an exception counts as not known.
    """
    declared = document.changed_at_field
    name = auto_now_field(type(source)) if declared is None else declared
    if not name or name in source.get_deferred_fields():
        return None
    try:
        value = getattr(source, name)
        value = value() if callable(value) else value
    except Exception:
        logger.exception("%s.changed_at_field %r failed", document.__name__, name)
        return None
    return value if isinstance(value, datetime) else None


@lru_cache(maxsize=256)
def auto_now_field(model: type[Model]) -> str:
    """Return the name of a model's first ``auto_now`` field with a time, or ""."""
    for field in model._meta.concrete_fields:
        if isinstance(field, DateTimeField) and field.auto_now:
            return field.attname
    return ""


def content_rendered_at(job: RenderJob, *, is_stored: bool) -> datetime | None:
    """Return when the content of a job's document was rendered; ``None`` if it was not yet.

    Args:
        job: the job.
        is_stored: its HTML was rendered when it was enqueued.
    """
    # Of an updated job it is not known when, but it was before it was sent.
    if is_stored and not job.revision:
        return job.created_at
    if job.state == State.PENDING:
        return None
    if job.state == State.FAILED and job.error_code in RENDERING_ERRORS:
        return job.finished_at
    return job.sent_at or job.rendered_at


def changed_times(
    pairs: "Iterable[tuple[RenderJob, Model, type[Document[Any]]]]",
) -> dict[Any, datetime]:
    """Return when the sources of jobs were saved, by the jobs' keys, if that was after rendering.

    Takes one query at most, and none if no source was saved after its job was created.

    Args:
        pairs: jobs with their sources and document classes.
    """
    candidates: list[tuple[RenderJob, datetime]] = []
    for job, source, document in pairs:
        changed_at = source_changed_at(document, source)
        if changed_at is not None and _is_later(changed_at, job.created_at):
            candidates.append((job, changed_at))
    if not candidates:
        return {}
    inputs = RenderInput.objects.filter(pk__in=[job.pk for job, _changed_at in candidates])
    stored = set(inputs.exclude(content="").values_list("pk", flat=True))
    times = {}
    for job, changed_at in candidates:
        rendered_at = content_rendered_at(job, is_stored=job.pk in stored)
        if rendered_at is not None and _is_later(changed_at, rendered_at):
            times[job.pk] = changed_at
    return times


def _is_later(time: datetime, other: datetime) -> bool:
    return is_naive(time) == is_naive(other) and time > other + CLOCK_TOLERANCE
