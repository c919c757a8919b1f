"""`DocumentView` and `DocumentMixin`: permissions, reloads, the HTML preview."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ImproperlyConfigured
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.test import Client
from django.test.client import RequestFactory
from django.urls import include, path, reverse
from django.views.generic import DetailView, View

from django_docraptor import registry
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.views import DocumentMixin, DocumentView
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import run_until_finished
from tests.support.pages import client_of, create_staff, html_of
from tests.support.threads import background_worker

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class InvoiceView(DocumentView):
    """The view of an invoice, except number 13, which no user may have."""

    document = InvoicePDF
    wait = 0.0

    def get_source(self) -> Invoice:
        return get_object_or_404(Invoice.objects.exclude(number="13"), pk=self.kwargs["pk"])


class PatientView(InvoiceView):
    """A view that waits."""

    wait = 20.0
    as_attachment = True


class InvoiceDetail(DocumentMixin, DetailView):
    """An invoice found by Django's DetailView."""

    document = InvoicePDF
    queryset = Invoice.objects.exclude(number="13")
    wait = 0.0


class UnrestrictedDetail(DocumentMixin, DetailView):
    """A view that would give every invoice to every user."""

    document = InvoicePDF
    model = Invoice


class OwnDetail(UnrestrictedDetail):
    """A view that restricts its queryset."""

    def get_queryset(self) -> QuerySet[Invoice]:
        return Invoice.objects.filter(number=self.request.user.get_username())


class ObjectDetail(UnrestrictedDetail):
    """A view that finds its object in its own way."""

    def get_object(self, queryset: QuerySet[Invoice] | None = None) -> Invoice:
        return Invoice.objects.get(number="7")


class ViewWithoutObject(DocumentMixin, View):
    """A view without an object."""

    document = InvoicePDF


class ViewWithoutSource(DocumentView):
    """A view that does not define get_source()."""

    document = InvoicePDF


urlpatterns = [
    path("docraptor/", include("django_docraptor.urls")),
    path("invoices/<int:pk>/", InvoiceView.as_view(), name="invoice"),
    path("detail/<int:pk>/", InvoiceDetail.as_view(), name="detail"),
    path("patient/<int:pk>/", PatientView.as_view(), name="patient"),
    path("open/<int:pk>/", ViewWithoutSource.as_view(), name="open"),
]


@pytest.fixture
def invoice() -> Invoice:
    """The source of a document."""
    return Invoice.objects.create(number="17", total=5)


