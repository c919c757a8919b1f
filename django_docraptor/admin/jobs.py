"""Internal. The admin for render jobs: a searchable list, a page, and confirmed operations."""

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from django_docraptor.admin import display
from django_docraptor.admin.changelist import (
    MAX_COUNTED,
    BoundedPaginator,
    DocumentFilter,
    ErrorCodeFilter,
    HeldFilter,
    JobChangeList,
    search_jobs,
)
from django_docraptor.admin.inputs import load_stored_input, may_read
from django_docraptor.admin.operations import CANCEL, EXPIRE, RELEASE, RETRY, Operation, Plan
from django_docraptor.admin.retry_all import retry_all_view
from django_docraptor.admin.sources import load_sources, source_link
from django_docraptor.exceptions import DocRaptorError
from django_docraptor.models import RenderJob
from django_docraptor.states import State

OPERATIONS = (RETRY, RELEASE, CANCEL, EXPIRE)
# Replaces the result fields for a hosted document.
HOSTED_FIELDS = ("public_link", ("hosted_expires_at", "expired_at"), "number_of_pages")
# Maximum number of history lines shown. A job with many callbacks may have more.
MAX_HISTORY_LINES = 200
# Maximum number of jobs per confirmation, so that a person can read it.
MAX_SELECTED = 500
# Attribute that tells whether the current user may read the job's document.
READABLE_ATTRIBUTE = "_docraptor_readable"
# Refresh intervals of an unfinished job's page, shorter while the job is young.
FAST_REFRESH_SECONDS = 5
SLOW_REFRESH_SECONDS = 30
FAST_REFRESH_MAX_AGE = 300

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[RenderJob]
else:
    JobModelAdmin = admin.ModelAdmin


