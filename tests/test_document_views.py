"""The waiting page and `DocumentView`: who sees what, and that nothing is billed twice."""

import re
import uuid
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Permission
from django.core.exceptions import ImproperlyConfigured
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.test import Client
from django.test.client import RequestFactory
from django.urls import include, path, reverse
from django.views.generic import DetailView, View

from django_docraptor import registry
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, ErrorCode, State
from django_docraptor.views import DocumentMixin, DocumentView
from django_docraptor.views.pages import may_retry
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import run_until_finished, enqueue
from tests.support.threads import background_worker

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

TRACEBACK = 'Traceback …\n  File "/srv/secret.py"'


class InvoiceView(DocumentView):
    """An invoice, but for number 13, which is nobody's."""

    document = InvoicePDF
    wait = 0.0

    def get_source(self) -> Invoice:
        return get_object_or_404(Invoice.objects.exclude(number="13"), pk=self.kwargs["pk"])


class PatientView(InvoiceView):
    """One that waits."""

    wait = 20.0
    as_attachment = True


class InvoiceDetail(DocumentMixin, DetailView):
    """An invoice as Django's own view finds it."""

    document = InvoicePDF
    queryset = Invoice.objects.exclude(number="13")
    wait = 0.0


class OpenDetail(DocumentMixin, DetailView):
    """One that would give every invoice to everybody."""

    document = InvoicePDF
    model = Invoice


class MineDetail(OpenDetail):
    """One that says whose."""

    def get_queryset(self) -> QuerySet[Invoice]:
        return Invoice.objects.filter(number=self.request.user.get_username())


class FoundDetail(OpenDetail):
    """One that finds its object in its own way."""

    def get_object(self, queryset: QuerySet[Invoice] | None = None) -> Invoice:
        return Invoice.objects.get(number="7")


class NoDetail(DocumentMixin, View):
    """One that finds nothing at all."""

    document = InvoicePDF


class OpenView(DocumentView):
    """One whose author has not said who may have what."""

    document = InvoicePDF


urlpatterns = [
    path("docraptor/", include("django_docraptor.urls")),
    path("invoices/<int:pk>/", InvoiceView.as_view(), name="invoice"),
    path("detail/<int:pk>/", InvoiceDetail.as_view(), name="detail"),
    path("patient/<int:pk>/", PatientView.as_view(), name="patient"),
    path("open/<int:pk>/", OpenView.as_view(), name="open"),
]


@pytest.fixture
def owner() -> AbstractBaseUser:
    """Who asks for documents."""
    return get_user_model().objects.create_user("owner", password=None)


@pytest.fixture
def visitor(owner: AbstractBaseUser) -> Client:
    """The owner's browser."""
    return logged_in(owner)


@pytest.fixture
def invoice() -> Invoice:
    """What documents are made from."""
    return Invoice.objects.create(number="17", total=5)


def logged_in(user: AbstractBaseUser) -> Client:
    """A browser with CSRF protection, in which somebody is logged in."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def staff(*permissions: str) -> AbstractBaseUser:
    """A member of the staff with some permissions of ours."""
    user = get_user_model().objects.create_user("clerk", password=None, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return get_user_model().objects.get(pk=user.pk)


def put(owner: AbstractBaseUser, state: State, **columns: Any) -> RenderJob:
    """A job in any state, as some earlier process left it."""
    job = enqueue(owner=owner, name="<b>17</b>.pdf")
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    columns = {"state": state, "attempt": 1, "due_at": due_at, **columns}
    RenderJob.objects.filter(pk=job.pk).update(**columns)
    return RenderJob.objects.get(pk=job.pk)


def page(job: RenderJob, query: str = "") -> str:
    """Where to wait for a job."""
    return reverse("django_docraptor:status", args=[job.pk]) + query


def text(response: HttpResponse) -> str:
    """The page's HTML."""
    return response.content.decode()


def refresh(response: HttpResponse) -> str:
    """What the page says of loading itself again; blank if nothing."""
    found = re.search(r'http-equiv="refresh" content="([^"]*)"', text(response))
    return found[1] if found else ""


# --- waiting page: states --------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_waiting_unfinished(visitor: Client, owner, state: State) -> None:
    """The page says how it stands and looks again by itself; nobody keeps it."""
    response = visitor.get(page(put(owner, state)))
    assert response.status_code == 200
    assert f">{state.label}<" in text(response)
    assert refresh(response) == "1"
    assert "no-store" in response["Cache-Control"]
    assert "<script" not in text(response)


@pytest.mark.parametrize(("age", "seconds"), [(0, "1"), (50, "10"), (4000, "30")])
def test_waiting_interval(visitor: Client, owner, age: int, seconds: str) -> None:
    """The longer it takes, the less often the page asks."""
    job = put(owner, State.WORKING, sent_at=seconds_from_now(-age))
    assert refresh(visitor.get(page(job))) == seconds


