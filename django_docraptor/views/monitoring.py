"""Internal. The health report as JSON, for a monitor that has the token."""

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache

from django_docraptor.conf import conf
from django_docraptor.health import health_report
from django_docraptor.health_reports import HealthReport
from django_docraptor.views.error_responses import unlogged_error

# What a monitor needs of the report. The problems' sentences say the rest.
FIELDS = (
    "counts",
    "max_counted",
    "lag",
    "seconds_since_tick",
    "seconds_since_worker",
    "seconds_since_callback",
    "held",
    "missed_callbacks",
    "failing_follow_ups",
    "undeleted_files",
    "unexpired_documents",
)


@login_not_required
@never_cache
@transaction.non_atomic_requests
def health(request: HttpRequest) -> HttpResponse:
    """Return whether the engine runs and jobs are on time.

    Returns:
        200 without problems, otherwise 503, also while the database is down; 404 without the token,
        or if ``HEALTH_TOKEN`` is not set; 405 for methods other than GET and HEAD.
    """
    if not _is_authorized(request):
        return unlogged_error(404)
    if request.method not in ("GET", "HEAD"):
        return unlogged_error(405, Allow="GET, HEAD")
    try:
        report = health_report()
        data, status = _as_json(report), 503 if report.problems() else 200
    except Error:
        # Not the error's text, which may name the database's host and user.
        data = {"status": "problems", "problems": ["The database is unavailable."]}
        status = 503
    return JsonResponse(data, status=status)


def _is_authorized(request: HttpRequest) -> bool:
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    expected = conf.health_token
    is_right = constant_time_compare(token.strip(), expected or "")
    return bool(expected) and is_right and scheme.lower() == "bearer"


def _as_json(report: HealthReport) -> dict[str, Any]:
    problems = report.problems()
    known = report.to_json()
    return {
        "status": "problems" if problems else "ok",
        "problems": problems,
        "now": known["now"],
        **{name: known[name] for name in FIELDS},
    }
