"""Internal. Keep the job list fast with millions of rows: bounded counts, few columns and queries.

``filters`` has its filters, ``search`` its search, ``numbers`` the numbers above it, and
``columns`` what its cells show.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib.admin.options import IncorrectLookupParameters, ModelAdmin
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet, prefetch_related_objects
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.functional import cached_property

from django_docraptor.admin import filters
from django_docraptor.admin.attention import request_health
from django_docraptor.admin.changed import mark_changed
from django_docraptor.admin.columns import ERRORS_START, MAX_ERRORS_READ
from django_docraptor.admin.downloads import mark_readable
from django_docraptor.admin.filters import ALL_JOBS, ATTENTION, SCOPE
from django_docraptor.admin.numbers import Number, read_numbers
from django_docraptor.admin.search import SEARCHED_SINCE
from django_docraptor.admin.sources import load_sources
from django_docraptor.admin.usage import may_view_usage
from django_docraptor.health_reports import HealthReport
from django_docraptor.models import RenderJob

# Rows that are counted and paginated. Filters and search reach older ones.
MAX_COUNTED = 10_000

if TYPE_CHECKING:
    JobPaginator = Paginator[RenderJob]
else:
    JobPaginator = Paginator


class BoundedPaginator(JobPaginator):
    """Paginate the first rows only: counting a million takes seconds."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most ``MAX_COUNTED``.

        The rows are ordered by an index. Otherwise PostgreSQL scans from the start of the table,
        which is mostly empty pages after a prune.
        """
        rows: Any = self.object_list
        if rows.model is not RenderJob:  # Django's *History* has pages, too
            return super().count
        return int(rows.order_by("-created_at").values("pk")[:MAX_COUNTED].count())


class CheckedChangeList(ChangeList):
    """A list whose filters hold no text that a database refuses to compare."""

    def get_filters_params(self, params: Any = None) -> Any:
        """Return the parameters of the filters.

        Raises:
            IncorrectLookupParameters: one has a NUL, with which PostgreSQL raises an error. Django
                then shows the list without filters.
        """
        lookups: dict[str, list[str]] = super().get_filters_params(params)
        if any("\0" in value for values in lookups.values() for value in values):
            raise IncorrectLookupParameters("The value of a filter contains a NUL character.")
        return lookups


class JobChangeList(CheckedChangeList):
    """A page of jobs with their sources, without large columns."""

    # If only the newest jobs were searched: since when those are.
    searched_since: datetime | None = None

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self._request = request
        super().__init__(request, *args, **kwargs)

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Return the rows without the columns that may be large, but with the errors' beginning."""
        rows: Any = super().get_queryset(request, *args, **kwargs)
        rows = rows.without_texts()
        self.searched_since = getattr(request, SEARCHED_SINCE, None)
        jobs: QuerySet[Any] = rows.annotate(**{ERRORS_START: Left("errors", MAX_ERRORS_READ)})
        return jobs

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return the order of the rows: both columns in one direction, as the index has them."""
        ordering: list[Any] = super().get_ordering(request, queryset)
        return ["created_at", "pk"] if ordering[:1] == ["created_at"] else ordering

    @property
    def search_all_url(self) -> str:
        """The URL of the same list, which searches all jobs."""
        return self.get_query_string({SCOPE: ALL_JOBS}, [PAGE_VAR])

    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        """Join nothing that the project has not named: an owner may be in another database."""
        joined: QuerySet[Any] = super().apply_select_related(qs) if self.list_select_related else qs
        return joined

    def get_results(self, request: HttpRequest) -> None:
        """Load the page, the owners of its jobs, their sources, and which of these have changed."""
        super().get_results(request)
        # If none is counted, there is nothing to read.
        self.result_list = list(self.result_list) if self.result_count else []
        prefetch_related_objects(self.result_list, "owner")  # a join needs one database
        load_sources(self.model_admin.admin_site, request, self.result_list)
        mark_readable(request, self.result_list)
        mark_changed(self.result_list)

    @property
    def is_truncated(self) -> bool:
        """Whether there may be more rows than are counted."""
        return self.result_count >= MAX_COUNTED

    @property
    def is_attention_truncated(self) -> bool:
        """Whether there may be more jobs that need a look, or are unfinished, than are listed."""
        return ATTENTION in self.params and self.result_count >= filters.MAX_LISTED

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter or a search leaves out jobs."""
        return bool(self.query or self.has_active_filters)

    @cached_property
    def health(self) -> HealthReport:
        """The state of the engine."""
        return request_health(self._request)

    @cached_property
    def numbers(self) -> list[Number]:
        """The numbers above the list, of all jobs that the user may see."""
        jobs: Any = None  # all: their statement is compiled once
        if type(self.model_admin).get_queryset is not ModelAdmin.get_queryset:
            jobs = self.model_admin.get_queryset(self._request).order_by()
        return read_numbers(jobs, self.health, with_usage=may_view_usage(self._request))

    @property
    def attention_count(self) -> str:
        """How many jobs need a look; "" if none does."""
        return next((each.value for each in self.numbers if each.style == "warning"), "")
