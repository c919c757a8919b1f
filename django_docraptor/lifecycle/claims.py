"""Internal. What becomes of a job whose claims lapse.

A claim lapses if its worker dies or hangs. The job is then claimed alone, by another worker; if
that happens again and again, the job is the reason, and fails.
"""

import logging
from collections.abc import Mapping
from typing import Any

from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.transitions import fail
from django_docraptor.models import RenderJob
from django_docraptor.states import MAX_LAPSED_CLAIMS, ErrorCode, State

logger = logging.getLogger(__name__)

# What the worker does for a job in each state.
ACTIVITIES: Mapping[str, str] = {
    State.PENDING: "rendering its template",
    State.UNCONFIRMED: "looking for it in DocRaptor's log",
    State.QUEUED: "asking DocRaptor for its status",
    State.WORKING: "asking DocRaptor for its status",
    State.DOWNLOADING: "downloading or storing its file",
}


def without_killers(jobs: list[RenderJob]) -> list[RenderJob]:
    """Fail the claimed jobs that have killed too many workers, and return the others."""
    return [job for job in jobs if not fail_killer(job)]


def fail_killer(job: RenderJob) -> bool:
    """Fail a claimed job if its claims lapsed too often in a row.

    Returns:
        Whether that is so.
    """
    if job.lapsed_claims < MAX_LAPSED_CLAIMS:
        return False
    message = (
        f"{job.lapsed_claims} workers in a row died or hung while {ACTIVITIES[job.state]}. The "
        "workers' log may have the reason, such as too little memory."
    )
    logger.error("Job %s: %s", job.pk, message, extra=log_fields(job))
    # What is known of an earlier attempt must not be resumed: this one was never sent.
    changes: dict[str, Any] = (
        {"status_id": "", "download_id": ""} if job.state == State.PENDING else {}
    )
    fail(job, ErrorCode.KILLED_ITS_WORKER, message, **changes)
    return True
