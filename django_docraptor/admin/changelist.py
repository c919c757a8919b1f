"""What keeps the list of jobs fast when there are millions: bounded counts, indexed lookups."""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from django_docraptor import registry
from django_docraptor.admin.sources import load_sources
from django_docraptor.models import RenderJob

# Rows that are counted, and can be paged to; who looks for older ones filters or searches.
MOST_COUNTED = 10_000
# Jobs that one key finds at most; only a status id may be on more than one.
MOST_FOUND = 50
AD_HOC = "-"

if TYPE_CHECKING:
    JobPaginator = Paginator[RenderJob]
else:
    JobPaginator = Paginator


class BoundedPaginator(JobPaginator):
    """Pages through the first rows only: counting a million of them takes seconds."""

    @cached_property
    def count(self) -> int:
        """How many rows there are, or ``MOST_COUNTED`` if there are more.

        In an order that an index has. Without one PostgreSQL begins where the table begins, which
        after a prune is a long stretch without rows.
        """
        rows: Any = self.object_list
        return int(rows.order_by("-created_at")[:MOST_COUNTED].count())


class JobChangeList(ChangeList):
    """A page of jobs, without their long texts, and with their sources."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """The rows, without the columns that may be large."""
        return super().get_queryset(request, *args, **kwargs).defer("errors", "message")

    def get_results(self, request: HttpRequest) -> None:
        """Load the page."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        load_sources(self.model_admin.admin_site, request, self.result_list)

    @property
    def is_cut(self) -> bool:
        """Whether there may be more rows than are counted."""
        return self.result_count >= MOST_COUNTED


class DocumentFilter(admin.SimpleListFilter):
    """By recipe. The choices are the registered ones: asking the table would read all of it."""

    title = _("document")
    parameter_name = "document"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """The registered documents, and "none"."""
        labels = sorted(registry.all_recipes())
        return [*((label, label) for label in labels), (AD_HOC, _("none (ad hoc)"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[RenderJob]
    ) -> QuerySet[RenderJob] | None:
        """Jobs of the chosen document."""
        if self.value() is None:
            return queryset
        return queryset.filter(document="" if self.value() == AD_HOC else self.value())


def search(queryset: QuerySet[RenderJob], term: str) -> QuerySet[RenderJob]:
    """Jobs with that id, status id or idempotency key; if there is none, by start of the name.

    One lookup after the other: each has an index, and joined by OR they may use none.
    """
    term = term.strip()
    if not term:
        return queryset
    for lookup in _lookups(term):
        keys = list(queryset.filter(lookup).order_by().values_list("pk", flat=True)[:MOST_FOUND])
        if keys:
            return queryset.filter(pk__in=keys)
    return queryset.filter(name__istartswith=term)


def _lookups(term: str) -> Iterator[Q]:
    with suppress(ValueError):
        yield Q(pk=uuid.UUID(hex=term))
    yield Q(status_id=term)
    yield Q(idempotency_key=term)