# --- DocumentView ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_view_streams_a_fast_document(
    owner_client: Client, invoice, sandbox: Sandbox, documents_dir, settings
) -> None:
    """A fast document is in the first response."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"POLL": {"floor": 0.05}}
    with background_worker():
        response = owner_client.get(reverse("patient", args=[invoice.pk]))
    assert response.status_code == 200
    assert response["Content-Disposition"] == 'attachment; filename="invoice-17.pdf"'
    assert response.getvalue().startswith(b"%PDF-")


def test_view_redirects_a_slow_document_to_its_status_page(
    owner_client: Client, invoice, owner, sandbox: Sandbox, documents_dir
) -> None:
    """The status page becomes the document, and reloading enqueues no second one."""
    for _ in range(3):
        response = owner_client.get(reverse("invoice", args=[invoice.pk]))
    job = RenderJob.objects.get()
    assert (job.owner, job.source, job.document) == (owner, invoice, InvoicePDF.label)
    assert "being generated" in html_of(owner_client.get(response["Location"]))
    run_until_finished(job)
    assert owner_client.get(response["Location"]).getvalue().startswith(b"%PDF-")
    assert owner_client.get(reverse("invoice", args=[invoice.pk])).getvalue().startswith(b"%PDF-")
    assert len(sandbox.ledger.accepted()) == 1


def test_view_renders_a_changed_source_again(owner_client: Client, invoice) -> None:
    """A source that has changed is another document, with its current content."""
    owner_client.get(reverse("invoice", args=[invoice.pk]))
    Invoice.objects.update(total=F("total") + 1)
    owner_client.get(reverse("invoice", args=[invoice.pk]))
    contents = set(RenderJob.objects.values_list("input__content", flat=True))
    assert len(contents) == 2


def test_view_redirects_anonymous_users_to_the_login(client: Client, invoice) -> None:
    """An anonymous user is redirected to the login."""
    response = client.get(reverse("invoice", args=[invoice.pk]))
    assert response["Location"].startswith("/accounts/login/")
    assert not RenderJob.objects.exists()


def test_view_source_restricts_users(owner_client: Client) -> None:
    """A source that get_source() does not return gets 404, even as HTML."""
    other = Invoice.objects.create(number="13")
    url = reverse("invoice", args=[other.pk])
    assert [owner_client.get(url).status_code, owner_client.get(url + "?as=html").status_code] == [
        404,
        404,
    ]
    assert not RenderJob.objects.exists()


def test_view_must_define_get_source(owner_client: Client, invoice) -> None:
    """A view that does not define get_source() raises an error."""
    with pytest.raises(ImproperlyConfigured, match=r"ViewWithoutSource must define get_source\(\)"):
        owner_client.get(reverse("open", args=[invoice.pk]))


def test_mixin_renders_the_views_object(
    owner_client: Client, invoice, sandbox: Sandbox, documents_dir
) -> None:
    """A DetailView with the mixin responds as a DocumentView does."""
    response = owner_client.get(reverse("detail", args=[invoice.pk]))
    job = RenderJob.objects.get()
    assert (job.source, job.document) == (invoice, InvoicePDF.label)
    run_until_finished(job)
    assert owner_client.get(response["Location"]).getvalue().startswith(b"%PDF-")


def test_mixin_queryset_restricts_users(owner_client: Client, client: Client) -> None:
    """An object outside of the queryset gets 404; anonymous users are redirected to the login."""
    url = reverse("detail", args=[Invoice.objects.create(number="13").pk])
    assert [owner_client.get(url).status_code, owner_client.get(url + "?as=html").status_code] == [
        404,
        404,
    ]
    assert Client().get(url)["Location"].startswith("/accounts/login/")
    assert not RenderJob.objects.exists()


@pytest.mark.parametrize(
    ("view", "found"),
    [
        (OwnDetail, True),
        (ObjectDetail, True),
        (UnrestrictedDetail, False),
        (ViewWithoutObject, False),
    ],
)
def test_mixin_requires_a_restricted_queryset(
    rf: RequestFactory, owner, view: type[View], found: bool
) -> None:
    """A view without its own get_queryset() or get_object() shows all objects, so it raises."""
    invoice = Invoice.objects.create(number="7" if view is ObjectDetail else owner.get_username())
    request: HttpRequest = rf.get("/")
    request.user = owner
    if found:
        assert view.as_view(wait=0.0)(request, pk=invoice.pk).status_code == 302
        return
    with pytest.raises(ImproperlyConfigured, match=rf"{view.__name__} must define get_queryset"):
        view.as_view()(request, pk=invoice.pk)


def test_mixin_is_not_atomic_and_allows_only_get() -> None:
    """As with DocumentView, the view is not atomic and offers no other method."""
    view: Any = InvoiceDetail.as_view()
    assert view._non_atomic_requests == {"default"}
    assert InvoiceDetail.http_method_names == ["get", "options"]


def test_view_returns_the_job_of_the_documents_key(
    owner_client: Client, invoice, owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an idempotency key the view returns the existing job, though the source has changed."""
    monkeypatch.setattr(InvoicePDF, "get_idempotency_key", lambda self: f"n-{self.source.number}")
    job = InvoicePDF.enqueue(invoice, owner=owner)
    Invoice.objects.update(total=F("total") + 1)
    assert str(job.pk) in owner_client.get(reverse("invoice", args=[invoice.pk]))["Location"]
    assert RenderJob.objects.count() == 1


@pytest.mark.parametrize("method", ["head", "post", "put", "delete"])
def test_view_accepts_only_get(owner_client: Client, invoice, method: str) -> None:
    """Other methods enqueue no document."""
    client = Client()
    client.cookies = owner_client.cookies
    assert getattr(client, method)(reverse("invoice", args=[invoice.pk])).status_code == 405
    assert not RenderJob.objects.exists()


def test_view_is_not_atomic() -> None:
    """A job must be committed before a worker can see it, even with ATOMIC_REQUESTS."""
    view: Any = InvoiceView.as_view()
    assert view._non_atomic_requests == {"default"}


# --- preview ---------------------------------------------------------------------------------


def test_preview_shows_sandboxed_html_to_permitted_staff(invoice) -> None:
    """Staff who may view jobs see HTML that cannot run scripts; nothing is sent or stored."""
    client = client_of(create_staff("view_renderjob"))
    response = client.get(reverse("invoice", args=[invoice.pk]) + "?as=html")
    assert html_of(response).startswith("<h1>Invoice 17</h1>")
    policy = response["Content-Security-Policy"].split("; ")
    assert policy[:2] == ["sandbox", "default-src 'none'"]
    assert not [part for part in policy if "script" in part]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert not RenderJob.objects.exists()


def test_preview_needs_staff_and_permission(owner_client: Client, owner, invoice) -> None:
    """Neither staff status nor the permission is enough alone."""
    url = reverse("invoice", args=[invoice.pk]) + "?as=html"
    owner.user_permissions.add(Permission.objects.get(codename="view_renderjob"))
    assert owner_client.get(url).status_code == 403
    assert client_of(create_staff("retry_renderjob")).get(url).status_code == 403


def test_document_without_model_needs_no_source(rf: Any, owner) -> None:
    """A document made from parameters only needs no source."""

    class Report(InvoicePDF):
        """Made from parameters."""

        model = None

        def get_name(self) -> str:
            return "report.pdf"

    view = type("ReportView", (DocumentView,), {"document": Report, "wait": 0.0})
    request: HttpRequest = rf.get("/")
    request.user = owner
    assert view.as_view()(request).status_code == 302
    registry.unregister(Report.label)
    assert RenderJob.objects.get().name == "report.pdf"
