"""Internal. What proves that DocRaptor did not accept an attempt, or has ended it.

The proof does not depend on how the clocks of the database and of DocRaptor differ. An attempt that
is *known* to have been sent later, because we sent it later, is listed, and DocRaptor has listed it
for longer than any document takes by its own clock; ours is not listed, by a log that reaches back
past it. docs/explanation/guarantees.md says what this assumes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django_docraptor.client import Timeouts
from django_docraptor.client.parsing import STATUS_WORKING
from django_docraptor.conf import conf
from django_docraptor.lifecycle.account_log import AccountLog, OwnAttempt
from django_docraptor.lifecycle.patience import is_over
from django_docraptor.models import RenderJob
from django_docraptor.states import LEASE_SECONDS, LOG_MARGIN_SECONDS, MAX_RENDER_SECONDS, State

# A log that reaches back further than this before an attempt, by DocRaptor's clock, is past it.
DAY = timedelta(days=1)
# Elapsed times by two clocks may differ by this much.
CLOCK_TOLERANCE = timedelta(minutes=5)
MAX_WITNESSES = 1000


@dataclass(frozen=True, slots=True)
class LaterAttempt:
    """A listed attempt that was sent after another, with its age by DocRaptor's clock."""

    attempt: OwnAttempt
    age: timedelta


def latest_arrival() -> timedelta:
    """Return how long after its intent an attempt may still reach DocRaptor.

    A worker does not begin to send after its lease, and each call ends at its total timeout.
    """
    total = Timeouts(**conf.timeout).total
    return timedelta(seconds=LEASE_SECONDS[State.SUBMITTING] + total)


def settled_age() -> timedelta:
    """Return the age at which DocRaptor has finished any document, and lists it."""
    return timedelta(seconds=MAX_RENDER_SECONDS + LOG_MARGIN_SECONDS)


def decision_age() -> float:
    """Return the seconds after its intent from which an attempt that is not listed is decided."""
    return (latest_arrival() + settled_age()).total_seconds()


def is_dead(job: RenderJob, status: str) -> bool:
    """Return whether an accepted attempt with an unfinished status can no longer be finished.

    DocRaptor terminates a document that it renders. How long one may wait for that is unknown.
    """
    if status == STATUS_WORKING:
        return job.attempt_age >= decision_age()
    return is_over(job.attempt_age)


def missing_evidence(job: RenderJob, log: AccountLog) -> str:
    """Return what is missing to prove that DocRaptor did not accept an attempt; "" if proven."""
    if log.error is not None:
        return f"it cannot be read completely: {log.error}"
    if log.served_at is None:
        return "its responses have no valid Date"
    if not log.is_confirmed:
        return "two readings of it differ"
    if not log.is_ordered:
        return "its entries are not listed by time, newest first"
    if not reaches_past(job, log, margin=DAY):
        return "it does not reach back past this attempt"
    later = later_attempt(job, log)
    if later is None:
        return "it lists no attempt that was certainly sent later"
    elapsed = elapsed_since(later.attempt, job)
    if not -CLOCK_TOLERANCE <= later.age <= elapsed + CLOCK_TOLERANCE:
        return "its times contradict the elapsed time"
    if min(later.age, elapsed) < settled_age():
        return "the later attempts that it lists are too recent"
    if count := count_unlisted(job, log, later.attempt):
        return f"it does not list {count} other attempts that DocRaptor accepted"
    return ""


def reaches_past(job: RenderJob, log: AccountLog, *, margin: timedelta) -> bool:
    """Return whether the log was read to before an attempt.

    That is its end, an attempt of ours that was accepted before this one was sent, or a time that
    is earlier by the margin.
    """
    if log.has_ended:
        return True
    sent_at = job.sent_at
    if sent_at is None or not log.entries:
        return False
    if any(
        attempt.accepted_at is not None and attempt.sent_at <= attempt.accepted_at <= sent_at
        for attempt in log.own.values()
    ):
        return True
    oldest = log.entries[-1].created_at
    return (
        oldest is not None
        and (earliest := sent_time(job, log)) is not None
        and (oldest < earliest - margin)
    )


def sent_time(job: RenderJob, log: AccountLog) -> datetime | None:
    """Return about when an attempt was sent, by DocRaptor's clock."""
    return log.served_at and log.served_at - timedelta(seconds=job.attempt_age)


def later_attempt(job: RenderJob, log: AccountLog) -> LaterAttempt | None:
    """Return the oldest listed attempt of ours that was sent when this one had arrived, if at all.

    Its time by DocRaptor's clock is known.
    """
    if job.sent_at is None or log.served_at is None:
        return None
    arrived_at = job.sent_at + latest_arrival()
    later = [
        LaterAttempt(attempt, age=log.served_at - entry.created_at)
        for tag, attempt in log.own.items()
        if attempt.sent_at >= arrived_at
        and (entry := log.find(tag)) is not None
        and entry.created_at is not None
    ]
    return max(later, key=lambda found: found.age, default=None)


def elapsed_since(attempt: OwnAttempt, job: RenderJob) -> timedelta:
    """Return the time between sending an attempt and claiming the job, by the database's clock."""
    return (job.claimed_at or attempt.sent_at) - attempt.sent_at


def count_unlisted(job: RenderJob, log: AccountLog, later: OwnAttempt) -> int:
    """Return how many accepted attempts, sent between this one and a later one, are not listed.

    If there is one, the log is not complete.
    """
    accepted = RenderJob.objects.filter(
        account=job.account,
        created_at__gte=job.sent_at,  # not all of them, but those that an index finds
        sent_at__lte=later.sent_at,
    ).exclude(status_id="")
    rows = accepted.only("attempt").order_by("created_at")[:MAX_WITNESSES]
    return sum(log.find(row.tag) is None for row in rows)
