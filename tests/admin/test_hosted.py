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
from tests.support.admin_jobs import LIST, RETRY, VIEW, confirm, get_text, job_url, staff_client
from tests.support.jobs import enqueue, run_until_finished
from tests.test_hosted import fetch

pytestmark = pytest.mark.django_db(transaction=True)

EXPIRE = "expire_renderjob"
WARNING = "anyone with the link can read the document"


@pytest.fixture
def job(sandbox: Sandbox, documents_dir) -> RenderJob:
    """A completed hosted job."""
    return run_until_finished(
        enqueue(hosted=True, hosted_expires_at=timezone.now() + timedelta(days=3))
    )


def test_page_warns_of_the_public_url(job: RenderJob) -> None:
    """The page shows the public URL with a warning, and calls nothing a file."""
    text = get_text(staff_client(VIEW), job_url(job))
    assert job.public_url in text
    assert WARNING in text
    assert "docraptor-public" in text


def test_public_url_follows_the_documents_rule(
    sandbox: Sandbox, documents_dir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document's rule hides the URL even from users who may view jobs; the warning is shown."""
    job = run_until_finished(InvoicePDF.enqueue(Invoice.objects.create(number="A1"), hosted=True))
    assert job.public_url in get_text(staff_client(VIEW), job_url(job))
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    text = get_text(staff_client(VIEW, EXPIRE), job_url(job))
    assert job.public_url not in text
    assert "Hidden: you do not have permission to read this document." in text
    assert "docraptor-public" in text


def test_list_marks_public_documents(job: RenderJob) -> None:
    """The list marks a public document, and does not show its URL."""
    text = get_text(staff_client(VIEW), LIST)
    assert "docraptor-public" in text
    assert job.public_url not in text


@pytest.mark.parametrize("lookup", ["public_url__startswith", "public_url", "file__contains"])
@pytest.mark.parametrize("page", ["", "retry-all/"])
def test_list_is_not_filtered_by_what_is_hidden(job: RenderJob, lookup: str, page: str) -> None:
    """A URL that filters by the public URL would tell it, letter by letter."""
    client = staff_client(VIEW, RETRY)
    response = client.get(f"{LIST}{page}", {lookup: job.public_url[:9]})
    assert response.status_code == 400
    assert client.get(LIST, {"name__startswith": job.name[:3]}).status_code == 200


def test_expired_document_is_not_public(job: RenderJob) -> None:
    """After its expiry time the page says that the document is not public."""
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    text = get_text(staff_client(VIEW, EXPIRE), job_url(job))
    assert job.public_url not in text
    assert "No longer public" in text
    assert f"{job.pk}/expire/" not in text


def test_private_document_is_not_marked(sandbox: Sandbox, documents_dir) -> None:
    """The page of a private document has no mark and no button to expire it."""
    job = run_until_finished(enqueue())
    text = get_text(staff_client(VIEW, EXPIRE), job_url(job))
    assert "docraptor-public" not in text
    assert "/expire/" not in text


def test_expire_needs_its_permission(job: RenderJob) -> None:
    """A user who may view the job needs another permission to expire the document."""
    client = staff_client(VIEW, "cancel_renderjob", "retry_renderjob")
    assert "/expire/" not in get_text(client, job_url(job))
    assert client.get(job_url(job, "expire")).status_code == 403
    assert client.post(job_url(job, "expire")).status_code == 403


def test_expire_is_confirmed(job: RenderJob) -> None:
    """A GET expires nothing; the button does, and the history names the user."""
    client = staff_client(VIEW, EXPIRE)
    assert f"{job.pk}/expire/" in get_text(client, job_url(job))
    assert "No longer public" in get_text(client, job_url(job, "expire"))
    assert fetch(job.public_url)[0] == 200
    response = confirm(client, job_url(job, "expire"))
    assert "1 document is no longer public." in response.content.decode()
    assert fetch(job.public_url)[0] == 404
    (event,) = job.events.filter(kind=EventKind.EXPIRED)
    assert EXPIRE in event.message


def test_failed_expire_is_reported(job: RenderJob, settings) -> None:
    """If the call fails, the message says so, and the page still shows that it is public."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": "http://127.0.0.1:9"}
    response = confirm(staff_client(VIEW, EXPIRE), job_url(job, "expire"))
    text = response.content.decode()
    assert "The request to DocRaptor failed: " in text
    assert WARNING in text


def test_private_document_cannot_be_expired(sandbox: Sandbox, documents_dir) -> None:
    """There is nothing to expire."""
    job = run_until_finished(enqueue())
    response = staff_client(VIEW, EXPIRE).post(job_url(job, "expire"), follow=True)
    assert "This document is not public." in response.content.decode()


@pytest.mark.parametrize(
    ("state", "words"), [("queued", "May become public"), ("pending", "Not billed")]
)
def test_cancel_warns_that_the_document_may_become_public(
    sandbox: Sandbox, state: str, words: str
) -> None:
    """Cancelling a hosted document warns that it may become public all the same."""
    job = enqueue(hosted=True)
    RenderJob.objects.filter(pk=job.pk).update(state=state)
    text = get_text(staff_client(VIEW, "cancel_renderjob"), job_url(job, "cancel"))
    assert words in text
    assert ("could not expire it" in text) == (state == "queued")


@pytest.mark.urls("tests.apps.shop.urls")
def test_objects_list_and_page_mark_public_documents(
    sandbox: Sandbox, documents_dir, admin_client
) -> None:
    """The object's own list and page mark a public document, too."""
    invoice = Invoice.objects.create(number="A1")
    job = run_until_finished(InvoicePDF.enqueue(invoice, hosted=True))
    assert job.is_public
    for url in (INVOICES, f"{INVOICES}{invoice.pk}/change/"):
        text = admin_client.get(url).content.decode()
        assert "docraptor-public" in text
        assert job.get_absolute_url() in text
        assert job.public_url not in text


def test_download_view_redirects_readers_to_the_public_url(job: RenderJob) -> None:
    """Permitted users are redirected to the public URL; others get 404."""
    url, client = job.get_absolute_url(), Client()
    assert client.get(url).status_code == 404
    client.force_login(User.objects.create_superuser("root"))
    response = client.get(url)
    assert (response.status_code, response["Location"]) == (302, job.public_url)
    assert "no-store" in response["Cache-Control"]
    RenderJob.objects.filter(pk=job.pk).update(hosted_expires_at=timezone.now())
    assert client.get(url).status_code == 404
