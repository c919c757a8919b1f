"""QUEUED, WORKING → DOWNLOADING, COMPLETED or FAILED: ask DocRaptor how the due jobs stand.

It never sleeps and never holds a worker for a render: a row that is not done gets a later
``due_at``.
"""

import time
from dataclasses import dataclass

from django.db.models.functions import Now

from django_docraptor.client import RemoteStatus
from django_docraptor.exceptions import (
    CallError,
    DocRaptorError,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
)
from django_docraptor.lifecycle.backoff import alone, fail, pause, poll_interval, put_off
from django_docraptor.lifecycle.collection import begun
from django_docraptor.lifecycle.hosting import published
from django_docraptor.lifecycle.remote import call_all, client_for
from django_docraptor.models import RenderJob, after, logger
from django_docraptor.states import (
    LEASE,
    MAX_STATUS_FAILURES,
    MAX_STATUS_MISSING,
    POLLED,
    Kind,
    Reason,
    State,
)

BATCH = 64
BUDGET = 5.0
COMPLETED, WORKING = "completed", "working"
# A retired official client also knew "killed".
DEAD = ("failed", "killed")
KNOWN = (COMPLETED, WORKING, *DEAD, "queued")


@dataclass
class Polled:
    """What a run of polls has done.

    Args:
        claimed: how many jobs it asked for.
        kept: one of those, still claimed, with its download begun: for the caller to collect.
    """

    claimed: int = 0
    kept: RenderJob | None = None


def poll(limit: int = BATCH, *, keep_one: bool = False) -> Polled:
    """Ask for the due jobs' states and act on them.

    Args:
        keep_one: the caller will collect a finished document itself, so that a lone one needs no
            other run.
    """
    polled, stop = Polled(), time.monotonic() + BUDGET
    due = RenderJob.objects.filter(state__in=POLLED)
    while jobs := due.claim(limit=limit, lease=LEASE[State.QUEUED]):
        polled.claimed += len(jobs)
        for job, answer in call_all(
            lambda job: client_for(job.account).get_status(job.status_id), jobs
        ):
            if isinstance(answer, DocRaptorError):
                unanswered(job, answer)
                continue
            keep = keep_one and polled.kept is None
            with alone(job, unanswered):
                answered(job, answer, keep=keep)
            if keep and job.state == State.DOWNLOADING:
                polled.kept = job
        if len(jobs) < limit or time.monotonic() > stop:
            break
    return polled


def answered(job: RenderJob, remote: RemoteStatus, *, keep: bool = False) -> None:
    """Act on what DocRaptor said; a word we do not know means: keep looking."""
    if remote.status not in KNOWN:
        logger.warning("Job %s: DocRaptor gave the unknown status %r", job.pk, remote.status[:50])
    if remote.status == COMPLETED and remote.download_id:
        if job.hosted:
            published(job, remote)
        else:
            rendered(job, remote, keep=keep)
    elif remote.status in DEAD:
        fail(job, Reason.RENDER_FAILED, _reasons(remote), message=remote.message)
    elif job.is_past_deadline:
        fail(job, Reason.TIMED_OUT, _timed_out(job, remote))
    else:
        not_yet(job, remote)


def rendered(job: RenderJob, remote: RemoteStatus, *, keep: bool) -> None:
    """DocRaptor has the document: it is next to be fetched, by this run if it keeps the claim."""
    kept = {"lease_token": job.lease_token, "due_at": after(LEASE[State.DOWNLOADING])}
    claim = kept | begun(job) if keep else {"due_at": Now()}
    job.move(
        State.DOWNLOADING,
        kind=Kind.RENDERED,
        leased=True,
        download_id=remote.download_id,
        number_of_pages=remote.number_of_pages,
        message=remote.message,
        rendered_at=Now(),
        errors="",
        **claim,
    )


def not_yet(job: RenderJob, remote: RemoteStatus) -> None:
    """Not done: look again later. A late "queued" never moves a working job back."""
    due_at = after(poll_interval(job.age))
    if remote.status == WORKING and job.state == State.QUEUED:
        job.move(State.WORKING, kind=Kind.WORKING, leased=True, due_at=due_at, errors="")
    else:
        job.set(failures=0, lease_token="", due_at=due_at)


def unanswered(job: RenderJob, error: DocRaptorError) -> None:
    """No status: wait and ask again, within bounds. The document may be well."""
    if isinstance(error, UnauthorizedError):
        pause(job, error)
    elif job.failures + 1 >= _patience(error):
        fail(job, Reason.REMOTE_LOST, f"DocRaptor no longer tells how it stands: {error}")
    else:
        put_off(job, error, seconds=getattr(error, "retry_after", None) or None)


def _patience(error: DocRaptorError) -> int:
    lost = isinstance(error, (ForbiddenError, NotFoundError))
    lost = lost or (isinstance(error, CallError) and not error.retryable)
    return MAX_STATUS_MISSING if lost else MAX_STATUS_FAILURES


def _reasons(remote: RemoteStatus) -> str:
    return remote.validation_errors or remote.message or f"DocRaptor says {remote.status!r}."


def _timed_out(job: RenderJob, remote: RemoteStatus) -> str:
    return (
        f"DocRaptor still said {remote.status!r} after {job.age:.0f} s. "
        "It kills asynchronous documents after 600 s."
    )
