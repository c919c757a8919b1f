"""The filters of the job list."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from django_docraptor.admin import filters
from django_docraptor.models import Heartbeat, RenderJob
from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.states import HELD_UNTIL, State
from tests.apps.shop.documents import Broken
from tests.support.admin_jobs import LIST, create_admin_job, failed_job, get_text

pytestmark = pytest.mark.django_db


def listed(client: Client, **query: str) -> list[str]:
    """Return the names of the listed jobs."""
    return [job.name for job in client.get(LIST, query).context["cl"].result_list]


def named(name: str, state: State = State.PENDING, **columns: Any) -> RenderJob:
    """Return a job with a name."""
    job: RenderJob = create_admin_job(state, {"name": name}, **columns)
    return job


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"state__exact": "failed"}, ["c.pdf"]),
        ({"test__exact": "1"}, ["b.pdf"]),
        ({"document_type__exact": "xlsx"}, ["a.xlsx"]),
        ({"document": "shop.InvoicePDF"}, ["a.xlsx"]),
        ({"document": "-"}, ["c.pdf", "b.pdf"]),
    ],
)
def test_filters_narrow_the_list(client: Client, query: dict[str, str], names: list[str]) -> None:
    """The list can be filtered, and shows the newest jobs first."""
    create_admin_job(
        options={"name": "a.xlsx", "document_type": "xlsx", "document": "shop.InvoicePDF"}
    )
    create_admin_job(options={"name": "b.pdf", "test": True})
    create_admin_job(State.FAILED, {"name": "c.pdf"})
    for age, name in enumerate(("c.pdf", "b.pdf", "a.xlsx")):
        at = timezone.now() - timedelta(hours=age)
        RenderJob.objects.filter(name=name).update(created_at=at)
    found = client.get(LIST, query).context["cl"].result_list
    assert [row.name for row in found] == names


@pytest.mark.parametrize(
    ("name", "filtered"),
    [
        *(("renderjob", each) for each in ("document", "account", "error_code", "state__exact")),
        *(("renderjob", each) for each in ("name", "attention")),
        *(("rendergroup", each) for each in ("state__exact", "name")),
        ("account", "name"),
    ],
)
def test_nul_is_no_value_of_a_filter(admin_client: Client, name: str, filtered: str) -> None:
    """PostgreSQL cannot compare it: the list is shown without filters, as for any wrong value."""
    url = f"/admin/django_docraptor/{name}/"
    response = admin_client.get(url, {filtered: "a\0", "o": "1"}, follow=True)
    assert response.redirect_chain == [(f"{url}?e=1", 302)]
    assert response.status_code == 200


def test_nul_finds_nothing(client: Client) -> None:
    """A search for it is refused by a message."""
    create_admin_job()
    response = client.get(LIST, {"q": "a\0"})
    assert "Null characters are not allowed." in response.content.decode()


def test_documents_are_filtered_by_title(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter shows titles; documents with the same title are told apart by their labels."""
    monkeypatch.setattr(Broken, "verbose_name", "Reminder")
    (choices,) = [
        spec.lookup_choices
        for spec in client.get(LIST).context["cl"].filter_specs
        if isinstance(spec, filters.DocumentFilter)
    ]
    titles = dict(choices)
    assert titles["shop.InvoicePDF"] == "Invoice PDF"
    assert titles["shop.Reminder"] == "Reminder (shop.Reminder)"
    assert titles["shop.Broken"] == "Reminder (shop.Broken)"
    assert choices[-1] == ("-", "none (ad hoc)")


# What needs a look


def test_needs_a_look_lists_failed_unconfirmed_held_and_late(client: Client) -> None:
    """The filter lists what a person should look at, and nothing else."""
    named("completed", State.COMPLETED)
    named("pending", due_at=seconds_from_now(60))
    named("failed", State.FAILED)
    named("long ago", State.FAILED, created_at=timezone.now() - timedelta(days=8))
    named("unconfirmed", State.UNCONFIRMED, due_at=seconds_from_now(60))
    named("held", held_at=Now(), due_at=HELD_UNTIL)
    named("late", State.QUEUED, due_at=seconds_from_now(-300))
    named("just due", State.QUEUED, due_at=seconds_from_now(-3))
    assert sorted(listed(client, attention="look")) == ["failed", "held", "late", "unconfirmed"]
    assert "Needs a look (4)" in get_text(client, LIST)


