"""The statistics page: figures by hour and by document."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_docraptor.admin import statistics
from django_docraptor.admin.statistics import Chart, Hour
from django_docraptor.models import RenderJob
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.support.admin_jobs import LIST, RETRY, create_admin_job, get_text, staff_client

pytestmark = pytest.mark.django_db
PAGE = f"{LIST}statistics/"


def ended(
    state: State, *, minutes: float, seconds: float = 4, label: str = "", pages: int = 0
) -> RenderJob:
    """Return a job that was requested some minutes ago and took so long."""
    begin = timezone.now() - timedelta(minutes=minutes)
    job: RenderJob = create_admin_job(
        state,
        {"document": label},
        created_at=begin,
        finished_at=begin + timedelta(seconds=seconds),
        number_of_pages=pages or None,
    )
    return job


def hours(*counts: tuple[int, int]) -> list[Hour]:
    """Return hours with these counts of completed and failed documents."""
    begin = datetime(2026, 11, 27, tzinfo=UTC)
    return [
        Hour(begin=begin + timedelta(hours=number), completed=completed, failed=failed)
        for number, (completed, failed) in enumerate(counts)
    ]


def test_statistics_need_the_view_permission(client: Client) -> None:
    """Who may not view jobs gets no figures; anonymous users are sent to the login page."""
    assert client.get(PAGE).status_code == 200
    assert staff_client(RETRY).get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 302


def test_documents_are_counted_by_class(client: Client) -> None:
    """Each class has its number, failures, times and pages; the frequent ones come first."""
    for seconds in (1, 2, 9):
        ended(State.COMPLETED, minutes=5, seconds=seconds, label=InvoicePDF.label, pages=2)
    ended(State.FAILED, minutes=5, seconds=100, label=InvoicePDF.label)
    ended(State.COMPLETED, minutes=5, pages=5)
    ended(State.COMPLETED, minutes=60 * 25, pages=100)
    invoice, ad_hoc = client.get(PAGE).context["documents"]
    assert (invoice.title, invoice.count, invoice.failed, invoice.pages) == ("Invoice PDF", 4, 1, 6)
    assert (invoice.median, invoice.slow, invoice.failed_share) == ("2.0 s", "9.0 s", "25.0 %")
    assert (ad_hoc.title, ad_hoc.count, ad_hoc.pages) == ("none (ad hoc)", 1, 5)
    total = client.get(PAGE).context["total"]
    assert (total.count, total.failed, total.pages) == (5, 1, 11)


def test_figures_link_to_their_jobs(client: Client) -> None:
    """The title and the number of failures lead to the jobs that they count."""
    ended(State.COMPLETED, minutes=5, label=InvoicePDF.label)
    ended(State.FAILED, minutes=5, label=InvoicePDF.label)
    links = re.findall(r'href="([^"]+document=[^"]+)"', get_text(client, PAGE))
    counts = [
        len(client.get(link.replace("&amp;", "&")).context["cl"].result_list) for link in links
    ]
    assert counts == [2, 1]


def test_hours_are_those_in_which_documents_ended(client: Client) -> None:
    """A document counts in the hour of its end; cancelled and unfinished ones are named."""
    ended(State.COMPLETED, minutes=0)
    ended(State.COMPLETED, minutes=180)
    ended(State.FAILED, minutes=180)
    ended(State.CANCELLED, minutes=180)
    create_admin_job(State.WORKING)
    context = client.get(PAGE).context
    by_hour = [(hour.completed, hour.failed) for hour in context["chart"].hours]
    assert len(by_hour) == 24
    assert by_hour[-4:] == [(1, 1), (0, 0), (0, 0), (1, 0)]
    assert (context["cancelled"], context["unfinished"]) == (1, 1)


def test_hours_are_of_the_active_time_zone(settings: Any) -> None:
    """Hours begin as clocks show them, where zones differ by half an hour, too."""
    settings.TIME_ZONE = "Asia/Kolkata"
    begins = [hour.begin for hour in statistics.by_hour([])]
    assert {begin.minute for begin in begins} == {0}
    assert {begin.utcoffset() for begin in begins} == {timedelta(hours=5, minutes=30)}


@pytest.mark.parametrize(
    ("zone", "now"),
    [
        ("Europe/Vienna", "2026-03-29T10:30+00:00"),
        ("Europe/Vienna", "2026-10-25T10:30+00:00"),
        ("Europe/Vienna", "2026-10-25T00:30+00:00"),
        ("Europe/Vienna", "2026-10-25T01:30+00:00"),
        ("Pacific/Auckland", "2026-09-26T20:30+00:00"),
        ("Australia/Lord_Howe", "2026-10-04T05:10+00:00"),
    ],
)
def test_hours_are_24_when_the_clocks_change(
    zone: str, now: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the bars is one hour, and the last one is the current hour."""
    time = datetime.fromisoformat(now)
    monkeypatch.setattr(timezone, "now", lambda: time)
    row = statistics.Row("", State.COMPLETED, time, time, 1)
    with timezone.override(zone):
        hours = statistics.by_hour([row])
    begins = [hour.begin.astimezone(UTC) for hour in hours]
    steps = {after - before for before, after in pairwise(begins)}
    assert steps == {timedelta(hours=1)}
    assert [hour.completed for hour in hours] == [0] * 23 + [1]


