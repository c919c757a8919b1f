"""The list of jobs: filter by error code, and retry all that have failed."""

import pytest
from django.db import DatabaseError
from django.test import Client

from django_docraptor import bulk_retry
from django_docraptor.admin import jobs as jobs_admin
from django_docraptor.admin import retry_all
from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, State
from tests.support.admin_jobs import (
    LIST,
    RETRY,
    VIEW,
    create_admin_job,
    current_state,
    failed_job,
    get_text,
    staff_client,
)
from tests.support.databases import rejecting

pytestmark = pytest.mark.django_db

RETRY_ALL = f"{LIST}retry-all/"


def press(client: Client, query: str = "", *, button: str = "resumable", **fields: str) -> str:
    """Confirm the page as it is shown, and return the page that follows."""
    context = client.get(f"{RETRY_ALL}{query}").context
    shown = {"until": context["until"], "billed": context["counts"].billed}
    return post(client, query, **{**shown, button: "Retry", **fields})


def post(client: Client, query: str = "", **fields: str) -> str:
    """Send the form and return the page that follows."""
    response = client.post(f"{RETRY_ALL}{query}", fields, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def test_list_can_be_filtered_by_error_code() -> None:
    """The filter shows the jobs that failed with a code, and not those that run again since."""
    failed_job(ErrorCode.TIMED_OUT, name="late.pdf", status_id="1")
    failed_job(ErrorCode.REJECTED, name="wrong.pdf", status_id="2")
    create_admin_job(State.QUEUED, error_code=ErrorCode.TIMED_OUT, name="again.pdf")
    text = get_text(staff_client(VIEW), LIST, {"error_code": "timed_out"})
    assert "late.pdf" in text
    assert "wrong.pdf" not in text
    assert "again.pdf" not in text


def test_all_that_can_resume_are_retried_and_no_other() -> None:
    """One button retries every job of the list that is not billed by it; a GET retries none."""
    resumed = [failed_job(ErrorCode.TIMED_OUT, status_id=str(number)) for number in range(3)]
    billed = failed_job(ErrorCode.REJECTED, status_id="rejected")
    client = staff_client(VIEW, RETRY)
    assert "Retry all failed jobs of this list" in get_text(client, LIST)
    text = get_text(client, RETRY_ALL)
    assert "Retry the 3 jobs that are not billed" in text
    assert RenderJob.objects.filter(state=State.FAILED).count() == 4
    assert "3 jobs are retried." in press(client)
    assert [current_state(job) for job in resumed] == [State.QUEUED] * 3
    assert current_state(billed) == State.FAILED
    assert resumed[0].events.get(kind="retried").message.startswith("by staff-")


def test_page_says_what_is_billed_and_the_other_button_retries_all() -> None:
    """What goes on, is free, is billed, or is billed again perhaps, is counted before."""
    jobs = [
        failed_job(ErrorCode.TIMED_OUT, status_id="1"),
        failed_job(ErrorCode.REJECTED, test=True),
        failed_job(ErrorCode.REJECTED),
        failed_job(ErrorCode.DOCUMENT_GONE),
    ]
    client = staff_client(VIEW, RETRY)
    text = get_text(client, RETRY_ALL)
    assert "Retrying all will bill 2 documents." in text
    for title in ("Not billed", "Free", "Billed", "May be billed twice"):
        assert f"{title}</span> 1 job" in text
    assert "4 jobs are retried." in press(client, button="all")
    assert [current_state(job) for job in jobs] == [State.QUEUED, *[State.PENDING] * 3]


def test_no_more_is_billed_than_was_confirmed() -> None:
    """If more would be billed than the page has said, it is shown again and nothing is done."""
    job = failed_job(ErrorCode.REJECTED)
    client = staff_client(VIEW, RETRY)
    text = press(client, button="all", billed="0")
    assert "The jobs have changed since this page was shown" in text
    assert "Retrying all will bill 1 document." in text
    assert current_state(job) == State.FAILED


def test_what_fails_after_the_page_was_shown_is_not_retried() -> None:
    """A job that has failed since, or that failed again, was not confirmed."""
    client = staff_client(VIEW, RETRY)
    first = failed_job(ErrorCode.REJECTED)
    until = client.get(RETRY_ALL).context["until"]
    second = failed_job(ErrorCode.REJECTED)
    post(client, until=until, billed="9", all="Retry")
    assert (current_state(first), current_state(second)) == (State.PENDING, State.FAILED)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"all": "Retry"},
        {"until": "2026-01-31T08:00:00Z"},
        {"all": "Retry", "until": "2026-99-31T08:00:00Z", "billed": "1"},
        {"all": "Retry", "until": "2999-01-31T08:00:00", "billed": "1"},
        {"all": "Retry", "until": "2999-01-31T08:00:00Z", "billed": "-1"},
        {"all": "Retry", "until": "2999-01-31T08:00:00Z", "billed": "²"},
    ],
)
def test_incomplete_form_does_nothing(fields: dict[str, str]) -> None:
    """A form that this page did not make, or a changed one, retries nothing."""
    job = failed_job(ErrorCode.REJECTED)
    text = post(staff_client(VIEW, RETRY), **fields)
    assert "Retrying all will bill 1 document." in text
    assert current_state(job) == State.FAILED


