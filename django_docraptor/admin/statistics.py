"""Internal. The statistics of the last 24 hours: by hour, and by document.

Read from a bounded number of the newest jobs. The chart is drawn here, without scripts and inline
styles; the same figures are a table.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from django_docraptor.admin.display import EMPTY_VALUE, format_duration
from django_docraptor.admin.filters import AD_HOC_VALUE, DAY, TIME, since, title_of
from django_docraptor.admin.numbers import format_number, format_share
from django_docraptor.durations import percentile
from django_docraptor.models import RenderJobQuerySet
from django_docraptor.states import State

if TYPE_CHECKING:
    from django_docraptor.admin.jobs import RenderJobAdmin

TEMPLATE: Final = "statistics.html"
USAGE_PERMISSION: Final = "django_docraptor.view_usageday"
# Jobs that are read at most.
MAX_READ: Final = 20_000
HOURS: Final = 24
# The chart's coordinates: width of an hour and of a bar, the line at zero, height above it. The
# failures hang below the line at twice the scale, so that one of them can be seen.
HOUR_WIDTH: Final = 40
BAR_WIDTH: Final = 28
BASE: Final = 150
HEIGHT: Final = 140
FAILED_SCALE: Final = 2
MAX_FAILED_HEIGHT: Final = 20


@dataclass(frozen=True, slots=True)
class Row:
    """What is read of a job."""

    document: str
    state: str
    created_at: datetime
    finished_at: datetime | None
    number_of_pages: int | None
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of the chart."""

    x: int
    y: str
    height: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What ended within one hour."""

    begin: datetime
    completed: int
    failed: int


@dataclass(slots=True, kw_only=True)
class DocumentFigures:
    """The figures of a document class."""

    label: str
    count: int = 0
    failed: int = 0
    pages: int = 0
    durations: list[timedelta] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Count a job."""
        self.count += 1
        self.failed += row.state == State.FAILED
        self.pages += row.number_of_pages or 0
        if row.state == State.COMPLETED and row.finished_at is not None:
            self.durations.append(row.finished_at - (row.not_before or row.created_at))

    @property
    def title(self) -> str:
        """The document's title."""
        return title_of(self.label) if self.label else _("none (ad hoc)")

    @property
    def median(self) -> str:
        """The median time."""
        return self._percentile(50)

    @property
    def slow(self) -> str:
        """The time within which 95 percent were done."""
        return self._percentile(95)

    def _percentile(self, percent: int) -> str:
        times = sorted(self.durations)
        return format_duration(percentile(times, percent)) if times else EMPTY_VALUE

    @property
    def count_text(self) -> str:
        """The number of jobs."""
        return format_number(self.count)

    @property
    def pages_text(self) -> str:
        """The number of pages."""
        return format_number(self.pages)

    @property
    def failed_text(self) -> str:
        """The number of failed jobs."""
        return format_number(self.failed)

    @property
    def failed_share(self) -> str:
        """The share of failed jobs; "" if there are none."""
        return format_share(self.failed, self.count) if self.failed else ""

    @property
    def query(self) -> str:
        """The list's parameters for these jobs."""
        query = QueryDict(mutable=True)
        query.update({"document": self.label or AD_HOC_VALUE, TIME: DAY})
        return query.urlencode()