def test_waiting_name_is_escaped(visitor: Client, owner) -> None:
    """A document's name is somebody's text, not HTML."""
    shown = text(visitor.get(page(put(owner, State.QUEUED))))
    assert "&lt;b&gt;17&lt;/b&gt;.pdf" in shown
    assert "<b>" not in shown


def test_waiting_completed(visitor: Client, owner) -> None:
    """Finished: the download begins by itself, and there is a link for who has to ask."""
    job = put(owner, State.COMPLETED)
    response = visitor.get(page(job))
    assert refresh(response) == f"0; url={job.get_absolute_url()}"
    assert f'href="{job.get_absolute_url()}"' in text(response)


def test_waiting_completed_inline(visitor: Client, owner, sandbox: Sandbox, documents_dir) -> None:
    """A document to be shown takes the page's place."""
    job = run_until_finished(enqueue(owner=owner))
    response = visitor.get(page(job, "?inline=1"))
    assert response["Content-Disposition"] == 'inline; filename="hello.pdf"'
    assert response.getvalue().startswith(b"%PDF-")


def test_waiting_failed(visitor: Client, owner) -> None:
    """The page says that it failed, and which one; it stands still, and leads back."""
    job = put(owner, State.FAILED, error_code=ErrorCode.TEMPLATE_ERROR, errors=TRACEBACK)
    response = visitor.get(page(job, "?back=/invoices/%3Fpage%3D2"))
    assert "could not be made" in text(response)
    assert str(job.pk) in text(response)
    assert refresh(response) == ""
    assert 'href="/invoices/?page=2"' in text(response)


def test_waiting_failed_details(visitor: Client, owner) -> None:
    """What broke inside is for who may view jobs, not for customers."""
    job = put(owner, State.FAILED, error_code=ErrorCode.TEMPLATE_ERROR, errors=TRACEBACK)
    assert "secret.py" not in text(visitor.get(page(job)))
    assert "secret.py" in text(logged_in(staff("view_renderjob")).get(page(job)))


def test_waiting_cancelled(visitor: Client, owner) -> None:
    """A document that was given up is not waited for."""
    response = visitor.get(page(put(owner, State.CANCELLED)))
    assert "was cancelled" in text(response)
    assert refresh(response) == ""


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"]
)
def test_waiting_back_elsewhere(visitor: Client, owner, back: str) -> None:
    """The way back leads nowhere but to this site."""
    response = visitor.get(page(put(owner, State.FAILED)), {"back": back})
    assert 'href="/"' in text(response)
    assert f'href="{back}' not in text(response)


# --- waiting page: who -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("state", [State.QUEUED, State.FAILED, State.COMPLETED])
def test_waiting_is_for_the_owner(owner, client: Client, method: str, state: State) -> None:
    """For others there is no such document, in no state; staff without permission included."""
    job = put(owner, state)
    client.force_login(staff("retry_renderjob"))
    assert getattr(client, method)(page(job)).status_code == 404
    assert RenderJob.objects.get().state == state


@pytest.mark.parametrize("method", ["get", "post"])
def test_waiting_anonymous(owner, client: Client, method: str) -> None:
    """Who is not logged in is asked to, and learns nothing of what there is."""
    for job in (put(owner, State.FAILED), RenderJob(pk=uuid.uuid4())):
        response = getattr(client, method)(page(job, "?inline=1"))
        login = {"next": page(job, "?inline=1")}
        assert response["Location"] == "/accounts/login/?" + urlencode(login, safe="/")
    assert RenderJob.objects.get().state == State.FAILED


def test_waiting_unknown(visitor: Client) -> None:
    """A key that was never given."""
    assert visitor.get(page(RenderJob(pk=uuid.uuid4()))).status_code == 404


# --- waiting page: another try ---------------------------------------------------------------


def post(client: Client, owner: AbstractBaseUser, job: RenderJob) -> HttpResponse:
    """Press "Try again" on the page of a job, with the token of a page that has the button."""
    client.get(page(put(owner, State.FAILED)))
    token = client.cookies["csrftoken"].value
    return client.post(page(job, "?inline=1"), {"csrfmiddlewaretoken": token})


def state_of(job: RenderJob) -> State:
    """Where it stands in the database."""
    return State(RenderJob.objects.get(pk=job.pk).state)


def test_retry(visitor: Client, owner) -> None:
    """The owner may try again what cannot be on the bill, and waits on the same page."""
    job = put(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED, test=False)
    assert "Try again" in text(visitor.get(page(job)))
    response = post(visitor, owner, job)
    assert (response.status_code, response["Location"]) == (302, page(job, "?inline=1"))
    assert state_of(job) == State.PENDING


