"""Internal. The operations on jobs: which jobs they apply to, and their effect.

The shortcuts do the work, and ``outcomes`` has the texts that the user confirms.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import router, transaction
from django.utils.translation import gettext, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from django_docraptor.models import RenderJob
from django_docraptor.outcomes import (
    Outcome,
    Text,
    cancel_outcome,
    expire_outcome,
    release_outcome,
    retry_outcome,
)
from django_docraptor.shortcuts import cancel, expire, release, retry


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
