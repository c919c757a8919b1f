"""Internal. Retry all jobs of the list that can resume: after an outage there may be thousands.

None of them is billed, so the page needs no list to read, and confirms a number.
"""

import time
from typing import TYPE_CHECKING, Final, cast

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_docraptor.bulk_retry import retry_in_batches
from django_docraptor.models import RenderJobQuerySet

if TYPE_CHECKING:
    from django_docraptor.admin.jobs import RenderJobAdmin

TEMPLATE: Final = "admin/django_docraptor/renderjob/confirm_retry_all.html"
# Jobs per confirmation, and seconds after which no other batch begins: a request must end.
MAX_RETRIED: Final = 5_000
MAX_SECONDS: Final = 15.0


def retry_all_view(model_admin: "RenderJobAdmin", request: HttpRequest) -> HttpResponse:
    """Show how many jobs of the filtered list can resume (GET), or retry them (POST).

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
        jobs = _resumable_jobs(model_admin, request)
    except IncorrectLookupParameters:
        return HttpResponseRedirect(url)
    count = jobs.order_by()[:MAX_RETRIED].count()
    if not count:
        message = _("Nothing to retry: no job of this list can resume.")
        model_admin.message_user(request, message, messages.WARNING)
    elif request.method == "POST":
        _retry(model_admin, request, jobs)
    else:
        context = {
            **model_admin.admin_site.each_context(request),
            "title": _("Retry all jobs that can resume?"),
            "opts": model_admin.opts,
            "media": model_admin.media,
            "count": count,
            "is_truncated": count >= MAX_RETRIED,
            "return_url": return_url,
        }
        request.current_app = model_admin.admin_site.name
        return TemplateResponse(request, TEMPLATE, context)
    return HttpResponseRedirect(return_url)


def _resumable_jobs(model_admin: "RenderJobAdmin", request: HttpRequest) -> RenderJobQuerySet:
    """Return the jobs that the list shows with the current filters, and that can resume."""
    changelist = model_admin.get_changelist_instance(request)
    jobs = cast(RenderJobQuerySet, changelist.get_queryset(request))
    return jobs.select_related(None).resumable()


def _retry(model_admin: "RenderJobAdmin", request: HttpRequest, jobs: RenderJobQuerySet) -> None:
    """Retry the jobs in batches, and report the result to the user."""
    user, stop, retried = cast(AbstractBaseUser, request.user), time.monotonic() + MAX_SECONDS, 0
    for batch in retry_in_batches(jobs, limit=MAX_RETRIED, by=user):
        retried += batch.retried
        if time.monotonic() > stop:
            break
    message = ngettext(
        "%(count)d job will be retried. Nothing is billed.",
        "%(count)d jobs will be retried. Nothing is billed.",
        retried,
    )
    model_admin.message_user(request, message % {"count": retried}, messages.SUCCESS)
    if jobs.exists():
        message = _("There are more. Repeat the action to retry the next ones.")
        model_admin.message_user(request, message, messages.WARNING)