def test_retry_may_be_billed(visitor: Client, owner) -> None:
    """The owner may not try again what may be on the bill already."""
    job = put(owner, State.FAILED, error_code=ErrorCode.TIMED_OUT, test=False)
    assert "Try again" not in text(visitor.get(page(job)))
    post(visitor, owner, job)
    assert state_of(job) == State.FAILED


def test_retry_of_a_test_document(visitor: Client, owner) -> None:
    """A test document is free, so that it may be tried again always."""
    job = put(owner, State.FAILED, error_code=ErrorCode.TIMED_OUT, test=True)
    post(visitor, owner, job)
    assert state_of(job) == State.PENDING


def test_retry_takes_up(visitor: Client, owner) -> None:
    """What DocRaptor has finished is only fetched again: no second bill."""
    finished = {"error_code": ErrorCode.DOWNLOAD_FAILED, "download_id": "17", "test": False}
    job = put(owner, State.FAILED, **finished)
    post(visitor, owner, job)
    assert state_of(job) == State.DOWNLOADING


def test_retry_permission(owner) -> None:
    """Who may view and retry jobs decides about the bill."""
    job = put(owner, State.FAILED, error_code=ErrorCode.TIMED_OUT, test=False)
    post(logged_in(staff("view_renderjob", "retry_renderjob")), owner, job)
    assert state_of(job) == State.PENDING


def test_retry_of_a_user_without_permissions(owner) -> None:
    """A user model that knows no permissions serves owners all the same."""
    request: Any = SimpleNamespace(user=SimpleNamespace(pk=owner.pk))
    failed = put(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED, test=False)
    doubtful = put(owner, State.FAILED, error_code=ErrorCode.TIMED_OUT, test=False)
    assert [may_retry(request, failed), may_retry(request, doubtful)] == [True, False]


def test_retry_is_not_for_viewers(owner) -> None:
    """Who may only view jobs changes nothing, not even for free."""
    job = put(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED, test=True)
    viewer = staff("view_renderjob")
    client = logged_in(viewer)
    assert "Try again" not in text(client.get(page(job)))
    post(client, viewer, job)
    assert state_of(job) == State.FAILED


def test_retry_without_token(visitor: Client, owner) -> None:
    """No other site can press the button."""
    job = put(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED)
    assert visitor.post(page(job)).status_code == 403
    assert state_of(job) == State.FAILED


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED}))
def test_retry_of_others(visitor: Client, owner, state: State) -> None:
    """What has not failed is left alone."""
    job = put(owner, state)
    post(visitor, owner, job)
    assert state_of(job) == state


