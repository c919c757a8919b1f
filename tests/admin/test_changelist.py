"""The list of jobs: bounded searches and counts, and few queries."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor.admin import changelist, job_list, search
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.support.admin_jobs import (
    CANCEL,
    LIST,
    RETRY,
    VIEW,
    create_admin_job,
    failed_job,
    get_text,
    staff_client,
)

pytestmark = pytest.mark.django_db


# Bounded searches


def create_invoices(count: int) -> list[Any]:
    """Return jobs of different ages, the newest first."""
    jobs = [create_admin_job(State.COMPLETED, {"name": f"invoice-{n}.pdf"}) for n in range(count)]
    for age, job in enumerate(jobs):
        RenderJob.objects.filter(pk=job.pk).update(
            created_at=timezone.now() - timedelta(days=age), status_id=f"status-{age}"
        )
    return jobs


SEARCHED = "Searched the newest 2 jobs, since"


@pytest.mark.parametrize("query", [{"q": "invoice-"}, {"test__exact": "0"}, {"document": "-"}])
def test_what_no_index_finds_is_searched_among_the_newest(
    client: Client, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    """A search by name, and most filters, reach the newest jobs; the page says so, and all."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 2)
    monkeypatch.setattr(job_list, "MAX_SEARCHED", 2)
    jobs = create_invoices(5)
    response = client.get(LIST, query)
    assert [row.pk for row in response.context["cl"].result_list] == [j.pk for j in jobs[:2]]
    assert SEARCHED in response.content.decode()
    response = client.get(f"{LIST}{response.context['cl'].search_all_url}")
    assert len(response.context["cl"].result_list) == 5
    assert SEARCHED not in response.content.decode()


@pytest.mark.parametrize(
    "query", [{}, {"state__exact": "completed"}, {"q": "status-4"}, {"o": "3"}]
)
def test_what_an_index_finds_is_searched_among_all(
    client: Client, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    """The list, a filter by state and a search by a key reach all jobs, and say nothing."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 2)
    jobs = create_invoices(5)
    response = client.get(LIST, query)
    assert SEARCHED not in response.content.decode()
    assert jobs[4].pk in [row.pk for row in response.context["cl"].result_list]


def test_bounded_search_is_that_of_the_chosen_state_and_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of failed jobs, or of an older month, the newest are searched, however many are newer."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 2)
    jobs = create_invoices(6)
    RenderJob.objects.filter(pk=jobs[5].pk).update(state=State.FAILED, error_code="timed_out")
    before = (timezone.now() - timedelta(days=4, hours=12)).isoformat()
    for query in ({"error_code": "timed_out"}, {"created_at__lt": before}):
        rows = client.get(LIST, query | {"q": "invoice"}).context["cl"].result_list
        assert [row.pk for row in rows] == [jobs[5].pk]


def test_filter_by_error_code_reaches_all_jobs(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index finds the jobs with an error code, however many others are newer."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 2)
    jobs = create_invoices(5)
    RenderJob.objects.exclude(pk=jobs[0].pk).update(state=State.FAILED, error_code="timed_out")
    response = client.get(LIST, {"error_code": "timed_out"})
    assert [row.pk for row in response.context["cl"].result_list] == [job.pk for job in jobs[1:]]
    assert SEARCHED not in response.content.decode()


def test_search_without_a_hit_reads_the_newest_jobs_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is searched for in vain is not searched for again to count and to list it."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 2)
    create_invoices(5)
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST, {"q": "no-such-name"})
    assert sum("LIKE" in query["sql"].upper() for query in queries) == 1


def test_many_hits_of_a_bounded_search_are_all_listed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More hits than are looked up by their keys are counted and listed, too."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 4)
    monkeypatch.setattr(search, "MAX_MATCHES", 2)
    jobs = create_invoices(6)
    found = client.get(LIST, {"q": "invoice"}).context["cl"]
    assert [row.pk for row in found.result_list] == [job.pk for job in jobs[:4]]
    assert found.result_count == 4


def test_oldest_first_is_one_direction_of_an_index(client: Client) -> None:
    """Both columns have one direction, because MariaDB sorts all rows otherwise."""
    jobs = create_invoices(3)
    found = client.get(LIST, {"o": "3"}).context["cl"]
    assert found.queryset.query.order_by == ("created_at", "pk")
    assert [row.pk for row in found.result_list] == [job.pk for job in reversed(jobs)]


# Queries


def create_many_jobs(count: int) -> None:
    """Create jobs with owners and with sources of two models."""
    for number in range(count):
        owner = User.objects.create_user(f"owner-{RenderJob.objects.count()}-{number}")
        group = Group.objects.create(name=owner.username)
        source = group if number % 2 else owner
        options = {"source": source, "owner": owner, "document": InvoicePDF.label}
        create_admin_job(State.COMPLETED, options, sent_at=Now())


def test_list_marks_documents_that_are_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source was saved after the content of a completed document was rendered."""
    monkeypatch.setattr(InvoicePDF, "changed_at_field", "changed_at")
    insider = staff_client(VIEW, "view_user")
    create_many_jobs(1)
    job = RenderJob.objects.get()
    for minutes, is_marked in ((0, False), (6, True)):
        changed_at = job.created_at + timedelta(minutes=minutes)
        monkeypatch.setattr(User, "changed_at", changed_at, raising=False)
        assert ("changed since</span>" in get_text(insider, LIST)) == is_marked
    RenderJob.objects.update(state=State.CANCELLED)
    assert "changed since" not in get_text(insider, LIST)
    RenderJob.objects.update(state=State.COMPLETED)
    # Who may not see the source does not learn that it was saved.
    assert "changed since" not in get_text(staff_client(VIEW), LIST)


def test_list_has_a_constant_number_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty jobs with owners, and with changed sources of two models, need as many queries as five.

    Each model of a source takes one query, and one for all of them tells which have changed.
    """
    monkeypatch.setattr(InvoicePDF, "changed_at_field", "changed_at")
    for model in (User, Group):
        changed_at = timezone.now() + timedelta(days=1)
        monkeypatch.setattr(model, "changed_at", changed_at, raising=False)
    insider = staff_client(VIEW, RETRY, CANCEL, "view_group", "view_user", "view_usageday")
    create_many_jobs(5)
    insider.get(LIST)
    with CaptureQueriesContext(connection) as few:
        insider.get(LIST)
    create_many_jobs(45)
    with CaptureQueriesContext(connection) as many:
        text = get_text(insider, LIST)
    assert text.count("owner-") >= 50
    assert text.count("changed since</span>") == 50
    assert len(many) == len(few) <= 14  # four of them are for the user and their permissions


def test_list_reads_no_long_texts(client: Client) -> None:
    """Columns of unbounded size are not read, except the beginning of the errors."""
    failed_job(errors="HTML is not well-formed" + "x" * 5000)
    with CaptureQueriesContext(connection) as queries:
        text = get_text(client, LIST)
    read = [re.sub(r"(SUBSTR|LEFT)\(\S+, [^)]*\)", "", sql["sql"]) for sql in queries]
    for column in ("errors", "message", "content"):
        assert not [sql for sql in read if re.search(rf'["`]{column}["`]', sql)]
    assert "xxx" not in text


def test_list_counts_a_bounded_number(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many jobs only a limited number is counted, and the list says so."""
    monkeypatch.setattr(changelist, "MAX_COUNTED", 2)
    for _ in range(3):
        create_admin_job()
    response = client.get(LIST)
    assert response.context["cl"].result_count == 2
    assert "Search or filter to find others" in response.content.decode()
