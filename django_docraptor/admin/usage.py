"""Internal. The page with a month's usage: a chart by day, and a table by what people choose.

The same figures as ``docraptor_usage``. They are of all jobs, whichever the user may see, so that
the page has a permission of its own.
"""

import re
from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_docraptor.admin.filters import AD_HOC_VALUE, title_of
from django_docraptor.admin.numbers import format_number
from django_docraptor.admin.statistics import HOUR_WIDTH, USAGE_PERMISSION, Chart, Hour
from django_docraptor.usage import (
    ACCOUNT,
    DAY,
    DOCUMENT,
    OWNER,
    UsageLine,
    read_usage,
)

if TYPE_CHECKING:
    from django_docraptor.admin.jobs import RenderJobAdmin

TEMPLATE: Final = "usage.html"
# Lines of the table; the others are one line.
MAX_LINES: Final = 100
# Days between two labels of the chart, and their number: at least a month.
LABEL_STEP: Final = 4
LABELS: Final = 8
TITLES: Final = {
    DOCUMENT: gettext_lazy("By document"),
    ACCOUNT: gettext_lazy("By account"),
    OWNER: gettext_lazy("By owner"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table, as people read it.

    Args:
        title: its name.
        query: parameters of the list for its jobs; "" without a link.
        cells: its figures.
    """

    title: str
    query: str = ""
    cells: Sequence[str] = ()


class MonthChart(Chart):
    """Bars for the days of a month: billed above the line, failed below it."""

    @property
    def width(self) -> int:
        """The width of eight labels, below which the days stand, with room after the last one."""
        return HOUR_WIDTH * LABEL_STEP * LABELS

    @property
    def labels(self) -> list[datetime]:
        """The days that are named below the chart."""
        return [day.begin for day in self.hours[::LABEL_STEP]]

    @property
    def description(self) -> str:
        """The chart in a sentence, for screen readers."""
        busiest = max(self.hours, key=lambda day: day.completed)
        return _("Billed by day: at most %(count)s, on %(day)s. Failed: %(failed)s.") % {
            "count": format_number(busiest.completed),
            "day": date_format(busiest.begin, "SHORT_DATE_FORMAT"),
            "failed": format_number(sum(day.failed for day in self.hours)),
        }


def may_view_usage(request: HttpRequest) -> bool:
    """Return whether the user may see what was used, of all accounts and owners."""
    return request.user.has_perm(USAGE_PERMISSION)


def usage_view(model_admin: "RenderJobAdmin", request: HttpRequest) -> HttpResponse:
    """Show the usage of a month.

    Raises:
        PermissionDenied: the user may not view jobs, or their usage.
    """
    if not (model_admin.has_view_permission(request) and may_view_usage(request)):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    first = _first_day(request.GET.get("month", ""))
    by = request.GET.get("by", "")
    by = by if by in TITLES else DOCUMENT
    last = _last_day(first)
    reports = read_usage(first, last, DAY, by)
    return model_admin.render_page(
        request,
        TEMPLATE,
        _("Usage"),
        chart=MonthChart(_days(first, last, reports[DAY].lines)),
        rows=_rows(reports[by].lines, by),
        total=_cells(reports[by].total),
        is_complete=reports[by].is_complete,
        first=first,
        choices=[(_query(first, key), title, key == by) for key, title in TITLES.items()],
        earlier=_query(_first_of(first - timedelta(days=1)), by),
        later=_query(last + timedelta(days=1), by),
        column=TITLES[by],
    )


def _first_day(text: str) -> date:
    """Return the first day of a month in the form ``2026-11``; of the current one by default."""
    if match := re.fullmatch(r"(2\d{3})-(0[1-9]|1[0-2])", text, re.ASCII):
        return date(int(match[1]), int(match[2]), 1)
    return _first_of(datetime.now(UTC).date())


def _first_of(day: date) -> date:
    return day.replace(day=1)


def _last_day(first: date) -> date:
    return first.replace(day=monthrange(first.year, first.month)[1])


def _query(day: date, by: str) -> str:
    query = QueryDict(mutable=True)
    query.update({"month": f"{day:%Y-%m}", "by": by})
    return query.urlencode()


def _days(first: date, last: date, lines: Iterable[UsageLine]) -> list[Hour]:
    found = {line.key: line for line in lines}
    days = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        line = found.get(day.isoformat(), UsageLine(key=""))
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        days.append(Hour(begin=begin, completed=line.live.billed, failed=line.both.failures))
    return days


def _rows(lines: Sequence[UsageLine], by: str) -> list[Row]:
    shown, others = lines[:MAX_LINES], lines[MAX_LINES:]
    titles = _titles([line.key for line in shown], by)
    rows = [
        Row(title=titles[line.key], query=_list_query(line.key, by), cells=_cells(line))
        for line in shown
    ]
    if others:
        rest = UsageLine(key="")
        for line in others:
            rest = rest.plus(line.live, test=False).plus(line.test, test=True)
        rows.append(Row(title=_("others"), cells=_cells(rest)))
    return rows


def _titles(keys: Sequence[str], by: str) -> dict[str, str]:
    """Return what people call documents, accounts or owners."""
    if by == DOCUMENT:
        return {key: title_of(key) if key else _("none (ad hoc)") for key in keys}
    if by == OWNER:
        return {key: key or "—" for key in keys} | _owner_names([key for key in keys if key])
    return {key: key for key in keys}


def _owner_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the names of users who exist."""
    model = get_user_model()
    parsed = []
    for key in keys:
        try:
            parsed.append(model._meta.pk.to_python(key))
        except ValidationError:  # of a former user model
            continue
    return {str(pk): str(user) for pk, user in model._default_manager.in_bulk(parsed).items()}


def _list_query(key: str, by: str) -> str:
    if by != DOCUMENT:
        return ""
    query = QueryDict(mutable=True)
    query.update({"document": key or AD_HOC_VALUE})
    return query.urlencode()


def _cells(line: UsageLine) -> list[str]:
    used: Any = line.both
    counts = (
        line.live.completed,
        line.test.completed,
        used.billed,
        used.retries_billed,
        used.failures,
        used.reused,
        used.pages,
    )
    return [*map(format_number, counts), filesizeformat(used.file_bytes)]