class Chart:
    """Bars for hours, as coordinates of an SVG.

    Args:
        hours: in their order.
    """

    def __init__(self, hours: Sequence[Hour]) -> None:
        self.hours = hours
        most = max((hour.completed for hour in hours), default=0)
        #: The number at the top line: even, so that half of it is a number, too.
        self.top = _round_up(most)
        scale = HEIGHT / self.top
        most_failed = max((hour.failed for hour in hours), default=0)
        failed_scale = min(scale * FAILED_SCALE, MAX_FAILED_HEIGHT / max(1, most_failed))
        self.completed = [
            _bar(number, BASE - hour.completed * scale, hour.completed * scale)
            for number, hour in enumerate(hours)
            if hour.completed
        ]
        self.failed = [
            _bar(number, BASE + 2, max(1.0, hour.failed * failed_scale))
            for number, hour in enumerate(hours)
            if hour.failed
        ]

    @property
    def width(self) -> int:
        """The width of all bars."""
        return HOUR_WIDTH * len(self.hours)

    @property
    def half(self) -> int:
        """The number at the middle line."""
        return self.top // 2

    @property
    def labels(self) -> list[datetime]:
        """The hours that are named below the chart."""
        return [hour.begin for hour in self.hours[::3]]

    @property
    def description(self) -> str:
        """The chart in a sentence, for screen readers."""
        busiest = max(self.hours, key=lambda hour: hour.completed)
        return _("Documents by hour: at most %(count)s, from %(time)s. Failed: %(failed)s.") % {
            "count": format_number(busiest.completed),
            "time": f"{busiest.begin:%H:%M}",
            "failed": format_number(sum(hour.failed for hour in self.hours)),
        }


def statistics_view(model_admin: "RenderJobAdmin", request: HttpRequest) -> HttpResponse:
    """Show the statistics.

    Raises:
        PermissionDenied: the user may not view jobs.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    jobs: Any = model_admin.get_queryset(request).order_by()
    rows = read_rows(jobs)
    hours = by_hour(rows)
    total = DocumentFigures(label="")
    for row in rows:
        total.add(row)
    states = Counter(row.state for row in rows)
    return model_admin.render_page(
        request,
        TEMPLATE,
        _("Statistics"),
        chart=Chart(hours),
        documents=by_document(rows),
        total=total,
        completed=format_number(sum(hour.completed for hour in hours)),
        failed=format_number(sum(hour.failed for hour in hours)),
        cancelled=states[State.CANCELLED],
        unfinished=sum(row.finished_at is None for row in rows),
        now=timezone.localtime(),
        oldest_read=rows[-1].created_at if len(rows) >= MAX_READ else None,
        max_read=format_number(MAX_READ),
        may_view_usage=request.user.has_perm(USAGE_PERMISSION),
    )


def read_rows(jobs: RenderJobQuerySet) -> list[Row]:
    """Return the newest jobs of the last 24 hours, a bounded number, by the index of the time."""
    newest = jobs.filter(created_at__gte=since(DAY)).order_by("-created_at")
    columns = ("document", "state", "created_at", "finished_at", "number_of_pages", "not_before")
    return [Row(*values) for values in newest.values_list(*columns)[:MAX_READ]]


def by_hour(rows: Iterable[Row]) -> list[Hour]:
    """Return what ended in each of the last 24 hours, of the active time zone; the oldest first."""
    # In UTC: a day on which the clocks change has 24 hours here, too.
    last = timezone.localtime().replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    begins = [last - timedelta(hours=HOURS - 1 - number) for number in range(HOURS)]
    ended: dict[str, Counter[int]] = defaultdict(Counter)
    for row in rows:
        if row.finished_at is not None:
            number = int((row.finished_at - begins[0]).total_seconds() // 3600)
            ended[row.state][number] += 1
    return [
        Hour(
            begin=timezone.localtime(begin),
            completed=ended[State.COMPLETED][number],
            failed=ended[State.FAILED][number],
        )
        for number, begin in enumerate(begins)
    ]


def by_document(rows: Iterable[Row]) -> list[DocumentFigures]:
    """Return the figures of each document class, the most frequent first."""
    figures: dict[str, DocumentFigures] = {}
    for row in rows:
        figures.setdefault(row.document, DocumentFigures(label=row.document)).add(row)
    return sorted(figures.values(), key=lambda each: (-each.count, each.title.casefold()))


def _round_up(number: int) -> int:
    """Return the next even number of one or two significant digits, at least 2."""
    unit: int = 2 * 10 ** max(0, len(str(number)) - 2)
    return max(2, -(-number // unit) * unit)


def _bar(number: int, y: float, height: float) -> Bar:
    """Return a bar. SVG needs points in numbers, whatever the locale is."""
    x = number * HOUR_WIDTH + (HOUR_WIDTH - BAR_WIDTH) // 2
    return Bar(x=x, y=f"{y:.1f}", height=f"{height:.1f}")
