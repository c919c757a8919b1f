"""Pages of this site that DocRaptor fetches: signed URLs, and what they give access to."""

import logging
import re
import time
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pypdf
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.core.signing import TimestampSigner, b62_encode
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.test import AsyncClient, Client
from django.urls import path, reverse, set_script_prefix
from django.views import View
from django.views.debug import ExceptionReporter
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_cookie

from django_docraptor import document_page, retry, shortcuts
from django_docraptor.callback_urls import make_token
from django_docraptor.client.failures import Redactor
from django_docraptor.lifecycle.composition import add_tag_and_callback, compose_request
from django_docraptor.lifecycle.reuse import request_hash
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.secret_text import SecretText
from django_docraptor.states import FINAL_STATES, State
from tests.support.jobs import enqueue, run_until_finished
from tests.urls import urlpatterns as site_patterns

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
PAGE = "/invoices/17/?lang=de"
SITE = "https://shop.example"


@document_page
def invoice(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what the view sees."""
    if "fail" in request.GET:
        raise RuntimeError("failed")
    query = request.META["QUERY_STRING"]
    return HttpResponse(f"<p>{request.user.get_username()} sees {pk} ({query})</p>")


@document_page
async def async_invoice(request: HttpRequest) -> HttpResponse:
    """Show who sees it."""
    return HttpResponse(f"<p>{(await request.auser()).get_username()}</p>")


@document_page
def redirecting(request: HttpRequest) -> HttpResponse:
    """Send the reader to another login."""
    return HttpResponseRedirect("/second-factor/?next=secret")


class ClassBased(View):
    """A view of a class."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show who sees it."""
        return HttpResponse(request.user.get_username())


urlpatterns = [
    *site_patterns,
    path("invoices/<int:pk>/", invoice),
    path("async/", async_invoice),
    path("redirecting/", redirecting),
    path("class/", document_page(ClassBased.as_view())),
    path("permission/", document_page(permission_required("auth.add_user")(ClassBased.as_view()))),
    path(
        "staff/",
        document_page(login_required(ClassBased.as_view(), login_url="/staff-login/")),
    ),
    path("cached/", document_page(cache_page(60)(vary_on_cookie(ClassBased.as_view())))),
    path("größe/", document_page(ClassBased.as_view())),
]


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    """A site whose address is known."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": SITE}


@pytest.fixture
def owner() -> User:
    """A customer, who may add users."""
    user = User.objects.create_user("customer")
    user.user_permissions.add(Permission.objects.get(codename="add_user"))
    return User.objects.get(pk=user.pk)


def page_job(owner: User, url: str = PAGE, state: State = State.QUEUED) -> RenderJob:
    """Return a job whose page DocRaptor may fetch."""
    job = enqueue(content="", url=url, owner=owner)
    due_at = None if state in FINAL_STATES else F("created_at")
    RenderJob.objects.filter(pk=job.pk).update(state=state, attempt=1, due_at=due_at)
    job.refresh_from_db()
    return job


def signed(job: RenderJob) -> str:
    """Return the signed URL of a job's attempt, without the host."""
    url = add_tag_and_callback(compose_request(job), job).url
    assert url.startswith(f"{SITE}/")
    return url.removeprefix(SITE)


# --- the signed URL --------------------------------------------------------------------------


@pytest.mark.fault("E12")
def test_page_is_shown_as_to_the_owner(client: Client, owner: User) -> None:
    """DocRaptor gets the page that the owner would see, without a login."""
    response = client.get(signed(page_job(owner)))
    assert response.content.decode() == "<p>customer sees 17 (lang=de)</p>"
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"
    assert not response.cookies


@pytest.mark.parametrize("page", ["/class/", "/permission/", "/größe/", "/größe/?q=a%20b&q=ü"])
def test_any_view_can_be_a_page(client: Client, owner: User, page: str) -> None:
    """A class, another decorator and letters beyond ASCII in the address make no difference."""
    assert client.get(signed(page_job(owner, page))).content == b"customer"


def test_asynchronous_view_can_be_a_page(owner: User) -> None:
    """An asynchronous view gets the owner from request.auser()."""
    response = async_to_sync(AsyncClient().get)(signed(page_job(owner, "/async/")))
    assert response.content == b"<p>customer</p>"


@pytest.mark.parametrize("page", [PAGE, "/async/", "/class/"])
def test_users_need_a_login(client: Client, owner: User, page: str) -> None:
    """Without a token, the view is one with login_required."""
    assert urlsplit(client.get(page)["Location"]).path == "/accounts/login/"
    client.force_login(owner)
    assert b"customer" in client.get(page).content


def test_users_are_sent_to_the_login_page_of_the_view(client: Client) -> None:
    """A view with another login page keeps it."""
    assert urlsplit(client.get("/staff/")["Location"]).path == "/staff-login/"


@pytest.mark.parametrize("has_middleware", [True, False])
def test_page_works_where_every_view_needs_a_login(
    client: Client, owner: User, settings: Any, has_middleware: bool
) -> None:
    """LoginRequiredMiddleware does not redirect DocRaptor, but users."""
    if has_middleware:
        settings.MIDDLEWARE = [
            *settings.MIDDLEWARE,
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]
    assert client.get(PAGE).status_code == 302
    assert client.get(signed(page_job(owner))).status_code == 200


def test_url_has_the_path_that_workers_do_not_know(
    client: Client, owner: User, settings: Any
) -> None:
    """A site below a path: the web process knows its prefix, a worker the setting."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": f"{SITE}/app"}
    set_script_prefix("/app/")
    try:
        job = page_job(owner, "/app/class/")
    finally:
        set_script_prefix("/")
    url = signed(job)
    assert url.startswith("/app/class/?docraptor_token=")
    assert client.get(url.removeprefix("/app")).content == b"customer"
    assert client.get(url.removeprefix("/app"), SCRIPT_NAME="/app").content == b"customer"


# --- refusals --------------------------------------------------------------------------------


def assert_refused(response: Any) -> None:
    """Check that a response tells nothing, and is not the login page."""
    assert response.status_code == 404
    assert response.content == b""
    assert "no-store" in response["Cache-Control"]


@pytest.mark.fault("E12")
@pytest.mark.parametrize(
    "page",
    ["/invoices/18/?lang=de", "/invoices/17/", "/invoices/17/?lang=de&all=1", "/class/?lang=de"],
)
def test_token_is_for_one_page(client: Client, owner: User, page: str, caplog) -> None:
    """The token of one page does not show another, nor with another query; the log says so."""
    job = page_job(owner)
    token = parse_qs(urlsplit(signed(job)).query)["docraptor_token"][0]
    separator = "&" if "?" in page else "?"
    assert_refused(client.get(f"{page}{separator}docraptor_token={token}"))
    assert f"Job {job.pk}: its page was not given" in caplog.text
    assert f"another page, {page.partition('?')[0]!r}" in caplog.text
    assert token not in caplog.text


@pytest.mark.fault("E12")
@pytest.mark.parametrize(
    "state", sorted({*State} - {"submitting", "unconfirmed", "queued", "working"})
)
def test_token_ends_with_the_attempt(client: Client, owner: User, state: str) -> None:
    """As soon as the attempt is over, its URL does not work."""
    job = page_job(owner)
    url = signed(job)
    assert client.get(url).status_code == 200
    due_at = None if state in FINAL_STATES else F("created_at")
    RenderJob.objects.filter(pk=job.pk).update(state=state, due_at=due_at)
    assert_refused(client.get(url))


def test_token_is_for_one_attempt(client: Client, owner: User) -> None:
    """A retried attempt has a URL of its own."""
    job = page_job(owner)
    first = signed(job)
    RenderJob.objects.filter(pk=job.pk).update(attempt=2)
    job.refresh_from_db()
    assert_refused(client.get(first))
    assert client.get(signed(job)).status_code == 200


def test_token_expires(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that was kept does not work when DocRaptor must be ready."""
    with monkeypatch.context() as patch:
        patch.setattr(TimestampSigner, "timestamp", lambda self: b62_encode(int(time.time() - 900)))
        url = signed(page_job(owner))
    assert_refused(client.get(url))


def test_token_of_a_callback_shows_no_page(client: Client, owner: User) -> None:
    """A token is for what its salt says; anything else is not a token."""
    job = page_job(owner)
    for token in (make_token(job.pk, 1), "x", "", "ü", "x" * 5000):
        assert_refused(client.get(PAGE, {"lang": "de", "docraptor_token": token}))
    token = parse_qs(urlsplit(signed(job)).query)["docraptor_token"][0]
    assert_refused(client.get(PAGE, {"lang": "de", "docraptor_token": [token, token]}))
    assert client.post(reverse("django_docraptor:callback", args=[token])).status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "head", "options"])
