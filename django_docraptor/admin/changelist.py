"""Internal. Keep the job list fast with millions of rows: bounded counts and indexed lookups."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, prefetch_related_objects
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from django_docraptor import registry
from django_docraptor.admin.enqueue import document_title
from django_docraptor.admin.sources import load_sources
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, State

# Rows that are counted and paginated. Filters and search reach older ones.
MAX_COUNTED = 10_000
# Maximum matches per key; only an idempotency key, of several accounts, matches more than one job.
MAX_MATCHES = 50
# Value of the document filter for jobs without a document.
AD_HOC_VALUE = "-"

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
        return int(rows.order_by("-created_at")[:MAX_COUNTED].count())


class JobChangeList(ChangeList):
    """A page of jobs with their sources, without large columns."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Return the rows without the columns that may be large."""
        return super().get_queryset(request, *args, **kwargs).defer("errors", "message")

    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        """Join nothing that the project has not named: an owner may be in another database."""
        joined: QuerySet[Any] = super().apply_select_related(qs) if self.list_select_related else qs
        return joined

    def get_results(self, request: HttpRequest) -> None:
        """Load the page, the owners of its jobs, and their sources."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        prefetch_related_objects(self.result_list, "owner")  # a join needs one database
        load_sources(self.model_admin.admin_site, request, self.result_list)

    @property
    def is_truncated(self) -> bool:
        """Whether there may be more rows than are counted."""
        return self.result_count >= MAX_COUNTED


class HeldFilter(admin.SimpleListFilter):
    """Filter the jobs that wait until a person releases them."""

    title = _("held")
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the only choice beside all jobs."""
        return [("1", _("held"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the held jobs."""
        jobs: Any = queryset
        return jobs.held() if self.value() else queryset


class DocumentFilter(admin.SimpleListFilter):
    """Filter by document.

    The choices come from the registry: a DISTINCT query would scan the whole table.
    """

    title = _("document")
    parameter_name = "document"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """Return the registered documents by title, and "none"."""
        titles = {
            label: document_title(known.document) if isinstance(known, DocumentAdapter) else label
            for label, known in registry.all_documents().items()
        }
        count = Counter(titles.values())
        choices = [
            (label, title if count[title] == 1 else f"{title} ({label})")
            for label, title in titles.items()
        ]
        choices.sort(key=lambda choice: choice[1].casefold())
        return [*choices, (AD_HOC_VALUE, _("none (ad hoc)"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[RenderJob]
    ) -> QuerySet[RenderJob] | None:
        """Return the jobs of the chosen document."""
        if self.value() is None:
            return queryset
        return queryset.filter(document="" if self.value() == AD_HOC_VALUE else self.value())


class ErrorCodeFilter(admin.SimpleListFilter):
    """Filter by error code.

    The choices are all codes: a DISTINCT query would scan the whole table.
    """

    title = _("error code")
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """Return the error codes."""
        return [(code.value, code.value) for code in sorted(ErrorCode)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[RenderJob]
    ) -> QuerySet[RenderJob] | None:
        """Return the jobs that failed with the chosen code: by state and time, as an index has."""
        if self.value() is None:
            return queryset
        return queryset.filter(state=State.FAILED, error_code=self.value())


def search_jobs(queryset: QuerySet[RenderJob], term: str) -> QuerySet[RenderJob]:
    """Return the jobs with this ID, status ID or idempotency key.

    If there is none, return those whose name starts with the term. The lookups run one after the
    other: each uses an index, which they may not when joined by OR.
    """
    term = term.strip()
    if not term:
        return queryset
    for lookup in _lookups(term):
        keys = list(queryset.filter(lookup).order_by().values_list("pk", flat=True)[:MAX_MATCHES])
        if keys:
            return queryset.filter(pk__in=keys)
    return queryset.filter(name__istartswith=term)


def _lookups(term: str) -> Iterator[Q]:
    with suppress(ValueError):
        yield Q(pk=uuid.UUID(hex=term))
    yield Q(status_id=term)
    yield Q(idempotency_key=term)
