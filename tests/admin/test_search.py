"""The search of the job list: what support has at hand finds the job."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor.admin import search
from django_docraptor.models import RenderJob
from django_docraptor.states import State
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import LIST, VIEW, create_admin_job, staff_client

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def found_by(client: Client, term: str, **parameters: str) -> list[str]:
    """Return the names of the jobs that a search lists."""
    response = client.get(LIST, {"q": term, **parameters})
    return [job.name for job in response.context["cl"].result_list]


@pytest.mark.parametrize(
    "term",
    [
        lambda job: str(job.pk),
        lambda job: job.pk.hex,
        lambda job: f" {job.pk} ",
        lambda job: f"{job.pk.hex}:{job.attempt}",
        lambda job: f"{job.pk.hex}:99",
        lambda job: job.pk.hex[:8],
        lambda job: f"{job.pk.hex[:4]}-{job.pk.hex[4:8]}",
        lambda job: f"{job.pk.hex[:4]}-{job.pk.hex[4:8]}".upper(),
        lambda job: job.status_id,
        lambda job: job.idempotency_key,
        lambda job: "invoice-77",
        lambda job: "INVOICE-77.PDF",
        lambda job: "voice-77",
    ],
)
def test_search_finds_what_support_has(client: Client, term: Any) -> None:
    """A job is found by its ID, number, tag, status ID, whole key, or a part of its name."""
    options = {"name": "invoice-77.pdf", "idempotency_key": "order-77"}
    job = create_admin_job(State.QUEUED, options, status_id="0f3c-status", attempt=2)
    create_admin_job(State.QUEUED, {"name": "invoice-8.pdf"}, status_id="other")
    assert found_by(client, term(job)) == ["invoice-77.pdf"]


@pytest.mark.parametrize(
    "term", ["0f3c", "order", "1234567", "123456789", "abcd-12", f"{'0' * 32}:1", "%", "_"]
)
def test_search_finds_no_parts_of_keys(client: Client, term: str) -> None:
    """Parts of IDs and keys are not searched, since that would scan all rows."""
    options = {"name": "invoice-77.pdf", "idempotency_key": "order-77"}
    create_admin_job(State.QUEUED, options, status_id="0f3c-status")
    assert found_by(client, term) == []


def test_number_of_a_customer_is_a_range_of_the_key(client: Client) -> None:
    """All jobs whose keys begin with the digits are found, by the index of the keys."""
    job, other = create_admin_job(options={"name": "a.pdf"}), create_admin_job()
    first = f"{job.pk.hex[:8]}-0000-4000-8000-000000000000"
    RenderJob(pk=first, name="b.pdf", state=other.state, due_at=other.due_at).save()
    with CaptureQueriesContext(connection) as queries:
        names = found_by(client, f"{job.pk.hex[:4]}-{job.pk.hex[4:8]}")
    assert sorted(names) == ["a.pdf", "b.pdf"]
    if search._has_ordered_keys():
        assert not [sql for sql in queries if "LIKE" in sql["sql"].upper()]


def test_search_by_id_does_not_compare_names(client: Client) -> None:
    """A search by ID must use an index, so it is not combined with a search by name."""
    job = create_admin_job()
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST, {"q": str(job.pk)})
    assert not [sql for sql in queries if "LIKE" in sql["sql"].upper()]


# Owners


def job_of(name: str, **columns: str) -> User:
    """Return a new user, who owns a job of the same name."""
    owner = User.objects.create_user(name, **columns)
    create_admin_job(options={"name": f"{name}.pdf", "owner": owner})
    return owner


def test_search_finds_the_owners_documents(client: Client) -> None:
    """Part of the user name finds the owner's jobs."""
    job_of("ines")
    job_of("omar")
    assert found_by(client, "INE") == ["ines.pdf"]


def test_search_by_part_of_an_address_needs_permission(client: Client) -> None:
    """A whole e-mail address finds the owner; a part only for those who may view users."""
    job_of("ines", email="ines.petit@example.com")
    assert found_by(client, "Ines.Petit@example.com") == ["ines.pdf"]
    assert found_by(client, "petit") == []
    assert found_by(staff_client(VIEW, "view_user"), "petit") == ["ines.pdf"]


# Sources


