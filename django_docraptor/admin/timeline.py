"""Internal. Where a job's time went: a bar of five parts, and its history line by line.

Everything is computed from the events and the columns of the job. No database here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Final

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_docraptor.admin.display import (
    exact_time,
    format_duration,
    redacted_json,
    state_badge,
    time_element,
)
from django_docraptor.conf import conf
from django_docraptor.documents.changes import RENDERING_ERRORS
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.models.text import summary_line
from django_docraptor.states import FINAL_STATES, EventKind, State

# Characters of a message that a line of the history shows unfolded.
MAX_SUMMARY_LENGTH: Final = 140

WAITING, RENDERING, REMOTE, DOWNLOADING, STORING, STOPPED = range(6)
# Labels of the parts, in the order of the bar. The last one is named and not drawn.
LABELS: Final = (
    gettext_lazy("Waiting"),
    gettext_lazy("Rendering here"),
    gettext_lazy("At DocRaptor"),
    gettext_lazy("Downloading"),
    gettext_lazy("Storing"),
    gettext_lazy("Failed, until it was retried"),
)
# The part of a job's time that a state belongs to.
PART_BY_STATE: Final[Mapping[str, int]] = {
    State.PENDING: WAITING,
    State.SUBMITTING: REMOTE,
    State.UNCONFIRMED: REMOTE,
    State.QUEUED: REMOTE,
    State.WORKING: REMOTE,
    State.DOWNLOADING: DOWNLOADING,
    State.FAILED: STOPPED,
    State.COMPLETED: STOPPED,
    State.CANCELLED: STOPPED,
}
# Durations that a worker has measured, by the detail of the event: the part, and the one of which
# it is a part.
MEASURED: Final[Mapping[str, tuple[int, int]]] = {
    "render_seconds": (RENDERING, WAITING),
    "store_seconds": (STORING, DOWNLOADING),
}
# Units of the drawing: its width, the gap between two parts, and the least width of one.
BAR_WIDTH, GAP, MIN_WIDTH = 1000, 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePart:
    """A part of a job's time.

    Args:
        number: from 1, for its colour.
        label: its name.
        text: how long it took, or why that is not known.
        x: where it begins in the drawing.
        width: in the drawing; 0 if it is not drawn.
    """

    number: int
    label: str
    text: str
    x: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """A line of a job's history, formatted for display.

    Args:
        day: the date, if it is another one than in the line before.
        since: time since the line before, such as ``+0.7 s``.
    """

    at: datetime
    time: SafeString
    day: str
    since: str
    attempt: int
    event: str
    transition: SafeString
    summary: str
    details: str
    is_failure: bool


def history_lines(events: Iterable[RenderEvent]) -> list[HistoryLine]:
    """Return the events of a job as lines, in their order."""
    lines: list[HistoryLine] = []
    for event in events:
        before = lines[-1].at if lines else None
        lines.append(_line(event, before))
    return lines


def _line(event: RenderEvent, before: datetime | None) -> HistoryLine:
    local = timezone.localtime(event.at)
    is_same_day = before is not None and timezone.localtime(before).date() == local.date()
    return HistoryLine(
        at=event.at,
        time=time_element(event.at, f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"),
        day="" if is_same_day else formats.date_format(local, "DATE_FORMAT"),
        since="" if before is None else f"+{format_duration(event.at - before)}",
        attempt=event.attempt,
        event=str(EventKind(event.kind).label) if event.kind in EventKind else event.kind,
        transition=_transition(event),
        summary=_summary(event.message),
        details=_details(event),
        is_failure=event.kind == EventKind.FAILED,
    )


def _transition(event: RenderEvent) -> SafeString:
    if event.from_state in ("", event.to_state):
        return state_badge(event.to_state)
    return format_html("{} → {}", state_badge(event.from_state), state_badge(event.to_state))


def _summary(message: str) -> str:
    line = summary_line(message)
    return line if len(line) <= MAX_SUMMARY_LENGTH else f"{line[: MAX_SUMMARY_LENGTH - 1]}…"


def _details(event: RenderEvent) -> str:
    message = event.message.strip()
    parts = [message] if message != _summary(message) else []
    parts += [redacted_json(event.detail)] if event.detail else []
    return "\n\n".join(parts)


def time_parts(job: RenderJob, events: Sequence[RenderEvent], now: datetime) -> list[TimePart]:
    """Return the parts of a job's time, each with its place in the drawing.

    Args:
        job: the job.
        events: all of its events, in their order.
        now: where the current part ends, if the job is unfinished.
    """
    durations = _durations(job, events, now)
    drawn = {number: span for number, span in durations.items() if number != STOPPED and span}
    widths = _widths(drawn)
    parts, x = [], 0
    for number in (WAITING, RENDERING, REMOTE, DOWNLOADING, STORING):
        text = _part_text(job, number, durations)
        width = widths.get(number, 0)
        label = str(LABELS[number])
        parts.append(TimePart(number=number + 1, label=label, text=text, x=x, width=width))
        x += width + GAP if width else 0
    if durations.get(STOPPED):
        text = format_duration(durations[STOPPED])
        parts.append(TimePart(number=STOPPED + 1, label=str(LABELS[STOPPED]), text=text))
    return parts


def _durations(
    job: RenderJob, events: Sequence[RenderEvent], now: datetime
) -> dict[int, timedelta]:
    """Return how long each part took; one that was not reached or measured has none."""
    durations: dict[int, timedelta] = {}
    for number, span in _spans(job, events, now):
        durations[number] = durations.get(number, timedelta()) + max(span, timedelta())
    for event in events:
        for name, (number, whole) in MEASURED.items():
            seconds = _seconds(event.detail, name)
            if seconds is not None and whole in durations:
                span = min(timedelta(seconds=seconds), durations[whole])
                durations[number] = durations.get(number, timedelta()) + span
                durations[whole] -= span
    return durations


def _spans(
    job: RenderJob, events: Sequence[RenderEvent], now: datetime
) -> Iterator[tuple[int, timedelta]]:
    """Yield the time between each change of state and the next, with the part it belongs to."""
    state, since = str(State.PENDING), job.wanted_at
    for event in events:
        if event.to_state == state:  # a callback, or what followed the end
            continue
        yield PART_BY_STATE.get(state, WAITING), event.at - since
        state, since = event.to_state, max(since, event.at)
    if state not in FINAL_STATES:
        yield PART_BY_STATE.get(state, WAITING), now - since


def _seconds(detail: Any, name: str) -> float | None:
    value = detail.get(name) if isinstance(detail, dict) else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value is None or not isfinite(value):
        return None
    return min(max(float(value), 0.0), 1e9)


def _widths(durations: Mapping[int, timedelta]) -> dict[int, int]:
    """Return the width of each part, in proportion, but none too narrow to be seen."""
    total = sum((span.total_seconds() for span in durations.values()), 0.0)
    if not total:
        return {}
    free = BAR_WIDTH - GAP * (len(durations) - 1) - MIN_WIDTH * len(durations)
    return {
        number: MIN_WIDTH + int(free * span.total_seconds() / total)
        for number, span in durations.items()
    }


def _part_text(job: RenderJob, number: int, durations: Mapping[int, timedelta]) -> str:
    if number in durations:
        return format_duration(durations[number])
    is_reached = {
        RENDERING: job.attempt > 0 or job.error_code in RENDERING_ERRORS,
        STORING: job.state == State.COMPLETED and not job.hosted,
    }
    return _("not measured") if is_reached.get(number) else _("not reached")


def total_time(job: RenderJob, now: datetime) -> str:
    """Return the time from the request to the end, or until now."""
    return format_duration(max(timedelta(), (job.finished_at or now) - job.wanted_at))


def tries(job: RenderJob, now: datetime) -> list[str]:
    """Return how often was tried, when it is tried next, and until when."""
    attempts = ngettext("%(count)d attempt", "%(count)d attempts", job.attempt)
    texts = [attempts % {"count": job.attempt}]
    if job.is_final:
        return texts
    if job.failures:
        failed = ngettext("%(count)d failure in a row", "%(count)d failures in a row", job.failures)
        texts.append(failed % {"count": job.failures})
    if job.due_at is not None and job.held_at is None and not job.lease_token:
        wait = job.due_at - now
        next_step = _("next step in %(duration)s") if wait > timedelta() else _("next step is due")
        texts.append(next_step % {"duration": format_duration(wait)})
    if job.failing_since is not None:
        end = job.failing_since + timedelta(seconds=conf.retry_for)
        texts.append(_("given up after %(time)s") % {"time": exact_time(end)})
    return texts
