"""What ``docraptor_tick --loop`` prints between two rounds."""

from io import StringIO
from typing import Any

import pytest
from django.core.management.base import OutputWrapper

from django_docraptor import shortcuts
from django_docraptor.management.loop_report import MAX_ERROR_LENGTH, LoopReport
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.states import EventKind
from tests.support.jobs import enqueue, pause_account

pytestmark = pytest.mark.django_db


class Output(StringIO):
    """Collects the lines that have been flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed = ""

    def flush(self) -> None:
        """Keep what has been written so far."""
        self.flushed = self.getvalue()


@pytest.fixture
def output() -> Output:
    """What the report writes to."""
    return Output()


@pytest.fixture
def report(output: Output) -> LoopReport:
    """A report whose first round has begun."""
    report = LoopReport(OutputWrapper(output))
    report.begin_round()
    return report


def lines_of(report: LoopReport, output: Output, *, is_stuck: bool = False) -> list[str]:
    """End a round and return the lines that it printed."""
    before = len(output.flushed)
    report.end_round(is_stuck=is_stuck)
    return output.flushed[before:].splitlines()


def add_event(job: RenderJob, kind: EventKind, message: str = "", **columns: Any) -> RenderEvent:
    """Write an event of the job's history."""
    return RenderEvent.objects.create(
        job=job, kind=kind, to_state=job.state, message=message, **columns
    )


def test_job_is_printed_once(report: LoopReport, output: Output) -> None:
    """A final job is printed in the round in which it became final, and in no other."""
    job = enqueue(name="a.pdf")
    assert lines_of(report, output) == []
    shortcuts.cancel(job)
    assert lines_of(report, output) == [f"a.pdf ({job.pk}): cancelled"]
    assert [lines_of(report, output) for _ in range(3)] == [[], [], []]


def test_earlier_jobs_are_not_printed(output: Output) -> None:
    """Jobs that were final before the loop began are not printed."""
    shortcuts.cancel(enqueue())
    report = LoopReport(OutputWrapper(output))
    report.begin_round()
    assert lines_of(report, output) == []


def test_event_with_a_lower_id_that_is_committed_later_is_printed(
    report: LoopReport, output: Output
) -> None:
    """Another process may commit a lower event ID after a higher one has been printed."""
    first, second = enqueue(name="a.pdf"), enqueue(name="b.pdf")
    latest = RenderEvent.objects.latest("pk").pk
    add_event(second, EventKind.COMPLETED, pk=latest + 10)
    assert lines_of(report, output) == [f"b.pdf ({second.pk}): completed"]
    add_event(first, EventKind.COMPLETED, pk=latest + 9)
    assert lines_of(report, output) == [f"a.pdf ({first.pk}): completed"]
    assert lines_of(report, output) == []


def test_name_is_printed_on_one_line(report: LoopReport, output: Output) -> None:
    """A line end or an escape sequence in a name changes nothing in the terminal."""
    job = enqueue(name="a\n\x1b[2J.pdf")
    shortcuts.cancel(job)
    assert lines_of(report, output) == [f"a  [2J.pdf ({job.pk}): cancelled"]


def test_error_is_printed_when_it_changes(report: LoopReport, output: Output) -> None:
    """The latest error of an unfinished job is printed if nothing moves and it is new."""
    job = enqueue()
    RenderJob.objects.update(errors="refused")
    add_event(job, EventKind.NOT_ACCEPTED, "first")
    assert lines_of(report, output) == []
    expected = ["Waiting. Last error: first"]
    assert [lines_of(report, output, is_stuck=True) for _ in range(2)] == [expected, []]
    assert lines_of(report, output) == []
    add_event(job, EventKind.STEP_FAILED, "x" * MAX_ERROR_LENGTH + "\nmore")
    assert lines_of(report, output, is_stuck=True) == [
        f"Waiting. Last error: {'x' * MAX_ERROR_LENGTH}"
    ]


def test_error_that_returns_is_printed_again(report: LoopReport, output: Output) -> None:
    """An error that was gone in between is news."""
    job = enqueue()
    add_event(job, EventKind.NOT_ACCEPTED, "refused")
    assert lines_of(report, output, is_stuck=True) == []
    for _ in range(2):
        RenderJob.objects.update(errors="refused")
        assert lines_of(report, output, is_stuck=True) == ["Waiting. Last error: refused"]
        RenderJob.objects.update(errors="")
        assert lines_of(report, output, is_stuck=True) == []


def test_restricted_account_explains_waiting_jobs(report: LoopReport, output: Output) -> None:
    """If no job has an error, the reason of a paused account is printed."""
    enqueue()
    pause_account("default", "Unauthorized")
    assert lines_of(report, output, is_stuck=True) == ["Waiting. Last error: Unauthorized"]