def test_action_on_all_pages_of_the_list_leads_to_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The action on more jobs than a person can read keeps the filter and confirms numbers."""
    monkeypatch.setattr(jobs_admin, "MAX_SELECTED", 1)
    jobs = [failed_job(ErrorCode.TIMED_OUT, status_id=str(number)) for number in range(3)]
    fields = {"action": "retry_selected", "select_across": "1", "_selected_action": jobs[0].pk}
    response = staff_client(VIEW, RETRY).post(f"{LIST}?error_code=timed_out", fields, follow=True)
    assert response.redirect_chain[0][0] == f"{RETRY_ALL}?error_code=timed_out"
    assert response.context["counts"].resumed == 3


@pytest.mark.parametrize("query", ["?error_code=timed_out", "?q=late", "?state=failed&q=late"])
def test_filter_and_search_of_the_list_count(query: str) -> None:
    """Only the jobs that the list shows are retried."""
    shown = failed_job(ErrorCode.TIMED_OUT, name="late.pdf", status_id="1")
    hidden = failed_job(ErrorCode.STORAGE_ERROR, name="other.pdf", status_id="2")
    press(staff_client(VIEW, RETRY), query)
    assert (current_state(shown), current_state(hidden)) == (State.QUEUED, State.FAILED)


def test_long_retry_goes_on_with_another_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the time of a request is over, the page is shown again with what is left."""
    monkeypatch.setattr(retry_all, "MAX_SECONDS", -1.0)
    monkeypatch.setattr(bulk_retry, "BATCH_SIZE", 2)
    for number in range(3):
        failed_job(ErrorCode.TIMED_OUT, status_id=str(number))
    client = staff_client(VIEW, RETRY)
    text = press(client, button="all")
    assert "2 jobs are retried." in text
    assert "Confirm again to go on" in text
    assert "Retry 1 job" in text
    assert "Confirm again" not in press(client, button="all")
    assert not RenderJob.objects.filter(state=State.FAILED).exists()


def test_jobs_that_could_not_be_retried_are_told() -> None:
    """If the database refuses a job, the others are retried, and the page says so."""
    jobs = [failed_job(ErrorCode.TIMED_OUT, status_id=str(number)) for number in range(2)]
    client = staff_client(VIEW, RETRY)
    with rejecting(jobs[0].pk.hex, DatabaseError("deadlock")):
        text = press(client, button="all")
    assert "1 job is retried." in text
    assert "1 job could not be retried" in text


@pytest.mark.parametrize("query", ["", "?state__exact=completed", "?no_such_field=1", "?e=1"])
def test_nothing_to_retry_goes_back_to_the_list(query: str) -> None:
    """Without such a job, or with a wrong filter, nothing is asked and nothing is done."""
    create_admin_job(State.COMPLETED)
    client = staff_client(VIEW, RETRY)
    response = client.get(f"{RETRY_ALL}{query}", follow=True)
    assert response.redirect_chain
    assert RenderJob.objects.get().state == State.COMPLETED


@pytest.mark.parametrize("permissions", [[VIEW], [RETRY]])
def test_retrying_all_needs_the_permissions(permissions: list[str]) -> None:
    """Both to see jobs and to retry them is needed."""
    job = failed_job(ErrorCode.TIMED_OUT)
    client = staff_client(*permissions)
    assert client.get(RETRY_ALL).status_code == 403
    assert client.post(RETRY_ALL).status_code == 403
    assert current_state(job) == State.FAILED
    if VIEW in permissions:
        assert "Retry all failed jobs" not in get_text(client, LIST)
