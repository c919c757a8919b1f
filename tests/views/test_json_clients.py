"""Clients that are no browsers: they get the state of a document, and refusals, as JSON."""

import json
import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.test import Client, RequestFactory
from django.urls import include, path, reverse
from django.views.generic import DetailView

from django_docraptor.estimates import Estimate
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.responses import job_file_response, progress, status_response, wants_json
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, State
from django_docraptor.views import DocumentMixin
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue, run_until_finished
from tests.support.pages import client_of
from tests.support.responses import read_body, respond

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = {"Accept": "application/json"}
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


class InvoiceDetail(DocumentMixin, DetailView):
    """An invoice, except number 13, which no user may have."""

    document = InvoicePDF
    queryset = Invoice.objects.exclude(number="13")
    wait = 0.0


urlpatterns = [
    path("invoices/<int:pk>/pdf/", InvoiceDetail.as_view()),
    path("docraptor/", include("django_docraptor.urls")),
]


@pytest.fixture(params=[False, True], ids=["", "login-required"])
def login_required(request: pytest.FixtureRequest, settings: Any) -> None:
    """A site that requires a login everywhere, and one that leaves it to the views."""
    if request.param:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]


def put_in_state(job: RenderJob, state: State) -> RenderJob:
    """Put the job into a state, without the engine."""
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    RenderJob.objects.filter(pk=job.pk).update(
        state=state, attempt=1, due_at=due_at, error_code="rejected" if state == "failed" else ""
    )
    return RenderJob.objects.get(pk=job.pk)


def url_of(job: RenderJob, name: str) -> str:
    """Return the path of a job's page."""
    return reverse(f"django_docraptor:{name}", args=[job.pk])


# --- Who wants JSON --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Accept": "*/*"}, False),
        ({"Accept": BROWSER}, False),
        ({"Accept": "application/pdf"}, False),
        (JSON, True),
        ({"Accept": "APPLICATION/JSON; indent=4"}, True),
        ({"Accept": "application/json, text/plain, */*"}, True),
        ({"Accept": "application/vnd.api+json"}, True),
        ({"Accept": "application/json, text/html;q=0.5"}, True),
        ({"Accept": "text/html, application/json;q=0.5"}, False),
        ({"Authorization": "Token 17"}, True),
        ({"Authorization": "Bearer 17", "Accept": "*/*"}, True),
        ({"Authorization": "Bearer 17", "Accept": "application/pdf"}, True),
        ({"Authorization": "Basic 17", "Accept": BROWSER}, False),
    ],
)
def test_who_wants_json(rf: RequestFactory, headers: dict[str, str], expected: bool) -> None:
    """A client that prefers JSON to HTML, and one with a token that does not ask for HTML."""
    assert wants_json(rf.get("/", headers=headers)) is expected


# --- State -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["status", "download"])
@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_unfinished_document_is_a_state(
    owner_client: Client, owner, page: str, state: State
) -> None:
    """202 with the state, and when to ask again; no page, no redirect."""
    job = put_in_state(enqueue(owner=owner), state)
    response = owner_client.get(url_of(job, page), headers=JSON)
    assert response.status_code == 202
    assert 1 <= int(response["Retry-After"]) <= 30
    assert "no-store" in response["Cache-Control"]
    told = response.json()
    assert (told["id"], told["state"], told["is_final"]) == (str(job.pk), state.value, False)
    assert told["download_url"] is None
    assert told["status_url"] == f"http://testserver{url_of(job, 'status')}"


@pytest.mark.parametrize(("page", "status"), [("status", 200), ("download", 409)])
def test_failed_document_is_a_state(owner_client: Client, owner, page: str, status: int) -> None:
    """The error's code is told, and not its text, which may quote a project's code."""
    job = put_in_state(enqueue(owner=owner), State.FAILED)
    RenderJob.objects.update(errors="Traceback: secret")
    response = owner_client.get(url_of(job, page), headers=JSON)
    assert response.status_code == status
    assert "Retry-After" not in response
    assert (response.json()["state"], response.json()["error_code"]) == ("failed", "rejected")
    assert "secret" not in response.content.decode()


def test_completed_document_has_its_url(
    sandbox: Sandbox, documents_dir, owner_client: Client, owner
) -> None:
    """The state has the URL of the file, which is the file whatever is accepted."""
    job = run_until_finished(enqueue(owner=owner))
    told = owner_client.get(url_of(job, "status"), headers=JSON)
    assert (told.status_code, told.json()["state"]) == (200, "completed")
    file = owner_client.get(told.json()["download_url"], headers=JSON)
    assert file["Content-Type"] == "application/pdf"
    assert file.getvalue().startswith(b"%PDF-")


def test_retry_tells_the_new_state(client: Client, owner) -> None:
    """A POST retries, as the page's button does."""
    job = put_in_state(enqueue(owner=owner, test=True), State.FAILED)
    RenderJob.objects.update(error_code="submit_failed")
    client.force_login(owner)
    response = client.post(url_of(job, "status"), headers=JSON)
    assert response.status_code == 202
    assert not response.json()["is_final"]


