"""Internal. How far a document is, in the words of its reader.

The status page, the JSON and the template tags show the same. A reader knows three words for what
the engine has nine states for, and nothing of why a document failed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import TextChoices
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_docraptor.durations import format_duration
from django_docraptor.estimates import Estimate, estimate_of
from django_docraptor.health import SLOW_SECONDS, is_blocked, is_late, is_slow, is_told
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.responses.retries import may_retry
from django_docraptor.states import EventKind, State

# A page, or a client, looks again after a fifth of the job's age, within these bounds (seconds).
MIN_REFRESH, MAX_REFRESH, REFRESH_FRACTION = 1, 30, 0.2


class Stage(TextChoices):
    """What a reader is told about a document's state."""

    WAITING = "waiting", gettext_lazy("Waiting")
    IN_PROGRESS = "in_progress", gettext_lazy("In progress")
    READY = "ready", gettext_lazy("Ready")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Cancelled")
    EXPIRED = "expired", gettext_lazy("No longer available")


STAGES: Final = {
    State.PENDING: Stage.WAITING,
    State.COMPLETED: Stage.READY,
    State.FAILED: Stage.FAILED,
    State.CANCELLED: Stage.CANCELLED,
}
# The stages of a document that succeeds, for a list of steps.
STEPS: Final = (Stage.WAITING, Stage.IN_PROGRESS, Stage.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a document is.

    Args:
        job: the job as it was read last.
        stage: its stage.
        elapsed: seconds since the request, or the last retry; until now, or until the end.
        estimate: how long such documents usually take; ``None``: unknown.
        is_longer: whether it takes longer than usual.
        is_late: whether something is wrong on the site's side.
        is_told: whether the people of the site have been told so.
        reason: why it failed, in a customer's words; "" if it has not.
        may_retry: whether the user may try again.
        scheduled_for: when it will be generated at the earliest; ``None``: that is not later.
        refresh: seconds after which to look again; 0 if nothing more will happen.
    """

    job: RenderJob
    stage: Stage
    elapsed: float = 0.0
    estimate: Estimate | None = None
    is_longer: bool = False
    is_late: bool = False
    is_told: bool = False
    reason: str = ""
    may_retry: bool = False
    scheduled_for: datetime | None = None
    refresh: int = 0

    @property
    def heading(self) -> str:
        """The state as a sentence without a full stop."""
        if self.is_late:
            return _("Something is wrong on our side")
        if self.is_longer:
            return _("This is taking longer than usual")
        if self.scheduled_for is not None:
            return _("Your document is scheduled")
        return {
            Stage.READY: _("Your document is ready"),
            Stage.FAILED: _("Your document could not be generated"),
            Stage.CANCELLED: _("This document was cancelled"),
            Stage.EXPIRED: _("This document is no longer available"),
        }.get(self.stage, _("Your document is being generated"))

    @property
    def message(self) -> str:
        """One or two sentences; "" if the heading says everything."""
        return " ".join(self._sentences())

    def _sentences(self) -> list[str]:
        if self.stage == Stage.FAILED:
            return [self.reason]
        if self.stage not in (Stage.WAITING, Stage.IN_PROGRESS):
            return []
        if self.is_late:
            return [_("We have been told.")] if self.is_told else []
        if self.scheduled_for is not None:
            local = timezone.localtime(self.scheduled_for)
            time = f"{formats.date_format(local, 'DATE_FORMAT')}, {local:%H:%M}"
            return [_("It will be generated on %(time)s.") % {"time": time}]
        texts = [_("%(duration)s so far.") % {"duration": format_duration(self.elapsed)}]
        if self.estimate is None:
            return texts
        usual, longest = map(format_duration, (self.estimate.usual, self.estimate.longest))
        if self.is_longer and usual != longest:
            text = _("It usually takes about %(usual)s, and hardly ever more than %(longest)s.")
        else:
            text = _("It usually takes about %(usual)s.")
        return [*texts, text % {"usual": usual, "longest": longest}]

    @property
    def is_ready(self) -> bool:
        """Whether the document can be downloaded."""
        return self.stage == Stage.READY

    @property
    def steps(self) -> list[tuple[Stage, bool, bool]]:
        """The stages of a success: each with whether it is over, and whether it is current."""
        if self.stage not in STEPS:
            return []
        current = STEPS.index(self.stage)
        return [(step, index < current, index == current) for index, step in enumerate(STEPS)]


def stage_of(job: RenderJob) -> Stage:
    """Return a job's stage, by its columns alone."""
    is_gone = job.erased_at is not None or (job.hosted and not job.is_public)
    if job.state == State.COMPLETED and is_gone:
        return Stage.EXPIRED
    return STAGES.get(State(job.state), Stage.IN_PROGRESS)


def progress_of(request: HttpRequest, job: RenderJob) -> Progress:
    """Return how far a document is, for a user who may download it."""
    if job.is_final:
        explanation = job.explanation
        return Progress(
            job=job,
            stage=stage_of(job),
            elapsed=_seconds(_began_at(job), job.finished_at),
            reason=str(explanation.for_customers) if explanation else "",
            may_retry=may_retry(request, job),
        )
    job = with_database_time(job)
    if job.is_final:  # it has ended since it was read
        return progress_of(request, job)
    elapsed, estimate = _seconds(_began_at(job), job.claimed_at), estimate_of(job.document)
    # A pause of a minute or two is nothing to tell; looking for it takes two queries.
    blocked = elapsed >= SLOW_SECONDS and is_blocked(job)
    late = blocked or is_late(job)
    return Progress(
        job=job,
        stage=stage_of(job),
        elapsed=elapsed,
        estimate=estimate,
        is_longer=not late
        and (is_slow(job) or (estimate is not None and elapsed > estimate.longest)),
        is_late=late,
        is_told=late and (blocked or is_told(job)),
        scheduled_for=_scheduled_for(job),
        refresh=MAX_REFRESH if _scheduled_for(job) else refresh_interval(job),
    )


def with_database_time(job: RenderJob) -> RenderJob:
    """Return the job with the database's time: itself, or read again."""
    if job.claimed_at is not None:
        return job
    return RenderJob.objects.annotate(database_now=Now()).filter(pk=job.pk).first() or job


def refresh_interval(job: RenderJob) -> int:
    """Return the seconds after which to look at an unfinished job again.

    The job must be annotated with the database's time.
    """
    age = _seconds(job.sent_at or job.created_at, job.claimed_at)
    return round(min(MAX_REFRESH, max(MIN_REFRESH, age * REFRESH_FRACTION)))


def _scheduled_for(job: RenderJob) -> datetime | None:
    """Return the time that a document was asked for, if it is still to come."""
    time, now = job.not_before, job.claimed_at or timezone.now()
    return time if job.state == State.PENDING and time is not None and time > now else None


def _began_at(job: RenderJob) -> datetime:
    """Return when the reader began to wait: with the request, or with the last retry."""
    retries = job.events.filter(kind=EventKind.RETRIED).order_by("-id")
    return retries.values_list("at", flat=True).first() or job.wanted_at


def _seconds(start: datetime, end: datetime | None) -> float:
    return max(0.0, ((end or timezone.now()) - start).total_seconds())
