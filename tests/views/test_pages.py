"""The status page: states, permissions, retries."""

import re
import uuid
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from django_docraptor import advice
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.responses.retries import may_retry
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, ErrorCode, EventKind, State
from tests.support.jobs import current_state, enqueue, run_until_finished
from tests.support.pages import client_of, create_staff, html_of

pytestmark = pytest.mark.django_db

TRACEBACK = 'Traceback …\n  File "/srv/secret.py"'


def create_job_of(owner: AbstractBaseUser, state: State, **columns: Any) -> RenderJob:
    """Return a job of the owner in the given state."""
    job = enqueue(owner=owner, name="<b>17</b>.pdf")
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    columns = {"state": state, "attempt": 1, "due_at": due_at, **columns}
    RenderJob.objects.filter(pk=job.pk).update(**columns)
    return RenderJob.objects.get(pk=job.pk)


def status_url(job: RenderJob, query: str = "") -> str:
    """Return the path of a job's status page."""
    return reverse("django_docraptor:status", args=[job.pk]) + query


def refresh_of(response: HttpResponse) -> str:
    """Return the page's refresh header, or an empty string."""
    found = re.search(r'http-equiv="refresh" content="([^"]*)"', html_of(response))
    return found[1] if found else ""


# --- status page: states ---------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_status_page_of_an_unfinished_job_refreshes(
    owner_client: Client, owner, state: State
) -> None:
    """The page shows the state, refreshes without JavaScript, and is not cached."""
    response = owner_client.get(status_url(create_job_of(owner, state)))
    assert response.status_code == 200
    word = "Waiting" if state == State.PENDING else "In progress"
    assert f'aria-current="step">{word}</li>' in html_of(response)
    assert refresh_of(response) == "1"
    assert "no-store" in response["Cache-Control"]
    assert "<script" not in html_of(response)


@pytest.mark.parametrize(("age", "seconds"), [(0, "1"), (50, "10"), (4000, "30")])
def test_status_page_refreshes_less_often_with_time(
    owner_client: Client, owner, age: int, seconds: str
) -> None:
    """The longer the job takes, the less often the page refreshes."""
    job = create_job_of(owner, State.WORKING, sent_at=seconds_from_now(-age))
    assert refresh_of(owner_client.get(status_url(job))) == seconds


def test_status_page_escapes_the_name(owner_client: Client, owner) -> None:
    """A document's name is shown as text, not as HTML."""
    shown = html_of(owner_client.get(status_url(create_job_of(owner, State.QUEUED))))
    assert "&lt;b&gt;17&lt;/b&gt;.pdf" in shown
    assert "<b>" not in shown


def test_status_page_of_a_completed_job_starts_the_download(owner_client: Client, owner) -> None:
    """The download starts by itself, and there is a link for browsers that block it."""
    job = create_job_of(owner, State.COMPLETED)
    response = owner_client.get(status_url(job))
    assert refresh_of(response) == f"0; url={job.get_absolute_url()}"
    assert f'href="{job.get_absolute_url()}"' in html_of(response)


