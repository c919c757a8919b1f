"""The cells of the job list."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor.admin import columns, display
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.states import HELD_UNTIL, ErrorCode, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import (
    ESCAPED,
    HOSTILE,
    LIST,
    create_admin_job,
    failed_job,
    get_text,
    job_url,
)
from tests.support.stored_files import completed_job

pytestmark = pytest.mark.django_db


def age(**duration: float) -> Any:
    """Return a time so long ago."""
    return timezone.now() - timedelta(**duration)


# The document


def test_document_is_shown_by_its_title() -> None:
    """The name is above the title and a test badge; live documents have no badge."""
    cell = columns.document_cell(RenderJob(name="a.pdf", document=InvoicePDF.label, test=True))
    assert cell.startswith("a.pdf<small>Invoice PDF ")
    assert ">test</span>" in cell
    assert "test" not in columns.document_cell(RenderJob(name="a.pdf", test=False))


def test_document_without_a_class_is_ad_hoc() -> None:
    """A label whose class is gone is shown as it is."""
    assert "ad hoc" in columns.document_cell(RenderJob(name="a.pdf"))
    assert "shop.Gone" in columns.document_cell(RenderJob(name="a.pdf", document="shop.Gone"))


def test_names_are_escaped(client: Client) -> None:
    """A name is text, not HTML."""
    create_admin_job(options={"name": HOSTILE})
    text = get_text(client, LIST)
    assert ESCAPED in text
    assert HOSTILE not in text


# The state


def test_failed_job_tells_its_reason(client: Client) -> None:
    """DocRaptor's known words, at the errors' beginning, give a better reason than the code."""
    job = failed_job(ErrorCode.STORAGE_ERROR)
    explanation = job.explanation
    assert explanation is not None
    assert f"<small>{explanation.title}</small>" in get_text(client, LIST)
    RenderJob.objects.update(error_code=ErrorCode.RENDER_FAILED, errors="HTML is not well-formed")
    job.refresh_from_db()
    assert f"<small>{job.explanation.title}</small>" in get_text(client, LIST)


@pytest.mark.parametrize(
    ("state", "values", "text"),
    [
        (State.PENDING, {"failures": 3, "due_at": seconds_from_now(41)}, "next try in 4"),
        (
            State.DOWNLOADING,
            {"failures": 1, "due_at": seconds_from_now(150)},
            "next try in 2\xa0min",
        ),
        (
            State.UNCONFIRMED,
            {"due_at": seconds_from_now(150)},
            "response lost: next check in 2\xa0min",
        ),
        (State.PENDING, {"held_at": Now(), "due_at": HELD_UNTIL}, "held: release it, or cancel it"),
        (State.QUEUED, {"due_at": seconds_from_now(5), "attempt": 2}, "attempt 2"),
    ],
)
def test_unfinished_job_tells_what_happens_next(
    client: Client, state: State, values: dict[str, Any], text: str
) -> None:
    """Below the state of an unfinished job is what it waits for."""
    create_admin_job(state, **values)
    assert text in get_text(client, LIST)


def test_job_at_docraptor_tells_for_how_long(client: Client) -> None:
    """The time since the attempt was sent is shown while DocRaptor has it."""
    create_admin_job(State.WORKING, sent_at=age(minutes=2), due_at=seconds_from_now(5))
    assert "at DocRaptor for 2\xa0min" in get_text(client, LIST)


def test_first_attempt_and_due_job_are_not_mentioned() -> None:
    """What goes as usual has no note."""
    job = RenderJob(state=State.PENDING, attempt=1, failures=2, due_at=age(seconds=1))
    assert "<small>" not in columns.state_cell(job)


# The time


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        ({"seconds": -5}, "0\xa0s ago"),
        ({"seconds": 6.5}, "6\xa0s ago"),
        ({"seconds": 60}, "1\xa0min ago"),
        ({"minutes": 59.9}, "59\xa0min ago"),
        ({"hours": 47.5}, "47\xa0h ago"),
    ],
)
def test_time_is_told_in_one_unit(duration: dict[str, float], text: str) -> None:
    """A time is told by the largest unit."""
    assert columns.format_ago(age(**duration)) == text


def test_old_time_is_a_date(settings: Any) -> None:
    """After two days the date says more than an amount."""
    assert "ago" not in columns.format_ago(age(hours=49))


def test_exact_time_has_seconds_and_zone(settings: Any) -> None:
    """The title tells the exact time in the active time zone."""
    settings.TIME_ZONE = "Asia/Tokyo"
    time = timezone.datetime.fromisoformat("2026-11-27T14:06:16.789+00:00")  # type: ignore[attr-defined]
    assert display.exact_time(time) == "Nov. 27, 2026, 23:06:16 JST"
    assert 'datetime="2026-11-27T14:06:16+00:00"' in display.time_element(time, "now")


@pytest.mark.parametrize(
    ("state", "text"), [(State.COMPLETED, "in 3.9\xa0s"), (State.FAILED, "after 3.9\xa0s")]
)
def test_time_taken_is_below(state: State, text: str) -> None:
    """A completed document took a time, a failed one ended after it."""
    begin = age(minutes=3)
    job = RenderJob(state=state, created_at=begin, finished_at=begin + timedelta(seconds=3.9))
    assert f"<small>{text}</small>" in columns.when_cell(job)
    assert "<small>" not in columns.when_cell(RenderJob(created_at=begin))


# The source and the file


def test_owner_is_a_link_to_their_jobs(client: Client) -> None:
    """The owner's name lists the jobs of the owner, and is escaped."""
    owner = User.objects.create_user(HOSTILE)
    create_admin_job(options={"owner": owner})
    text = get_text(client, LIST)
    assert f'<small><a href="?owner={owner.pk}">{ESCAPED}</a></small>' in text


