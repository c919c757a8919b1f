"""The admin of hosted documents: marked as public, and expired by users with the permission."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import EventKind
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_documents import LIST as INVOICES
from tests.support.admin_jobs import LIST, VIEW, client_with, confirm, page, text_of
from tests.support.jobs import enqueue, run_until_finished
from tests.test_hosted import fetch

pytestmark = pytest.mark.django_db(transaction=True)

EXPIRE = "expire_renderjob"
WARNING = "anyone with the link can read the document"


@pytest.fixture
def job(sandbox: Sandbox, documents_dir) -> RenderJob:
    """A finished hosted document."""
    return run_until_finished(
        enqueue(hosted=True, hosted_expires_at=timezone.now() + timedelta(days=3))
    )


def test_page_says_public(job: RenderJob) -> None:
    """The address is shown with what it means; nothing of it is called a file."""
    text = text_of(client_with(VIEW), page(job))
    assert job.public_url in text
    assert WARNING in text
    assert "docraptor-public" in text


def test_address_is_for_readers(
    sandbox: Sandbox, documents_dir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document's own rule hides the address from who may view jobs; that it is public is told."""
    job = run_until_finished(InvoicePDF.enqueue(Invoice.objects.create(number="A1"), hosted=True))
    assert job.public_url in text_of(client_with(VIEW), page(job))
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    text = text_of(client_with(VIEW, EXPIRE), page(job))
    assert job.public_url not in text
    assert "Hidden: you do not have permission to read this document." in text
    assert "docraptor-public" in text


def test_list_says_public(job: RenderJob) -> None:
    """The list marks it, and does not give the address away."""
    text = text_of(client_with(VIEW), LIST)
    assert "docraptor-public" in text
    assert job.public_url not in text


def test_lapsed(job: RenderJob) -> None:
    """After its time it is public no more."""
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    text = text_of(client_with(VIEW, EXPIRE), page(job))
    assert job.public_url not in text
    assert "No longer public" in text
    assert f"{job.pk}/expire/" not in text


def test_private_job(sandbox: Sandbox, documents_dir) -> None:
    """Any other document has no word about a public."""
    job = run_until_finished(enqueue())
    text = text_of(client_with(VIEW, EXPIRE), page(job))
    assert "docraptor-public" not in text
    assert "/expire/" not in text


def test_expire_needs_its_permission(job: RenderJob) -> None:
    """A user who may view the job needs another permission to expire the document."""
    client = client_with(VIEW, "cancel_renderjob", "retry_renderjob")
    assert "/expire/" not in text_of(client, page(job))
    assert client.get(page(job, "expire")).status_code == 403
    assert client.post(page(job, "expire")).status_code == 403


def test_expire_is_confirmed(job: RenderJob) -> None:
    """A GET expires nothing; the button does, and the history names the user."""
    client = client_with(VIEW, EXPIRE)
    assert f"{job.pk}/expire/" in text_of(client, page(job))
    assert "No longer public" in text_of(client, page(job, "expire"))
    assert fetch(job.public_url)[0] == 200
    response = confirm(client, page(job, "expire"))
    assert "1 document is no longer public." in response.content.decode()
    assert fetch(job.public_url)[0] == 404
    (event,) = job.events.filter(kind=EventKind.EXPIRED)
    assert EXPIRE in event.message


def test_expire_fails(job: RenderJob, settings) -> None:
    """A call that fails is said, and the page still says public."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": "http://127.0.0.1:9"}
    response = confirm(client_with(VIEW, EXPIRE), page(job, "expire"))
    text = response.content.decode()
    assert "The request to DocRaptor failed: " in text
    assert WARNING in text


def test_expire_of_what_is_private(sandbox: Sandbox, documents_dir) -> None:
    """There is nothing to expire."""
    job = run_until_finished(enqueue())
    response = client_with(VIEW, EXPIRE).post(page(job, "expire"), follow=True)
    assert "This document is not public." in response.content.decode()


@pytest.mark.parametrize(
    ("state", "words"), [("queued", "May become public"), ("pending", "Not billed")]
)
def test_cancel_says_what_may_become_public(sandbox: Sandbox, state: str, words: str) -> None:
    """Cancelling a hosted document warns that it may become public all the same."""
    job = enqueue(hosted=True)
    RenderJob.objects.filter(pk=job.pk).update(state=state)
    text = text_of(client_with(VIEW, "cancel_renderjob"), page(job, "cancel"))
    assert words in text
    assert ("could not expire it" in text) == (state == "queued")


@pytest.mark.urls("tests.apps.shop.urls")
def test_column_and_history_of_an_object(sandbox: Sandbox, documents_dir, admin_client) -> None:
    """The object's own list and page mark a public document, too."""
    invoice = Invoice.objects.create(number="A1")
    job = run_until_finished(InvoicePDF.enqueue(invoice, hosted=True))
    assert job.is_public
    for url in (INVOICES, f"{INVOICES}{invoice.pk}/change/"):
        text = admin_client.get(url).content.decode()
        assert "docraptor-public" in text
        assert job.get_absolute_url() in text
        assert job.public_url not in text


def test_download_view_leads_there(job: RenderJob) -> None:
    """Its own readers are sent to the public address; others learn nothing of it."""
    url, client = job.get_absolute_url(), Client()
    assert client.get(url).status_code == 404
    client.force_login(User.objects.create_superuser("root"))
    response = client.get(url)
    assert (response.status_code, response["Location"]) == (302, job.public_url)
    assert "no-store" in response["Cache-Control"]
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    assert client.get(url).status_code == 404
