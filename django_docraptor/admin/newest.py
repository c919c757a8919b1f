"""The newest documents of objects, for a column of a list and for the page of an object."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.contrib.admin import AdminSite
from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Model, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_docraptor.admin.display import NOTHING, badge, public_mark
from django_docraptor.admin.orders import DocumentClass, title_of
from django_docraptor.models import RenderJob, RenderJobQuerySet
from django_docraptor.responses import may_download
from django_docraptor.states import State

# Name under which an object carries its newest jobs, and who looks at them.
ATTRIBUTE = "_docraptor_newest"
# Jobs on the page of an object.
MOST_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest jobs of an object in each state; without a request, nobody may download."""

    jobs: list[RenderJob]
    request: HttpRequest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A job on the page of its object."""

    job: RenderJob
    badge: SafeString
    url: str
    download: str


def may_view_jobs(site: AdminSite, request: HttpRequest) -> bool:
    """Whether the jobs' own pages are there for that user."""
    if not site.is_registered(RenderJob):
        return False
    return site.get_model_admin(RenderJob).has_view_permission(request)


def job_url(site: AdminSite, job: RenderJob) -> str:
    """Address of a job's page."""
    name = "admin:django_docraptor_renderjob_change"
    return reverse(name, args=[job.pk], current_app=site.name)


def attach_newest(
    sources: Iterable[Model],
    documents: Iterable[DocumentClass],
    request: HttpRequest | None = None,
) -> None:
    """Give each object its newest jobs: one query for all objects and documents.

    A column is called with the object alone, so the object carries the request, too.
    """
    objects = list(sources)
    found: dict[str, list[RenderJob]] = {}
    if objects:
        for job in _newest(objects, [document.label for document in documents]):
            found.setdefault(job.object_id, []).append(job)
    for source in objects:
        newest = Newest(jobs=found.get(str(source.pk), []), request=request)
        setattr(source, ATTRIBUTE, newest)


def _newest(objects: list[Model], labels: list[str]) -> RenderJobQuerySet:
    # A job in each state, since the newest one may not be the newest finished one.
    place = Window(
        RowNumber(),
        partition_by=[F("object_id"), F("document"), F("state")],
        order_by=[F("created_at").desc(), F("finished_at").desc(), F("pk").desc()],
    )
    jobs = RenderJob.objects.filter(
        document__in=labels,
        content_type=ContentType.objects.get_for_model(objects[0]),
        object_id__in=[str(source.pk) for source in objects],
    )
    return jobs.defer("errors", "message").annotate(place=place).filter(place=1)


def column(source: Model, documents: list[DocumentClass]) -> str:
    """The documents of an object: how the newest one of each stands, and the file there is."""
    if not hasattr(source, ATTRIBUTE):
        attach_newest([source], documents)
    cells = ((cell,) for cell in _cells(getattr(source, ATTRIBUTE), documents))
    return format_html_join("", '<div class="docraptor-newest">{}</div>', cells) or NOTHING


def _cells(newest: Newest, documents: list[DocumentClass]) -> Iterator[SafeString]:
    for document in documents:
        jobs = [job for job in newest.jobs if job.document == document.label]
        if jobs:
            name = title_of(document) if len(documents) > 1 else ""
            yield _cell(newest.request, name, jobs)


def _cell(request: HttpRequest | None, name: str, jobs: list[RenderJob]) -> SafeString:
    newest = max(jobs, key=lambda job: job.created_at)
    finished = next((job for job in jobs if job.state == State.COMPLETED), None)
    url = download_url(request, finished)
    word = _("Download") if finished is newest else _("Download the last one")
    link = format_html(' <a href="{}">{}</a>', url, word) if url else ""
    named = format_html('<span class="docraptor-quiet">{}</span> ', name) if name else ""
    mark = format_html(" {}", public_mark(finished)) if finished and link else ""
    return format_html("{}{}{}{}", named, badge(newest.state), link, mark)


def download_url(request: HttpRequest | None, job: RenderJob | None) -> str:
    """Where the user gets a finished document; blank if there is none, or not for that user."""
    if request is None or job is None or job.state != State.COMPLETED:
        return ""
    if not job.file and not job.is_public:
        return ""
    return job.get_absolute_url() if may_download(request, job) else ""


def lines(
    site: AdminSite, request: HttpRequest, source: Model, documents: Iterable[DocumentClass]
) -> list[Line]:
    """The latest jobs of an object: all for who may view jobs, else those of these documents."""
    linked = may_view_jobs(site, request)
    jobs = RenderJob.objects.for_source(source).newest_first().defer("errors", "message")
    if not linked:
        jobs = jobs.filter(document__in=[document.label for document in documents])
    return [
        Line(
            job=job,
            badge=format_html("{} {}", badge(job.state), public_mark(job)),
            url=job_url(site, job) if linked else "",
            download=download_url(request, job),
        )
        for job in jobs.select_related("owner")[:MOST_SHOWN]
    ]
