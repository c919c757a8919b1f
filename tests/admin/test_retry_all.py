"""The list of jobs: filter by error code, and retry all that can resume."""

import pytest
from django.test import Client

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

pytestmark = pytest.mark.django_db

RETRY_ALL = f"{LIST}retry-resumable/"


def press(client: Client, query: str = "") -> str:
    """Confirm the page and return the list that follows."""
    response = client.post(f"{RETRY_ALL}{query}", follow=True)
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
    """Confirming retries every job of the list that is not billed by it; a GET retries none."""
    resumed = [failed_job(ErrorCode.TIMED_OUT, status_id=str(number)) for number in range(3)]
    billed = failed_job(ErrorCode.REJECTED, status_id="rejected")
    client = staff_client(VIEW, RETRY)
    assert "Retry all jobs of this list that can resume" in get_text(client, LIST)
    text = get_text(client, RETRY_ALL)
    assert "3 jobs" in text
    assert "Nothing will be billed." in text
    assert RenderJob.objects.filter(state=State.FAILED).count() == 4
    assert "3 jobs will be retried. Nothing is billed." in press(client)
    assert [current_state(job) for job in resumed] == [State.QUEUED] * 3
    assert current_state(billed) == State.FAILED
    assert resumed[0].events.get(kind="retried").message.startswith("by staff-")


@pytest.mark.parametrize("query", ["?error_code=timed_out", "?q=late", "?state=failed&q=late"])
def test_filter_and_search_of_the_list_count(query: str) -> None:
    """Only the jobs that the list shows are retried."""
    shown = failed_job(ErrorCode.TIMED_OUT, name="late.pdf", status_id="1")
    hidden = failed_job(ErrorCode.STORAGE_ERROR, name="other.pdf", status_id="2")
    press(staff_client(VIEW, RETRY), query)
    assert (current_state(shown), current_state(hidden)) == (State.QUEUED, State.FAILED)


def test_bound_of_one_request_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """More jobs than a request may retry are retried by repeating the action."""
    monkeypatch.setattr(retry_all, "MAX_RETRIED", 2)
    for number in range(3):
        failed_job(ErrorCode.TIMED_OUT, status_id=str(number))
    client = staff_client(VIEW, RETRY)
    assert "There may be more" in get_text(client, RETRY_ALL)
    assert "There are more. Repeat the action" in press(client)
    assert "There are more" not in press(client)
    assert not RenderJob.objects.filter(state=State.FAILED).exists()


@pytest.mark.parametrize("query", ["", "?state=completed", "?no_such_field=1", "?e=1"])
def test_nothing_to_retry_goes_back_to_the_list(query: str) -> None:
    """Without such a job, or with a wrong filter, nothing is asked and nothing is done."""
    failed_job(ErrorCode.REJECTED)
    client = staff_client(VIEW, RETRY)
    response = client.get(f"{RETRY_ALL}{query}", follow=True)
    assert response.redirect_chain
    assert RenderJob.objects.get().state == State.FAILED


@pytest.mark.parametrize("permissions", [[VIEW], [RETRY]])
def test_retrying_all_needs_the_permissions(permissions: list[str]) -> None:
    """Both to see jobs and to retry them is needed."""
    job = failed_job(ErrorCode.TIMED_OUT)
    client = staff_client(*permissions)
    assert client.get(RETRY_ALL).status_code == 403
    assert client.post(RETRY_ALL).status_code == 403
    assert current_state(job) == State.FAILED
    if VIEW in permissions:
        assert "Retry all jobs" not in get_text(client, LIST)
