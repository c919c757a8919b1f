"""Retry, cancel and expire: which jobs they concern, and what they mean for bill and public.

The steps themselves are the shortcuts'. What is said here is what a person confirms.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import router, transaction
from django.utils.translation import gettext_lazy as _

from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import cancel, expire, retry
from django_docraptor.states import State

Text = Any  # a lazy translation or a str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of a job, and of the bill."""

    code: str
    title: Text
    text: Text
    tone: str
    bills: bool = False


RESUMED = Outcome(
    code="resumed",
    title=_("Not billed"),
    text=_("DocRaptor still has this attempt: it is taken up there, without a new document."),
    tone="good",
)
FREE = Outcome(
    code="free",
    title=_("Free"),
    text=_("A test document: it is rendered again with a watermark and costs nothing."),
    tone="good",
)
BILLED = Outcome(
    code="billed",
    title=_("Billed"),
    text=_("It is sent to DocRaptor again: one more document is billed."),
    tone="doubt",
    bills=True,
)
BILLED_AGAIN = Outcome(
    code="billed_again",
    title=_("Billed, perhaps twice"),
    text=_(
        "It is sent to DocRaptor again: one more document is billed. The earlier attempt may be "
        "on the bill already, although it brought nothing."
    ),
    tone="bad",
    bills=True,
)
UNSENT = Outcome(
    code="unsent",
    title=_("Not billed"),
    text=_("This attempt has not been sent to DocRaptor yet."),
    tone="good",
)
GIVEN_UP_FREE = Outcome(
    code="given_up_free",
    title=_("Free"),
    text=_("A test document: DocRaptor may finish it, at no cost. The result is ignored."),
    tone="good",
)
MAYBE_BILLED = Outcome(
    code="maybe_billed",
    title=_("May be billed"),
    text=_(
        "DocRaptor has no cancel: what it has accepted, it may finish and bill. The result is "
        "ignored."
    ),
    tone="doubt",
)
MAYBE_PUBLIC = Outcome(
    code="maybe_public",
    title=_("May become public"),
    text=_(
        "DocRaptor has no cancel: what it has accepted, it may finish, and bill if it is no test "
        "document. It then keeps it at a public address that is not learned here any more, so it "
        "cannot be ended from here. To end it, let the job complete, then expire it."
    ),
    tone="bad",
)
RENDERED = Outcome(
    code="rendered",
    title=_("Billed already"),
    text=_("DocRaptor has finished this document and billed it. The result is thrown away."),
    tone="bad",
)

ENDED = Outcome(
    code="ended",
    title=_("No longer public"),
    text=_(
        "DocRaptor removes the document: its public address shows nothing any more, and it cannot "
        "be had from there again. Copies that somebody has made are out of reach."
    ),
    tone="bad",
)


def retry_outcome(job: RenderJob) -> Outcome | None:
    """What a retry would do; ``None`` if there is nothing to retry."""
    if job.state != State.FAILED:
        return None
    if job.resumes_at is not None:
        return RESUMED
    if job.test:
        return FREE
    return BILLED_AGAIN if job.may_have_been_billed else BILLED


def cancel_outcome(job: RenderJob) -> Outcome | None:
    """What giving up would mean; ``None`` if the job is over."""
    if job.is_final:
        return None
    if job.state == State.PENDING:
        return UNSENT
    if job.hosted:
        return MAYBE_PUBLIC
    if job.test:
        return GIVEN_UP_FREE
    return RENDERED if job.state == State.DOWNLOADING else MAYBE_BILLED


def expire_outcome(job: RenderJob) -> Outcome | None:
    """What ending a hosted document means; ``None`` if nothing is public."""
    return ENDED if job.is_public else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that a person may do to jobs, after confirming it.

    ``calls`` says that it calls DocRaptor, for which no transaction should be kept open.
    """

    name: str
    permission: str
    outcome: Callable[[RenderJob], Outcome | None]
    run: Callable[..., bool]
    label: Text
    title: Text
    button: Text
    done: Text
    nothing: Text
    calls: bool = False


RETRY = Step(
    name="retry",
    permission="django_docraptor.retry_renderjob",
    outcome=retry_outcome,
    run=retry,
    label=_("Retry…"),
    title=_("Retry %(what)s?"),
    button=_("Yes, retry"),
    done=_("Retried: %(count)d."),
    nothing=_("Nothing to retry: only failed jobs can be retried."),
)
CANCEL = Step(
    name="cancel",
    permission="django_docraptor.cancel_renderjob",
    outcome=cancel_outcome,
    run=cancel,
    label=_("Cancel…"),
    title=_("Cancel %(what)s?"),
    button=_("Yes, cancel"),
    done=_("Cancelled: %(count)d."),
    nothing=_("Nothing to cancel: only unfinished jobs can be cancelled."),
)
EXPIRE = Step(
    name="expire",
    permission="django_docraptor.expire_renderjob",
    outcome=expire_outcome,
    run=expire,
    label=_("Expire…"),
    title=_("End the public address of %(what)s?"),
    button=_("Yes, end it"),
    done=_("No longer public: %(count)d."),
    nothing=_("Nothing to end: it is not public."),
    calls=True,
)


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs of which the same becomes."""

    outcome: Outcome
    jobs: list[RenderJob]


@dataclass(frozen=True, slots=True)
class Plan:
    """A step for certain jobs as they now are."""

    step: Step
    groups: list[Group]
    left_alone: list[RenderJob]

    @classmethod
    def make(cls, step: Step, jobs: Iterable[RenderJob]) -> "Plan":
        """Sort the jobs by what would become of them."""
        groups: dict[str, Group] = {}
        left_alone = []
        for job in jobs:
            outcome = step.outcome(job)
            if outcome is None:
                left_alone.append(job)
            else:
                groups.setdefault(outcome.code, Group(outcome, [])).jobs.append(job)
        return cls(step, list(groups.values()), left_alone)

    @property
    def jobs(self) -> list[RenderJob]:
        """The jobs that the step concerns."""
        return [job for group in self.groups for job in group.jobs]

    @property
    def title(self) -> str:
        """The question."""
        jobs = self.jobs
        many = _("%(count)d jobs") % {"count": len(jobs)}
        return str(self.step.title % {"what": f"“{jobs[0].name}”" if len(jobs) == 1 else many})

    @property
    def billed(self) -> int:
        """How many documents the step adds to the bill."""
        return sum(len(group.jobs) for group in self.groups if group.outcome.bills)

    @property
    def fingerprint(self) -> str:
        """What a person confirms: this step, these jobs, their attempts, and this bill."""
        lines = sorted(
            f"{job.pk.hex} {job.attempt} {group.outcome.code}"
            for group in self.groups
            for job in group.jobs
        )
        return hashlib.sha256("\n".join([self.step.name, *lines]).encode()).hexdigest()

    def run(self, user: AbstractBaseUser) -> int:
        """Take the step. Returns how many jobs were still as they had been.

        Raises:
            DocRaptorError: a step that calls DocRaptor could not.
        """
        if self.step.calls:
            return sum(self.step.run(job, by=user) for job in self.jobs)
        # One transaction, hence one bell for all.
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            return sum(self.step.run(job, by=user) for job in self.jobs)
