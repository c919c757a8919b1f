"""Internal. Format values for the admin. No database or request here.

Everything from a job is escaped: names, messages and content are untrusted.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from django_docraptor.models import RenderJob
from django_docraptor.payloads.secrets import replace_secrets
from django_docraptor.states import State

EMPTY_VALUE: Final = "—"
REDACTED: Final = "••••••"

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


def state_badge(state: str) -> SafeString:
    """Return a coloured badge with the symbol and label of a state."""
    symbol, style = STATE_STYLES.get(state, ("", "neutral"))
    return format_html(
        '<span class="docraptor-state docraptor-{}"><span aria-hidden="true">{}</span> {}</span>',
        style,
        symbol,
        State(state).label if state in State else state,
    )


def paused_badge() -> SafeString:
    """Return the badge of an account that is paused."""
    return format_html(
        '<span class="docraptor-state docraptor-warning">'
        '<span aria-hidden="true">‖</span> {}</span>',
        _("paused"),
    )


def type_badges(job: RenderJob) -> SafeString:
    """Return the document type with badges for test and public documents."""
    parts = [job.get_document_type_display(), test_badge(job), public_badge(job)]
    return format_html_join(" ", "{}", ((part,) for part in parts if part))


def test_badge(job: RenderJob) -> SafeString:
    """Return a badge for a test document, else an empty string."""
    if not job.test:
        return SafeString()
    return format_html('<span class="docraptor-test">{}</span>', pgettext("document", "test"))


def public_badge(job: RenderJob) -> SafeString:
    """Return a badge for a public (or not yet public) hosted document, else an empty string."""
    if not job.hosted:
        return SafeString()
    if job.is_public:
        return format_html(
            '<span class="docraptor-public">{}</span>', pgettext("document", "public")
        )
    return format_html('<span class="docraptor-test">{}</span>', pgettext("document", "hosted"))


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
    """Return a duration for people: ``4.2 s``, ``3 min 05 s``, ``2 h 07 min``, ``31 d 04 h``."""
    tenths = round(max(duration.total_seconds(), 0) * 10)
    if tenths < 600:
        return _("%(seconds)s s") % {"seconds": formats.number_format(tenths / 10, 1)}
    minutes, seconds = divmod(round(tenths / 10), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)02d s") % {"minutes": minutes, "seconds": seconds}
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _("%(hours)d h %(minutes)02d min") % {"hours": hours, "minutes": minutes}
    days, hours = divmod(hours, 24)
    return _("%(days)d d %(hours)02d h") % {"days": days, "hours": hours}


def exact_time(time: datetime) -> str:
    """Return a time to the second, with its date and zone, in the current locale."""
    local = timezone.localtime(time)
    date = formats.date_format(local, "DATE_FORMAT")
    return f"{date}, {local:%H:%M:%S} {local.tzname()}"


def time_element(time: datetime, text: str) -> SafeString:
    """Return a time as a text, with the exact time and its zone as the title, unless it is that."""
    exact = exact_time(time)
    title = SafeString() if text == exact else format_html(' title="{}"', exact)
    iso = time.isoformat(timespec="seconds")
    return format_html('<time datetime="{}"{}>{}</time>', iso, title, text)


def relative_time(time: datetime) -> SafeString:
    """Return how long ago a time was; the exact time is the title."""
    is_recent = (timezone.now() - time).total_seconds() < 60
    ago = _("less than a minute ago") if is_recent else _("%(duration)s ago")
    ago %= {"duration": "" if is_recent else timesince(time)}
    return time_element(time, ago)


def format_time(time: datetime | None) -> SafeString | str:
    """Return an exact time as HTML, or a dash."""
    if time is None:
        return EMPTY_VALUE
    return time_element(time, exact_time(time))


def copyable(value: str, label: str) -> SafeString | str:
    """Return an ID with a button that copies it; the button is hidden without its script.

    Args:
        value: what is copied.
        label: what the button does, for screen readers.
    """
    if not value:
        return EMPTY_VALUE
    return format_html(
        '<code class="docraptor-code">{0}</code> <button type="button" class="docraptor-copy" '
        'data-docraptor-copy="{0}" data-docraptor-copied="{1}" aria-label="{2}" hidden>{3}'
        "</button>",
        value,
        _("Copied"),
        label,
        _("Copy"),
    )


def format_time_taken(job: RenderJob) -> str:
    """Return the time from the request to the end, or a dash while the job is unfinished."""
    end = job.finished_at
    if end is None and job.state == State.DOWNLOADING:
        end = job.rendered_at
    return format_duration(max(timedelta(), end - job.wanted_at)) if end else EMPTY_VALUE


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


def join_links(links: Iterable[tuple[str, Any]]) -> SafeString:
    """Return links, from their URLs and labels."""
    return format_html_join(" · ", '<a href="{}">{}</a>', links)