@admin.register(RenderJob)
class RenderJobAdmin(JobModelAdmin):
    """Read-only: only the state machine changes jobs."""

    list_display = [
        "name_summary",
        "state_summary",
        "source_link",
        "owner",
        "number_of_pages",
        "time_taken",
        "created_at",
    ]
    list_filter = [
        "state",
        HeldFilter,
        ErrorCodeFilter,
        "document_type",
        "test",
        DocumentFilter,
        "created_at",
    ]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    ordering = ["-created_at"]
    # Only columns that have an index.
    sortable_by = ["created_at"]
    search_fields = ["id", "status_id", "idempotency_key", "name"]
    search_help_text = _(
        "Search by exact ID, status ID or idempotency key, or by the beginning of the name."
    )
    actions = ["retry_selected", "release_selected", "cancel_selected"]
    view_on_site = False
    empty_value_display = display.EMPTY_VALUE

    readonly_fields = [
        "state_badge",
        "type_badges",
        "source_link",
        "time_taken",
        "size",
        "download_link",
        "public_link",
    ]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("state_badge", "type_badges"),
                    ("name", "document"),
                    ("source_link", "owner"),
                ]
            },
        ),
        (
            _("Result"),
            {"fields": [("download_link", "number_of_pages"), ("size", "storage"), "sha256"]},
        ),
        (
            _("Timing"),
            {
                "fields": [
                    ("created_at", "submitted_at"),
                    ("rendered_at", "finished_at"),
                    ("time_taken", "due_at"),
                ]
            },
        ),
        (
            _("DocRaptor"),
            {
                "fields": [
                    ("attempt", "account"),
                    ("status_id", "download_attempts"),
                    ("callback_at", "deadline_at"),
                    ("idempotency_key", "priority"),
                ]
            },
        ),
    ]

    class Media:
        css = {"all": ["django_docraptor/admin.css"]}

    # Permissions.

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: jobs are created by code."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: a job changes only through its operations."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: deleting the row would orphan its stored file."""
        return False

    def has_retry_permission(self, request: HttpRequest, obj: RenderJob | None = None) -> bool:
        """Return whether the user may retry jobs, each of which may be billed."""
        return self._has_operation_permission(RETRY, request, obj)

    def has_release_permission(self, request: HttpRequest, obj: RenderJob | None = None) -> bool:
        """Return whether the user may release held jobs, each of which may be billed."""
        return self._has_operation_permission(RELEASE, request, obj)

    def has_cancel_permission(self, request: HttpRequest, obj: RenderJob | None = None) -> bool:
        """Return whether the user may cancel jobs."""
        return self._has_operation_permission(CANCEL, request, obj)

    def has_expire_permission(self, request: HttpRequest, obj: RenderJob | None = None) -> bool:
        """Return whether the user may expire hosted documents."""
        return self._has_operation_permission(EXPIRE, request, obj)

    def _has_operation_permission(
        self, operation: Operation, request: HttpRequest, job: RenderJob | None
    ) -> bool:
        user = cast(Any, request.user)
        return self.has_view_permission(request, job) and user.has_perm(operation.permission)

    # The list.

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobChangeList]:
        """Return the changelist with bounded counts."""
        return JobChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob], search_term: str
    ) -> tuple[models.QuerySet[RenderJob], bool]:
        """Search by an exact key, or by the beginning of the name."""
        return search_jobs(queryset, search_term), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, with a link to retry what can resume."""
        context = {
            "max_counted": MAX_COUNTED,
            "may_retry": self.has_retry_permission(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @admin.display(description=_("name"))
    def name_summary(self, job: RenderJob) -> str:
        """Show the name, with the document, the type and a test badge below it."""
        return display.with_subtext(job.name, job.document, display.type_badges(job))

    @admin.display(description=_("state"))
    def state_summary(self, job: RenderJob) -> str:
        """Show the state, with the attempt and the error code or a download link below it."""
        attempt = _("attempt %(number)d") % {"number": job.attempt} if job.attempt else ""
        file = self.download_link(job) if job.state == State.COMPLETED else ""
        held = str(_("held: release it, or cancel it")) if job.held_at else ""
        badge = display.state_badge(job.state)
        return display.with_subtext(badge, attempt, held, job.error_code, file)

    @admin.display(description=_("state"))
    def state_badge(self, job: RenderJob) -> str:
        """Show the state as a badge."""
        return display.state_badge(job.state)

    @admin.display(description=_("type"))
    def type_badges(self, job: RenderJob) -> str:
        """Show the document type with badges for test and public documents."""
        return display.type_badges(job)

    @admin.display(description=_("source"))
    def source_link(self, job: RenderJob) -> str:
        """Show the source, with a link to its admin page if the user may view it."""
        return source_link(self.admin_site, job)

    @admin.display(description=_("duration"))
    def time_taken(self, job: RenderJob) -> str:
        """Show the time from creation to the end."""
        return display.format_time_taken(job)

    @admin.display(description=_("size"))
    def size(self, job: RenderJob) -> str:
        """Show the size of the file."""
        return display.EMPTY_VALUE if job.file_size is None else filesizeformat(job.file_size)

    @admin.display(description=_("file"))
    def download_link(self, job: RenderJob) -> str:
        """Show a download link once the document is finished."""
        if job.state != State.COMPLETED or (job.hosted and not job.is_public):
            return display.EMPTY_VALUE
        return format_html('<a href="{}">{}</a>', job.get_absolute_url(), _("Download"))

    @admin.display(description=_("public URL"))
    def public_link(self, job: RenderJob) -> str:
        """Show the public URL of a hosted document to users who may download it."""
        if job.is_public and not getattr(job, READABLE_ATTRIBUTE, False):
            return str(_("Hidden: you do not have permission to read this document."))
        return display.public_link(job)

    # The page of a job.

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
        is_readable = may_read(request, job)
        setattr(job, READABLE_ATTRIBUTE, is_readable)
        context |= {
            "history": display.history_lines(job.events.order_by("-id")[:MAX_HISTORY_LINES])[::-1],
            "stored": load_stored_input(job) if is_readable else None,
            "is_hidden": not is_readable,
            "refresh": refresh_interval(request, job),
            "operations": [each for each in OPERATIONS if self._is_available(each, request, job)],
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def _is_available(self, operation: Operation, request: HttpRequest, job: RenderJob) -> bool:
        if operation.get_outcome(job) is None:
            return False
        return self._has_operation_permission(operation, request, job)

    # The operations.

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs of the confirmation pages."""
        view = self.admin_site.admin_view(self.operation_view)
        urls = [
            path(
                f"<uuid:key>/{operation.name}/",
                view,
                {"operation": operation},
                name=f"{self.opts.app_label}_{self.opts.model_name}_{operation.name}",
            )
            for operation in OPERATIONS
        ]
        retry_all = path(
            "retry-resumable/",
            self.admin_site.admin_view(partial(retry_all_view, self)),
            name=f"{self.opts.app_label}_{self.opts.model_name}_retry_resumable",
        )
        return [*urls, retry_all, *super().get_urls()]

    def operation_view(
        self, request: HttpRequest, key: uuid.UUID, operation: Operation
    ) -> HttpResponse:
        """Show the confirmation page for one job (GET), or run the operation (POST).

        Raises:
            PermissionDenied: the user may not run the operation.
            Http404: there is no such job.
        """
        job = self.get_object(request, str(key))
        if not self._has_operation_permission(operation, request, job):
            raise PermissionDenied
        if job is None:
            raise Http404
        url = reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_change",
            args=[key],
            current_app=self.admin_site.name,
        )
        return self._confirm_or_run(request, operation, [job], return_url=url)

    @admin.action(permissions=["retry"], description=_("Retry selected %(verbose_name_plural)s"))
    def retry_selected(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponse:
        """Retry the failed jobs in the selection."""
        return self._confirm_selected(request, RETRY, queryset)

    @admin.action(
        permissions=["release"], description=_("Release selected %(verbose_name_plural)s")
    )
    def release_selected(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponse:
        """Release the held jobs in the selection."""
        return self._confirm_selected(request, RELEASE, queryset)

    @admin.action(permissions=["cancel"], description=_("Cancel selected %(verbose_name_plural)s"))
    def cancel_selected(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponse:
        """Cancel the unfinished jobs in the selection."""
        return self._confirm_selected(request, CANCEL, queryset)

    def _confirm_selected(
        self, request: HttpRequest, operation: Operation, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponse:
        url = request.get_full_path()
        jobs = list(queryset[: MAX_SELECTED + 1])
        if len(jobs) > MAX_SELECTED:
            message = _("You can select at most %(count)d jobs at a time.")
            self.message_user(request, message % {"count": MAX_SELECTED}, messages.ERROR)
            return HttpResponseRedirect(url)
        return self._confirm_or_run(request, operation, jobs, return_url=url)

    def _confirm_or_run(
        self, request: HttpRequest, operation: Operation, jobs: list[RenderJob], *, return_url: str
    ) -> HttpResponse:
        plan = Plan.for_jobs(operation, jobs)
        fingerprint = request.POST.get("fingerprint", "")
        if not plan.jobs:
            self.message_user(request, operation.empty_message, messages.WARNING)
        elif request.method == "POST" and fingerprint == plan.fingerprint:
            self._run(request, plan)
        else:
            return self._render_confirmation(request, plan, return_url, bool(fingerprint))
        return HttpResponseRedirect(return_url)

    def _run(self, request: HttpRequest, plan: Plan) -> None:
        """Run the operation, and report the result to the user."""
        try:
            count = plan.run(cast(AbstractBaseUser, request.user))
        except DocRaptorError as error:
            message = _("The request to DocRaptor failed: %(reason)s") % {"reason": error}
            self.message_user(request, message, messages.ERROR)
        else:
            message = plan.operation.success_message % {"count": count}
            self.message_user(request, message, messages.SUCCESS)

    def _render_confirmation(
        self, request: HttpRequest, plan: Plan, return_url: str, has_changed: bool
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": plan.title,
            "opts": self.opts,
            "media": self.media,
            "plan": plan,
            "return_url": return_url,
            "has_changed": has_changed,
            "action": request.POST.get("action", ""),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        request.current_app = self.admin_site.name
        template = "admin/django_docraptor/renderjob/confirm_operation.html"
        return TemplateResponse(request, template, context)


def refresh_interval(request: HttpRequest, job: RenderJob) -> int:
    """Return the seconds until the page refreshes.

    It is 0 if the job is finished or refreshing is paused.
    """
    if job.is_final or "pause" in request.GET:
        return 0
    age = (timezone.now() - job.created_at).total_seconds()
    return FAST_REFRESH_SECONDS if age < FAST_REFRESH_MAX_AGE else SLOW_REFRESH_SECONDS
