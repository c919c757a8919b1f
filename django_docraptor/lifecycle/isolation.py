"""Internal. Save the outcome of each job of a batch, whatever happens to the others.

An unexpected error concerns one job. A database error that may pass is repeated, because an outcome
is known only once: a create's status_id is lost otherwise.
"""

import logging
import random
import time
from collections.abc import Callable
from copy import copy
from functools import partial

from django.db import InterfaceError, OperationalError, connections, router

from django_docraptor.exceptions import DocRaptorError, UnknownOutcomeError
from django_docraptor.instrumentation import log_fields
from django_docraptor.models import RenderJob
from django_docraptor.models.text import is_unstorable

logger = logging.getLogger(__name__)

Save = Callable[[RenderJob], object]
ErrorHandler = Callable[[RenderJob, DocRaptorError], object]

# Database errors that may pass: a deadlock, a lock or statement timeout, a serialization failure, a
# lost connection. Some drivers also report lasting ones so; each repetition is bounded.
PASSING_ERRORS = (InterfaceError, OperationalError)
# Seconds before each repetition: the first ones for conflicts, the last ones for a restart.
RETRY_DELAYS = (0.05, 0.2, 1.0, 2.0, 4.0)


def save_outcome(job: RenderJob, save: Save, on_error: ErrorHandler) -> None:
    """Save the outcome of one job.

    Args:
        job: as it was claimed; it is reset before each repetition.
        save: writes to the database only. It may be called again after it has committed, so each
            of its writes must check the row, as transitions do.
        on_error: called with the job and an unexpected error; must bound its retries.

    Raises:
        OperationalError: the database failed each time, which ends the whole step.
        InterfaceError: as before.
    """
    snapshot = copy(job)
    try:
        _save_repeatedly(job, save)
    except Exception as error:
        if isinstance(error, PASSING_ERRORS) and not is_unstorable(error):
            raise
        logger.exception("Job %s: unexpected error", job.pk, extra=log_fields(job))
        message = f"{type(error).__name__} while the response was saved. The log has the details."
        failure = UnknownOutcomeError(message, retryable=True)
        _reset(job, snapshot)
        _save_repeatedly(job, partial(_handle, on_error, failure))


def _handle(on_error: ErrorHandler, failure: DocRaptorError, job: RenderJob) -> None:
    on_error(job, failure)


def _save_repeatedly(job: RenderJob, save: Save) -> None:
    snapshot = copy(job)
    for delay in RETRY_DELAYS:
        try:
            save(job)
        except PASSING_ERRORS as error:
            is_nested = connections[router.db_for_write(RenderJob)].in_atomic_block
            # A transaction of the caller cannot go on; some drivers call a bad value such an error.
            if is_nested or is_unstorable(error):
                raise
            logger.warning(
                "Job %s: the outcome is saved again after %s", job.pk, error, extra=log_fields(job)
            )
        else:
            return
        _reset(job, snapshot)
        time.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
        connections[router.db_for_write(RenderJob)].close_if_unusable_or_obsolete()
    save(job)


def _reset(job: RenderJob, snapshot: RenderJob) -> None:
    """Undo what a failed write has changed on the object."""
    vars(job).clear()
    vars(job).update(vars(copy(snapshot)))
