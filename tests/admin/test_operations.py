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
from django_docraptor.states import FINAL_STATES, ErrorCode, EventKind, State
from tests.support.admin_jobs import (
    CANCEL,
    LIST,
    RETRY,
    VIEW,
    client_with,
    confirm,
    failed,
    make_job,
    page,
    state_of,
    text_of,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("operation", "state", "permission"),
    [("retry", State.FAILED, RETRY), ("cancel", State.QUEUED, CANCEL)],
)
class TestOperationPermission:
    """Each operation has its own permission."""

    def test_operation_forbidden(self, operation: str, state: State, permission: str) -> None:
        """Who has the other permission only sees no button and gets 403."""
        job = make_job(state)
        other = client_with(VIEW, *({RETRY, CANCEL} - {permission}))
        assert f'href="{page(job, operation)}"' not in text_of(other, page(job))
        assert f"{operation}_selected" not in text_of(other, LIST)
        assert other.get(page(job, operation)).status_code == 403
        assert other.post(page(job, operation), {"fingerprint": "x"}).status_code == 403
        data = {"action": f"{operation}_selected", "_selected_action": job.pk, "fingerprint": "x"}
        other.post(LIST, data)
        assert state_of(job) == state

    def test_operation_allowed(self, operation: str, state: State, permission: str) -> None:
        """Who has it sees the button, and a GET of its address only asks."""
        job = make_job(state)
        allowed = client_with(VIEW, permission)
        assert f'href="{page(job, operation)}"' in text_of(allowed, page(job))
        assert 'name="fingerprint"' in text_of(allowed, page(job, operation))
        assert state_of(job) == state

    def test_operation_anonymous(self, operation: str, state: State, permission: str) -> None:
        """Whoever is not logged in is sent to the login."""
        job = make_job(state)
        response = Client().post(page(job, operation))
        assert response.status_code == 302
        assert "/login/" in response["Location"]
        assert state_of(job) == state

    def test_operation_csrf(self, operation: str, state: State, permission: str) -> None:
        """Another site's form does nothing."""
        job = make_job(state)
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.create_superuser("root"))
        asked = strict.get(page(job, operation))
        response = strict.post(
            page(job, operation), {"fingerprint": asked.context["plan"].fingerprint}
        )
        assert response.status_code == 403
        assert state_of(job) == state


# Retry


@pytest.mark.parametrize(
    ("make", "title", "text", "billed"),
    [
        (
            lambda: failed(ErrorCode.STATUS_UNAVAILABLE),
            "Not billed",
            "The job continues from there",
            0,
        ),
        (
            lambda: failed(ErrorCode.STORAGE_ERROR, download_id="d"),
            "Not billed",
            "The job continues from there",
            0,
        ),
        (lambda: failed(test=True), "Free", "Test documents are rendered again", 0),
        (
            lambda: failed(ErrorCode.TIMED_OUT, test=True),
            "Free",
            "Test documents are rendered again",
            0,
        ),
        (lambda: failed(), "Billed", "billed as a new one", 1),
        (
            lambda: failed(ErrorCode.TIMED_OUT),
            "May be billed twice",
            "may have been billed already",
            1,
        ),
        (
            lambda: failed(ErrorCode.STATUS_UNAVAILABLE, status_id=""),
            "May be billed twice",
            "may have been billed already",
            1,
        ),
    ],
)
def test_retry_says_what_it_costs(
    client: Client, make: Any, title: str, text: str, billed: int
) -> None:
    """The confirmation tells each case of the bill apart."""
    job = make()
    response = client.get(page(job, "retry"))
    (group,) = response.context["plan"].groups
    said = response.content.decode()
    assert group.outcome.title == title
    assert text in said
    assert response.context["plan"].billed_count == billed
    assert ("Confirming will bill 1 document." in said) == bool(billed)


def test_retry_confirmed(client: Client) -> None:
    """After the confirmation the job is pending, and its history says who did it."""
    job = failed()
    response = confirm(client, page(job, "retry"))
    assert response.redirect_chain == [(page(job), 302)]
    assert "1 job will be retried." in response.content.decode()
    assert state_of(job) == State.PENDING
    event = job.events.get(kind=EventKind.RETRIED)
    assert event.message == f"by staff-{VIEW}-{RETRY}-{CANCEL}"


def test_retry_resumes(client: Client) -> None:
    """A document that DocRaptor still has is fetched again, as was confirmed."""
    job = failed(ErrorCode.DOWNLOAD_FAILED, download_id="d")
    confirm(client, page(job, "retry"))
    assert state_of(job) == State.DOWNLOADING


def test_post_without_confirmation_asks(client: Client) -> None:
    """A POST that carries no confirmation shows the question."""
    job = failed()
    response = client.post(page(job, "retry"))
    assert response.status_code == 200
    assert state_of(job) == State.FAILED