def test_search_finds_documents_by_their_sources_key(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary key of a document's model finds its jobs, however many others are newer."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 1)
    invoice = Invoice.objects.create(pk=4711, number="7")
    old = create_admin_job(options={"name": "old.pdf", "source": invoice})
    RenderJob.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=9))
    for _ in range(3):
        create_admin_job(options={"name": "new.pdf"})
    assert found_by(client, "4711") == ["old.pdf"]


def test_search_finds_documents_by_their_sources_text(client: Client) -> None:
    """A source is found as in its own admin, by those who may view it there."""
    editors = Group.objects.create(name="Editors of Marlow")
    create_admin_job(options={"name": "a.pdf", "source": editors})
    create_admin_job(options={"name": "b.pdf", "source": Group.objects.create(name="Others")})
    assert found_by(staff_client(VIEW, "view_group"), "marlow") == ["a.pdf"]
    assert found_by(client, "marlow") == []


def test_sources_with_keys_of_another_type_are_ignored() -> None:
    """A source whose key is not one of its model any more does no harm."""
    create_admin_job(options={"name": "a.pdf", "source": Group.objects.create(name="Marlow")})
    broken = create_admin_job(options={"source": Group.objects.create(name="Marlow 2")})
    RenderJob.objects.filter(pk=broken.pk).update(object_id="no-number")
    assert found_by(staff_client(VIEW, "view_group"), "marlow") == ["a.pdf"]


def test_texts_are_searched_in_bounded_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and owners are searched for among the newest jobs, and the page says so."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 2)
    for age, name in enumerate(("a", "b", "c", "d")):
        owner = User.objects.create_user(f"ines-{name}")
        job = create_admin_job(options={"name": name, "owner": owner})
        at = timezone.now() - timedelta(days=age)
        RenderJob.objects.filter(pk=job.pk).update(created_at=at)
    assert found_by(client, "ines") == ["a", "b"]
    assert b"Searched the newest" in client.get(LIST, {"q": "ines"}).content
    assert found_by(client, "ines", scope="all") == ["a", "b", "c", "d"]
    assert found_by(client, "ines-d") == []


def test_sources_that_no_list_finds_are_not_read(client: Client) -> None:
    """A search reads each owner once, and nothing of sources that have no page in the admin."""
    create_admin_job(options={"source": Invoice.objects.create(pk=4711, number="7")})
    with CaptureQueriesContext(connection) as queries:
        assert found_by(client, "no-such-name") == []
    grouped = sql_of_owners(queries)
    assert "object_id" not in grouped


def sql_of_owners(queries: CaptureQueriesContext) -> str:
    """Return the only statement that reads which owners the searched jobs have."""
    columns = [(sql.partition(" FROM ")[0], sql) for sql in (each["sql"] for each in queries)]
    [found] = [sql for names, sql in columns if "owner_id" in names and "lease_token" not in names]
    return found


def test_a_search_of_what_needs_a_look_compares_few_owners(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All listed jobs are searched by name; owners are those of the newest jobs."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 1)
    for age, name in enumerate(("ines-a", "b")):
        owner = User.objects.create_user(f"ines-{name}")
        job = create_admin_job(options={"name": f"ines-{name}.pdf", "owner": owner})
        at = timezone.now() - timedelta(days=age)
        RenderJob.objects.filter(pk=job.pk).update(created_at=at)
    with CaptureQueriesContext(connection) as queries:
        assert len(found_by(client, "ines", attention="unfinished")) == 2
    grouped = sql_of_owners(queries)
    assert "created_at" in grouped
    assert found_by(client, "ines-b.", attention="unfinished") == ["ines-b.pdf"]


def test_many_owners_and_sources_are_compared_in_batches(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More owners than one statement compares are found, too."""
    monkeypatch.setattr(search, "BATCH_SIZE", 2)
    for name in ("ines-1", "ines-2", "ines-3", "ines-4", "ines-5"):
        job_of(name)
    assert len(found_by(client, "ines-")) == 5


@pytest.mark.parametrize("name", ["groups", "missing"])
def test_users_need_no_address_and_no_name_of_text(
    client: Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A user model without an address, or with a relation as its name, breaks no search."""
    owner = User.objects.create_user("anna", "anna@example.org")
    create_admin_job(State.QUEUED, {"name": "a.pdf", "owner": owner})
    monkeypatch.setattr(User, "EMAIL_FIELD", name)
    assert found_by(client, "anna") == ["a.pdf"]
    assert search._text_match(User, name, "icontains", "anna") == Q()
