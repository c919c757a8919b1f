"""How a value looks to a person. No database and no request here.

Whatever comes from a job is escaped: names, messages and content are other people's text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.payloads import DocumentRequest, PrinceOptions
from django_docraptor.states import State

NOTHING: Final = "—"
HIDDEN: Final = "••••••"
# Characters of a message that a line of the history shows unfolded.
SUMMARY: Final = 140

# Sign and tone of a state: the sign and the word say without colour what the tone says with it.
SIGNS: Mapping[str, tuple[str, str]] = {
    State.PENDING: ("…", "waiting"),
    State.SUBMITTING: ("↑", "busy"),
    State.UNCONFIRMED: ("?", "doubt"),
    State.QUEUED: ("≡", "busy"),
    State.WORKING: ("▸", "busy"),
    State.DOWNLOADING: ("↓", "busy"),
    State.COMPLETED: ("✓", "good"),
    State.FAILED: ("✕", "bad"),
    State.CANCELLED: ("⊘", "waiting"),
}

# Options whose value is nobody's business: those that a repr hides, and what sounds like one.
_SECRETS: Final = frozenset(
    known.name
    for holder in (PrinceOptions, DocumentRequest)
    for known in fields(holder)
    if not known.repr
)
_SOUNDS_SECRET: Final = re.compile(r"password|passwd|secret|token|credential|api_?key", re.I)
_USER_IN_URL: Final = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """A line of a job's history, ready to be shown."""

    at: datetime
    attempt: int
    kind: str
    move: SafeString
    summary: str
    more: str


def badge(state: str) -> SafeString:
    """A state as a sign and a word, coloured."""
    sign, tone = SIGNS.get(state, ("", "waiting"))
    return format_html(
        '<span class="docraptor-state docraptor-{}"><span aria-hidden="true">{}</span> {}</span>',
        tone,
        sign,
        State(state).label if state in State else state,
    )


def kind(job: RenderJob) -> SafeString:
    """PDF, XLS or XLSX; whether it is a test; and whether anyone may read it."""
    parts = [format_html("{}", job.get_document_type_display())]
    if job.test:
        parts.append(format_html('<span class="docraptor-test">{}</span>', _("test")))
    return format_html_join(" ", "{}", ((part,) for part in [*parts, public_mark(job)] if part))


def public_mark(job: RenderJob) -> SafeString:
    """That anyone with the link may read the document, or that it is to be so; else nothing."""
    if not job.hosted:
        return SafeString()
    if job.is_public:
        return format_html('<span class="docraptor-public">{}</span>', _("public"))
    return format_html('<span class="docraptor-test">{}</span>', _("hosted"))


def public_address(job: RenderJob) -> SafeString:
    """Where a hosted document is, with what that means."""
    if not job.is_public:
        return format_html(
            "{}", _("No longer public") if job.public_url or job.expired_at else NOTHING
        )
    return format_html(
        '<a href="{0}" rel="noreferrer noopener">{0}</a> '
        '<span class="docraptor-below docraptor-warning">{1}</span>',
        job.public_url,
        _("Public: anyone with this link can read the document, without logging in."),
    )


def with_note(main: str, *notes: str) -> SafeString:
    """A value, and below it in small letters what else there is to say."""
    said = format_html_join(" · ", "{}", ((note,) for note in notes if note))
    return format_html('{} <span class="docraptor-quiet docraptor-below">{}</span>', main, said)


def humane(duration: timedelta) -> str:
    """A duration as people say it: ``4.2 s``, ``3 min 05 s``, ``2 h 07 min``."""
    tenths = round(max(duration.total_seconds(), 0) * 10)
    if tenths < 600:
        return f"{tenths / 10:.1f} s"
    minutes, seconds = divmod(round(tenths / 10), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def time_taken(job: RenderJob) -> str:
    """From order to end; nothing while the end is open."""
    ended = job.finished_at
    if ended is None and job.state == State.DOWNLOADING:
        ended = job.rendered_at
    return humane(ended - job.created_at) if ended else NOTHING


def without_secrets(value: Any) -> Any:
    """The same JSON, with dots in place of passwords and the like."""
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _is_secret(str(name)) and inner else without_secrets(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    return without_user(value) if isinstance(value, str) else value


def without_user(url: str) -> str:
    """A text without the user and password that an address in it may carry."""
    return _USER_IN_URL.sub(HIDDEN, url)


def pretty(value: Any) -> str:
    """JSON for reading, without secrets."""
    return json.dumps(without_secrets(value), indent=2, ensure_ascii=False, sort_keys=True)


def history(events: Iterable[RenderEvent]) -> list[HistoryLine]:
    """The events of a job as lines."""
    return [
        HistoryLine(
            at=event.at,
            attempt=event.attempt,
            kind=event.kind.replace("_", " "),
            move=_move(event),
            summary=_summary(event.message),
            more=_more(event),
        )
        for event in events
    ]


def _is_secret(name: str) -> bool:
    return name in _SECRETS or _SOUNDS_SECRET.search(name) is not None


def _move(event: RenderEvent) -> SafeString:
    if event.from_state in ("", event.to_state):
        return badge(event.to_state)
    return format_html("{} → {}", badge(event.from_state), badge(event.to_state))


def _summary(message: str) -> str:
    first = message.strip().partition("\n")[0]
    return first if len(first) <= SUMMARY else f"{first[: SUMMARY - 1]}…"


def _more(event: RenderEvent) -> str:
    message = event.message.strip()
    parts = [message] if message != _summary(message) else []
    parts += [pretty(event.detail)] if event.detail else []
    return "\n\n".join(parts)
