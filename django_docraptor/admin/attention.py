"""Internal. Which jobs a person should look at, and the health report that tells which are late."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from django.http import HttpRequest

from django_docraptor.health import read_report
from django_docraptor.health_reports import DEFAULT_MAX_LAG, HealthReport
from django_docraptor.models import RenderJobQuerySet, seconds_from_now
from django_docraptor.states import ACTIVE_STATES, State

# For how long a failed job needs a look: longer than a weekend.
FAILED_FOR: Final = timedelta(days=7)
_REPORT: Final = "_docraptor_health_report"


def request_health(request: HttpRequest) -> HealthReport:
    """Return the health report, which is read once for each request."""
    report: HealthReport | None = getattr(request, _REPORT, None)
    if report is None:
        report = read_report(min_lag=DEFAULT_MAX_LAG)
        setattr(request, _REPORT, report)
    return report


def recently_failed(jobs: RenderJobQuerySet) -> RenderJobQuerySet:
    """Return the failed jobs that need a look, latest first."""
    since = seconds_from_now(-FAILED_FOR.total_seconds())
    return jobs.filter(state=State.FAILED, created_at__gte=since).order_by("-created_at")


def late_accounts(report: HealthReport) -> tuple[str, ...]:
    """Return the accounts whose jobs are late by more than a few ticks.

    Those of a paused account, and those that wait for a free slot, are not late.
    """
    return tuple(sorted(each.account for each in report.late if each.lag > DEFAULT_MAX_LAG))


def late_ranges(jobs: RenderJobQuerySet, accounts: Collection[str]) -> list[RenderJobQuerySet]:
    """Return the late jobs of these accounts as ranges of an index."""
    if not accounts:
        return []
    overdue = jobs.filter(account__in=accounts, due_at__lt=seconds_from_now(-DEFAULT_MAX_LAG))
    states = sorted(ACTIVE_STATES - {State.UNCONFIRMED})  # these need a look anyway
    return [overdue.filter(state=state).order_by("due_at") for state in states]


def attention_ranges(jobs: RenderJobQuerySet, report: HealthReport) -> list[RenderJobQuerySet]:
    """Return the jobs that need a look, as ranges of indexes: failed, unconfirmed, held, late."""
    unconfirmed = jobs.active().filter(state=State.UNCONFIRMED).order_by("due_at")
    held = jobs.held().order_by("due_at")
    return [recently_failed(jobs), unconfirmed, held, *late_ranges(jobs, late_accounts(report))]


def unfinished_ranges(jobs: RenderJobQuerySet) -> list[RenderJobQuerySet]:
    """Return the unfinished jobs, oldest first, as ranges of an index; held jobs are left out."""
    jobs = jobs.filter(held_at__isnull=True).order_by("created_at")
    return [jobs.filter(state=state) for state in sorted(ACTIVE_STATES)]
