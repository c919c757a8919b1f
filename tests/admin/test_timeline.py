"""Where a job's time went, and its history line by line."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone
from django.utils.html import strip_tags

from django_docraptor.admin import timeline
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.states import ErrorCode, EventKind, State

START = datetime(2026, 11, 27, 14, 2, 11, 204_000, tzinfo=UTC)
LABELS = ["Waiting", "Rendering here", "At DocRaptor", "Downloading", "Storing"]


def at(seconds: float) -> datetime:
    """Return the time so many seconds after the job was created."""
    return START + timedelta(seconds=seconds)


def event(
    kind: EventKind, from_state: str, to_state: str, seconds: float, **values: Any
) -> RenderEvent:
    """Return an event of the job."""
    return RenderEvent(
        kind=kind, from_state=from_state, to_state=to_state, at=at(seconds), attempt=1, **values
    )


COMPLETED = [
    event(EventKind.ENQUEUED, "", State.PENDING, 0),
    event(EventKind.SUBMITTING, State.PENDING, State.SUBMITTING, 1),
    event(EventKind.ACCEPTED, State.SUBMITTING, State.QUEUED, 1.5, detail={"render_seconds": 0.25}),
    event(EventKind.CALLBACK, State.QUEUED, State.QUEUED, 4),
    event(EventKind.RENDERED, State.QUEUED, State.DOWNLOADING, 5),
    event(
        EventKind.COMPLETED, State.DOWNLOADING, State.COMPLETED, 6, detail={"store_seconds": 0.4}
    ),
    event(EventKind.DELIVERED, State.COMPLETED, State.COMPLETED, 99),
]


def job(state: State = State.COMPLETED, **values: Any) -> RenderJob:
    """Return an unsaved job."""
    return RenderJob(**{"state": state, "created_at": START, "attempt": 1, **values})


def texts(job: RenderJob, events: list[RenderEvent], now: datetime) -> dict[str, str]:
    """Return the parts' texts by their labels."""
    return {part.label: part.text for part in timeline.time_parts(job, events, now)}


def test_parts_add_up_to_the_time() -> None:
    """What a worker has measured is taken out of the part that contains it."""
    assert texts(job(), COMPLETED, at(100)) == {
        "Waiting": "0.8 s",
        "Rendering here": "0.2 s",
        "At DocRaptor": "4.0 s",
        "Downloading": "0.6 s",
        "Storing": "0.4 s",
    }


def test_parts_fill_the_drawing_in_order() -> None:
    """Parts do not overlap, and end at the right edge."""
    parts = timeline.time_parts(job(), COMPLETED, at(100))
    assert [part.label for part in parts] == LABELS
    for part, following in pairwise(parts):
        assert following.x == part.x + part.width + timeline.GAP
    assert timeline.BAR_WIDTH - 5 <= parts[-1].x + parts[-1].width <= timeline.BAR_WIDTH


def test_parts_that_were_not_reached_are_named() -> None:
    """An unfinished job's current part lasts until now."""
    parts = timeline.time_parts(job(State.QUEUED), COMPLETED[:3], at(31.5))
    assert [(part.text, bool(part.width)) for part in parts] == [
        ("0.8 s", True),
        ("0.2 s", True),
        ("30.5 s", True),
        ("not reached", False),
        ("not reached", False),
    ]


def test_parts_that_nothing_has_measured_say_so() -> None:
    """A job of another version has no measured times."""
    plain = [
        event(e.kind, e.from_state, e.to_state, (e.at - START).total_seconds()) for e in COMPLETED
    ]
    found = texts(job(), plain, at(100))
    assert found["Rendering here"] == found["Storing"] == "not measured"
    assert found["Waiting"] == "1.0 s"
    hosted = texts(job(hosted=True), plain, at(100))
    assert hosted["Storing"] == "not reached"
    failed = job(State.FAILED, attempt=0, error_code=ErrorCode.TEMPLATE_ERROR)
    assert texts(failed, COMPLETED[:1], at(1))["Rendering here"] == "not measured"


