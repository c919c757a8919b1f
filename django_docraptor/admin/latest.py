"""Internal. Find the latest jobs of objects, for the changelist column and the object page."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Model, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_docraptor.admin.changed import mark_at
from django_docraptor.admin.display import (
    EMPTY_VALUE,
    public_badge,
    state_badge,
)
from django_docraptor.admin.enqueue import DocumentClass
from django_docraptor.documents.changes import changed_times
from django_docraptor.documents.presentation import document_title
from django_docraptor.models import RenderJob, RenderJobQuerySet
from django_docraptor.models.sources import source_key
from django_docraptor.responses.many_documents import may_list
from django_docraptor.states import State

# Attribute of an object that holds its latest jobs and the current request.
LATEST_JOBS_ATTRIBUTE = "_docraptor_latest_jobs"
# Maximum number of jobs on the page of an object.
MAX_JOBS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestJobs:
    """The latest job of an object in each state.

    Without a request, no download links are shown. ``changed`` has the time at which the object
    was saved, by the keys of the jobs whose content is older.
    """

    jobs: list[RenderJob]
    request: HttpRequest | None
    changed: Mapping[Any, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job on the page of its object."""

    job: RenderJob
    badge: SafeString
    url: str
    download_url: str


def may_view_jobs(site: AdminSite, request: HttpRequest) -> bool:
    """Return whether the user can open the job pages of this admin site."""
    if not site.is_registered(RenderJob):
        return False
    return site.get_model_admin(RenderJob).has_view_permission(request)


def job_url(site: AdminSite, job: RenderJob) -> str:
    """Return the URL of a job's page."""
    name = "admin:django_docraptor_renderjob_change"
    return reverse(name, args=[job.pk], current_app=site.name)


def attach_latest_jobs(
    sources: Iterable[Model],
    documents: Iterable[DocumentClass],
    request: HttpRequest | None = None,
) -> None:
    """Attach the latest jobs to each object, with one query for all objects and documents.

    A list column receives only the object, so the request is attached too.
    """
    objects = list(sources)
    jobs: dict[str, list[RenderJob]] = {}
    if objects:
        for job in _latest_jobs(objects, [document.label for document in documents]):
            jobs.setdefault(job.object_id, []).append(job)
    changed = _changed_times(objects, jobs, documents)
    for source in objects:
        latest = LatestJobs(jobs=jobs.get(source_key(source), []), request=request, changed=changed)
        setattr(source, LATEST_JOBS_ATTRIBUTE, latest)


def _changed_times(
    objects: Iterable[Model],
    jobs: Mapping[str, list[RenderJob]],
    documents: Iterable[DocumentClass],
) -> dict[Any, datetime]:
    """Return when objects were saved, by the keys of completed jobs that are older."""
    classes = {document.label: document for document in documents}
    return changed_times(
        (job, source, classes[job.document])
        for source in objects
        for job in jobs.get(source_key(source), [])
        if job.state == State.COMPLETED
    )


def _latest_jobs(objects: list[Model], labels: list[str]) -> RenderJobQuerySet:
    # One job per state: the latest job is not necessarily the latest finished one.
    rank = Window(
        RowNumber(),
        partition_by=[F("object_id"), F("document"), F("state")],
        order_by=[F("created_at").desc(), F("finished_at").desc(), F("pk").desc()],
    )
    jobs = RenderJob.objects.filter(
        document__in=labels,
        content_type=ContentType.objects.get_for_model(objects[0]),
        object_id__in=[source_key(source) for source in objects],
    )
    return jobs.without_texts().annotate(rank=rank).filter(rank=1)


def count_completed(document: DocumentClass, objects: list[Model]) -> int:
    """Return how many of the objects have a completed document of a class, by one query."""
    if not objects:
        return 0
    jobs = RenderJob.objects.filter(
        document=document.label,
        state=State.COMPLETED,
        content_type=ContentType.objects.get_for_model(objects[0]),
        object_id__in=[source_key(source) for source in objects],
    )
    return jobs.order_by().values("object_id").distinct().count()


def documents_cell(source: Model, documents: list[DocumentClass]) -> str:
    """Return the latest state of each document, with a link to the last finished file."""
    if not hasattr(source, LATEST_JOBS_ATTRIBUTE):
        attach_latest_jobs([source], documents)
    cells = ((cell,) for cell in _cells(getattr(source, LATEST_JOBS_ATTRIBUTE), documents))
    return format_html_join("", '<div class="docraptor-latest">{}</div>', cells) or EMPTY_VALUE


def _cells(latest: LatestJobs, documents: list[DocumentClass]) -> Iterator[SafeString]:
    for document in documents:
        jobs = [job for job in latest.jobs if job.document == document.label]
        if jobs:
            name = document_title(document) if len(documents) > 1 else ""
            yield _cell(latest, name, jobs)


def _cell(latest: LatestJobs, name: str, jobs: list[RenderJob]) -> SafeString:
    request, latest_job = latest.request, max(jobs, key=lambda job: job.created_at)
    finished = next((job for job in jobs if job.state == State.COMPLETED), None)
    url = download_url(request, finished)
    # While a newer one is being generated, that says more.
    changed_at = latest.changed.get(latest_job.pk)
    label = _("Download") if finished is latest_job else _("Download previous version")
    link = format_html(' <a href="{}">{}</a>', url, label) if url else ""
    name_label = format_html('<span class="docraptor-muted">{}</span> ', name) if name else ""
    public = format_html(" {}", public_badge(finished)) if finished and link else ""
    changed = format_html(" {}", mark_at(changed_at)) if changed_at else ""
    badge = state_badge(latest_job.state)
    return format_html("{}{}{}{}{}", name_label, badge, changed, link, public)


def download_url(request: HttpRequest | None, job: RenderJob | None) -> str:
    """Return the download URL of a finished job.

    It is blank if there is none or the user may not download it.
    """
    if request is None or job is None or job.state != State.COMPLETED:
        return ""
    if not job.file and not job.is_public:
        return ""
    return job.get_absolute_url() if may_list(request, job) else ""


def job_rows(
    site: AdminSite, request: HttpRequest, source: Model, documents: Iterable[DocumentClass]
) -> list[JobRow]:
    """Return the latest jobs of an object.

    These are all of them if the user may view jobs, else only those of the given documents.
    """
    may_view = may_view_jobs(site, request)
    jobs = RenderJob.objects.for_source(source).latest_first().without_texts()
    if not may_view:
        jobs = jobs.filter(document__in=[document.label for document in documents])
    return [
        JobRow(
            job=job,
            badge=format_html("{} {}", state_badge(job.state), public_badge(job)),
            url=job_url(site, job) if may_view else "",
            download_url=download_url(request, job),
        )
        for job in jobs.prefetch_related("owner")[:MAX_JOBS_SHOWN]
    ]