def done(name: str = "a.pdf", **options: Any) -> RenderJob:
    """Return a completed job with a file of two pages."""
    options = {"name": name, "document": InvoicePDF.label, **options}
    job: RenderJob = create_admin_job(
        State.COMPLETED, options, number_of_pages=2, file_size=25_000, file="docraptor/x.pdf"
    )
    return job


def test_file_has_links_pages_and_size(client: Client) -> None:
    """A PDF can be viewed and downloaded."""
    job = done()
    text = get_text(client, LIST)
    assert f'<a href="/docraptor/documents/{job.pk}/status/?inline=1">View</a>' in text
    assert f'<a href="{job.get_absolute_url()}">Download</a>' in text
    assert "<small>2\xa0pages, 24.4\xa0KB</small>" in text


def test_hosted_document_is_only_downloaded(client: Client) -> None:
    """The list and the page have the same links: a hosted PDF is shown by DocRaptor, not here."""
    job = done()
    RenderJob.objects.update(hosted=True, file="", public_url="https://docraptor.test/d/1")
    for url in (LIST, job_url(job)):
        text = get_text(client, url)
        assert ">Download</a>" in text
        assert "?inline=1" not in text


def test_spreadsheet_cannot_be_viewed(client: Client) -> None:
    """A browser does not show a spreadsheet: it is only downloaded."""
    job = done("a.xlsx", document_type="xlsx")
    RenderJob.objects.update(number_of_pages=None)
    text = get_text(client, LIST)
    assert "?inline=1" not in text
    assert job.get_absolute_url() in text
    assert "<small>XLSX, 24.4\xa0KB</small>" in text


def test_documents_rule_decides_about_links(client: Client) -> None:
    """Without permission there is no link; a rule that fails gives none, either."""
    mine, other = done(), done()
    with patch.object(InvoicePDF, "may_download", classmethod(lambda cls, user, job: job == mine)):
        text = get_text(client, LIST)
    assert mine.get_absolute_url() in text
    assert other.get_absolute_url() not in text
    with patch.object(InvoicePDF, "may_download", classmethod(lambda cls, user, job: 1 / 0)):
        assert ">Download</a>" not in get_text(client, LIST)


def test_rules_that_read_the_source_need_one_query(client: Client) -> None:
    """However many documents are listed, their sources are loaded together, and not shown."""
    rule = classmethod(lambda cls, user, job: job.source.number == "canary")

    def count() -> int:
        client.get(LIST)
        with CaptureQueriesContext(connection) as queries:
            text = get_text(client, LIST)
        assert ">Download</a>" in text
        assert "canary" not in text
        return len(queries)

    with patch.object(InvoicePDF, "may_download", rule):
        done(source=Invoice.objects.create(number="canary"))
        few = count()
        for _ in range(9):
            done(source=Invoice.objects.create(number="canary"))
        assert count() == few


def test_job_without_a_file_has_no_link(client: Client) -> None:
    """An unfinished job has no file."""
    job = create_admin_job(State.DOWNLOADING)
    assert job.get_absolute_url() not in get_text(client, LIST)


# An empty list


def test_empty_list_says_why(client: Client) -> None:
    """A list without jobs tells what fills it; one without matches, how to see all."""
    assert "There are no jobs yet." in get_text(client, LIST)
    failed_job()
    assert "docraptor-empty" not in get_text(client, LIST)
    for query in ({"q": "nothing"}, {"state__exact": "working"}):
        text = get_text(client, LIST, query)
        assert "No job matches." in text
        assert f'<a href="{LIST}">Show all jobs</a>' in text


@pytest.fixture
def own_types() -> Iterator[None]:
    """A test that creates a content type: Django would remember it after it is rolled back."""
    yield
    ContentType.objects.clear_cache()


@pytest.mark.usefixtures("own_types")
@pytest.mark.parametrize("kind", ["model is gone", "key is a text", "deleted", "none"])
@pytest.mark.parametrize("page", ["list", "files", "job", "my documents"])
def test_lost_sources_break_no_page(
    page: str, kind: str, documents_dir: Path, client: Client
) -> None:
    """A rule reads None for a source that cannot be loaded; one that raises hides its document."""
    owner = User.objects.create_user("anna")
    job = completed_job(owner=owner, document=InvoicePDF.label)
    types = ContentType.objects
    content_type, key = {
        "model is gone": (types.create(app_label="gone", model="gone"), "1"),
        "key is a text": (types.get_for_model(Invoice), "abc"),
        "deleted": (types.get_for_model(Invoice), "999"),
        "none": (None, ""),
    }[kind]
    RenderJob.objects.update(content_type=content_type, object_id=key)
    raising = classmethod(lambda cls, user, job: job.source.number == "1")
    careful = classmethod(lambda cls, user, job: job.source is None)
    found = []
    for rule in (raising, careful):
        with patch.object(InvoicePDF, "may_download", rule):
            if page == "my documents":
                client.force_login(owner)
                text = get_text(client, "/docraptor/documents/")
            elif page == "files":
                data = {"action": "download_selected", "_selected_action": [str(job.pk)]}
                text = str(client.post(LIST, data).get("Content-Disposition", ""))
            else:
                text = get_text(client, LIST if page == "list" else job_url(job))
        found.append("documents-" in text or job.get_absolute_url() in text)
    assert found == [False, True]
