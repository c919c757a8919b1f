"""Internal. QUEUED, WORKING → DOWNLOADING, COMPLETED or FAILED: ask for the status of due jobs.

A worker never sleeps or waits for a render: an unfinished job gets a later ``due_at``.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from django_docraptor.client import RemoteStatus
from django_docraptor.client.parsing import KNOWN_STATUSES, STATUS_WORKING
from django_docraptor.exceptions import (
    DocRaptorError,
)
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.account_refusals import concerns_account, is_account_refusal
from django_docraptor.lifecycle.accounts import (
    claim,
    connect_all,
    release,
)
from django_docraptor.lifecycle.claims import without_killers
from django_docraptor.lifecycle.clients import KeyedClient, NotBegunError, call_concurrently
from django_docraptor.lifecycle.evidence import is_dead
from django_docraptor.lifecycle.isolation import save_outcome
from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.lifecycle.pacing import poll_interval
from django_docraptor.lifecycle.patience import Stage
from django_docraptor.lifecycle.postponement import (
    has_asked_again,
    pause_account_and_postpone,
    postpone_or_fail,
    return_or_fail_refused,
)
from django_docraptor.lifecycle.transitions import (
    fail,
    mark_published,
    mark_rendered,
    mark_working,
)
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.jobs import NO_FAILURES
from django_docraptor.states import (
    MAX_RENDER_SECONDS,
    POLLED_STATES,
    ErrorCode,
    State,
)

logger = logging.getLogger(__name__)

BATCH_SIZE = 64
RUN_SECONDS = 5.0


@dataclass
class PollResult:
    """The result of a polling run.

    Args:
        claimed: number of polled jobs.
        rendered_job: one finished job, still claimed and with its download counted, for the caller
            to download.
        may_have_file: whether an earlier download of that job may have stored a file.
    """

    claimed: int = 0
    rendered_job: RenderJob | None = None
    may_have_file: bool = False


def poll(limit: int = BATCH_SIZE, *, keep_rendered: bool = False) -> PollResult:
    """Poll the due jobs and act on their status.

    Args:
        keep_rendered: keep the claim on one finished document, which the caller downloads without
            another notification.
    """
    result, stop = PollResult(), time.monotonic() + RUN_SECONDS
    while jobs := claim(POLLED_STATES, limit=limit, lease=lease_for(State.QUEUED)):
        result.claimed += len(jobs)
        clients = connect_all(job.account for job in jobs)
        callable_jobs = []
        for job in without_killers(jobs):
            if job.account in clients:
                callable_jobs.append(job)
            else:
                release(job)
        for job, outcome in call_concurrently(partial(get_status, clients=clients), callable_jobs):
            keep_claim = keep_rendered and result.rendered_job is None
            may_have_file = bool(job.reserved_name)
            save = partial(handle_outcome, outcome=outcome, keep_claim=keep_claim)
            save_outcome(job, save, handle_status_error)
            if keep_claim and job.state == State.DOWNLOADING:
                result.rendered_job, result.may_have_file = job, may_have_file
        has_more = len(jobs) == limit or jobs[0].lapsed_claims  # claimed alone
        if not has_more or time.monotonic() > stop:
            break
    return result


def get_status(job: RenderJob, *, clients: Mapping[str, KeyedClient]) -> RemoteStatus:
    """Ask for the status of a job."""
    return clients[job.account].ask(
        "get_status", lambda client: client.get_status(job.status_id), job=job
    )


def handle_outcome(
    job: RenderJob, *, outcome: RemoteStatus | DocRaptorError, keep_claim: bool
) -> None:
    """Act on the status, or on the error, that the status call returned."""
    if isinstance(outcome, DocRaptorError):
        handle_status_error(job, outcome)
    else:
        handle_status(job, outcome, keep_claim=keep_claim)


def handle_status(job: RenderJob, remote: RemoteStatus, *, keep_claim: bool = False) -> None:
    """Act on a status from DocRaptor. An unknown status means: poll again."""
    if remote.status not in KNOWN_STATUSES:
        logger.warning(
            "Job %s: DocRaptor returned the unknown status %r",
            job.pk,
            remote.status[:50],
            extra=log_fields(job),
        )
    if remote.is_completed and remote.download_id:
        if job.hosted:
            publish_or_fail(job, remote)
        else:
            mark_rendered(job, remote, keep_claim=keep_claim)
    elif remote.is_failed and is_account_refusal(remote.failure_reason):
        return_or_fail_refused(job, remote.failure_reason)
    elif remote.is_failed:
        fail(job, ErrorCode.RENDER_FAILED, remote.failure_reason, message=remote.message)
    elif job.is_past_deadline:
        fail_overdue(job, remote)
    elif remote.status == STATUS_WORKING and job.state == State.QUEUED:
        mark_working(job)
    else:
        schedule_next_poll(job)


def fail_overdue(job: RenderJob, remote: RemoteStatus) -> None:
    """Fail a job whose document was not finished by the deadline.

    If a retry has waited until its own deadline, and DocRaptor must have ended the attempt, another
    retry need not wait for it again.
    """
    if is_dead(job, remote.status) and has_asked_again(job):
        message = (
            f"DocRaptor still reported the status {remote.status!r} after {job.attempt_age:.0f} s, "
            "also to a retry, so this attempt is never finished. Another retry starts a new one."
        )
        fail(job, ErrorCode.DOCUMENT_GONE, message)
    else:
        fail(job, ErrorCode.TIMED_OUT, _timeout_message(job, remote))


def publish_or_fail(job: RenderJob, remote: RemoteStatus) -> None:
    """Complete a hosted job, if DocRaptor returned a URL that a browser can open."""
    if _is_web_url(remote.download_url):
        mark_published(job, remote)
    else:
        message = "DocRaptor reported the document as completed but returned no public URL."
        fail(job, ErrorCode.STATUS_UNAVAILABLE, message)


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def schedule_next_poll(job: RenderJob) -> None:
    """Poll again later. A late "queued" never moves a job back from WORKING."""
    due_at = seconds_from_now(poll_interval(job.attempt_age, job.account))
    job.update_leased(**NO_FAILURES, lease_token="", due_at=due_at)


def handle_status_error(job: RenderJob, error: DocRaptorError) -> None:
    """Handle a failed status call: poll again. The document itself may be fine."""
    if concerns_account(error):
        pause_account_and_postpone(job, error)
    elif isinstance(error, NotBegunError):
        release(job)
    else:
        postpone_or_fail(job, Stage.STATUS, error)


def _timeout_message(job: RenderJob, remote: RemoteStatus) -> str:
    if remote.is_completed:
        return (
            f"After {job.attempt_age:.0f} s, DocRaptor reported the document as completed, but "
            "returned no usable download_id. A retry asks for it again."
        )
    return (
        f"DocRaptor still reported the status {remote.status!r} after {job.attempt_age:.0f} s. "
        f"It terminates asynchronous documents after {MAX_RENDER_SECONDS:g} s."
    )