def test_finished_page_starts_one_download(owner_client: Client, owner) -> None:
    """Back and reload show the page, and do not download again; another document's page does."""
    job, other = (create_job_of(owner, State.COMPLETED) for _ in range(2))
    first, second = (owner_client.get(status_url(job)) for _ in range(2))
    assert "The download has started." in html_of(first)
    assert refresh_of(second) == ""
    assert f'href="{job.get_absolute_url()}"' in html_of(second)
    assert refresh_of(owner_client.get(status_url(other))) != ""
    cookie = first.cookies[f"docraptor_started_{job.pk.hex}"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (
        status_url(job),
        True,
        "Lax",
    )


def test_head_starts_no_download(owner_client: Client, owner) -> None:
    """A HEAD request shows no page: the next visit downloads."""
    job = create_job_of(owner, State.COMPLETED)
    assert not owner_client.head(status_url(job)).cookies
    assert refresh_of(owner_client.get(status_url(job))) != ""


def test_refreshing_can_be_paused(owner_client: Client, owner) -> None:
    """The links pause and resume it, and keep the rest of the URL."""
    job = create_job_of(owner, State.QUEUED)
    shown = html_of(owner_client.get(status_url(job, "?inline=1&return_url=/a/")))
    assert f'href="{status_url(job)}?inline=1&amp;return_url=%2Fa%2F&amp;pause=1"' in shown
    paused = owner_client.get(status_url(job, "?inline=1&pause=1"))
    assert refresh_of(paused) == ""
    assert f'href="{status_url(job)}?inline=1"' in html_of(paused)


def test_paused_page_starts_no_download(owner_client: Client, owner) -> None:
    """Who has paused it downloads by the button; the download has not been started, either."""
    job = create_job_of(owner, State.COMPLETED)
    paused = owner_client.get(status_url(job, "?pause=1"))
    assert refresh_of(paused) == ""
    assert not paused.cookies
    assert f'href="{job.get_absolute_url()}"' in html_of(paused)


def test_finished_page_tells_what_the_file_is(owner_client: Client, owner) -> None:
    """Type, pages and size; a PDF can be opened in the browser."""
    job = create_job_of(owner, State.COMPLETED, number_of_pages=2, file_size=25_600)
    shown = " ".join(html_of(owner_client.get(status_url(job, "?pause=1"))).split())
    assert "PDF, 2 pages, 25.0 KB." in shown
    assert f'href="{status_url(job)}?inline=1"' in shown


def test_status_page_shows_an_inline_document(
    owner_client: Client, owner, sandbox: Sandbox, documents_dir
) -> None:
    """An inline document replaces the page."""
    job = run_until_finished(enqueue(owner=owner))
    response = owner_client.get(status_url(job, "?inline=1"))
    assert response["Content-Disposition"] == 'inline; filename="hello.pdf"'
    assert response.getvalue().startswith(b"%PDF-")


def test_status_page_of_a_failed_job_links_back(owner_client: Client, owner) -> None:
    """The page says that the job failed and its reference, does not refresh, and links back."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.TEMPLATE_ERROR, errors=TRACEBACK)
    response = owner_client.get(status_url(job, "?return_url=/invoices/%3Fpage%3D2"))
    assert "could not be generated" in html_of(response)
    assert f"{job.pk.hex[:4]}-{job.pk.hex[4:8]}" in html_of(response)
    assert refresh_of(response) == ""
    assert 'href="/invoices/?page=2"' in html_of(response)


def test_status_page_shows_details_to_permitted_staff_only(owner_client: Client, owner) -> None:
    """Error details are shown to users who may view jobs, not to customers."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.TEMPLATE_ERROR, errors=TRACEBACK)
    assert "secret.py" not in html_of(owner_client.get(status_url(job)))
    assert "secret.py" in html_of(client_of(create_staff("view_renderjob")).get(status_url(job)))


def test_status_page_tells_permitted_staff_why_nothing_moves(owner_client: Client, owner) -> None:
    """Customers read nothing about workers; staff read it at once, with the last error."""
    job = create_job_of(owner, State.PENDING, errors="Refused <by> the sandbox")
    for text in (advice.NEVER_RAN, "Refused &lt;by&gt; the sandbox"):
        assert str(text) not in html_of(owner_client.get(status_url(job)))
    page = html_of(client_of(create_staff("view_renderjob")).get(status_url(job)))
    assert str(advice.NEVER_RAN) in page
    assert "Refused &lt;by&gt; the sandbox" in page


def test_status_page_of_a_cancelled_job_does_not_refresh(owner_client: Client, owner) -> None:
    """The page of a cancelled job says so and does not refresh."""
    response = owner_client.get(status_url(create_job_of(owner, State.CANCELLED)))
    assert "was cancelled" in html_of(response)
    assert refresh_of(response) == ""


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"]
)
def test_status_page_links_back_to_this_site_only(owner_client: Client, owner, back: str) -> None:
    """A return URL on another site is replaced by the home page."""
    response = owner_client.get(
        status_url(create_job_of(owner, State.FAILED)), {"return_url": back}
    )
    assert 'href="/"' in html_of(response)
    assert f'href="{back}' not in html_of(response)


