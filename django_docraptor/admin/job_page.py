"""Internal. The page of a job in the admin: why, when, with which IDs, and what can be done."""

from functools import partial
from typing import Any
from urllib.parse import quote

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.paginator import Paginator
from django.forms import Media
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from django_docraptor import registry
from django_docraptor.admin import display
from django_docraptor.admin.again import again_view
from django_docraptor.admin.changed import read_changed_times
from django_docraptor.admin.downloads import READABLE_ATTRIBUTE, is_readable
from django_docraptor.admin.file_links import file_links
from django_docraptor.admin.inputs import load_stored_input, may_read
from django_docraptor.admin.job_operations import OPERATIONS, JobOperationsAdmin
from django_docraptor.admin.reasons import failure_reason
from django_docraptor.admin.sources import load_sources, loaded_source
from django_docraptor.admin.stored_html import html_frame_view, html_view
from django_docraptor.admin.timeline import history_lines, time_parts, total_time, tries
from django_docraptor.conf import conf
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.documents.presentation import document_title
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.states import HoldReason

# Replaces the result fields for a hosted document.
HOSTED_FIELDS = ("public_link", ("hosted_expires_at", "expired_at"), "number_of_pages")
# Fields that are only shown if a column is set.
FIELD_IF_SET = {
    "warning_lines": "warnings",
    "again_from": "again_of",
    "not_before_time": "not_before",
    "erased": "erased_at",
}
# Maximum number of history lines shown. A job with many callbacks may have more.
MAX_HISTORY_LINES = 200
# Refresh intervals of an unfinished job's page, shorter while the job is young.
FAST_REFRESH_SECONDS = 5
SLOW_REFRESH_SECONDS = 30
FAST_REFRESH_MAX_AGE = 300


