"""Document classes that are made of a page of the site instead of a template."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path, reverse

from django_docraptor import DocumentView, document_page
from django_docraptor.documents import Document
from django_docraptor.documents.checks import check_document
from django_docraptor.lifecycle.composition import add_tag_and_callback, compose_request
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.apps.shop.models import Invoice
from tests.support.jobs import run_until_finished
from tests.urls import urlpatterns as site_patterns

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


@document_page
def invoice_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an invoice to its reader."""
    return HttpResponse(f"<p>{request.user.get_username()} {Invoice.objects.get(pk=pk).total}</p>")


urlpatterns = [*site_patterns, path("invoices/<int:pk>/", invoice_page, name="invoice-page")]


@pytest.fixture
def page_document(settings: Any) -> type[Document[Invoice]]:
    """A class without a template."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://shop.example"}

    class InvoicePage(Document[Invoice]):
        """Registered during the test."""

        model = Invoice

        def get_url(self) -> str:
            return reverse("invoice-page", args=[self.source.pk])

        def get_idempotency_key(self) -> str | None:
            return self.params.get("key")

    return InvoicePage


@pytest.fixture
def owner() -> User:
    """A customer."""
    return User.objects.create_user("customer")


def test_class_is_made_of_its_page(
    page_document: type[Document[Invoice]], invoice: Invoice, owner: User, client: Client
) -> None:
    """The class is registered without a template; its job has the path, the request the URL."""
    assert check_document(page_document) == []
    job = page_document.enqueue(invoice, owner=owner, snapshot=True)
    job = RenderJob.objects.get(pk=job.pk)
    assert job.document == page_document.label
    assert (job.input.url, job.input.content) == (f"/invoices/{invoice.pk}/", "")
    RenderJob.objects.update(state=State.QUEUED, attempt=1)
    job.refresh_from_db()
    url = add_tag_and_callback(compose_request(job), job).url
    response = client.get(url.removeprefix("https://shop.example"))
    assert response.content == b"<p>customer 5.00</p>"


def test_class_needs_an_owner(page_document: type[Document[Invoice]], invoice: Invoice) -> None:
    """As any document of a page."""
    with pytest.raises(ValidationError, match="Pass an owner"):
        page_document.enqueue(invoice)


def test_page_is_generated_at_each_save(
    page_document: type[Document[Invoice]],
    invoice: Invoice,
    owner: User,
    sandbox: Sandbox,
    documents_dir,
    live_server,
    settings,
) -> None:
    """Nothing tells whether the page has changed, so that no earlier file is taken for it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": live_server.url}
    page_document.on_save(owner=owner)
    for total in (6, 7):
        invoice.total = total
        invoice.save()
        job = RenderJob.objects.latest()
        assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 2


def test_preview_is_the_page(
    page_document: type[Document[Invoice]], invoice: Invoice, rf: RequestFactory
) -> None:
    """Staff who want to see the HTML see the page; the command says that it fetches nothing."""

    class View(DocumentView):
        """Of this document."""

        document = page_document

        def get_source(self) -> Invoice:
            return invoice

    request = rf.get("/", {"as": "html"})
    request.user = User.objects.create_superuser("admin")
    assert View.as_view()(request)["Location"] == f"/invoices/{invoice.pk}/"
    with pytest.raises(CommandError, match="is made of a page"):
        call_command("docraptor_preflight", page_document.label, str(invoice.pk))


def test_view_returns_the_document_by_its_key(
    page_document: type[Document[Invoice]], invoice: Invoice, rf: RequestFactory, owner: User
) -> None:
    """A view of a class whose key identifies the document; the user is the owner."""

    class View(DocumentView):
        """Of this document."""

        document = page_document
        wait = 0

        def get_source(self) -> Invoice:
            return invoice

        def get_params(self) -> dict[str, Any]:
            return {"key": f"invoice-{invoice.pk}"}

    request = rf.get("/")
    request.user = owner
    assert View.as_view()(request).status_code == 302
    job = RenderJob.objects.get()
    assert (job.owner, job.input.url) == (owner, f"/invoices/{invoice.pk}/")
