"""Internal. The mark *changed since*: a source was saved after its document's content was rendered.

Only for sources that were loaded, and so only for users who may view them.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from django.db.models import Model
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_docraptor import registry
from django_docraptor.admin.display import exact_time
from django_docraptor.admin.enqueue import DocumentClass
from django_docraptor.admin.sources import loaded_source
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.documents.changes import changed_times
from django_docraptor.models import RenderJob
from django_docraptor.states import State

# Attribute of a job with the time at which its source was saved, if that was later.
CHANGED_ATTRIBUTE: Final = "_docraptor_changed_at"


def read_changed_times(jobs: Iterable[RenderJob]) -> dict[Any, datetime]:
    """Return when the loaded sources of jobs were saved, by the jobs' keys, if that was later.

    Takes one query at most, however many models the sources are of.
    """
    return changed_times(_with_documents(jobs))


def _with_documents(
    jobs: Iterable[RenderJob],
) -> Iterator[tuple[RenderJob, Model, DocumentClass]]:
    for job in jobs:
        source, adapter = loaded_source(job), registry.find(job.document)
        if source is not None and isinstance(adapter, DocumentAdapter):
            yield job, source, adapter.document


def mark_changed(jobs: Iterable[RenderJob]) -> None:
    """Mark the completed jobs whose loaded source was saved after the content was rendered."""
    completed = [job for job in jobs if job.state == State.COMPLETED]
    times = read_changed_times(completed)
    for job in completed:
        setattr(job, CHANGED_ATTRIBUTE, times.get(job.pk))


def changed_mark(job: RenderJob) -> SafeString:
    """Return the mark of a job that was marked as changed, else an empty string."""
    changed_at: datetime | None = getattr(job, CHANGED_ATTRIBUTE, None)
    return SafeString() if changed_at is None else mark_at(changed_at)


def mark_at(changed_at: datetime) -> SafeString:
    """Return the mark of a document whose object was saved after its content was rendered."""
    title = _("Saved on %(time)s, after the content of this document was rendered.")
    return format_html(
        '<span class="docraptor-mark" title="{}">{}</span>',
        title % {"time": exact_time(changed_at)},
        _("changed since"),
    )