class JobPageAdmin(JobOperationsAdmin):
    """The page of a job."""

    readonly_fields = [
        "document_name",
        "type_badges",
        "source_link",
        "copyable_id",
        "copyable_tag",
        "copyable_status_id",
        "copyable_key",
        "size",
        "file_links",
        "public_link",
        "created",
        "submitted",
        "rendered",
        "finished",
        "warning_lines",
        "again_from",
        "not_before_time",
        "erased",
        "callback",
        "due",
        "deadline",
    ]
    fieldsets = [
        (
            _("About"),
            {
                "fields": [
                    ("document_name", "type_badges"),
                    ("source_link", "owner"),
                    ("account", "priority"),
                    "copyable_id",
                    "copyable_tag",
                    "copyable_status_id",
                    "copyable_key",
                ]
            },
        ),
        (
            _("Result"),
            {"fields": [("file_links", "number_of_pages"), ("size", "storage"), "sha256"]},
        ),
        (
            _("Times"),
            {
                "classes": ["collapse"],
                "fields": [
                    ("created", "submitted"),
                    ("rendered", "finished"),
                    ("callback", "due"),
                    ("deadline", "download_attempts"),
                ],
            },
        ),
    ]

    @property
    def media(self) -> Media:
        """Return the admin's own files, with our styles and the script of the Copy buttons."""
        return super().media + Media(
            css={"all": ["django_docraptor/admin.css"]}, js=["django_docraptor/admin-job.js"]
        )

    # The fields.

    @admin.display(description=_("document"))
    def document_name(self, job: RenderJob) -> str:
        """Show the document's title, with its label below it."""
        adapter = registry.find(job.document)
        if not isinstance(adapter, DocumentAdapter):
            return job.document or display.EMPTY_VALUE
        return display.with_subtext(document_title(adapter.document), job.document)

    @admin.display(description=_("type"))
    def type_badges(self, job: RenderJob) -> str:
        """Show the document type with badges for test and public documents."""
        return display.type_badges(job)

    @admin.display(description=_("ID"))
    def copyable_id(self, job: RenderJob) -> str:
        """Show the ID with a button that copies it."""
        return display.copyable(str(job.pk), str(_("Copy the ID")))

    @admin.display(description=_("tag"))
    def copyable_tag(self, job: RenderJob) -> str:
        """Show the current attempt's tag in DocRaptor's log."""
        return display.copyable(job.tag if job.attempt else "", str(_("Copy the tag")))

    @admin.display(description=_("status ID"))
    def copyable_status_id(self, job: RenderJob) -> str:
        """Show DocRaptor's ID of the attempt."""
        return display.copyable(job.status_id or "", str(_("Copy the status ID")))

    @admin.display(description=_("idempotency key"))
    def copyable_key(self, job: RenderJob) -> str:
        """Show the idempotency key."""
        return display.copyable(job.idempotency_key or "", str(_("Copy the idempotency key")))

    @admin.display(description=_("size"))
    def size(self, job: RenderJob) -> str:
        """Show the size of the file."""
        return display.EMPTY_VALUE if job.file_size is None else filesizeformat(job.file_size)

    @admin.display(description=_("file"))
    def file_links(self, job: RenderJob) -> str:
        """Show links to the finished document, for users who may download it."""
        links = file_links(job)
        return display.join_links(links) or display.EMPTY_VALUE

    @admin.display(description=_("public URL"))
    def public_link(self, job: RenderJob) -> str:
        """Show the public URL of a hosted document to users who may download it."""
        if job.is_public and not is_readable(job):
            return str(_("Hidden: you do not have permission to read this document."))
        return display.public_link(job)

    @admin.display(description=_("created at"))
    def created(self, job: RenderJob) -> str:
        """Show when the job was created."""
        return display.format_time(job.created_at)

    @admin.display(description=_("accepted at"))
    def submitted(self, job: RenderJob) -> str:
        """Show when DocRaptor accepted the attempt."""
        return display.format_time(job.submitted_at)

    @admin.display(description=_("rendered at"))
    def rendered(self, job: RenderJob) -> str:
        """Show when DocRaptor had finished the document."""
        return display.format_time(job.rendered_at)

    @admin.display(description=_("finished at"))
    def finished(self, job: RenderJob) -> str:
        """Show when the job was completed, failed or cancelled."""
        return display.format_time(job.finished_at)

    @admin.display(description=_("erased at"))
    def erased(self, job: RenderJob) -> str:
        """Show when all that the job said of a person was erased."""
        return display.format_time(job.erased_at)

    @admin.display(description=_("warnings"))
    def warning_lines(self, job: RenderJob) -> str:
        """Show the number of warnings and, to users who may read the document, the first ones."""
        if not job.generation_log or not is_readable(job):
            return str(job.warnings)
        return format_html("{}<pre>{}</pre>", job.warnings, job.generation_log)

    @admin.display(description=_("generated again from"))
    def again_from(self, job: RenderJob) -> str:
        """Show the job whose document this one generates again."""
        return format_html(
            '<a href="{}">{}</a>', self.page_url("change", job.again_of), job.again_of
        )

    @admin.display(description=_("not before"))
    def not_before_time(self, job: RenderJob) -> str:
        """Show the time before which nothing is sent."""
        return display.format_time(job.not_before)

    @admin.display(description=_("callback received at"))
    def callback(self, job: RenderJob) -> str:
        """Show when DocRaptor's callback for the attempt arrived."""
        return display.format_time(job.callback_at)

    @admin.display(description=_("due at"))
    def due(self, job: RenderJob) -> str:
        """Show when the next step is due."""
        is_open = job.held_at and job.held_for != HoldReason.BUDGET
        return display.EMPTY_VALUE if is_open else display.format_time(job.due_at)

    @admin.display(description=_("deadline"))
    def deadline(self, job: RenderJob) -> str:
        """Show when the accepted attempt fails at the latest."""
        return display.format_time(job.deadline_at)

    # The page.

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs of the HTML as it was sent, and of the page that generates it again."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        views = {
            "html": require_safe(partial(html_view, self)),
            "html_frame": require_safe(partial(html_frame_view, self)),
            "again": partial(again_view, self),
        }
        urls = [
            path(
                f"<uuid:key>/{view_name.replace('_', '-')}/",
                self.admin_site.admin_view(view),
                name=f"{name}_{view_name}",
            )
            for view_name, view in views.items()
        ]
        return [*urls, *super().get_urls()]

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the list's paginator for jobs, and Django's own for the entries of *History*."""
        if queryset.model is LogEntry:
            return Paginator(queryset, *args, **kwargs)
        return super().get_paginator(request, queryset, *args, **kwargs)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> RenderJob | None:
        """Return one job, with its source if the user may view it."""
        job = super().get_object(request, object_id, from_field)
        if job is not None:
            load_sources(self.admin_site, request, [job])
        return job

    def get_fieldsets(self, request: HttpRequest, obj: RenderJob | None = None) -> Any:
        """Return the fieldsets, with a result section only if there is a result."""
        first, *others = self.fieldsets
        if obj is not None:
            more = [field for field, name in FIELD_IF_SET.items() if getattr(obj, name) is not None]
            first = (first[0], {"fields": [*first[1]["fields"], *more]})
        if obj is not None and obj.hosted:
            others[0] = (_("Public access"), {"fields": HOSTED_FIELDS})
        elif obj is not None and not obj.file_size and not obj.number_of_pages:
            del others[0]
        return [first, *others]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the job page. The input is shown only to users who may read the document."""
        job: RenderJob = kwargs["obj"]
        may_see = may_read(request, job)
        setattr(job, READABLE_ATTRIBUTE, may_see)
        events = list(job.events.order_by("-id")[: MAX_HISTORY_LINES + 1])[::-1]
        context |= {
            **self._time_context(job, events),
            "badge": display.state_badge(job.state),
            "reason": failure_reason(job),
            "changed": changed_since(job),
            "stored": load_stored_input(job) if may_see else None,
            "is_hidden": not may_see,
            "file_links": file_links(job),
            "log_url": log_url(job),
            "html_url": self.page_url("html", job.pk) if may_see else "",
            "again_url": self._again_url(request, job),
            "history_url": self.page_url("history", job.pk),
            "refresh": refresh_interval(request, job),
            "operations": [each for each in OPERATIONS if self._is_available(each, request, job)],
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def _time_context(self, job: RenderJob, events: list[RenderEvent]) -> dict[str, Any]:
        """Return when what happened. Of a longer history, no bar can be drawn."""
        now = timezone.now()
        is_whole = len(events) <= MAX_HISTORY_LINES
        return {
            "history": history_lines(events[-MAX_HISTORY_LINES:]),
            "is_history_cut": not is_whole,
            "time_parts": time_parts(job, events, now) if is_whole else [],
            "total_time": total_time(job, now),
            "tries": tries(job, now),
            "when": display.relative_time(job.finished_at or job.created_at),
            "took": display.format_time_taken(job) if job.finished_at else "",
            "zone": timezone.localtime(now).tzname(),
        }


def changed_since(job: RenderJob) -> SafeString | str:
    """Return that the source, if the user may view it, was saved after the content was rendered."""
    changed_at = read_changed_times([job]).get(job.pk)
    if changed_at is None:
        return ""
    return format_html(
        gettext("{source} was saved {ago}, after the content of this document was rendered."),
        source=str(loaded_source(job)),
        ago=display.relative_time(changed_at),
    )


def log_url(job: RenderJob) -> str:
    """Return the URL of the current attempt in DocRaptor's log, if the setting has one."""
    url = conf.log_url
    values = {"{tag}": job.tag if job.attempt else "", "{status_id}": job.status_id or ""}
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        return ""
    for name, value in values.items():
        if name in url and not value:
            return ""
        url = url.replace(name, quote(value, safe=""))
    return url


def refresh_interval(request: HttpRequest, job: RenderJob) -> int:
    """Return the seconds until the page refreshes.

    It is 0 if the job is finished or refreshing is paused.
    """
    if job.is_final or "pause" in request.GET:
        return 0
    age = (timezone.now() - job.created_at).total_seconds()
    return FAST_REFRESH_SECONDS if age < FAST_REFRESH_MAX_AGE else SLOW_REFRESH_SECONDS