def test_unfinished_lists_what_is_not_finished(client: Client) -> None:
    """Held jobs wait for a person, not for the engine."""
    named("completed", State.COMPLETED)
    named("pending")
    named("working", State.WORKING)
    named("held", held_at=Now(), due_at=HELD_UNTIL)
    assert sorted(listed(client, attention="unfinished")) == ["pending", "working"]


def test_attention_filter_combines_with_others(client: Client) -> None:
    """The filter by state and a search narrow it."""
    named("failed", State.FAILED)
    named("unconfirmed", State.UNCONFIRMED)
    assert listed(client, attention="look", state__exact="failed") == ["failed"]
    assert listed(client, attention="look", q="unconf") == ["unconfirmed"]


def test_attention_filter_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind the latest are listed, and the page says so."""
    named("held", held_at=Now(), due_at=HELD_UNTIL)
    assert "of each kind are listed" not in get_text(client, LIST, {"attention": "look"})
    monkeypatch.setattr(filters, "MAX_LISTED", 2)
    for age in range(4):
        named(f"failed-{age}", State.FAILED, created_at=timezone.now() - timedelta(hours=age))
    assert sorted(listed(client, attention="look")) == ["failed-0", "failed-1", "held"]
    text = get_text(client, LIST, {"attention": "look"})
    assert "Only the first 2 jobs of each kind are listed." in text


def test_jobs_are_not_late_while_the_engine_is_on_time(client: Client) -> None:
    """Nothing is late in a fresh project."""
    Heartbeat.objects.create(pk=Heartbeat.KEY)
    named("pending")
    assert listed(client, attention="look") == []
    assert "Needs a look (" not in get_text(client, LIST)


# Others


@pytest.mark.parametrize(
    ("time", "names"),
    [
        ("day", ["now"]),
        ("week", ["now", "days ago"]),
        ("", ["now", "days ago", "long ago"]),
        ("nonsense", ["now", "days ago", "long ago"]),
    ],
)
def test_time_filter_begins_at_a_time(client: Client, time: str, names: list[str]) -> None:
    """The filter by time goes by when the document was requested."""
    for name, days in (("now", 0), ("days ago", 3), ("long ago", 90)):
        named(name, created_at=timezone.now() - timedelta(days=days))
    assert listed(client, **({"time": time} if time else {})) == names


def test_this_month_begins_in_the_active_time_zone(settings: Any) -> None:
    """The month begins at midnight of the site's time zone."""
    settings.TIME_ZONE = "Pacific/Auckland"
    begin = filters.since("month")
    assert begin is not None
    assert (begin.day, begin.hour, begin.minute) == (1, 0, 0)
    assert str(begin.tzinfo) == "Pacific/Auckland"


def test_accounts_and_owners_are_those_of_the_listed_jobs(client: Client) -> None:
    """The choices are few however many accounts and users there are; the chosen one stays."""
    ines, omar = (User.objects.create_user(name) for name in ("ines", "omar"))
    create_admin_job(options={"name": "a", "owner": ines, "account": "north"})
    create_admin_job(options={"name": "b", "owner": omar})
    assert listed(client, owner=str(ines.pk)) == ["a"]
    assert listed(client, account="north") == ["a"]
    assert listed(client, account="nowhere") == []
    text = get_text(client, LIST)
    assert f'<a href="?owner={omar.pk}">omar</a></li>' in text
    assert '<a href="?account=north">north</a></li>' in text
    assert ">nowhere</a></li>" in get_text(client, f"{LIST}?account=nowhere")


def test_owner_that_is_no_key_is_refused(client: Client) -> None:
    """A URL with a nonsensical owner leads to the list, not to an error."""
    assert client.get(LIST, {"owner": "x' OR 1=1"}).status_code == 302


def test_live_and_test_are_named(client: Client) -> None:
    """The choices are live and test, not yes and no."""
    failed_job()
    (spec,) = [
        each
        for each in client.get(LIST).context["cl"].filter_specs
        if isinstance(each, filters.LiveFilter)
    ]
    changelist = client.get(LIST).context["cl"]
    assert [str(choice["display"]) for choice in spec.choices(changelist)] == [
        "All",
        "test",
        "live",
    ]


def test_seldom_used_filters_are_folded(client: Client) -> None:
    """A folded filter is open while one of its values is chosen."""
    failed_job()
    folded = '<details data-filter-title="error code">'
    assert folded in get_text(client, LIST)
    text = get_text(client, f"{LIST}?error_code=timed_out")
    assert folded not in text
    assert '<details data-filter-title="error code" open>' in text