def test_page_reads_a_bounded_number(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many jobs the newest are read, by one statement, and the page says so."""
    for minutes in (1, 2, 3):
        ended(State.COMPLETED, minutes=minutes)
    assert "Only the newest" not in get_text(client, PAGE)
    monkeypatch.setattr(statistics, "MAX_READ", 2)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(PAGE)
    assert response.context["total"].count == 2
    assert "Only the newest 2 jobs were read" in response.content.decode()
    assert sum('renderjob"' in sql["sql"].replace("`", '"') for sql in queries) == 1


def test_empty_page_says_so(client: Client) -> None:
    """Without documents there is a chart without bars and a sentence."""
    text = get_text(client, PAGE)
    assert "No document was requested in the last 24 hours." in text
    assert "<rect" not in text


def test_chart_is_the_table(client: Client) -> None:
    """What the chart draws is told by a table, and by a sentence to screen readers."""
    ended(State.COMPLETED, minutes=0)
    text = get_text(client, PAGE)
    assert text.count("<rect") == 1
    assert text.count('<tr><th scope="row">') == 24 + 2
    assert "Documents by hour: at most 1, from" in text


def test_page_has_no_inline_style_or_script(client: Client) -> None:
    """A strict Content-Security-Policy allows what this page adds."""
    ended(State.FAILED, minutes=0)
    content = get_text(client, PAGE).partition('id="content-main"')[2].partition("<footer")[0]
    assert "<rect" in content
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", content)


# The chart


def test_bars_are_as_high_as_their_counts() -> None:
    """The highest bar reaches the top line if its number does; failures hang below zero."""
    chart = Chart(hours((40, 0), (20, 1), (0, 0)))
    assert (chart.top, chart.half) == (40, 20)
    assert [(bar.x, bar.y, bar.height) for bar in chart.completed] == [
        (6, "10.0", "140.0"),
        (46, "80.0", "70.0"),
    ]
    assert [(bar.x, bar.y, bar.height) for bar in chart.failed] == [(46, "152.0", "7.0")]


@pytest.mark.parametrize("failed", [1, 10, 5000])
def test_failures_can_be_seen_and_stay_in_the_chart(failed: int) -> None:
    """One failure is visible beside thousands of documents, and thousands fit."""
    (bar,) = Chart(hours((4000, failed))).failed
    assert 1 <= float(bar.height) <= 20


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (1, 2), (2, 2), (3, 4), (39, 40), (99, 100), (101, 120), (3999, 4000)]
)
def test_top_line_is_even_and_round(most: int, top: int) -> None:
    """The scale ends at a round number, of which half is whole."""
    assert Chart(hours((most, 0))).top == top


def test_coordinates_do_not_depend_on_the_locale(client: Client) -> None:
    """An SVG needs decimal points, where readers have commas, too."""
    for _ in range(3):
        ended(State.COMPLETED, minutes=0)
    with translation.override("de"):
        assert [bar.height for bar in Chart(hours((3, 0))).completed] == ["105.0"]
        text = client.get(PAGE, headers={"accept-language": "de"}).content.decode()
    assert not re.search(r'<rect[^>]*="\d+,', text)