def test_client_with_a_token_gets_the_document_of_a_view(
    sandbox: Sandbox, documents_dir, owner, rf: RequestFactory
) -> None:
    """A view that knows tokens tells the state, and the same request gets the file; one job."""
    request: HttpRequest = rf.get("/api/invoices/17/pdf/", headers={"Authorization": "Token 17"})
    request.user = owner
    response = respond(request)
    assert response.status_code == 202
    run_until_finished(RenderJob.objects.get())
    finished = respond(request)
    assert finished["Content-Type"] == "application/pdf"
    assert read_body(finished).startswith(b"%PDF-")
    assert RenderJob.objects.count() == 1


def test_document_view_tells_the_state(owner_client: Client) -> None:
    """The view classes do so, too; a browser is redirected as before."""
    invoice = Invoice.objects.create(number="17")
    url = f"/invoices/{invoice.pk}/pdf/"
    assert owner_client.get(url, headers=JSON).status_code == 202
    assert owner_client.get(url, headers={"Accept": BROWSER}).status_code == 302


def test_state_has_what_a_page_shows(owner_client: Client, owner, monkeypatch: Any) -> None:
    """Words, time and estimate: a client needs no texts of its own."""
    monkeypatch.setattr(progress, "estimate_of", lambda document: Estimate(usual=12, longest=40))
    told = owner_client.get(
        url_of(put_in_state(enqueue(owner=owner), State.QUEUED), "status"), headers=JSON
    ).json()
    assert (told["stage"], told["label"]) == ("in_progress", "In progress")
    assert told["message"].startswith("Your document is being generated. ")
    assert told["estimate"] == {"usual_seconds": 12, "longest_usual_seconds": 40}
    assert 0 <= told["elapsed_seconds"] < 60
    assert (told["is_longer"], told["is_late"], told["can_retry"]) == (False, False, False)
    assert (told["reason"], told["retry_url"]) == ("", None)


def test_failed_state_says_why_and_whether_to_retry(owner_client: Client, owner) -> None:
    """The reason is in a customer's words, and the URL is there only if a retry is offered."""
    job = put_in_state(enqueue(owner=owner), State.FAILED)
    told = owner_client.get(url_of(job, "status"), headers=JSON).json()
    assert told["reason"] == "Something in this document must be corrected first."
    assert (told["can_retry"], told["retry_url"]) == (False, None)
    assert told["reference"] == job.reference == f"{job.pk.hex[:4]}-{job.pk.hex[4:8]}"
    RenderJob.objects.update(error_code="submit_failed")
    told = owner_client.get(url_of(job, "status"), headers=JSON).json()
    assert (told["can_retry"], told["retry_url"]) == (True, told["status_url"])


def test_known_state_is_not_sent_again(owner_client: Client, owner) -> None:
    """304 while nothing but the time has changed, with when to ask again."""
    job = put_in_state(enqueue(owner=owner), State.QUEUED)
    first = owner_client.get(url_of(job, "status"), headers=JSON)
    RenderJob.objects.update(sent_at=seconds_from_now(-60))
    known = JSON | {"If-None-Match": first["ETag"]}
    again = owner_client.get(url_of(job, "status"), headers=known)
    RenderJob.objects.update(state=State.WORKING)
    changed = owner_client.get(url_of(job, "status"), headers=known)
    assert first["ETag"].startswith('W/"')
    assert (again.status_code, again.content, again["Retry-After"]) == (304, b"", "12")
    assert "no-store" in again["Cache-Control"]
    assert changed.status_code == 202
    assert changed["ETag"] != first["ETag"]


# --- Clients with a token ---------------------------------------------------------------------


def token_request(
    rf: RequestFactory, user: Any, method: str = "get", **headers: str
) -> HttpRequest:
    """Return the request of a client that the project's own view has authenticated."""
    request: HttpRequest = getattr(rf, method)(
        "/api/17/", headers={"Authorization": "Token", **headers}
    )
    request.user = user
    return request


def test_own_view_has_its_own_urls(owner, rf: RequestFactory) -> None:
    """The state names the URLs that the client can use, absolute."""
    job = put_in_state(enqueue(owner=owner, test=True), State.FAILED)
    RenderJob.objects.update(error_code="submit_failed")
    job.refresh_from_db()
    response: Any = status_response(
        token_request(rf, owner), job, status_url="/api/17/", download_url="/api/17/file/"
    )
    told = json.loads(response.content)
    assert told["status_url"] == told["retry_url"] == "http://testserver/api/17/"
    RenderJob.objects.update(state=State.COMPLETED)
    job.refresh_from_db()
    response = status_response(token_request(rf, owner), job, download_url="/api/17/file/")
    assert json.loads(response.content)["download_url"] == "http://testserver/api/17/file/"


