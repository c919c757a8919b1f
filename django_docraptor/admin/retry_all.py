"""Internal. Retry all failed jobs of the list: after an outage there may be a million.

The page has no list to read: it says how many jobs go on, how many start again and how many
documents are billed. What is confirmed is that number, and the time until which the jobs failed.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_docraptor.admin.filters import ALL_JOBS, SCOPE
from django_docraptor.admin.log_entries import log_all_retried
from django_docraptor.bulk_retry import RetryCounts, count_retries, retry_in_batches
from django_docraptor.models import RenderJobQuerySet
from django_docraptor.models.clock import Now
from django_docraptor.outcomes import BILLED, FREE, MAY_BE_BILLED_TWICE, NOT_BILLED

if TYPE_CHECKING:
    from django_docraptor.admin.jobs import RenderJobAdmin

TEMPLATE: Final = "confirm_retry_all.html"
# Seconds after which no other batch begins: a request must end.
MAX_SECONDS: Final = 15.0
# Names of the buttons.
ALL: Final = "all"
RESUMABLE: Final = "resumable"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the user has confirmed: which jobs, until when they failed, and how many are billed."""

    scope: str
    until: datetime
    billed: int


def retry_all_view(model_admin: "RenderJobAdmin", request: HttpRequest) -> HttpResponse:
    """Show what retrying the failed jobs of the filtered list does (GET), or retry them (POST).

    Raises:
        PermissionDenied: the user may not retry jobs.
    """
    if not model_admin.has_retry_permission(request):
        raise PermissionDenied
    url = reverse(
        "admin:django_docraptor_renderjob_changelist", current_app=model_admin.admin_site.name
    )
    return_url = f"{url}?{request.GET.urlencode()}" if request.GET else url
    try:
        jobs = _jobs_of_list(model_admin, request)
    except IncorrectLookupParameters:
        return HttpResponseRedirect(url)
    confirmed = _read_confirmed(request) if request.method == "POST" else None
    until = confirmed.until if confirmed else _time_of_reading(jobs)
    counts = count_retries(jobs.filter(finished_at__lte=until)) if until else RetryCounts()
    if until is None or not counts.total:
        message = _("Nothing to retry: no job of this list has failed.")
        model_admin.message_user(request, message, messages.WARNING)
        return HttpResponseRedirect(return_url)
    if confirmed is None or (confirmed.scope == ALL and counts.billed > confirmed.billed):
        has_changed = request.method == "POST"
        return _render(model_admin, request, counts, until, return_url, has_changed=has_changed)
    chosen = jobs if confirmed.scope == ALL else jobs.resumable()
    is_done = _retry(model_admin, request, chosen.filter(finished_at__lte=until))
    return HttpResponseRedirect(return_url if is_done else request.get_full_path())


def _jobs_of_list(model_admin: "RenderJobAdmin", request: HttpRequest) -> RenderJobQuerySet:
    """Return the jobs that the list finds with the current filters, if it searches all."""
    query: Any = request.GET.copy()
    query[SCOPE] = ALL_JOBS
    request.GET = query
    changelist = model_admin.get_changelist_instance(request)
    jobs = cast(RenderJobQuerySet, changelist.get_queryset(request))
    return jobs.select_related(None).defer(None)


def _read_confirmed(request: HttpRequest) -> Confirmed | None:
    """Return what the form confirms, or ``None`` if it was not shown by this page."""
    scope = next((scope for scope in (ALL, RESUMABLE) if scope in request.POST), None)
    billed = request.POST.get("billed", "")
    try:
        until = parse_datetime(request.POST.get("until", ""))
    except ValueError:
        until = None
    if until is None or until.tzinfo is None or scope is None:
        return None
    return Confirmed(scope, until, int(billed) if billed.isascii() and billed.isdecimal() else 0)


def _time_of_reading(jobs: RenderJobQuerySet) -> datetime | None:
    """Return the database's time, or ``None`` if no job has failed."""
    times = jobs.failed().annotate(now=Now()).values_list("now", flat=True)
    return times.order_by("created_at").first()


def _render(
    model_admin: "RenderJobAdmin",
    request: HttpRequest,
    counts: RetryCounts,
    until: datetime,
    return_url: str,
    *,
    has_changed: bool,
) -> HttpResponse:
    outcomes = (
        (NOT_BILLED, counts.resumed),
        (FREE, counts.free),
        (BILLED, counts.billed - counts.billed_again),
        (MAY_BE_BILLED_TWICE, counts.billed_again),
    )
    return model_admin.render_page(
        request,
        TEMPLATE,
        _("Retry all failed jobs of the list?"),
        counts=counts,
        outcomes=[(outcome, count) for outcome, count in outcomes if count],
        until=until.isoformat(),
        has_changed=has_changed,
        return_url=return_url,
    )


def _retry(model_admin: "RenderJobAdmin", request: HttpRequest, jobs: RenderJobQuerySet) -> bool:
    """Retry the jobs in batches, and report the result to the user.

    Returns:
        Whether none is left; otherwise the time of a request was over.
    """
    user, stop = cast(AbstractBaseUser, request.user), time.monotonic() + MAX_SECONDS
    retried, failed, is_done = 0, 0, True
    for batch in retry_in_batches(jobs, by=user):
        retried += batch.retried
        failed += batch.failed
        if time.monotonic() > stop:
            is_done = not jobs.failed().exists()
            break
    log_all_retried(request, retried)
    message = ngettext("%(count)d job is retried.", "%(count)d jobs are retried.", retried)
    model_admin.message_user(request, message % {"count": retried}, messages.SUCCESS)
    if failed:
        message = ngettext(
            "%(count)d job could not be retried: it has changed, or an error occurred (see the "
            "site's log).",
            "%(count)d jobs could not be retried: they have changed, or an error occurred (see the "
            "site's log).",
            failed,
        )
        model_admin.message_user(request, message % {"count": failed}, messages.WARNING)
    if not is_done:
        message = _("There are more jobs than one request can handle. Confirm again to go on.")
        model_admin.message_user(request, message, messages.WARNING)
    return is_done