def test_page_can_only_be_read(client: Client, owner: User, method: str) -> None:
    """A leaked URL changes nothing: only GET is accepted."""
    assert_refused(getattr(client, method)(signed(page_job(owner))))


@pytest.mark.fault("E12")
@pytest.mark.parametrize("change", ["deactivate", "delete", "prune"])
def test_page_needs_its_owner_and_input(client: Client, owner: User, change: str, caplog) -> None:
    """Without an active owner, or the stored page, nothing is shown."""
    job = page_job(owner)
    url = signed(job)
    if change == "deactivate":
        User.objects.update(is_active=False)
    elif change == "delete":
        owner.delete()
    else:
        RenderInput.objects.all().delete()
    assert_refused(client.get(url))
    assert ("not active" in caplog.text) == (change != "prune")


def test_redirect_is_not_followed(client: Client, owner: User, caplog) -> None:
    """A view that redirects, such as to a login of its own, is not made a document."""
    job = page_job(owner, "/redirecting/")
    assert_refused(client.get(signed(job)))
    assert f"Job {job.pk}: its page was not given to DocRaptor" in caplog.text
    assert "/second-factor/" in caplog.text
    assert "secret" not in caplog.text


def test_cached_page_is_not_shown_to_another_owner(client: Client, owner: User) -> None:
    """A cache that varies by the cookie has a page for each job."""
    other = User.objects.create_user("other")
    assert client.get(signed(page_job(owner, "/cached/"))).content == b"customer"
    assert client.get(signed(page_job(other, "/cached/"))).content == b"other"