@pytest.mark.parametrize(
    ("state", "columns", "count"),
    [
        # Four for the user and the permissions; the job, its last retry, and what follows here.
        (State.QUEUED, {"document": "shop.InvoicePDF"}, 7),
        (State.FAILED, {"error_code": ErrorCode.SUBMIT_FAILED}, 8),
        (State.COMPLETED, {}, 6),
    ],
)
def test_status_page_needs_few_queries(
    owner_client: Client,
    owner,
    django_assert_max_num_queries: Any,
    state: State,
    columns: dict[str, Any],
    count: int,
) -> None:
    """The number of queries is bounded, however long the history of the job is."""
    cache.clear()
    job = create_job_of(owner, state, **columns)
    for _ in range(10):
        job.record_event(EventKind.STEP_FAILED)
    with django_assert_max_num_queries(count):
        assert owner_client.get(status_url(job)).status_code == 200


def test_blocks_can_be_overridden(owner_client: Client, owner, settings: Any, tmp_path) -> None:
    """A project's status page extends the original by its own name."""
    folder = tmp_path / "django_docraptor"
    folder.mkdir()
    (folder / "status.html").write_text(
        '{% extends "django_docraptor/status.html" %}{% block title %}T{% endblock %}'
        "{% block style %}S{% endblock %}{% block header %}H{% endblock %}"
        "{% block main %}M {{ block.super }}{% endblock %}"
    )
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [tmp_path]}]
    shown = html_of(owner_client.get(status_url(create_job_of(owner, State.QUEUED))))
    for text in ("<title>T</title>", "  S\n", "\nH\n", "<main>M ", "Your document is being"):
        assert text in shown
    assert refresh_of(owner_client.get(status_url(create_job_of(owner, State.QUEUED)))) == "1"


# --- status page: who ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("state", [State.QUEUED, State.FAILED, State.COMPLETED])
def test_status_page_is_404_for_other_users(
    owner, client: Client, method: str, state: State
) -> None:
    """Other users get 404 in every state, including staff without permission."""
    job = create_job_of(owner, state)
    client.force_login(create_staff("retry_renderjob"))
    assert getattr(client, method)(status_url(job)).status_code == 404
    assert RenderJob.objects.get().state == state


@pytest.mark.parametrize("method", ["get", "post"])
def test_status_page_redirects_anonymous_users_to_the_login(
    owner, client: Client, method: str
) -> None:
    """An anonymous user is redirected to the login and does not learn whether the job exists."""
    for job in (create_job_of(owner, State.FAILED), RenderJob(pk=uuid.uuid4())):
        response = getattr(client, method)(status_url(job, "?inline=1"))
        login = {"next": status_url(job, "?inline=1")}
        assert response["Location"] == "/accounts/login/?" + urlencode(login, safe="/")
    assert RenderJob.objects.get().state == State.FAILED


def test_status_page_of_an_unknown_job_is_404(owner_client: Client) -> None:
    """An unknown job ID gets 404."""
    assert owner_client.get(status_url(RenderJob(pk=uuid.uuid4()))).status_code == 404


LATE, LONGER = "Something is wrong on our side", "This is taking longer than usual"
TOLD = "We have been told."


