"""Internal. What the cells of the job list show. No database here."""

from datetime import datetime, timedelta
from typing import Final

from django.contrib.admin import AdminSite
from django.http import QueryDict
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_docraptor.admin import display
from django_docraptor.admin.changed import changed_mark
from django_docraptor.admin.file_links import file_links, has_document
from django_docraptor.admin.filters import title_of
from django_docraptor.admin.sources import source_link
from django_docraptor.explanations import explain
from django_docraptor.models import RenderJob
from django_docraptor.states import POLLED_STATES, State

# The annotation with the beginning of the errors, and its length: DocRaptor's known words stand
# there.
ERRORS_START: Final = "errors_start"
MAX_ERRORS_READ: Final = 1000
# From when on a time is told by its date.
MAX_AGO: Final = timedelta(hours=48)


def document_cell(job: RenderJob) -> SafeString:
    """Return the name, with the document's title and badges below it."""
    title = title_of(job.document) if job.document else _("ad hoc")
    parts = [title, display.public_badge(job), display.test_badge(job)]
    below = format_html_join(" ", "{}", ((part,) for part in parts if part))
    return format_html("{}{}", job.name, _small(below))


def state_cell(job: RenderJob) -> SafeString:
    """Return the state, with the reason or what happens next below it, or *changed since*."""
    notes = [changed_mark(job), _reason(job), _attempt(job)]
    lines = format_html_join("", "{}", ((_small(note),) for note in notes if note))
    return format_html("{}{}", display.state_badge(job.state), lines)


def when_cell(job: RenderJob) -> SafeString:
    """Return how long ago the document was requested, with the time that it took below it."""
    below, time = "", job.created_at
    if job.time_taken is not None:
        took = display.format_duration(job.time_taken)
        text = _("in %(time)s") if job.state == State.COMPLETED else _("after %(time)s")
        below = text % {"time": keep_together(took)}
    return format_html("{}{}", display.time_element(time, format_ago(time)), _small(below))


def source_cell(site: AdminSite, job: RenderJob) -> SafeString:
    """Return the source, with the owner below it, whose name lists their jobs."""
    owner = ""
    if job.owner is not None:
        query = QueryDict(mutable=True)
        query["owner"] = str(job.owner_id)
        owner = format_html('<a href="?{}">{}</a>', query.urlencode(), str(job.owner))
    return format_html("{}{}", source_link(site, job), _small(owner))


def file_cell(job: RenderJob) -> SafeString:
    """Return links to the file for users who may read it, with its pages and size below them."""
    if not has_document(job):
        return SafeString(display.EMPTY_VALUE)
    links = format_html_join(" ", '<a href="{}">{}</a>', file_links(job))
    shown = links or display.EMPTY_VALUE
    return format_html("{}{}", shown, _small(file_facts(job)))


def file_facts(job: RenderJob) -> str:
    """Return the pages, or the type, and the size of a job's file."""
    facts = []
    if job.number_of_pages is not None:
        pages = ngettext("%(count)d page", "%(count)d pages", job.number_of_pages)
        facts.append(keep_together(pages % {"count": job.number_of_pages}))
    else:
        facts.append(job.get_document_type_display())
    if job.file_size is not None:
        facts.append(filesizeformat(job.file_size))
    return ", ".join(facts)


def format_ago(time: datetime) -> str:
    """Return how long ago a time was in one unit; or its date, after two days."""
    age = timezone.now() - time
    if age >= MAX_AGO:
        return date_format(timezone.localtime(time), "SHORT_DATE_FORMAT")
    return _("%(time)s ago") % {"time": _in_one_unit(age)}


def keep_together(text: str) -> str:
    """Return the text with no-break spaces."""
    return text.replace(" ", "\xa0")


def _in_one_unit(duration: timedelta) -> str:
    seconds = max(0, int(duration.total_seconds()))
    if seconds < 60:
        text = _("%(count)d s") % {"count": seconds}
    elif seconds < 3600:
        text = _("%(count)d min") % {"count": seconds // 60}
    else:
        text = _("%(count)d h") % {"count": seconds // 3600}
    return keep_together(text)


def _small(text: str) -> SafeString:
    return format_html("<small>{}</small>", text) if text else SafeString()


def _reason(job: RenderJob) -> str:
    """Return why the job failed, or what it waits for."""
    if job.state == State.FAILED:
        return str(explain(job.error_code, getattr(job, ERRORS_START, "")).title)
    if job.held_at is not None:
        return _("held: release it, or cancel it")
    if job.warnings:
        texts = ngettext("%(count)d warning", "%(count)d warnings", job.warnings)
        return texts % {"count": job.warnings}
    if job.is_final or job.due_at is None:
        return ""
    left = job.due_at - timezone.now()
    if left <= timedelta(0):
        return ""
    if job.state == State.UNCONFIRMED:
        return _("response lost: next check in %(time)s") % {"time": _in_one_unit(left)}
    if job.not_before is not None and job.due_at == job.not_before:
        return _("not before %(time)s") % {"time": display.exact_time(job.not_before)}
    if job.failures and not job.lease_token:
        return _("next try in %(time)s") % {"time": _in_one_unit(left)}
    if job.state in POLLED_STATES and job.sent_at is not None:
        spent = _in_one_unit(timezone.now() - job.sent_at)
        return _("at DocRaptor for %(time)s") % {"time": spent}
    return ""


def _attempt(job: RenderJob) -> str:
    return _("attempt %(number)d") % {"number": job.attempt} if job.attempt > 1 else ""