# --- secrecy ---------------------------------------------------------------------------------


@pytest.mark.fault("X7")
def test_token_is_in_no_report_of_an_error(client: Client, owner: User, caplog) -> None:
    """A view that fails is reported without the token."""
    url = signed(page_job(owner, f"{PAGE}&fail=1"))
    token = parse_qs(urlsplit(url).query)["docraptor_token"][0]
    client.raise_request_exception = False
    response = client.get(url, RAW_URI=url)
    assert response.status_code == 500
    request = caplog.records[-1].request
    report = ExceptionReporter(request, *caplog.records[-1].exc_info).get_traceback_html()
    assert "fail" in report
    assert token not in report
    assert token.rpartition(".")[2] not in report


@pytest.mark.fault("X7")
def test_token_is_written_nowhere(
    sandbox: Sandbox, owner: User, caplog, client: Client, documents_dir
) -> None:
    """Rows, history, logs and the admin have the path; nothing has the token."""
    caplog.set_level(logging.DEBUG)
    token = "[0-9a-f]{32}-1[.][0-9A-Za-z]+[.][0-9A-Za-z_-]{43}"
    job = enqueue(content="", url=PAGE, owner=owner)
    sandbox.add_fault(
        Fault(on="create", action="status", status_code=422, reason="Bad {document_url}")
    )
    job = run_until_finished(job)
    client.force_login(User.objects.create_superuser("admin"))
    admin_page = reverse("admin:django_docraptor_renderjob_change", args=[job.pk])
    page = client.get(admin_page).content.decode()
    rows = [*RenderJob.objects.values(), *RenderInput.objects.values(), *job.events.values()]
    assert job.input.url == PAGE
    assert "/invoices/17/" in page
    for text in (page, str(rows), caplog.text):
        assert not re.search(token, text)