# --- DocumentView ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_view_quick(visitor: Client, invoice, sandbox: Sandbox, documents_dir, settings) -> None:
    """A quick document is in the first answer."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"POLL": {"floor": 0.05}}
    with background_worker():
        response = visitor.get(reverse("patient", args=[invoice.pk]))
    assert response.status_code == 200
    assert response["Content-Disposition"] == 'attachment; filename="invoice-17.pdf"'
    assert response.getvalue().startswith(b"%PDF-")


def test_view_slow(visitor: Client, invoice, owner, sandbox: Sandbox, documents_dir) -> None:
    """A slow one has a waiting page, which becomes the document; reloading makes no second one."""
    for _ in range(3):
        response = visitor.get(reverse("invoice", args=[invoice.pk]))
    job = RenderJob.objects.get()
    assert (job.owner, job.source, job.document) == (owner, invoice, InvoicePDF.label)
    assert "being made" in text(visitor.get(response["Location"]))
    run_until_finished(job)
    assert visitor.get(response["Location"]).getvalue().startswith(b"%PDF-")
    assert visitor.get(reverse("invoice", args=[invoice.pk])).getvalue().startswith(b"%PDF-")
    assert len(sandbox.ledger.accepted()) == 1


def test_view_changed_source(visitor: Client, invoice) -> None:
    """What has changed since is another document, as it is now."""
    visitor.get(reverse("invoice", args=[invoice.pk]))
    Invoice.objects.update(total=F("total") + 1)
    visitor.get(reverse("invoice", args=[invoice.pk]))
    contents = set(RenderJob.objects.values_list("input__content", flat=True))
    assert len(contents) == 2


def test_view_anonymous(client: Client, invoice) -> None:
    """Who is not logged in is asked to."""
    response = client.get(reverse("invoice", args=[invoice.pk]))
    assert response["Location"].startswith("/accounts/login/")
    assert not RenderJob.objects.exists()


def test_view_decides_who(visitor: Client) -> None:
    """What get_source() does not give is not there, as HTML neither."""
    other = Invoice.objects.create(number="13")
    url = reverse("invoice", args=[other.pk])
    assert [visitor.get(url).status_code, visitor.get(url + "?as=html").status_code] == [404, 404]
    assert not RenderJob.objects.exists()


def test_view_must_decide(visitor: Client, invoice) -> None:
    """A view that forgets to say who may have what gives nothing."""
    with pytest.raises(ImproperlyConfigured, match=r"OpenView must define get_source\(\)"):
        visitor.get(reverse("open", args=[invoice.pk]))


def test_mixin_makes_the_views_object(
    visitor: Client, invoice, sandbox: Sandbox, documents_dir
) -> None:
    """A DetailView with the mixin answers as a DocumentView does."""
    response = visitor.get(reverse("detail", args=[invoice.pk]))
    job = RenderJob.objects.get()
    assert (job.source, job.document) == (invoice, InvoicePDF.label)
    run_until_finished(job)
    assert visitor.get(response["Location"]).getvalue().startswith(b"%PDF-")


def test_mixin_decides_who(visitor: Client, client: Client) -> None:
    """What its queryset leaves out is not there; who is not logged in is asked to."""
    url = reverse("detail", args=[Invoice.objects.create(number="13").pk])
    assert [visitor.get(url).status_code, visitor.get(url + "?as=html").status_code] == [404, 404]
    assert Client().get(url)["Location"].startswith("/accounts/login/")
    assert not RenderJob.objects.exists()


@pytest.mark.parametrize(
    ("view", "found"),
    [(MineDetail, True), (FoundDetail, True), (OpenDetail, False), (NoDetail, False)],
)
def test_mixin_must_decide(rf: RequestFactory, owner, view: type[View], found: bool) -> None:
    """Own get_queryset() or get_object() counts; all objects of a model are for nobody."""
    invoice = Invoice.objects.create(number="7" if view is FoundDetail else owner.get_username())
    request: HttpRequest = rf.get("/")
    request.user = owner
    if found:
        assert view.as_view(wait=0.0)(request, pk=invoice.pk).status_code == 302
        return
    with pytest.raises(ImproperlyConfigured, match=rf"{view.__name__} must define get_queryset"):
        view.as_view()(request, pk=invoice.pk)


def test_mixin_is_not_atomic() -> None:
    """As DocumentView, and no method of the DetailView is left open."""
    view: Any = InvoiceDetail.as_view()
    assert view._non_atomic_requests == {"default"}
    assert InvoiceDetail.http_method_names == ["get", "options"]


def test_view_of_a_document_with_a_key(
    visitor: Client, invoice, owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view gives the document that something else has ordered, though it has changed since."""
    monkeypatch.setattr(InvoicePDF, "get_idempotency_key", lambda self: f"n-{self.source.number}")
    job = InvoicePDF.enqueue(invoice, owner=owner)
    Invoice.objects.update(total=F("total") + 1)
    assert str(job.pk) in visitor.get(reverse("invoice", args=[invoice.pk]))["Location"]
    assert RenderJob.objects.count() == 1


@pytest.mark.parametrize("method", ["head", "post", "put", "delete"])
def test_view_other_methods(visitor: Client, invoice, method: str) -> None:
    """What does not take the document makes none."""
    client = Client()
    client.cookies = visitor.cookies
    assert getattr(client, method)(reverse("invoice", args=[invoice.pk])).status_code == 405
    assert not RenderJob.objects.exists()


def test_view_is_not_atomic() -> None:
    """A job must be committed before anybody can make it, with ATOMIC_REQUESTS too."""
    view: Any = InvoiceView.as_view()
    assert view._non_atomic_requests == {"default"}


# --- preview ---------------------------------------------------------------------------------


def test_preview(invoice) -> None:
    """Staff who may view jobs see the HTML; it can run nothing, and nothing is sent or stored."""
    client = logged_in(staff("view_renderjob"))
    response = client.get(reverse("invoice", args=[invoice.pk]) + "?as=html")
    assert text(response).startswith("<h1>Invoice 17</h1>")
    policy = response["Content-Security-Policy"].split("; ")
    assert policy[:2] == ["sandbox", "default-src 'none'"]
    assert not [part for part in policy if "script" in part]
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert not RenderJob.objects.exists()


def test_preview_without_permission(visitor: Client, owner, invoice) -> None:
    """Neither being staff nor having the permission is enough alone."""
    url = reverse("invoice", args=[invoice.pk]) + "?as=html"
    owner.user_permissions.add(Permission.objects.get(codename="view_renderjob"))
    assert visitor.get(url).status_code == 403
    assert logged_in(staff("retry_renderjob")).get(url).status_code == 403


def test_document_without_source(rf: Any, owner) -> None:
    """A document made from parameters alone needs no source."""

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
