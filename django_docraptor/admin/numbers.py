"""Internal. The numbers above the job list, read by one statement that takes a bounded time.

Each is a link to the jobs that it counts. The bill is that of the usage page, some minutes ago.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_docraptor.admin.attention import (
    late_accounts,
    late_ranges,
    recently_failed,
    unfinished_ranges,
)
from django_docraptor.admin.display import EMPTY_VALUE, format_duration
from django_docraptor.admin.filters import (
    ATTENTION,
    DAY,
    NEEDS_A_LOOK,
    TIME,
    UNFINISHED,
)
from django_docraptor.health_reports import HealthReport
from django_docraptor.models import RenderJob, RenderJobQuerySet, seconds_from_now
from django_docraptor.models.bounded_reads import (
    FIRST,
    TIMES,
    JobRange,
    PreparedRanges,
    RangeTotals,
    Summed,
)
from django_docraptor.models.prepared import compiled_once
from django_docraptor.states import State
from django_docraptor.usage import billed_and_free

# Jobs that are counted for a number, and completed jobs whose times are compared.
MAX_COUNTED: Final = 10_000
MAX_TIMED: Final = 1000
# Late jobs of each state that are counted.
MAX_LATE: Final = 1000
# Parameter that sorts the list by time, oldest first: the number of the column.
OLDEST_FIRST: Final = "3"
IS_TEST: Final = Q(test=True)
DAY_SECONDS: Final = 24 * 3600.0
# What the names of ranges begin with.
OLDEST: Final = "oldest "
LATE: Final = "late "


class Bounds(NamedTuple):
    """How many jobs are read, whose jobs are late, and the month whose bill is shown, if any."""

    max_counted: int
    max_timed: int
    late_accounts: tuple[str, ...]
    month: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number above the list.

    Args:
        title: what it counts.
        value: the number as text.
        note: a few words below it.
        url: where it leads, relative to the list.
        style: ``"error"`` or ``"warning"`` if people should look at it.
    """

    title: str
    value: str
    note: str
    url: str
    style: str = ""


def read_numbers(
    jobs: RenderJobQuerySet | None, report: HealthReport, *, with_usage: bool
) -> list[Number]:
    """Return the five numbers of these jobs, and what was billed in this month.

    Args:
        jobs: those that the user may see, without an order; ``None`` if these are all.
        report: tells how many are unfinished, unconfirmed, held and late.
        with_usage: whether the user may see what all jobs have used in this month.
    """
    month = datetime.now(UTC).date().replace(day=1) if with_usage else None
    bounds = Bounds(MAX_COUNTED, MAX_TIMED, late_accounts(report), month)
    ranges = _ranges_of_all(bounds) if jobs is None else PreparedRanges(_ranges(jobs, bounds))
    found = ranges.fetch()
    first = [each.first_created_at for key, each in found.items() if key.startswith(OLDEST)]
    late = [each for key, each in found.items() if key.startswith(LATE)]
    return [
        _last_day(found["day"]),
        _failed(found["failed"], found["day"]),
        _needs_a_look(found["recently_failed"], late, report),
        _oldest_waiting(min((time for time in first if time), default=None), report),
        _times(found["times"].durations),
        *([_billed(found["used"])] if with_usage else []),
    ]


@compiled_once(RenderJob)
def _ranges_of_all(bounds: Bounds) -> PreparedRanges[str]:
    return PreparedRanges(_ranges(RenderJob.objects.order_by(), bounds))


def _ranges(jobs: RenderJobQuerySet, bounds: Bounds) -> dict[str, JobRange | Summed]:
    # By the database's clock: a time of this process would be compiled.
    last_day = jobs.filter(created_at__gte=seconds_from_now(-DAY_SECONDS)).order_by("-created_at")
    failed, completed = (last_day.filter(state=each) for each in (State.FAILED, State.COMPLETED))
    late = late_ranges(jobs, bounds.late_accounts)
    return {
        **{
            f"{OLDEST}{n}": JobRange(each, 1, reads=FIRST)
            for n, each in enumerate(unfinished_ranges(jobs))
        },
        "day": JobRange(last_day, bounds.max_counted, marked=IS_TEST),
        "failed": JobRange(failed, bounds.max_counted),
        "recently_failed": JobRange(recently_failed(jobs), bounds.max_counted),
        "times": JobRange(completed, bounds.max_timed, reads=TIMES),
        **{f"{LATE}{n}": JobRange(each, MAX_LATE) for n, each in enumerate(late)},
        **({"used": Summed(billed_and_free(bounds.month))} if bounds.month else {}),
    }


