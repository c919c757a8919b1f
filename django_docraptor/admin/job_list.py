"""Internal. The list of jobs in the admin: its columns, filters, search and downloads."""

from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.formats import number_format
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from django_docraptor.admin import columns, display, filters
from django_docraptor.admin.changelist import MAX_COUNTED, BoundedPaginator, JobChangeList
from django_docraptor.admin.exports import MAX_FILES, MAX_ROWS, csv_response, zip_response
from django_docraptor.admin.search import MAX_SEARCHED, search_jobs
from django_docraptor.models import RenderJob
from django_docraptor.responses.permissions import may_preview

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[RenderJob]
else:
    JobModelAdmin = admin.ModelAdmin


# The URL of a hosted document is the document. No filter of the list needs the others.
HIDDEN_COLUMNS: Final = frozenset({"public_url", "file", "request_hash", "input", "share_links"})


def _with_limit(text: Any, limit: int) -> Any:
    """Return the lazy name of an action that tells how many jobs it takes."""
    return lazy(lambda: str(text) % {"limit": number_format(limit, force_grouping=True)}, str)()


class JobListAdmin(JobModelAdmin):
    """The list of jobs; ``jobs`` adds the page of a job and the operations."""

    list_display = ["document_cell", "state_cell", "when_cell", "source_cell", "file_cell"]
    list_filter = [
        filters.AttentionFilter,
        "state",
        filters.DocumentFilter,
        filters.TimeFilter,
        filters.ErrorCodeFilter,
        filters.AccountFilter,
        filters.OwnerFilter,
        ("test", filters.LiveFilter),
        filters.HeldFilter,
        filters.WarnedFilter,
        ("document_type", filters.TypeFilter),
        filters.ScopeFilter,
    ]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    ordering = ["-created_at"]
    # Only columns that have an index.
    sortable_by = ["when_cell"]
    search_fields = ["id", "status_id", "idempotency_key", "name"]
    search_help_text = _(
        "An ID, the number that a customer reads, a status ID, tag or key; or part of a name, "
        "owner or source."
    )
    actions = [
        "retry_selected",
        "release_selected",
        "cancel_selected",
        "download_selected",
        "export_selected",
    ]
    empty_value_display = display.EMPTY_VALUE

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobChangeList]:
        """Return the changelist with bounded counts."""
        return JobChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuse filters by what a job's page hides from users who may not read its document.

        Django lets a URL filter by any column: letter by letter, the list would tell the value.
        """
        if lookup.partition("__")[0] in HIDDEN_COLUMNS:
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob], search_term: str
    ) -> tuple[models.QuerySet[RenderJob], bool]:
        """Search by an exact key, or by a part of the name, the owner or the source."""
        return search_jobs(self.admin_site, request, queryset, search_term), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, with a link to retry what has failed."""
        context = {
            "max_counted": MAX_COUNTED,
            "max_searched": MAX_SEARCHED,
            "max_listed": filters.MAX_LISTED,
            "may_retry": cast(Any, self).has_retry_permission(request),
            "may_preview": may_preview(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    @admin.display(description=_("document"))
    def document_cell(self, job: RenderJob) -> str:
        """Show the name, with the document and a test badge below it."""
        return columns.document_cell(job)

    @admin.display(description=_("state"))
    def state_cell(self, job: RenderJob) -> str:
        """Show the state, with the reason or what happens next below it."""
        return columns.state_cell(job)

    @admin.display(description=_("when"), ordering="created_at")
    def when_cell(self, job: RenderJob) -> str:
        """Show how long ago the document was requested, and how long it took."""
        return columns.when_cell(job)

    @admin.display(description=_("source, owner"))
    def source_cell(self, job: RenderJob) -> str:
        """Show the source with the owner below it."""
        return columns.source_cell(self.admin_site, job)

    @admin.display(description=_("file"))
    def file_cell(self, job: RenderJob) -> str:
        """Show links to the file, with its pages and size below them."""
        return columns.file_cell(job)

    @admin.action(
        permissions=["view"],
        description=_with_limit(_("Download the files as ZIP (at most %(limit)s)"), MAX_FILES),
    )
    def download_selected(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponseBase | None:
        """Download the files of the selection, as far as the user may."""
        jobs = list(queryset[: MAX_FILES + 1])
        if len(jobs) > MAX_FILES:
            message = _("You can download at most %(count)d files at a time.")
            self.message_user(request, message % {"count": MAX_FILES}, messages.ERROR)
            return None
        response = zip_response(request, jobs)
        if response is None:
            message = _("None of the selected jobs has a file that you may download.")
            self.message_user(request, message, messages.WARNING)
        return response

    @admin.action(
        permissions=["view"],
        description=_with_limit(_("Export as CSV (at most %(limit)s jobs)"), MAX_ROWS),
    )
    def export_selected(
        self, request: HttpRequest, queryset: models.QuerySet[RenderJob]
    ) -> HttpResponseBase | None:
        """Download the columns of the selected jobs."""
        response = csv_response(queryset)
        if response is None:
            message = _("You can export at most %(count)d jobs at a time.")
            self.message_user(request, message % {"count": MAX_ROWS}, messages.ERROR)
        return response
