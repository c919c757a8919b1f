"""Internal. Record in Django's own log, and so in *History*, who did what with a job."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, router, transaction
from django.db.models import Model
from django.http import HttpRequest
from django.utils import translation
from django.utils.translation import ngettext

from django_docraptor.admin.operations import RETRY, Operation, OutcomeGroup
from django_docraptor.models import RenderJob
from django_docraptor.outcomes import Text

logger = logging.getLogger(__name__)


def log_operation(
    request: HttpRequest, operation: Operation, groups: Iterable[OutcomeGroup]
) -> None:
    """Record an operation for each job, with what it meant for the bill."""
    for group in groups:
        log_change(request, group.jobs, operation.log_message, group.outcome.title)


def log_all_retried(request: HttpRequest, count: int) -> None:
    """Record that all failed jobs of a list were retried; each job's own history has its retry."""
    user_id = request.user.pk
    if not count or user_id is None:
        return
    with translation.override(settings.LANGUAGE_CODE):
        text = ngettext("%(count)d failed job", "%(count)d failed jobs", count)
        title, message = text % {"count": count}, str(RETRY.log_message)
    with _logged_errors(count):
        LogEntry.objects.create(
            user_id=user_id,
            content_type=ContentType.objects.get_for_model(RenderJob),
            object_id=None,
            object_repr=title,
            action_flag=CHANGE,
            change_message=message,
        )


def log_change(request: HttpRequest, objects: Sequence[Model], *texts: Text, **values: str) -> None:
    """Record a change of jobs, or of other objects of one model, by the request's user.

    The operation is done: an error of the log is logged, and no more.

    Args:
        request: of the user.
        objects: what was changed.
        texts: translatable; written in the site's language, because others read them.
        values: of the placeholders of the texts.
    """
    user_id = request.user.pk
    if not objects or user_id is None:
        return
    with translation.override(settings.LANGUAGE_CODE):
        message = " ".join(str(text) % values if values else str(text) for text in texts)
    with _logged_errors(len(objects)):
        LogEntry.objects.log_actions(
            user_id=user_id,
            queryset=objects,
            action_flag=CHANGE,
            change_message=message,
        )


@contextmanager
def _logged_errors(count: int) -> Iterator[None]:
    try:
        with transaction.atomic(using=router.db_for_write(LogEntry)):
            yield
    except DatabaseError:
        logger.exception("The admin's log has no entry for %d objects", count)
