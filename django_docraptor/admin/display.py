"""Internal. Format values for the admin. No database or request here.

Everything from a job is escaped: names, messages and content are untrusted.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.models.text import summary_line
from django_docraptor.payloads.secrets import replace_secrets
from django_docraptor.states import EventKind, State

EMPTY_VALUE: Final = "—"
REDACTED: Final = "••••••"
# Characters of a message that a line of the history shows unfolded.
MAX_SUMMARY_LENGTH: Final = 140

# Symbol and style per state. The symbol and the label carry the meaning without colour.
STATE_STYLES: Mapping[str, tuple[str, str]] = {
    State.PENDING: ("…", "neutral"),
    State.SUBMITTING: ("↑", "active"),
    State.UNCONFIRMED: ("?", "warning"),
    State.QUEUED: ("≡", "active"),
    State.WORKING: ("▸", "active"),
    State.DOWNLOADING: ("↓", "active"),
    State.COMPLETED: ("✓", "success"),
    State.FAILED: ("✕", "error"),
    State.CANCELLED: ("⊘", "neutral"),
}

_URL_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """A line of a job's history, formatted for display."""

    at: datetime
    attempt: int
    event: str
    transition: SafeString
    summary: str
    details: str


def state_badge(state: str) -> SafeString:
    """Return a coloured badge with the symbol and label of a state."""
    symbol, style = STATE_STYLES.get(state, ("", "neutral"))
    return format_html(
        '<span class="docraptor-state docraptor-{}"><span aria-hidden="true">{}</span> {}</span>',
        style,
        symbol,
        State(state).label if state in State else state,
    )


def type_badges(job: RenderJob) -> SafeString:
    """Return the document type with badges for test and public documents."""
    parts = [format_html("{}", job.get_document_type_display())]
    if job.test:
        parts.append(format_html('<span class="docraptor-test">{}</span>', _("test")))
    return format_html_join(" ", "{}", ((part,) for part in [*parts, public_badge(job)] if part))


def public_badge(job: RenderJob) -> SafeString:
    """Return a badge for a public (or not yet public) hosted document, else an empty string."""
    if not job.hosted:
        return SafeString()
    if job.is_public:
        return format_html('<span class="docraptor-public">{}</span>', _("public"))
    return format_html('<span class="docraptor-test">{}</span>', _("hosted"))


def public_link(job: RenderJob) -> SafeString:
    """Return the public URL of a hosted document with a warning."""
    if not job.is_public:
        return format_html(
            "{}", _("No longer public") if job.public_url or job.expired_at else EMPTY_VALUE
        )
    return format_html(
        '<a href="{0}" rel="noreferrer noopener">{0}</a> '
        '<span class="docraptor-subtext docraptor-danger">{1}</span>',
        job.public_url,
        _("Public: anyone with the link can read the document without logging in."),
    )


def with_subtext(main: str, *notes: str) -> SafeString:
    """Return a value with smaller notes below it."""
    subtext = format_html_join(" · ", "{}", ((note,) for note in notes if note))
    return format_html(
        '{} <span class="docraptor-muted docraptor-subtext">{}</span>', main, subtext
    )


def format_duration(duration: timedelta) -> str:
    """Return a human-readable duration: ``4.2 s``, ``3 min 05 s``, ``2 h 07 min``."""
    tenths = round(max(duration.total_seconds(), 0) * 10)
    if tenths < 600:
        return _("%(seconds).1f s") % {"seconds": tenths / 10}
    minutes, seconds = divmod(round(tenths / 10), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)02d s") % {"minutes": minutes, "seconds": seconds}
    hours, minutes = divmod(minutes, 60)
    return _("%(hours)d h %(minutes)02d min") % {"hours": hours, "minutes": minutes}


def format_time_taken(job: RenderJob) -> str:
    """Return the time from creation to the end, or a dash while the job is unfinished."""
    end = job.finished_at
    if end is None and job.state == State.DOWNLOADING:
        end = job.rendered_at
    return format_duration(end - job.created_at) if end else EMPTY_VALUE


def redact_secrets(value: Any) -> Any:
    """Return JSON with passwords and other secrets replaced by dots."""
    return replace_secrets(value, lambda _secret: REDACTED, other=_redact_credentials_if_text)


def _redact_credentials_if_text(value: Any) -> Any:
    return redact_credentials(value) if isinstance(value, str) else value


def redact_credentials(text: str) -> str:
    """Remove the credentials from URLs in a text."""
    return _URL_CREDENTIALS.sub(REDACTED, text)


def redacted_json(value: Any) -> str:
    """Return indented JSON with secrets redacted."""
    return json.dumps(redact_secrets(value), indent=2, ensure_ascii=False, sort_keys=True)


def history_lines(events: Iterable[RenderEvent]) -> list[HistoryLine]:
    """Return the events of a job as lines."""
    return [
        HistoryLine(
            at=event.at,
            attempt=event.attempt,
            event=str(EventKind(event.kind).label) if event.kind in EventKind else event.kind,
            transition=_transition(event),
            summary=_summary(event.message),
            details=_details(event),
        )
        for event in events
    ]


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
