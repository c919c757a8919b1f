"""Internal. Keep one job's unexpected error from ending the step for the rest of its batch."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy

from django.db import InterfaceError, OperationalError

from django_docraptor.exceptions import DocRaptorError, UnknownOutcomeError
from django_docraptor.models import RenderJob

logger = logging.getLogger(__name__)

ErrorHandler = Callable[[RenderJob, DocRaptorError], object]


@contextmanager
def isolate_errors(job: RenderJob, on_error: ErrorHandler) -> Iterator[None]:
    """Contain an unexpected error to one job, so that the rest of its batch goes on.

    Args:
        on_error: called with the job and the error; must bound its retries.
    """
    snapshot = copy(job)  # a failed write may have changed the object's attributes
    try:
        yield
    except (InterfaceError, OperationalError):  # database errors end the whole step
        raise
    except Exception as error:
        logger.exception("Job %s: unexpected error", job.pk)
        message = f"{type(error).__name__} while the response was saved. The log has the details."
        on_error(snapshot, UnknownOutcomeError(message, retryable=True))
