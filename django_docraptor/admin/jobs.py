"""Internal. The admin for render jobs: a searchable list, a page, and confirmed operations."""

from functools import partial

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from django_docraptor.admin.job_list import JobListAdmin
from django_docraptor.admin.job_page import JobPageAdmin
from django_docraptor.admin.operations import CANCEL, EXPIRE, RELEASE, RETRY, Operation
from django_docraptor.admin.retry_all import retry_all_view
from django_docraptor.admin.share_links import ShareLinksMixin
from django_docraptor.admin.sources import source_link
from django_docraptor.admin.statistics import statistics_view
from django_docraptor.admin.usage import usage_view
from django_docraptor.models import RenderJob

# Maximum number of jobs per confirmation, so that a person can read it.
MAX_SELECTED = 500


@admin.register(RenderJob)
class RenderJobAdmin(ShareLinksMixin, JobListAdmin, JobPageAdmin):
    """Read-only: only the state machine changes jobs."""

    view_on_site = False

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

    @admin.display(description=_("source"))
    def source_link(self, job: RenderJob) -> str:
        """Show the source, with a link to its admin page if the user may view it."""
        return source_link(self.admin_site, job)

    # The operations on many jobs.

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs of the statistics, the usage, and the page that retries all failed jobs."""
        views = {
            "retry_all": retry_all_view,
            "statistics": statistics_view,
            "usage": usage_view,
        }
        urls = [
            path(
                f"{name.replace('_', '-')}/",
                self.admin_site.admin_view(partial(view, self)),
                name=f"{self.opts.app_label}_{self.opts.model_name}_{name}",
            )
            for name, view in views.items()
        ]
        return [*urls, *super().get_urls()]

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
        if len(jobs) > MAX_SELECTED and operation is RETRY:
            # All pages of the list are selected: another page has numbers instead of names.
            page = self.page_url("retry_all")
            return HttpResponseRedirect(f"{page}?{request.GET.urlencode()}")
        if len(jobs) > MAX_SELECTED:
            message = _("You can select at most %(count)d jobs at a time.")
            self.message_user(request, message % {"count": MAX_SELECTED}, messages.ERROR)
            return HttpResponseRedirect(url)
        return self._confirm_or_run(request, operation, jobs, return_url=url)