def format_number(count: int, *, is_truncated: bool = False) -> str:
    """Return a count in the active locale, with a plus sign if there may be more."""
    return f"{number_format(count, force_grouping=True)}{'+' if is_truncated else ''}"


def format_share(part: int, whole: int) -> str:
    """Return a share in percent, with one decimal."""
    percent = number_format(100 * part / whole, decimal_pos=1)
    return _("%(percent)s %%") % {"percent": percent}


def _last_day(day: RangeTotals) -> Number:
    counts = {
        "live": format_number(day.count - day.marked),
        "test": format_number(day.marked),
    }
    return Number(
        title=_("Last 24 hours"),
        value=format_number(day.count, is_truncated=day.is_truncated),
        note=_("%(live)s live, %(test)s test") % counts,
        url=_list_url(**{TIME: DAY}),
    )


def _failed(failed: RangeTotals, day: RangeTotals) -> Number:
    is_bounded = day.is_truncated or failed.is_truncated
    return Number(
        title=_("Failed, 24 h"),
        value=format_number(failed.count, is_truncated=failed.is_truncated),
        note="" if is_bounded or not day.count else format_share(failed.count, day.count),
        url=_list_url(state__exact=State.FAILED.value, **{TIME: DAY}),
        style="error" if failed.count else "",
    )


def _needs_a_look(failed: RangeTotals, late: Sequence[RangeTotals], report: HealthReport) -> Number:
    late_count = sum(each.count for each in late)
    unconfirmed = report.counts[State.UNCONFIRMED]
    is_truncated = failed.is_truncated or any(each.is_truncated for each in late)
    notes = [
        (late_count, ngettext("%(number)s late", "%(number)s late", late_count)),
        (unconfirmed, ngettext("%(number)s unconfirmed", "%(number)s unconfirmed", unconfirmed)),
        (report.held, ngettext("%(number)s held", "%(number)s held", report.held)),
    ]
    texts = [text % {"number": report.format_count(count)} for count, text in notes if count]
    count = failed.count + unconfirmed + report.held + late_count
    return Number(
        title=_("Needs a look"),
        value=format_number(count, is_truncated=is_truncated),
        note=", ".join(texts) or _("in 7 days"),
        url=_list_url(**{ATTENTION: NEEDS_A_LOOK}),
        style="warning" if count else "",
    )


def _oldest_waiting(first: datetime | None, report: HealthReport) -> Number:
    count = max(0, sum(report.counts.values()) - report.held)
    limit = report.max_counted
    is_truncated = limit is not None and max(report.counts.values(), default=0) >= limit
    text = ngettext("%(number)s unfinished", "%(number)s unfinished", count)
    return Number(
        title=_("Oldest waiting"),
        value=format_duration(timezone.now() - first) if first else EMPTY_VALUE,
        note=text % {"number": format_number(count, is_truncated=is_truncated)},
        url=_list_url(o=OLDEST_FIRST, **{ATTENTION: UNFINISHED}),
    )


def _times(durations: Mapping[int, timedelta]) -> Number:
    note = _("no document in 24 h")
    if durations:
        note = _("95 %% in %(time)s") % {"time": format_duration(durations[95])}
    return Number(
        title=_("Median time"),
        value=format_duration(durations[50]) if durations else EMPTY_VALUE,
        note=note,
        url="statistics/",
    )


def _billed(used: RangeTotals) -> Number:
    text = ngettext("%(number)s free", "%(number)s free", used.marked)
    return Number(
        title=_("Billed in %(month)s") % {"month": date_format(datetime.now(UTC), "M")},
        value=format_number(used.count),
        note=text % {"number": format_number(used.marked)},
        url="usage/",
    )


def _list_url(**values: Any) -> str:
    query = QueryDict(mutable=True)
    query.update(values)
    return f"?{query.urlencode()}"
