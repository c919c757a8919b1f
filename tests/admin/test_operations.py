"""Operations on jobs in the admin: who may retry and cancel, what is confirmed, what is billed."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_docraptor.admin import jobs
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import FINAL_STATES, HELD_UNTIL, ErrorCode, EventKind, State
from tests.support.admin_jobs import (
    CANCEL,
    LIST,
    RETRY,
    VIEW,
    confirm,
    create_admin_job,
    current_state,
    failed_job,
    get_text,
    job_url,
    staff_client,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("operation", "state", "permission"),
    [("retry", State.FAILED, RETRY), ("cancel", State.QUEUED, CANCEL)],
)
class TestOperationPermission:
    """Each operation has its own permission."""

    def test_operation_needs_its_permission(
        self, operation: str, state: State, permission: str
    ) -> None:
        """A user with the other permission only sees no button and gets 403."""
        job = create_admin_job(state)
        other = staff_client(VIEW, *({RETRY, CANCEL} - {permission}))
        assert f'href="{job_url(job, operation)}"' not in get_text(other, job_url(job))
        assert f"{operation}_selected" not in get_text(other, LIST)
        assert other.get(job_url(job, operation)).status_code == 403
        assert other.post(job_url(job, operation), {"fingerprint": "x"}).status_code == 403
        data = {"action": f"{operation}_selected", "_selected_action": job.pk, "fingerprint": "x"}
        other.post(LIST, data)
        assert current_state(job) == state

    def test_get_of_an_operation_only_asks(
        self, operation: str, state: State, permission: str
    ) -> None:
        """A permitted user sees the button, and a GET shows the confirmation."""
        job = create_admin_job(state)
        allowed = staff_client(VIEW, permission)
        assert f'href="{job_url(job, operation)}"' in get_text(allowed, job_url(job))
        assert 'name="fingerprint"' in get_text(allowed, job_url(job, operation))
        assert current_state(job) == state

    def test_operation_redirects_anonymous_users_to_the_login(
        self, operation: str, state: State, permission: str
    ) -> None:
        """An anonymous user is redirected to the login."""
        job = create_admin_job(state)
        response = Client().post(job_url(job, operation))
        assert response.status_code == 302
        assert "/login/" in response["Location"]
        assert current_state(job) == state

    def test_operation_needs_a_csrf_token(
        self, operation: str, state: State, permission: str
    ) -> None:
        """A form of another site does nothing."""
        job = create_admin_job(state)
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.create_superuser("root"))
        asked = strict.get(job_url(job, operation))
        response = strict.post(
            job_url(job, operation), {"fingerprint": asked.context["plan"].fingerprint}
        )
        assert response.status_code == 403
        assert current_state(job) == state


# Retry


@pytest.mark.parametrize(
    ("make", "title", "text", "billed"),
    [
        (
            lambda: failed_job(ErrorCode.STATUS_UNAVAILABLE),
            "Not billed",
            "The job continues from there",
            0,
        ),
        (
            lambda: failed_job(ErrorCode.STORAGE_ERROR, download_id="d"),
            "Not billed",
            "The job continues from there",
            0,
        ),
        (lambda: failed_job(test=True), "Free", "Test documents are rendered again", 0),
        (
            lambda: failed_job(ErrorCode.TIMED_OUT),
            "Not billed",
            "If DocRaptor no longer has it, the job fails again",
            0,
        ),
        (
            lambda: failed_job(ErrorCode.DOCUMENT_GONE, test=True),
            "Free",
            "Test documents are rendered again",
            0,
        ),
        (lambda: failed_job(), "Billed", "billed as a new one", 1),
        (
            lambda: failed_job(ErrorCode.DOCUMENT_GONE),
            "May be billed twice",
            "may have been billed already",
            1,
        ),
        (
            lambda: failed_job(ErrorCode.STATUS_UNAVAILABLE, status_id=""),
            "May be billed twice",
            "may have been billed already",
            1,
        ),
    ],
)
def test_retry_says_what_it_costs(
    client: Client, make: Any, title: str, text: str, billed: int
) -> None:
    """The confirmation distinguishes every case of billing."""
    job = make()
    response = client.get(job_url(job, "retry"))
    (group,) = response.context["plan"].groups
    said = response.content.decode()
    assert group.outcome.title == title
    assert text in said
    assert response.context["plan"].billed_count == billed
    assert ("Confirming will bill 1 document." in said) == bool(billed)


def test_confirmed_retry_makes_the_job_pending(client: Client) -> None:
    """After the confirmation the job is pending, and its event names the user."""
    job = failed_job()
    response = confirm(client, job_url(job, "retry"))
    assert response.redirect_chain == [(job_url(job), 302)]
    assert "1 job will be retried." in response.content.decode()
    assert current_state(job) == State.PENDING
    event = job.events.get(kind=EventKind.RETRIED)
    assert event.message == f"by staff-{VIEW}-{RETRY}-{CANCEL}"


def test_confirmed_retry_resumes_the_download(client: Client) -> None:
    """A document that DocRaptor still has is downloaded again, as confirmed."""
    job = failed_job(ErrorCode.DOWNLOAD_FAILED, download_id="d")
    confirm(client, job_url(job, "retry"))
    assert current_state(job) == State.DOWNLOADING


def test_post_without_confirmation_asks(client: Client) -> None:
    """A POST without a confirmation shows the question."""
    job = failed_job()
    response = client.post(job_url(job, "retry"))
    assert response.status_code == 200
    assert current_state(job) == State.FAILED


def test_outdated_confirmation_asks_again(client: Client) -> None:
    """If the costs have changed since the question, it is repeated and nothing is done."""
    job = failed_job(ErrorCode.DOWNLOAD_FAILED, download_id="d")
    fingerprint = client.get(job_url(job, "retry")).context["plan"].fingerprint
    RenderJob.objects.filter(pk=job.pk).update(error_code=ErrorCode.DOCUMENT_GONE)
    response = client.post(job_url(job, "retry"), {"fingerprint": fingerprint})
    said = response.content.decode()
    assert "The jobs have changed since this page was shown" in said
    assert "May be billed twice" in said
    assert current_state(job) == State.FAILED


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED}))
def test_retry_of_a_job_that_has_not_failed_is_refused(client: Client, state: State) -> None:
    """There is no button, and a POST is refused."""
    job = create_admin_job(state)
    assert job_url(job, "retry") not in get_text(client, job_url(job))
    response = client.post(job_url(job, "retry"), follow=True)
    assert "only failed jobs can be retried" in response.content.decode()
    assert current_state(job) == state


def test_operation_on_an_unknown_job_is_404(client: Client) -> None:
    """An operation on a job that does not exist gets 404."""
    missing = UUID(int=1)
    assert client.post(f"{LIST}{missing}/retry/").status_code == 404


# Cancel


@pytest.mark.parametrize(
    ("state", "columns", "title"),
    [
        (State.PENDING, {}, "Not billed"),
        (State.QUEUED, {"test": True}, "Free"),
        (State.SUBMITTING, {}, "May be billed"),
        (State.UNCONFIRMED, {}, "May be billed"),
        (State.QUEUED, {}, "May be billed"),
        (State.WORKING, {}, "May be billed"),
        (State.DOWNLOADING, {}, "Already billed"),
    ],
)
def test_cancel_says_what_it_costs(
    client: Client, state: State, columns: dict[str, Any], title: str
) -> None:
    """The confirmation says what may be billed, since DocRaptor cannot cancel."""
    job = create_admin_job(state, **columns)
    response = client.get(job_url(job, "cancel"))
    (group,) = response.context["plan"].groups
    assert group.outcome.title == title
    assert str(group.outcome.text) in response.content.decode()


def test_confirmed_cancel_cancels_the_job(client: Client) -> None:
    """After the confirmation the job is cancelled."""
    job = create_admin_job(State.WORKING)
    response = confirm(client, job_url(job, "cancel"))
    assert "1 job was cancelled." in response.content.decode()
    assert current_state(job) == State.CANCELLED


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_cancel_of_a_finished_job_is_refused(client: Client, state: State) -> None:
    """There is no button, and a POST is refused."""
    job = create_admin_job(state)
    assert job_url(job, "cancel") not in get_text(client, job_url(job))
    response = client.post(job_url(job, "cancel"), follow=True)
    assert "only unfinished jobs can be cancelled" in response.content.decode()
    assert current_state(job) == state


# Release


def held_job(**columns: Any) -> Any:
    """Return a held production job."""
    return create_admin_job(State.PENDING, held_at=Now(), due_at=HELD_UNTIL, **columns)


@pytest.mark.parametrize(("test", "code"), [(False, "sent"), (True, "sent_free")])
def test_release_says_what_it_costs(client: Client, test: bool, code: str) -> None:
    """The confirmation says that the job is billed, unless it is a test document."""
    job = held_job(test=test)
    response = client.get(job_url(job, "release"))
    assert [group.outcome.code for group in response.context["plan"].groups] == [code]
    assert response.context["plan"].billed_count == (0 if test else 1)


def test_confirmed_release_releases_the_job(client: Client) -> None:
    """After the confirmation the job is due, and its history names the user."""
    job = held_job()
    response = confirm(client, job_url(job, "release"))
    assert "1 job was released." in response.content.decode()
    assert RenderJob.objects.due().get() == job
    assert job.events.get(kind=EventKind.RELEASED).message.startswith("by ")


def test_held_jobs_are_listed_and_released_by_an_action(client: Client) -> None:
    """The list has a filter for held jobs and says so; one action releases all of them."""
    many, other = [held_job(), held_job()], create_admin_job(State.PENDING)
    text = get_text(client, LIST, {"held": "1"})
    assert "2 jobs are held" in text
    assert "held: release it, or cancel it" in text
    assert str(other.pk) not in text
    chosen = [job.pk for job in (*many, other)]
    response = confirm(client, LIST, action="release_selected", _selected_action=chosen)
    assert "2 jobs were released." in response.content.decode()
    assert not RenderJob.objects.held().exists()


def test_release_of_a_waiting_job_is_refused(client: Client) -> None:
    """There is no button for a job that is not held."""
    job = create_admin_job(State.PENDING)
    assert job_url(job, "release") not in get_text(client, job_url(job))
    response = client.post(job_url(job, "release"), follow=True)
    assert "only held jobs can be released" in response.content.decode()


# Actions


def test_retry_action_asks_first(client: Client) -> None:
    """The action lists each job under its outcome, and says how many documents are billed."""
    first, second, free = failed_job(), failed_job(ErrorCode.DOCUMENT_GONE), failed_job(test=True)
    done = create_admin_job(State.COMPLETED)
    chosen = [job.pk for job in (first, second, free, done)]
    response = client.post(LIST, {"action": "retry_selected", "_selected_action": chosen})
    plan = response.context["plan"]
    groups = {group.outcome.code: group.jobs for group in plan.groups}
    assert groups == {"billed": [first], "may_be_billed_twice": [second], "free": [free]}
    assert plan.skipped == [done]
    assert "Confirming will bill 2 documents." in response.content.decode()
    assert current_state(first) == State.FAILED


def test_confirmed_retry_action_retries_failed_jobs_only(client: Client) -> None:
    """The confirmed action retries failed jobs and leaves the others."""
    bad, done = failed_job(), create_admin_job(State.COMPLETED)
    chosen = {"action": "retry_selected", "_selected_action": [bad.pk, done.pk]}
    asked = client.post(LIST, chosen)
    form = {
        "action": asked.context["action"],
        "_selected_action": [job.pk for job in asked.context["plan"].jobs],
        "fingerprint": asked.context["plan"].fingerprint,
    }
    response = client.post(LIST, form, follow=True)
    assert "1 job will be retried." in response.content.decode()
    assert (current_state(bad), current_state(done)) == (State.PENDING, State.COMPLETED)


def test_confirmed_cancel_action_cancels_all_jobs(client: Client) -> None:
    """The confirmed action cancels all selected jobs."""
    many = [create_admin_job(State.QUEUED), create_admin_job(State.PENDING)]
    chosen = [job.pk for job in many]
    response = confirm(client, LIST, action="cancel_selected", _selected_action=chosen)
    assert "2 jobs were cancelled." in response.content.decode()
    assert {current_state(job) for job in many} == {State.CANCELLED}


def test_actions_are_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An action takes no more jobs than a person can check."""
    monkeypatch.setattr(jobs, "MAX_SELECTED", 1)
    many = [create_admin_job(State.QUEUED), create_admin_job(State.QUEUED)]
    chosen = [job.pk for job in many]
    response = client.post(
        LIST, {"action": "cancel_selected", "_selected_action": chosen}, follow=True
    )
    assert "You can select at most 1 jobs at a time." in response.content.decode()


def test_confirmation_has_a_constant_number_of_queries(client: Client) -> None:
    """The cost of a retry is computed from the rows that were read."""

    def ask(chosen: list[Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            client.post(LIST, {"action": "retry_selected", "_selected_action": chosen})
        return len(queries)

    many = [failed_job(ErrorCode.STORAGE_ERROR, download_id="d").pk for _ in range(20)]
    ask(many)
    assert ask(many) == ask(many[:2])
