"""Internal. The operations on jobs: which jobs they apply to, and their effect.

The shortcuts do the work. This module has the texts that the user confirms: what an operation means
for the bill, and for access to a hosted document.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import router, transaction
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import cancel, expire, release, retry
from django_docraptor.states import State

Text = Any  # a lazy translation or a str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The effect of an operation on a job and on the bill."""

    code: str
    title: Text
    text: Text
    style: str
    is_billed: bool = False


NOT_BILLED = Outcome(
    code="not_billed",
    title=_("Not billed"),
    text=_(
        "DocRaptor has accepted the attempt. The job continues from there, without creating a new "
        "document. If DocRaptor no longer has it, the job fails again, and you decide about a new "
        "one."
    ),
    style="success",
)
FREE = Outcome(
    code="free",
    title=_("Free"),
    text=_("Test documents are rendered again with a watermark, free of charge."),
    style="success",
)
BILLED = Outcome(
    code="billed",
    title=_("Billed"),
    text=_("Each document is sent to DocRaptor again and billed as a new one."),
    style="warning",
    is_billed=True,
)
MAY_BE_BILLED_TWICE = Outcome(
    code="may_be_billed_twice",
    title=_("May be billed twice"),
    text=_(
        "Each document is sent to DocRaptor again and billed as a new one. The earlier attempt may "
        "have been billed already, even though no document was received."
    ),
    style="error",
    is_billed=True,
)
NOT_SENT = Outcome(
    code="not_sent",
    title=_("Not billed"),
    text=_("Nothing has been sent to DocRaptor for this attempt yet."),
    style="success",
)
CANCELLED_FREE = Outcome(
    code="cancelled_free",
    title=_("Free"),
    text=_("DocRaptor may still finish a test document, at no cost. The result is discarded."),
    style="success",
)
MAY_BE_BILLED = Outcome(
    code="may_be_billed",
    title=_("May be billed"),
    text=_(
        "DocRaptor cannot cancel a document it has accepted. It may still finish and bill it; the "
        "result is discarded."
    ),
    style="warning",
)
MAY_BECOME_PUBLIC = Outcome(
    code="may_become_public",
    title=_("May become public"),
    text=_(
        "DocRaptor cannot cancel a document it has accepted. It may still finish the document, "
        "bill it (unless it is a test document) and publish it. This site would not know the "
        "public URL and could not expire it. To remove the document, let the job complete, then "
        "expire it."
    ),
    style="error",
)
ALREADY_BILLED = Outcome(
    code="already_billed",
    title=_("Already billed"),
    text=_("DocRaptor has already finished and billed this document. The result is discarded."),
    style="error",
)

EXPIRED = Outcome(
    code="expired",
    title=_("No longer public"),
    text=_(
        "DocRaptor deletes the document. Its public URL stops working and cannot be restored. "
        "Copies that were already downloaded are not affected."
    ),
    style="error",
)


SENT_FREE = Outcome(
    code="sent_free",
    title=_("Free"),
    text=_("Test documents are sent now, free of charge."),
    style="success",
)
SENT = Outcome(
    code="sent",
    title=_("Billed"),
    text=_(
        "Each document is sent to DocRaptor and billed, even if a budget is used up. The documents "
        "of its object are counted from now on."
    ),
    style="warning",
    is_billed=True,
)


def retry_outcome(job: RenderJob) -> Outcome | None:
    """Return the outcome of retrying, or ``None`` if the job has not failed, or was erased."""
    if job.state != State.FAILED or job.erased_at is not None:
        return None
    if job.resume_state is not None:
        return NOT_BILLED
    if job.test:
        return FREE
    return MAY_BE_BILLED_TWICE if job.may_have_been_billed else BILLED


def cancel_outcome(job: RenderJob) -> Outcome | None:
    """Return the outcome of cancelling, or ``None`` if the job is finished."""
    if job.is_final:
        return None
    if job.state == State.PENDING:
        return NOT_SENT
    if job.hosted:
        return MAY_BECOME_PUBLIC
    if job.test:
        return CANCELLED_FREE
    return ALREADY_BILLED if job.state == State.DOWNLOADING else MAY_BE_BILLED


def release_outcome(job: RenderJob) -> Outcome | None:
    """Return the outcome of letting a job go, or ``None`` if it is not held."""
    if job.state != State.PENDING or job.held_at is None:
        return None
    return SENT_FREE if job.test else SENT