class WrappedRequest:
    """A request as that of Django REST framework: it wraps Django's, and has a user of its own."""

    def __init__(self, request: HttpRequest, user: Any) -> None:
        """Wrap the request of an anonymous session."""
        self._request, self.user = request, user

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def test_wrapped_request_is_that_of_its_own_user(owner, rf: RequestFactory) -> None:
    """The user of the token counts, not that of the session."""
    job = put_in_state(enqueue(owner=owner), State.QUEUED)
    request: Any = WrappedRequest(token_request(rf, AnonymousUser()), owner)
    first = status_response(request, job)
    assert (first.status_code, job_file_response(request, job).status_code) == (202, 202)
    known = token_request(rf, AnonymousUser(), **{"If-None-Match": first["ETag"]})
    again: Any = WrappedRequest(known, owner)
    assert status_response(again, job).status_code == 304


def test_own_view_retries_by_post(owner, rf: RequestFactory) -> None:
    """A POST retries, as the button does; what may not be retried stays as it is."""
    job = put_in_state(enqueue(owner=owner, test=True), State.FAILED)
    assert status_response(token_request(rf, owner, "post"), job).status_code == 200
    RenderJob.objects.update(error_code="submit_failed")
    job.refresh_from_db()
    assert status_response(token_request(rf, owner, "post"), job).status_code == 202
    assert RenderJob.objects.get().state == State.PENDING


@pytest.mark.parametrize("respond_with", [status_response, job_file_response])
@pytest.mark.parametrize("method", ["get", "post"])
def test_own_view_refuses_other_users(
    owner, rf: RequestFactory, respond_with: Any, method: str
) -> None:
    """A view that forgets to ask whose job it is gives nothing away, and changes nothing."""
    job = put_in_state(enqueue(owner=owner, test=True), State.FAILED)
    RenderJob.objects.update(error_code="submit_failed")
    job.refresh_from_db()
    for user in (get_user_model().objects.create_user("other"), AnonymousUser()):
        with pytest.raises(Http404):
            respond_with(token_request(rf, user, method), job)
    assert RenderJob.objects.get().state == State.FAILED


def test_own_view_returns_the_file(
    sandbox: Sandbox, documents_dir, owner, rf: RequestFactory
) -> None:
    """The file once it is there; before, the state for a program and the page for a browser."""
    job = enqueue(owner=owner)
    assert job_file_response(token_request(rf, owner), job).status_code == 202
    browser: Any = job_file_response(token_request(rf, owner, Accept=BROWSER), job)
    assert browser["Location"] == url_of(job, "status")
    finished = job_file_response(token_request(rf, owner), run_until_finished(job))
    assert read_body(finished).startswith(b"%PDF-")
    assert finished["Content-Disposition"].startswith("attachment")


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "status"), [("status", 403), ("download", 404)])
@pytest.mark.parametrize("headers", [JSON, {"Authorization": "Token 17"}])
@pytest.mark.usefixtures("login_required")
def test_anonymous_client_is_refused_in_json(
    client: Client, owner, page: str, status: int, headers: dict[str, str]
) -> None:
    """It is not sent to a login page, and learns nothing of which documents exist."""
    existing = url_of(put_in_state(enqueue(owner=owner), State.QUEUED), page)
    missing = reverse(f"django_docraptor:{page}", args=[uuid.uuid4()])
    for url in (existing, missing):
        response = client.get(url, headers=headers)
        assert response.status_code == status
        assert response["Content-Type"] == "application/json"
        assert "detail" in response.json()


@pytest.mark.usefixtures("login_required")
def test_anonymous_client_of_a_view_is_refused_in_json(client: Client) -> None:
    """Browsers are sent to the login page."""
    invoice = Invoice.objects.create(number="17")
    url = f"/invoices/{invoice.pk}/pdf/"
    response = client.get(url, headers=JSON)
    assert (response.status_code, response["Content-Type"]) == (403, "application/json")
    assert client.get(url, headers={"Accept": BROWSER}).status_code == 302
    assert not RenderJob.objects.exists()


@pytest.mark.parametrize("page", ["status", "download"])
def test_other_users_are_refused_in_json(owner, page: str) -> None:
    """Another user gets 404, in JSON or, in a browser, as a page."""
    other = client_of(get_user_model().objects.create_user("other"))
    url = url_of(put_in_state(enqueue(owner=owner), State.QUEUED), page)
    response = other.get(url, headers=JSON)
    assert (response.status_code, response["Content-Type"]) == (404, "application/json")
    assert other.get(url, headers={"Accept": BROWSER})["Content-Type"].startswith("text/html")


def test_missing_object_of_a_view_is_told_in_json(owner_client: Client) -> None:
    """The view's own 404 is JSON, too."""
    invoice = Invoice.objects.create(number="13")
    response = owner_client.get(f"/invoices/{invoice.pk}/pdf/", headers=JSON)
    assert (response.status_code, response["Content-Type"]) == (404, "application/json")


def test_view_that_raises_still_raises(rf: RequestFactory) -> None:
    """`raise_exception` is Django's own way to refuse, which a browser's request keeps."""

    class Raising(InvoiceDetail):
        raise_exception = True

    request = rf.get("/", headers={"Accept": BROWSER})
    request.user = type("Anonymous", (), {"is_authenticated": False})()
    with pytest.raises(PermissionDenied):
        Raising.as_view()(request, pk=1)