@pytest.mark.parametrize(
    ("state", "columns", "is_late", "is_told"),
    [
        (State.QUEUED, {}, False, False),
        (State.PENDING, {"due_at": seconds_from_now(-30)}, False, False),
        (State.PENDING, {"due_at": seconds_from_now(-300)}, True, True),
        (State.WORKING, {"due_at": seconds_from_now(-300)}, True, True),
        (State.QUEUED, {"failing_since": seconds_from_now(-60)}, False, False),
        (State.QUEUED, {"failing_since": seconds_from_now(-300)}, True, False),
        (State.DOWNLOADING, {"failing_since": seconds_from_now(-7200)}, True, True),
        (State.PENDING, {"held_at": seconds_from_now(-5)}, True, True),
        (State.CANCELLED, {"failing_since": seconds_from_now(-7200)}, False, False),
    ],
)
def test_status_page_says_that_a_job_is_late(
    owner_client: Client, owner, state: State, columns: dict[str, Any], is_late: bool, is_told: bool
) -> None:
    """The reader is told whose fault it is, and whether the site's people have been told."""
    text = html_of(owner_client.get(status_url(create_job_of(owner, state, **columns))))
    assert (LATE in text, TOLD in text) == (is_late, is_told)
    assert ("docraptor-late" in text) == is_late
    assert ("is being generated" in text) == (not is_late and state != State.CANCELLED)
    assert LONGER not in text


def test_job_that_waits_for_a_slot_is_slow_but_not_late(
    owner_client: Client, owner, settings
) -> None:
    """A full queue is no problem of the engine, so the page does not say that one is there."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_IN_FLIGHT": 1}
    create_job_of(owner, State.QUEUED)
    job = create_job_of(owner, State.PENDING, due_at=seconds_from_now(-300))
    text = html_of(owner_client.get(status_url(job)))
    assert (LONGER in text, LATE in text, TOLD in text) == (True, False, False)


# --- status page: another try ----------------------------------------------------------------


def post_retry(
    client: Client, owner: AbstractBaseUser, job: RenderJob, **fields: str
) -> HttpResponse:
    """Press "Try again" on a job's page, with a valid CSRF token."""
    client.get(status_url(create_job_of(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED)))
    token = client.cookies["csrftoken"].value
    return client.post(status_url(job, "?inline=1"), {"csrfmiddlewaretoken": token, **fields})


def test_owner_may_retry_an_unbilled_job(owner_client: Client, owner) -> None:
    """The owner may retry a job that cannot have been billed, and returns to the page."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED, test=False)
    assert "Try again" in html_of(owner_client.get(status_url(job)))
    response = post_retry(owner_client, owner, job)
    assert (response.status_code, response["Location"]) == (302, status_url(job, "?inline=1"))
    assert current_state(job) == State.PENDING


def test_owner_reads_how_often_a_retry_is_left(owner_client: Client, owner) -> None:
    """Three times, twice, once; then the reference is all that is left."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED)
    texts = []
    for _ in range(4):
        texts.append(html_of(owner_client.get(status_url(job))))
        post_retry(owner_client, owner, job)
        RenderJob.objects.filter(pk=job.pk).update(state=State.FAILED, due_at=None)
    assert ["3 more times" in texts[0], "2 more times" in texts[1], "1 more time." in texts[2]] == [
        True
    ] * 3
    assert "<button" not in texts[3]
    assert "Contact us, and quote this reference:" in texts[3]
    assert job.events.filter(kind=EventKind.RETRIED).count() == 3


def test_owner_may_not_retry_what_cannot_help(owner_client: Client, owner) -> None:
    """A rejected document would be rejected again; a POST without the button changes nothing."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.REJECTED)
    assert "<button" not in html_of(owner_client.get(status_url(job)))
    post_retry(owner_client, owner, job)
    assert current_state(job) == State.FAILED


def test_owner_may_not_retry_a_possibly_billed_job(owner_client: Client, owner) -> None:
    """The owner may not retry a job that may have been billed."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.TIMED_OUT, test=False)
    assert "Try again" not in html_of(owner_client.get(status_url(job)))
    post_retry(owner_client, owner, job)
    assert current_state(job) == State.FAILED


