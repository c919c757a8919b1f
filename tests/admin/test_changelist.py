"""The list of jobs: search, filters, a bounded count, and few queries."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor.admin import changelist
from django_docraptor.models import RenderJob
from django_docraptor.states import State
from tests.apps.shop.documents import Broken
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


# Search and filters


@pytest.mark.parametrize(
    "term",
    [
        lambda job: str(job.pk),
        lambda job: job.pk.hex,
        lambda job: f" {job.pk} ",
        lambda job: job.status_id,
        lambda job: job.idempotency_key,
        lambda job: "invoice-77",
        lambda job: "INVOICE-77.PDF",
    ],
)
def test_search_finds_ids_keys_and_name_prefixes(client: Client, term: Any) -> None:
    """A job is found by its ID, its status ID, its whole key, or the start of its name."""
    options = {"name": "invoice-77.pdf", "idempotency_key": "order-77"}
    job = create_admin_job(State.QUEUED, options, status_id="0f3c-status")
    create_admin_job(State.QUEUED, {"name": "invoice-8.pdf"}, status_id="other")
    found = client.get(LIST, {"q": term(job)}).context["cl"].result_list
    assert [row.pk for row in found] == [job.pk]


@pytest.mark.parametrize("term", ["0f3c", "order", "voice", "77"])
def test_search_finds_no_parts(client: Client, term: str) -> None:
    """Parts of IDs, and text inside a name, are not searched, since that would scan all rows."""
    options = {"name": "invoice-77.pdf", "idempotency_key": "order-77"}
    create_admin_job(State.QUEUED, options, status_id="0f3c-status")
    assert client.get(LIST, {"q": term}).context["cl"].result_list == []


def test_search_by_id_does_not_compare_names(client: Client) -> None:
    """A search by ID must use an index, so it is not combined with a search by name."""
    job = create_admin_job()
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST, {"q": str(job.pk)})
    assert not [sql for sql in queries if "LIKE" in sql["sql"].upper()]


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


def test_documents_are_filtered_by_title(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter shows titles; documents with the same title are told apart by their labels."""
    monkeypatch.setattr(Broken, "verbose_name", "Reminder")
    (choices,) = [
        spec.lookup_choices
        for spec in client.get(LIST).context["cl"].filter_specs
        if isinstance(spec, changelist.DocumentFilter)
    ]
    titles = dict(choices)
    assert titles["shop.InvoicePDF"] == "Invoice PDF"
    assert titles["shop.Reminder"] == "Reminder (shop.Reminder)"
    assert titles["shop.Broken"] == "Reminder (shop.Broken)"
    assert choices[-1] == ("-", "none (ad hoc)")


# Queries


def create_many_jobs(count: int) -> None:
    """Create jobs with owners and with sources of two models."""
    for number in range(count):
        owner = User.objects.create_user(f"owner-{RenderJob.objects.count()}-{number}")
        group = Group.objects.create(name=owner.username)
        create_admin_job(
            State.COMPLETED, {"source": group if number % 2 else owner, "owner": owner}
        )


def test_list_has_a_constant_number_of_queries() -> None:
    """Fifty jobs with sources and owners need as many queries as five."""
    insider = staff_client(VIEW, RETRY, CANCEL, "view_group", "view_user")
    create_many_jobs(5)
    insider.get(LIST)
    with CaptureQueriesContext(connection) as few:
        insider.get(LIST)
    create_many_jobs(45)
    with CaptureQueriesContext(connection) as many:
        text = get_text(insider, LIST)
    assert text.count("owner-") >= 50
    assert len(many) == len(few) <= 15  # six of them ask whether the engine is alive


def test_list_reads_no_long_texts(client: Client) -> None:
    """Columns of unbounded size are not read."""
    failed_job(errors="long")
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST)
    assert not [sql for sql in queries if "errors" in sql["sql"] or '"content"' in sql["sql"]]


def test_list_counts_a_bounded_number(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many jobs only a limited number is counted, and the list says so."""
    monkeypatch.setattr(changelist, "MAX_COUNTED", 2)
    for _ in range(3):
        create_admin_job()
    response = client.get(LIST)
    assert response.context["cl"].result_count == 2
    assert "Search or filter to find others" in response.content.decode()
