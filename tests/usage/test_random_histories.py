"""Random histories: whatever is summed up or deleted, all figures are those of a plain count."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_docraptor.billing import COUNTED_KINDS, COUNTERS, Usage, usage_by_day
from django_docraptor.models import RenderEvent, RenderJob, UsageDay, UsageMark
from django_docraptor.states import ErrorCode, EventKind, State
from django_docraptor.usage import GROUPS, billed_since, fold, read_usage, sums
from django_docraptor.usage.histories import Key
from tests.support.usage import used_job

pytestmark = [pytest.mark.django_db, pytest.mark.databases]
NOW = datetime.now(UTC)
DAYS = 40
ACCOUNTS, DOCUMENTS, OWNERS = ("default", "acme"), ("", "shop.Invoice"), (None, "ada", "bob")
KINDS = sorted({*COUNTED_KINDS, EventKind.SUBMITTING, EventKind.WORKING})
DETAILS: tuple[dict[str, Any], ...] = (
    {},
    {"attempt": 1},
    {"evidence": "proof"},
    {"evidence": "none"},
    {"reason": ErrorCode.TIMED_OUT.value},
    {"reason": ErrorCode.RENDER_FAILED.value},
    {"reason": ErrorCode.SUBMIT_UNCONFIRMED.value},
    {"reason": ErrorCode.SUBMIT_UNCONFIRMED.value, "accepted": False},
)
any_of: Callable[[Iterable[Any]], Any] = st.sampled_from
jobs = st.tuples(
    st.just("add_job"),
    any_of(ACCOUNTS),
    any_of(DOCUMENTS),
    any_of(OWNERS),
    st.booleans(),
    st.integers(0, 2**31 - 1),
)
events = st.tuples(
    st.just("add_event"),
    st.integers(0, 3),
    any_of(KINDS),
    st.integers(1, 3),
    any_of(sorted(State)),
    any_of(DETAILS),
    st.one_of(*[st.floats(0.1, DAYS)] * 9, st.just(0.0)),  # few are too recent to be summed up
)
steps = st.one_of(
    *[events] * 4,
    jobs,
    st.tuples(st.just("fold"), st.integers(1, 4)),
    st.tuples(st.just("delete"), st.integers(0, 3)),
)


class History:
    """Jobs and their events, with a plain count of all of them beside."""

    def __init__(self) -> None:
        self.owners = {
            name: User.objects.get_or_create(username=name)[0] for name in OWNERS if name
        }
        self.jobs: list[RenderJob] = []
        self.gone: dict[Key, Usage] = defaultdict(Usage)
        self.add_job("default", "", None, False, 3)

    def add_job(
        self, account: str, document: str, owner: str | None, test: bool, pages: int
    ) -> None:
        """Add a job without a history."""
        columns = {"account": account, "document": document, "test": test}
        columns |= {"number_of_pages": pages, "file_size": 2**31 + pages}
        job = used_job(EventKind.ENQUEUED, owner=self.owners.get(owner or ""), **columns)
        RenderEvent.objects.filter(job=job).update(at=NOW - timedelta(days=DAYS))
        self.jobs.append(job)

    def add_event(
        self, index: int, kind: str, attempt: int, state: str, detail: dict[str, Any], age: float
    ) -> None:
        """Add an event to a job."""
        at = NOW - timedelta(days=age)
        columns = {"kind": kind, "attempt": attempt, "from_state": state, "detail": detail}
        if self.jobs:
            job = self.jobs[index % len(self.jobs)]
            RenderEvent.objects.create(job=job, to_state=state, at=at, **columns)

    def fold(self, size: int) -> None:
        """Sum some events up."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sums, "BATCH_SIZE", size)
            fold(seconds=0)

    def delete(self, index: int) -> None:
        """Delete a job."""
        if self.jobs:
            job = self.jobs.pop(index % len(self.jobs))
            for key, used in count(job).items():
                self.gone[key] += used
            job.delete()

    def expected(self) -> dict[Key, Usage]:
        """Return what the report must say, for each day, account, document and owner."""
        found = defaultdict(Usage, self.gone)
        for job in self.jobs:
            for key, used in count(job).items():
                found[key] += used
        return found


def count(job: RenderJob) -> dict[Key, Usage]:
    """Return what a job has used, from its whole history."""
    owner = "" if job.owner_id is None else str(job.owner_id)
    days = usage_by_day(job, RenderEvent.objects.filter(job=job).order_by("pk"))
    return {
        Key(day, job.account, job.document, owner, job.test): used for day, used in days.items()
    }


def grouped(found: dict[Key, Usage], by: str, first: date, last: date) -> dict[str, list[int]]:
    """Return the lines of a report: documents live and test, and the other counters."""
    lines: dict[str, list[int]] = defaultdict(lambda: [0] * (len(COUNTERS) + 1))
    for key, used in found.items():
        if used and first <= key.day <= last:
            values = [0 if key.test else used.completed, used.completed if key.test else 0]
            values += [getattr(used, name) for name in COUNTERS[1:]]
            line = lines[str(getattr(key, by))]
            lines[str(getattr(key, by))] = [a + b for a, b in zip(line, values, strict=True)]
    return dict(lines)


def reported(by: str, first: date, last: date) -> dict[str, list[int]]:
    """Return the lines of the report."""
    return {
        line.key: [
            line.live.completed,
            line.test.completed,
            *(getattr(line.both, name) for name in COUNTERS[1:]),
        ]
        for line in read_usage(first, last, by)[by].lines
    }


def printed(by: str) -> dict[str, list[int]]:
    """Return the lines that the command prints for the month."""
    out = StringIO()
    options = ("--month", f"{NOW:%Y-%m}", "--by", by, "--format", "json")
    call_command("docraptor_usage", *options, stdout=out)
    return {line.pop(by): list(line.values()) for line in json.loads(out.getvalue())["lines"]}


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(steps, max_size=25), any_of(GROUPS))
def test_all_figures_are_those_of_a_plain_count(history_steps: list[Any], by: str) -> None:
    """The report, the command and billed_since() agree with it after each step."""
    for model in (RenderJob, UsageDay, UsageMark):
        model.objects.all().delete()  # type: ignore[attr-defined]
    history, today = History(), NOW.date()
    first = today - timedelta(days=DAYS + 1)
    for name, *values in history_steps:
        getattr(history, name)(*values)
        expected = history.expected()
        assert reported(by, first, today) == grouped(expected, by, first, today)
    expected = history.expected()
    assert printed(by) == grouped(expected, by, today.replace(day=1), today)
    for each in GROUPS:  # the command has summed up what is left
        assert reported(each, first, today) == grouped(expected, each, first, today)
    for since in (first, today - timedelta(days=20), today):
        for account in (None, *ACCOUNTS):
            for document in (None, *DOCUMENTS):
                for owner in (None, *history.owners.values()):
                    assert billed_since(
                        since, account=account, document=document, owner=owner
                    ) == sum(
                        used.billed
                        for key, used in expected.items()
                        if key.day >= since
                        and account in (None, key.account)
                        and document in (None, key.document)
                        and (owner is None or str(owner.pk) == key.owner)
                    )