def test_owner_may_retry_a_test_document(owner_client: Client, owner) -> None:
    """A test document is free, so it may always be retried."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.TIMED_OUT, test=True)
    post_retry(owner_client, owner, job)
    assert current_state(job) == State.PENDING


def test_retry_resumes_a_download(owner_client: Client, owner) -> None:
    """A document that DocRaptor has finished is only downloaded again, without a second bill."""
    finished = {"error_code": ErrorCode.DOWNLOAD_FAILED, "download_id": "17", "test": False}
    job = create_job_of(owner, State.FAILED, **finished)
    post_retry(owner_client, owner, job)
    assert current_state(job) == State.DOWNLOADING


def test_permitted_staff_may_retry_a_possibly_billed_job(owner) -> None:
    """Users who may view and retry jobs decide about the bill, after they have read about it."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.TIMED_OUT, test=False)
    client = client_of(create_staff("view_renderjob", "retry_renderjob"))
    assert "May be billed twice" in html_of(client.get(status_url(job)))
    for said in ({}, {"bill": "billed"}):  # as of a page that was shown before
        post_retry(client, owner, job, **said)
        assert current_state(job) == State.FAILED
    post_retry(client, owner, job, bill="may_be_billed_twice")
    assert current_state(job) == State.PENDING


@pytest.mark.parametrize(
    ("columns", "bill"),
    [
        ({"error_code": ErrorCode.SUBMIT_FAILED, "test": True}, ""),
        ({"error_code": ErrorCode.DOWNLOAD_FAILED, "download_id": "17", "test": False}, ""),
        ({"error_code": ErrorCode.SUBMIT_FAILED, "test": False}, "billed"),
    ],
)
def test_staff_are_asked_about_the_bill_only(owner, columns: dict[str, Any], bill: str) -> None:
    """A retry that is free, or goes on, needs no question; the owner is asked none either way."""
    job = create_job_of(owner, State.FAILED, **columns)
    staff = client_of(create_staff("view_renderjob", "retry_renderjob"))
    field = f'name="bill" value="{bill}"'
    assert (field in html_of(staff.get(status_url(job)))) == bool(bill)
    assert 'name="bill"' not in html_of(client_of(owner).get(status_url(job)))
    post_retry(staff, owner, job)
    assert (current_state(job) == State.FAILED) == bool(bill)


def test_retry_works_with_a_user_model_without_permissions(owner) -> None:
    """A user model without permissions allows owners to retry."""
    request: Any = SimpleNamespace(user=SimpleNamespace(pk=owner.pk))
    failed = create_job_of(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED, test=False)
    doubtful = create_job_of(owner, State.FAILED, error_code=ErrorCode.TIMED_OUT, test=False)
    assert [may_retry(request, failed), may_retry(request, doubtful)] == [True, False]


def test_view_permission_does_not_allow_a_retry(owner) -> None:
    """Users who may only view jobs cannot retry one, even if it is free."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED, test=True)
    viewer = create_staff("view_renderjob")
    client = client_of(viewer)
    assert "Try again" not in html_of(client.get(status_url(job)))
    post_retry(client, viewer, job)
    assert current_state(job) == State.FAILED


def test_retry_needs_a_csrf_token(owner_client: Client, owner) -> None:
    """A retry without a CSRF token is refused."""
    job = create_job_of(owner, State.FAILED, error_code=ErrorCode.SUBMIT_FAILED)
    assert owner_client.post(status_url(job)).status_code == 403
    assert current_state(job) == State.FAILED


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED}))
def test_retry_of_a_job_that_has_not_failed_changes_nothing(
    owner_client: Client, owner, state: State
) -> None:
    """A job that has not failed is not changed."""
    job = create_job_of(owner, state)
    post_retry(owner_client, owner, job)
    assert current_state(job) == state