def test_time_after_a_failure_is_named_and_not_drawn() -> None:
    """Three days until a person retried the job do not squash the rest."""
    events = [
        *COMPLETED[:3],
        event(EventKind.FAILED, State.QUEUED, State.FAILED, 2),
        event(EventKind.RETRIED, State.FAILED, State.QUEUED, 2 + 3 * 86_400),
    ]
    parts = timeline.time_parts(job(State.QUEUED), events, at(4 + 3 * 86_400))
    assert (parts[-1].label, parts[-1].text) == ("Failed, until it was retried", "3 d 00 h")
    assert parts[-1].width == 0
    assert parts[2].text == "3.0 s"


@pytest.mark.parametrize("detail", [[], {"render_seconds": "x"}, {"render_seconds": True}, {}])
def test_details_may_be_anything(detail: Any) -> None:
    """A wrong detail counts as not measured."""
    events = [*COMPLETED[:2], event(EventKind.ACCEPTED, "submitting", "queued", 2, detail=detail)]
    assert texts(job(State.QUEUED), events, at(3))["Rendering here"] == "not measured"


@pytest.mark.parametrize("seconds", [-5.0, 1e300, float("inf"), float("nan")])
def test_measured_times_are_bounded(seconds: float) -> None:
    """A measured time is never longer than what contains it, and the drawing has its width."""
    detail = {"render_seconds": seconds}
    events = [*COMPLETED[:2], event(EventKind.ACCEPTED, "submitting", "queued", 2, detail=detail)]
    parts = timeline.time_parts(job(State.QUEUED), events, at(3))
    assert all(0 <= part.width <= timeline.BAR_WIDTH for part in parts)


def test_clock_that_goes_back_gives_no_negative_time() -> None:
    """Events may be out of order by their clock."""
    events = [COMPLETED[0], event(EventKind.SUBMITTING, "pending", "submitting", -3)]
    assert texts(job(State.SUBMITTING), events, at(0))["Waiting"] == "0.0 s"


def test_unknown_states_and_kinds_are_shown() -> None:
    """Rows of a later version have a line."""
    event_ = RenderEvent(kind="teleported", from_state="a", to_state="b", at=START, attempt=1)
    (line,) = timeline.history_lines([event_])
    assert line.event == "teleported"
    assert timeline.time_parts(job(State.QUEUED), [event_], at(1))[0].text == "1.0 s"
    assert "b" in line.transition


def test_lines_have_times_with_zone_and_distance() -> None:
    """A line says when, to the millisecond, and how long since the one before."""
    with timezone.override("Europe/Vienna"):
        lines = timeline.history_lines(COMPLETED[:3])
    times = [strip_tags(line.time) for line in lines]
    assert times == ["15:02:11.204", "15:02:12.204", "15:02:12.704"]
    assert [line.since for line in lines] == ["", "+1.0 s", "+0.5 s"]
    assert [line.day for line in lines] == ["Nov. 27, 2026", "", ""]
    assert 'title="Nov. 27, 2026, 15:02:11 CET"' in lines[0].time


def test_new_day_is_named() -> None:
    """The date is repeated where it changes, by the local time."""
    events = [COMPLETED[0], event(EventKind.CALLBACK, "pending", "pending", 10 * 3600)]
    assert timeline.history_lines(events)[1].day == "Nov. 28, 2026"
    with timezone.override("America/New_York"):
        assert timeline.history_lines(events)[1].day == ""


def test_tries_name_what_is_known(settings: Any) -> None:
    """Failures, the next step and the end are told only if there are such numbers."""
    assert timeline.tries(job(attempt=2), at(9)) == ["2 attempts"]
    waiting = job(State.PENDING, failures=7, due_at=at(50), failing_since=START)
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETRY_FOR": 3600}
    assert timeline.tries(waiting, at(9)) == [
        "1 attempt",
        "7 failures in a row",
        "next step in 41.0 s",
        "given up after Nov. 27, 2026, 15:02:11 UTC",
    ]
    waiting.due_at = at(1)
    assert "next step is due" in timeline.tries(waiting, at(9))
    waiting.held_at = START
    assert not any("next step" in text for text in timeline.tries(waiting, at(9)))
