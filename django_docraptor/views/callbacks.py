"""Internal. The view that DocRaptor calls when a document is ready."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from django_docraptor import wakeups
from django_docraptor.callback_urls import read_token
from django_docraptor.lifecycle import record_callback
from django_docraptor.runners import Step
from django_docraptor.views.error_responses import unlogged_error

logger = logging.getLogger(__name__)


@csrf_exempt
@login_not_required
@never_cache
@transaction.non_atomic_requests
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """Handle DocRaptor's callback: schedule a poll of the job.

    The body is never read; the authenticated status call provides the facts.

    Returns:
        204 for a valid token, also repeatedly; 404 for any other token, without a reason; 503 while
        the database is down, so that DocRaptor may retry; 405 for methods other than POST.
    """
    if request.method != "POST":
        return unlogged_error(405, Allow="POST")
    token_data = read_token(token)
    if token_data is None:
        return unlogged_error(404)
    try:
        is_new = record_callback(*token_data)
    except Error:
        logger.exception("A callback could not be recorded: the database is unavailable")
        return unlogged_error(503)
    if is_new:
        wakeups.notify(Step.POLL)
    return HttpResponse(status=204)