def expire_outcome(job: RenderJob) -> Outcome | None:
    """Return the outcome of expiring a hosted document, or ``None`` if it is not public."""
    return EXPIRED if job.is_public else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation on jobs that the user must confirm.

    With ``calls_docraptor``, no transaction is held open during the operation.
    """

    name: str
    permission: str
    get_outcome: Callable[[RenderJob], Outcome | None]
    run: Callable[..., bool]
    label: Text
    title: Text
    button: Text
    success_message: Text
    empty_message: Text
    log_message: Text
    calls_docraptor: bool = False


RETRY = Operation(
    name="retry",
    permission="django_docraptor.retry_renderjob",
    get_outcome=retry_outcome,
    run=retry,
    label=_("Retry…"),
    title=_("Retry %(what)s?"),
    button=_("Yes, retry"),
    success_message=ngettext_lazy(
        "%(count)d job will be retried.", "%(count)d jobs will be retried.", "count"
    ),
    empty_message=_("Nothing to retry: only failed jobs can be retried."),
    log_message=_("Retried."),
)
CANCEL = Operation(
    name="cancel",
    permission="django_docraptor.cancel_renderjob",
    get_outcome=cancel_outcome,
    run=cancel,
    label=_("Cancel…"),
    title=_("Cancel %(what)s?"),
    button=_("Yes, cancel"),
    success_message=ngettext_lazy(
        "%(count)d job was cancelled.", "%(count)d jobs were cancelled.", "count"
    ),
    empty_message=_("Nothing to cancel: only unfinished jobs can be cancelled."),
    log_message=_("Cancelled."),
)
RELEASE = Operation(
    name="release",
    permission="django_docraptor.retry_renderjob",
    get_outcome=release_outcome,
    run=release,
    label=_("Release…"),
    title=_("Release %(what)s?"),
    button=_("Yes, release"),
    success_message=ngettext_lazy(
        "%(count)d job was released.", "%(count)d jobs were released.", "count"
    ),
    empty_message=_("Nothing to release: only held jobs can be released."),
    log_message=_("Released."),
)
EXPIRE = Operation(
    name="expire",
    permission="django_docraptor.expire_renderjob",
    get_outcome=expire_outcome,
    run=expire,
    label=_("Expire…"),
    title=_("Expire %(what)s?"),
    button=_("Yes, expire it"),
    success_message=ngettext_lazy(
        "%(count)d document is no longer public.",
        "%(count)d documents are no longer public.",
        "count",
    ),
    empty_message=_("This document is not public."),
    log_message=_("Expired."),
    calls_docraptor=True,
)


@dataclass(frozen=True, slots=True)
class OutcomeGroup:
    """Jobs with the same outcome."""

    outcome: Outcome
    jobs: list[RenderJob]


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation on specific jobs in their current state."""

    operation: Operation
    groups: list[OutcomeGroup]
    skipped: list[RenderJob]

    @classmethod
    def for_jobs(cls, operation: Operation, jobs: Iterable[RenderJob]) -> "Plan":
        """Group the jobs by outcome."""
        groups: dict[str, OutcomeGroup] = {}
        skipped = []
        for job in jobs:
            outcome = operation.get_outcome(job)
            if outcome is None:
                skipped.append(job)
            else:
                groups.setdefault(outcome.code, OutcomeGroup(outcome, [])).jobs.append(job)
        return cls(operation, list(groups.values()), skipped)

    @property
    def jobs(self) -> list[RenderJob]:
        """The jobs that the operation applies to."""
        return [job for group in self.groups for job in group.jobs]

    @property
    def title(self) -> str:
        """The question that the user confirms."""
        jobs = self.jobs
        if len(jobs) == 1:
            what = gettext("“%(name)s”") % {"name": jobs[0].name}
        else:
            what = ngettext("%(count)d job", "%(count)d jobs", len(jobs)) % {"count": len(jobs)}
        return str(self.operation.title % {"what": what})

    @property
    def billed_count(self) -> int:
        """The number of documents that the operation adds to the bill."""
        return sum(len(group.jobs) for group in self.groups if group.outcome.is_billed)

    @property
    def fingerprint(self) -> str:
        """A hash of what the user confirms: operation, jobs, attempts and outcomes."""
        lines = sorted(
            f"{job.pk.hex} {job.attempt} {group.outcome.code}"
            for group in self.groups
            for job in group.jobs
        )
        return hashlib.sha256("\n".join([self.operation.name, *lines]).encode()).hexdigest()

    def run(self, user: AbstractBaseUser) -> list[OutcomeGroup]:
        """Run the operation.

        Returns:
            The jobs that were still in the state that was read, by outcome.

        Raises:
            DocRaptorError: a call to DocRaptor failed.
        """
        if self.operation.calls_docraptor:
            return self._run_all(user)
        # One transaction, so that the workers are notified once for all jobs.
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            return self._run_all(user)

    def _run_all(self, user: AbstractBaseUser) -> list[OutcomeGroup]:
        return [
            OutcomeGroup(
                group.outcome, [job for job in group.jobs if self.operation.run(job, by=user)]
            )
            for group in self.groups
        ]