def test_token_in_an_error_of_docraptor_is_redacted(owner: User) -> None:
    """An error that quotes the URL does not store its token."""
    url = signed(page_job(owner))
    redact = Redactor.for_key(SecretText("key"))
    for text in (url, quote(url, safe=""), f"Could not fetch &quot;{url}&quot;"):
        assert url.rpartition(".")[2] not in redact(text)


def test_token_is_not_in_variables_that_error_reports_show(owner: User) -> None:
    """The signed URL, and the request with it, hide themselves."""
    job = page_job(owner)
    request = add_tag_and_callback(compose_request(job), job)
    assert "docraptor_token" in request.url
    assert "docraptor_token" not in repr(request) + repr(request.url) + repr(request.to_json())


def test_hash_of_a_request_has_no_token(owner: User) -> None:
    """The same page is the same request, whatever its token is."""
    job = page_job(owner)
    first = request_hash(compose_request(job))
    RenderJob.objects.filter(pk=job.pk).update(attempt=2)
    job.refresh_from_db()
    assert request_hash(compose_request(job)) == first
    assert "docraptor_token" not in compose_request(job).url


# --- enqueueing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("//shop.example/x", "begin with one slash"),
        ("/\\evil.example/", "backslash"),
        ("/x#top", "fragment"),
        ("/x y", "white space"),
        ("/x\n", "white space"),
        ("/class/?docraptor_token=x", "docraptor_token"),
    ],
)
def test_path_of_another_form_is_refused(owner: User, url: str, problem: str) -> None:
    """What is not the path of a page is refused, with the reason."""
    with pytest.raises(ValidationError) as error:
        shortcuts.enqueue(name="a.pdf", url=url, owner=owner)
    assert problem in error.value.message_dict["url"][0]


def test_page_needs_the_address_of_the_site(owner: User, settings: Any) -> None:
    """Without CALLBACK_BASE_URL, DocRaptor cannot be told where the page is."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": ""}
    with pytest.raises(ValidationError, match="CALLBACK_BASE_URL"):
        shortcuts.enqueue(name="a.pdf", url=PAGE, owner=owner)


def test_page_needs_an_owner() -> None:
    """DocRaptor sees the page of a user, so there must be one."""
    with pytest.raises(ValidationError, match="Pass an owner"):
        shortcuts.enqueue(name="a.pdf", url=PAGE)


def test_page_needs_a_job(owner: User) -> None:
    """A synchronous call has no job, whose end is the end of the URL."""
    with pytest.raises(ValidationError, match="absolute"):
        shortcuts.render_now(BytesIO(), name="a.pdf", url=PAGE, owner=owner)


# --- a whole document ------------------------------------------------------------------------


@pytest.mark.fault("E12")
def test_sandbox_makes_a_document_of_the_page(
    sandbox: Sandbox, owner: User, live_server, settings, documents_dir
) -> None:
    """DocRaptor fetches the page with the URL that it was sent."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": live_server.url}
    sandbox.change_settings(renderer="weasyprint")
    job = enqueue(content="", url=PAGE, owner=owner)
    job = run_until_finished(job, rounds=600, hours=1 / 3600)  # it takes real time
    assert job.state == State.COMPLETED, job.errors
    with job.file.open("rb") as file:
        assert "customer sees 17 (lang=de)" in pypdf.PdfReader(file).pages[0].extract_text()


def test_retried_job_fetches_its_page_again(
    sandbox: Sandbox, owner: User, live_server, settings, documents_dir
) -> None:
    """Each attempt has a URL that works, also long after the job was enqueued."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": live_server.url}
    sandbox.add_fault(Fault(on="render", action="fail", reason="Document Malformed", times=1))
    job = run_until_finished(enqueue(content="", url=PAGE, owner=owner))
    assert job.state == State.FAILED
    retry(job)
    job = run_until_finished(job)
    assert (job.state, job.attempt) == (State.COMPLETED, 2), job.errors