def test_confirmation_of_something_else_asks_again(client: Client) -> None:
    """If the bill has changed since the question, nothing is done and it is asked anew."""
    job = failed(ErrorCode.DOWNLOAD_FAILED, download_id="d")
    fingerprint = client.get(page(job, "retry")).context["plan"].fingerprint
    RenderJob.objects.filter(pk=job.pk).update(error_code=ErrorCode.TIMED_OUT)
    response = client.post(page(job, "retry"), {"fingerprint": fingerprint})
    said = response.content.decode()
    assert "The jobs have changed since this page was shown" in said
    assert "May be billed twice" in said
    assert state_of(job) == State.FAILED


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED}))
def test_retry_of_what_has_not_failed(client: Client, state: State) -> None:
    """There is no button, and nothing to confirm."""
    job = make_job(state)
    assert page(job, "retry") not in text_of(client, page(job))
    response = client.post(page(job, "retry"), follow=True)
    assert "only failed jobs can be retried" in response.content.decode()
    assert state_of(job) == state


def test_unknown_job(client: Client) -> None:
    """An operation on a job that does not exist answers 404."""
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
    """DocRaptor has no cancel: the confirmation says what may be on the bill."""
    job = make_job(state, **columns)
    response = client.get(page(job, "cancel"))
    (group,) = response.context["plan"].groups
    assert group.outcome.title == title
    assert str(group.outcome.text) in response.content.decode()


def test_cancel_confirmed(client: Client) -> None:
    """After the confirmation the job is cancelled."""
    job = make_job(State.WORKING)
    response = confirm(client, page(job, "cancel"))
    assert "1 job was cancelled." in response.content.decode()
    assert state_of(job) == State.CANCELLED


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_cancel_of_what_is_over(client: Client, state: State) -> None:
    """There is no button, and nothing to confirm."""
    job = make_job(state)
    assert page(job, "cancel") not in text_of(client, page(job))
    response = client.post(page(job, "cancel"), follow=True)
    assert "only unfinished jobs can be cancelled" in response.content.decode()
    assert state_of(job) == state


# Many at once


def test_bulk_retry_asks_first(client: Client) -> None:
    """The action shows every job under what becomes of it, and how much is billed in all."""
    first, second, free = failed(), failed(ErrorCode.TIMED_OUT), failed(test=True)
    done = make_job(State.COMPLETED)
    chosen = [job.pk for job in (first, second, free, done)]
    response = client.post(LIST, {"action": "retry_selected", "_selected_action": chosen})
    plan = response.context["plan"]
    groups = {group.outcome.code: group.jobs for group in plan.groups}
    assert groups == {"billed": [first], "may_be_billed_twice": [second], "free": [free]}
    assert plan.skipped == [done]
    assert "Confirming will bill 2 documents." in response.content.decode()
    assert state_of(first) == State.FAILED


def test_bulk_retry_confirmed(client: Client) -> None:
    """The page's own form retries what failed and leaves the rest."""
    bad, done = failed(), make_job(State.COMPLETED)
    chosen = {"action": "retry_selected", "_selected_action": [bad.pk, done.pk]}
    asked = client.post(LIST, chosen)
    form = {
        "action": asked.context["action"],
        "_selected_action": [job.pk for job in asked.context["plan"].jobs],
        "fingerprint": asked.context["plan"].fingerprint,
    }
    response = client.post(LIST, form, follow=True)
    assert "1 job will be retried." in response.content.decode()
    assert (state_of(bad), state_of(done)) == (State.PENDING, State.COMPLETED)


def test_bulk_cancel_confirmed(client: Client) -> None:
    """Cancelling many works the same way."""
    many = [make_job(State.QUEUED), make_job(State.PENDING)]
    chosen = [job.pk for job in many]
    response = confirm(client, LIST, action="cancel_selected", _selected_action=chosen)
    assert "2 jobs were cancelled." in response.content.decode()
    assert {state_of(job) for job in many} == {State.CANCELLED}


def test_bulk_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """More jobs than a person would read are not taken at once."""
    monkeypatch.setattr(jobs, "MAX_SELECTED", 1)
    many = [failed(), failed()]
    chosen = [job.pk for job in many]
    response = client.post(
        LIST, {"action": "retry_selected", "_selected_action": chosen}, follow=True
    )
    assert "You can select at most 1 jobs at a time." in response.content.decode()


def test_confirmation_has_a_constant_number_of_queries(client: Client) -> None:
    """What a retry would cost is known from the rows that were read."""

    def ask(chosen: list[Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            client.post(LIST, {"action": "retry_selected", "_selected_action": chosen})
        return len(queries)

    many = [failed(ErrorCode.STORAGE_ERROR, download_id="d").pk for _ in range(20)]
    ask(many)
    assert ask(many) == ask(many[:2])
