"""Who may try again: owners, three times, for free, and only if it can help."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from django_docraptor.explanations import CODES
from django_docraptor.models import RenderJob
from django_docraptor.responses.retries import may_retry, owner_retries_left
from django_docraptor.shortcuts import retry
from django_docraptor.states import ErrorCode, State
from tests.support.jobs import enqueue
from tests.support.pages import create_staff

pytestmark = pytest.mark.django_db


def fail(job: RenderJob, code: str = ErrorCode.SUBMIT_FAILED, **columns: Any) -> RenderJob:
    """Put the job into the failed state."""
    RenderJob.objects.filter(pk=job.pk).update(
        state=State.FAILED, due_at=None, error_code=code, **columns
    )
    return RenderJob.objects.get(pk=job.pk)


def make_request(rf: RequestFactory, user: Any) -> HttpRequest:
    """Return a user's request."""
    request: HttpRequest = rf.get("/")
    request.user = user
    return request


def test_owner_may_retry_three_times(request_: HttpRequest, owner: Any) -> None:
    """Then the button is gone, whatever fails."""
    job, left = fail(enqueue(owner=owner)), []
    for _ in range(5):
        if not may_retry(request_, job):
            break
        left.append(owner_retries_left(job))
        assert retry(job, by=owner)
        job = fail(job)
    assert left == [3, 2, 1]
    assert job.events.filter(kind="retried").count() == 3


def test_retries_of_others_do_not_count(
    request_: HttpRequest, owner: Any, rf: RequestFactory
) -> None:
    """What staff and commands do leaves the owner's tries as they are; theirs have no limit."""
    staff = create_staff("retry_renderjob", "view_renderjob")
    job = fail(enqueue(owner=owner))
    for by in (staff, staff, None, staff):
        assert may_retry(make_request(rf, staff), job)
        assert retry(job, by=by)
        job = fail(job)
    assert owner_retries_left(job) == 3
    assert may_retry(request_, job)


def test_job_without_an_owner_has_no_owner_who_may_retry(rf: RequestFactory) -> None:
    """An unsaved user has no key, as the job has no owner: that is no match."""
    job = fail(enqueue())
    unsaved: Any = SimpleNamespace(pk=None, get_username=lambda: "x")
    assert not may_retry(make_request(rf, unsaved), job)
    assert retry(job, by=unsaved)
    assert job.events.get(kind="retried").detail == {}


@pytest.mark.parametrize("code", sorted(ErrorCode))
def test_owner_may_retry_only_what_can_help(
    request_: HttpRequest, owner: Any, code: ErrorCode
) -> None:
    """Where a correction is needed, the owner is not offered a try that must fail."""
    job = fail(enqueue(owner=owner, test=True), code)
    assert may_retry(request_, job) == CODES[code].can_help


def test_staff_may_retry_what_they_have_corrected(owner: Any, rf: RequestFactory) -> None:
    """A user with the permission decides, also where a retry alone does not help."""
    staff = create_staff("retry_renderjob", "view_renderjob")
    job = fail(enqueue(owner=owner), ErrorCode.TEMPLATE_ERROR)
    assert may_retry(make_request(rf, staff), job)
