"""Internal. The filters of the job list. None of them reads the whole table for its choices."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import IGNORED_PARAMS
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from django_docraptor import registry
from django_docraptor.admin.attention import (
    attention_ranges,
    request_health,
    unfinished_ranges,
)
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.documents.presentation import document_title
from django_docraptor.models import RenderJob, RenderJobQuerySet
from django_docraptor.models.bounded_reads import read_keys
from django_docraptor.states import ErrorCode, State

# Parameter and value of the list for a search among all jobs.
SCOPE: Final = "scope"
ALL_JOBS: Final = "all"
# Parameters and values of the filters by attention and by time.
ATTENTION: Final = "attention"
NEEDS_A_LOOK: Final = "look"
UNFINISHED: Final = "unfinished"
# Jobs of each kind that the filter by attention lists.
MAX_LISTED = 1000
TIME: Final = "time"
DAY: Final = "day"
WEEK: Final = "week"
MONTH: Final = "month"
# Value of the document filter for jobs without a document.
AD_HOC_VALUE: Final = "-"
# Filters that use an index together with the order of the list, and other parameters of a list.
INDEXED_LOOKUPS = frozenset(
    {"state__exact", *(f"created_at__{lookup}" for lookup in ("gte", "gt", "lte", "lt"))}
)
INDEXED_PARAMETERS = frozenset(
    {*INDEXED_LOOKUPS, *IGNORED_PARAMS, "held", "error_code", TIME, SCOPE, "_changelist_filters"}
)
FOLDED: Final = "admin/django_docraptor/renderjob/folded_filter.html"


def since(value: str | None) -> datetime | None:
    """Return when the time of the filter begins; ``None`` for any time."""
    now = timezone.now()
    match value:
        case "day":
            return now - timedelta(days=1)
        case "week":
            return now - timedelta(days=7)
        case "month":
            return timezone.localtime(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return None


def indexed_jobs(request: HttpRequest, jobs: RenderJobQuerySet) -> RenderJobQuerySet:
    """Return the jobs that those filters let through that an index serves."""
    jobs = jobs.filter(
        **{name: value for name, value in request.GET.items() if name in INDEXED_LOOKUPS}
    )
    if code := request.GET.get(ErrorCodeFilter.parameter_name):
        jobs = jobs.filter(state=State.FAILED, error_code=code)
    if begin := since(request.GET.get(TIME)):
        jobs = jobs.filter(created_at__gte=begin)
    return jobs


class AttentionFilter(admin.SimpleListFilter):
    """Filter the jobs that a person should look at, and those that are not finished."""

    title = _("attention")
    parameter_name = ATTENTION

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices beside all jobs."""
        return [(NEEDS_A_LOOK, _("Needs a look")), (UNFINISHED, _("Unfinished"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return the choices with the number of jobs that need a look."""
        for choice in super().choices(changelist):
            is_counted = f"{ATTENTION}={NEEDS_A_LOOK}" in choice["query_string"]
            count = changelist.attention_count if is_counted else ""
            yield {
                **choice,
                "display": f"{choice['display']} ({count})" if count else choice["display"],
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the jobs of the choice: their keys are read first, each kind by its index."""
        jobs: Any = queryset.order_by()
        match self.value():
            case "look":
                ranges = attention_ranges(jobs, request_health(request))
            case "unfinished":
                ranges = unfinished_ranges(jobs)
            case _:
                return queryset
        return queryset.filter(pk__in=read_keys(ranges, MAX_LISTED))


class HeldFilter(admin.SimpleListFilter):
    """Filter the jobs that wait until a person releases them."""

    title = _("held jobs")
    parameter_name = "held"
    template = FOLDED

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the only choice beside all jobs."""
        return [("1", _("held"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the held jobs."""
        jobs: Any = queryset
        return jobs.held() if self.value() else queryset


class WarnedFilter(admin.SimpleListFilter):
    """Filter the documents about which DocRaptor's log has warnings, such as a missing image."""

    title = _("warnings")
    parameter_name = "warned"
    template = FOLDED

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the only choice beside all jobs."""
        return [("1", _("with warnings"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the jobs with warnings, by an index."""
        return queryset.filter(warnings__gt=0) if self.value() else queryset


class DocumentFilter(admin.SimpleListFilter):
    """Filter by document.

    The choices come from the registry: a DISTINCT query would scan the whole table.
    """

    title = _("document")
    parameter_name = "document"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """Return the registered documents by title, and "none"."""
        titles = {label: title_of(label) for label in registry.all_documents()}
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


def title_of(label: str) -> str:
    """Return the title of a job's document: its class may be gone, or it may have none."""
    known = registry.find(label) if label else None
    return document_title(known.document) if isinstance(known, DocumentAdapter) else label


class TimeFilter(admin.SimpleListFilter):
    """Filter by the time at which the document was requested."""

    title = _("time")
    parameter_name = TIME

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices beside any time."""
        return [(DAY, _("Last 24 hours")), (WEEK, _("Last 7 days")), (MONTH, _("This month"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the jobs since then."""
        begin = since(self.value())
        return queryset.filter(created_at__gte=begin) if begin else queryset


class ErrorCodeFilter(admin.SimpleListFilter):
    """Filter by error code.

    The choices are all codes: a DISTINCT query would scan the whole table.
    """

    title = _("error code")
    parameter_name = "error_code"
    template = FOLDED

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """Return the error codes."""
        return [(code.value, code.value) for code in sorted(ErrorCode)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[RenderJob]
    ) -> QuerySet[RenderJob] | None:
        """Return the jobs that failed with the chosen code: by code and time, as an index has."""
        if self.value() is None:
            return queryset
        return queryset.filter(state=State.FAILED, error_code=self.value())


class _ListedFilter(admin.SimpleListFilter):
    """A filter whose choices are the values of the listed jobs: all values would be too many."""

    template = FOLDED

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return no choices: the jobs are not listed yet."""
        return []

    def has_output(self) -> bool:
        """Return whether the filter is shown: the template decides, when it knows the choices."""
        return True

    def listed(self, changelist: Any) -> dict[str, str]:
        """Return the values of the listed jobs with their texts."""
        raise NotImplementedError

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return the listed values, and the chosen one."""
        chosen = self.value()
        listed = self.listed(changelist)
        if chosen is not None:
            listed.setdefault(chosen, chosen)
        self.lookup_choices = sorted(listed.items(), key=lambda item: item[1].casefold())
        return super().choices(changelist)


class AccountFilter(_ListedFilter):
    """Filter by account."""

    title = _("account")
    parameter_name = "account"

    def listed(self, changelist: Any) -> dict[str, str]:
        """Return the accounts of the listed jobs."""
        return {job.account: job.account for job in changelist.result_list}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the jobs of the chosen account."""
        return queryset if self.value() is None else queryset.filter(account=self.value())


class OwnerFilter(_ListedFilter):
    """Filter by owner."""

    title = _("owner")
    parameter_name = "owner"

    def listed(self, changelist: Any) -> dict[str, str]:
        """Return the owners of the listed jobs."""
        return {str(job.owner_id): str(job.owner) for job in changelist.result_list if job.owner}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the jobs of the chosen owner.

        Raises:
            IncorrectLookupParameters: the value cannot be a user's key.
        """
        if self.value() is None:
            return queryset
        try:
            return queryset.filter(owner=self.value())
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error


class LiveFilter(admin.BooleanFieldListFilter):
    """Filter live documents, which are billed, and test documents."""

    template = FOLDED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = _("live or test")

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return the choices in the words of DocRaptor."""
        texts = {"1": pgettext("document", "test"), "0": pgettext("document", "live")}
        for choice in super().choices(changelist):
            value = choice["query_string"].partition(f"{self.lookup_kwarg}=")[2][:1]
            yield {**choice, "display": texts.get(value, choice["display"])}


class TypeFilter(admin.ChoicesFieldListFilter):
    """Filter by the type of the file."""

    template = FOLDED


class ScopeFilter(admin.SimpleListFilter):
    """Search the newest jobs only, or all of them."""

    title = _("searched jobs")
    parameter_name = SCOPE
    template = FOLDED

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choice beside the newest jobs."""
        return [(ALL_JOBS, _("all (slow)"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return the choices, the first of which is not "all"."""
        newest, *others = super().choices(changelist)
        yield {**newest, "display": _("newest")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return all rows: the search is bounded after all filters."""
        return queryset
