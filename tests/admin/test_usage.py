"""The page with a month's usage."""

import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_docraptor.admin import usage
from django_docraptor.models import RenderEvent
from tests.apps.shop.documents import InvoicePDF
from tests.support.admin_jobs import ESCAPED, HOSTILE, LIST, VIEW, get_text, staff_client
from tests.support.usage import used_job

pytestmark = pytest.mark.django_db
PAGE = f"{LIST}usage/"
USAGE = "view_usageday"


@pytest.fixture
def client() -> Client:
    """The browser of a staff user who may view jobs and their usage."""
    return staff_client(VIEW, USAGE)


def test_usage_needs_its_own_permission(client: Client) -> None:
    """The figures are of all jobs, also for a user whose list is narrower."""
    assert client.get(PAGE).status_code == 200
    for permission in (VIEW, USAGE):
        assert staff_client(permission).get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 302
    assert client.post(PAGE).status_code == 405


def test_statistics_link_to_it(client: Client) -> None:
    """Who may see it is led there from the statistics."""
    link = f'href="{PAGE}"'
    assert link in get_text(client, f"{LIST}statistics/")
    assert link not in get_text(staff_client(VIEW), f"{LIST}statistics/")


def test_documents_have_their_bill(client: Client) -> None:
    """Each document class has its line, with a link to its jobs; the last line is the total."""
    used_job(document=InvoicePDF.label)
    used_job(document=InvoicePDF.label, test=True)
    used_job()
    context = client.get(PAGE).context
    assert [row.title for row in context["rows"]] == ["Invoice PDF", "none (ad hoc)"]
    assert context["rows"][0].cells[:7] == ["1", "1", "1", "0", "0", "0", "6"]
    assert context["total"][:3] == ["2", "1", "2"]
    links = re.findall(r'href="([^"]+document=[^"]+)"', get_text(client, PAGE))
    found = [
        len(client.get(link.replace("&amp;", "&")).context["cl"].result_list) for link in links
    ]
    assert found == [2, 1]


def test_owners_have_their_names(client: Client) -> None:
    """A user who is gone, or of a former user model, is known by the key."""
    used_job(owner=User.objects.create_user("ada"))
    gone = User.objects.create_user("gone")
    used_job(owner=gone)
    gone.delete()
    assert {row.title for row in client.get(PAGE, {"by": "owner"}).context["rows"]} == {"ada", "—"}
    assert usage._owner_names(["not a number"]) == {}


def test_names_are_escaped(client: Client) -> None:
    """An account's name is text."""
    used_job(account=HOSTILE[:64])
    text = get_text(client, f"{PAGE}?by=account")
    assert ESCAPED[:20] in text
    assert HOSTILE not in text


def test_month_is_chosen(client: Client) -> None:
    """The links lead to the month before and after, and keep the choice."""
    used_job()
    RenderEvent.objects.update(at=datetime(2024, 2, 29, 23, 59, tzinfo=UTC))
    context = client.get(PAGE, {"month": "2024-02", "by": "account"}).context
    assert context["total"][2] == "1"
    assert len(context["chart"].hours) == 29
    assert context["chart"].hours[-1].completed == 1
    (bar,) = context["chart"].completed
    assert bar.x < context["chart"].width
    assert len(context["chart"].labels) == 8
    assert context["earlier"] == "month=2024-01&by=account"
    assert context["later"] == "month=2024-03&by=account"


@pytest.mark.parametrize("month", ["", "2024-13", "0001-01", "9999-12", "x", "٢٠٢٤-01"])
def test_month_that_is_none_is_the_current_one(client: Client, month: str) -> None:
    """A URL that a person has changed is no error."""
    first = client.get(PAGE, {"month": month, "by": "nothing"}).context["first"]
    assert first == datetime.now(UTC).date().replace(day=1)


def test_many_lines_are_one(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is bounded, and adds up."""
    monkeypatch.setattr(usage, "MAX_LINES", 1)
    for account in ("a", "b", "c"):
        used_job(account=account)
    rows = client.get(PAGE, {"by": "account"}).context["rows"]
    assert [(row.title, row.cells[0]) for row in rows] == [("a", "1"), ("others", "2")]


def test_page_says_if_it_is_not_complete(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ticks the figures may be too low."""
    used_job()
    assert "not counted yet" not in get_text(client, PAGE)
    monkeypatch.setattr("django_docraptor.usage.reports.MAX_LIVE", 1)
    assert "not counted yet" in get_text(client, PAGE)


def test_chart_is_the_table(client: Client) -> None:
    """What the chart draws is told by a table, and by a sentence to screen readers."""
    used_job()
    text = get_text(client, f"{PAGE}?month={datetime.now(UTC):%Y-%m}")
    assert text.count("<rect") == 1
    assert "Billed by day: at most 1, on" in text


def test_page_has_no_inline_style_or_script(client: Client) -> None:
    """A strict Content-Security-Policy allows what this page adds."""
    used_job()
    content = get_text(client, PAGE).partition('id="content-main"')[2].partition("<footer")[0]
    assert "<rect" in content
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", content)
