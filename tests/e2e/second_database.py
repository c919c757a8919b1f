"""Tests of a site with two databases, which `test_second_database` runs with its settings."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from django_docraptor import enqueue_or_update
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import JobSpec
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue, run_until_finished

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "jobs"])


@pytest.fixture
def owner() -> User:
    """A user, who may see everything in the admin."""
    return get_user_model().objects.create_superuser("olga", "olga@example.com", "secret")


@pytest.fixture
def invoice() -> Invoice:
    """A source."""
    return Invoice.objects.create(number="17", total=5)


def fresh(job: RenderJob) -> RenderJob:
    """Return the job without anything that is cached."""
    return RenderJob.objects.get(pk=job.pk)


def test_tables_are_where_the_router_says() -> None:
    """The jobs' database has no table of another app, and the other none of the jobs."""
    tables = {alias: set(connections[alias].introspection.table_names()) for alias in connections}
    assert {name.partition("_")[0] for name in tables["default"]} >= {"auth", "shop"}
    assert not [name for name in tables["default"] if name.startswith("django_docraptor_")]
    others = {name for name in tables["jobs"] if not name.startswith("django_docraptor_")}
    assert others == {"django_migrations"}


def test_document_of_a_source_in_another_database(sandbox, documents_dir, owner, invoice) -> None:
    """The life cycle is as usual; source, owner and content type are read from their database."""
    job = run_until_finished(InvoicePDF.enqueue(invoice, owner=owner))
    assert job.state == State.COMPLETED, job.errors
    assert (fresh(job).source, fresh(job).owner) == (invoice, owner)
    assert fresh(job).content_type.model_class() is Invoice
    [prefetched] = RenderJob.objects.prefetch_related("source", "owner", "content_type")
    assert (prefetched.source, prefetched.owner) == (invoice, owner)
    assert RenderJob.objects.for_source(invoice).get() == job


def test_document_is_delivered_to_its_source(sandbox, documents_dir, invoice, settings) -> None:
    """The copy and the source's column are written in the other database."""

    class Delivered(InvoicePDF):
        deliver_to = "pdf"

    trigger = Delivered.on_save()
    invoice.save()
    trigger.disconnect()
    job = run_until_finished(RenderJob.objects.get())
    assert job.state == State.COMPLETED, job.errors
    invoice.refresh_from_db()
    with invoice.pdf.open("rb") as copy, job.file.open("rb") as original:
        assert copy.read() == original.read()


def test_saved_source_is_enqueued_after_its_commit(invoice) -> None:
    """The job is stored once the source's transaction commits, and not if it rolls back."""
    InvoicePDF.on_save()
    with transaction.atomic():
        invoice.save()
        assert not RenderJob.objects.exists()
    assert RenderJob.objects.count() == 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Invoice.objects.create(number="18").pk / 0
    assert RenderJob.objects.count() == 1


def test_request_updates_a_waiting_job(invoice) -> None:
    """Asking twice for the same document gives one job."""
    spec = JobSpec(name="a.pdf", content="<p>a</p>", source=invoice)
    assert enqueue_or_update(spec) == enqueue_or_update(spec)


def test_rollback_of_the_jobs_removes_the_job_alone(invoice) -> None:
    """Each database has its own transactions."""
    with transaction.atomic(using="jobs"):
        enqueue()
        Invoice.objects.create(number="18")
        transaction.set_rollback(True, using="jobs")
    assert not RenderJob.objects.exists()
    assert Invoice.objects.filter(number="18").exists()


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_owner_is_forgotten_when_deleted(owner, is_confirmed) -> None:
    """Deleting a user clears the column of the jobs; the admin's question changes nothing."""
    job = enqueue(owner=User.objects.create_user("anna"))
    url, client = reverse("admin:auth_user_delete", args=[job.owner_id]), Client()
    client.force_login(owner)
    if is_confirmed:
        assert client.post(url, {"post": "yes"}).status_code == 302
    else:
        assert client.get(url).status_code == 200
    assert (fresh(job).owner_id is None) == is_confirmed


@pytest.mark.parametrize("kind", [User, Invoice])
def test_reference_to_a_row_that_is_gone_reads_as_none(owner, invoice, kind: type[Model]) -> None:
    """A row that was deleted past Django leaves no error behind."""
    job = InvoicePDF.enqueue(invoice, owner=owner)
    rows: Any = kind._base_manager.all()
    rows._raw_delete("default")
    assert (fresh(job).source if kind is Invoice else fresh(job).owner) is None


def test_admin_shows_jobs(sandbox, documents_dir, owner, invoice) -> None:
    """List and page of the jobs show source and owner."""
    job = run_until_finished(InvoicePDF.enqueue(invoice, owner=owner))
    client = Client()
    client.force_login(owner)
    for url in ("changelist", []), ("change", [job.pk]):
        response = client.get(reverse(f"admin:django_docraptor_renderjob_{url[0]}", args=url[1]))
        assert "olga" in response.content.decode()
    download: Any = client.get(reverse("django_docraptor:download", args=[job.pk]))
    assert download.getvalue().startswith(b"%PDF")


def test_missing_tables_are_told_with_the_database() -> None:
    """The command names the database that has not been migrated."""
    call_command("migrate", "django_docraptor", "zero", database="jobs", verbosity=0)
    try:
        with pytest.raises(CommandError, match=r"'jobs'. Run manage\.py migrate --database jobs"):
            call_command("docraptor_tick")
    finally:
        call_command("migrate", database="jobs", verbosity=0)
