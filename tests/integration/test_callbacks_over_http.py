"""Callbacks over HTTP: the sandbox calls the site's own view."""

import time

import pytest

from django_docraptor import lifecycle
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import enqueue, event_kinds, run_until_finished

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(sandbox: Sandbox, documents_dir, settings, live_server):
    """A site that the sandbox can call."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": live_server.url}
    return live_server


def wait_for_callback(job: RenderJob) -> RenderJob:
    """Wait until the callback has been recorded."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        job.refresh_from_db()
        if job.callback_at is not None:
            return job
        time.sleep(0.02)
    raise AssertionError("no callback came")


@pytest.mark.fault("W1")
def test_callback_makes_the_job_due(sandbox: Sandbox, site) -> None:
    """A callback makes the job due at once, so that one status call is enough."""
    job = enqueue()
    lifecycle.submit()
    wait_for_callback(job)
    assert RenderJob.objects.due().filter(pk=job.pk).exists()
    lifecycle.poll()
    lifecycle.download()
    job.refresh_from_db()
    assert job.state == State.COMPLETED
    assert sandbox.ledger.status_calls == 1


@pytest.mark.fault("W2")
def test_callback_before_the_create_response_is_kept(sandbox: Sandbox, site) -> None:
    """A callback that arrives before the create response makes the first poll due."""
    sandbox.add_fault(Fault(on="create", action="callback_first"))
    job = enqueue()
    lifecycle.submit()
    job.refresh_from_db()
    assert job.callback_at is not None
    assert job.state == State.QUEUED
    assert RenderJob.objects.due().filter(pk=job.pk).exists()
    assert run_until_finished(job).state == State.COMPLETED
    assert event_kinds(job)[:4] == ["enqueued", "submitting", "callback", "accepted"]


@pytest.mark.fault("W7")
def test_posted_urls_are_never_contacted(sandbox: Sandbox, site) -> None:
    """Nothing in the callback's body is used."""
    with Sandbox() as elsewhere:
        job = enqueue()
        lifecycle.submit()
        job = wait_for_callback(job)
        assert run_until_finished(job).state == State.COMPLETED
        assert elsewhere.calls == []
    paths = {request.path.split("/")[1] for request in sandbox.calls}
    assert paths <= {"async_docs", "docs", "status", "download", "doc_logs.json"}


@pytest.mark.fault("W8")
@pytest.mark.parametrize("action", ["drop", "late", "to_get"])
def test_job_without_a_callback_is_polled(sandbox: Sandbox, site, action: str) -> None:
    """A callback that is lost, late or sent with the wrong method is replaced by polling."""
    sandbox.add_fault(Fault(on="callback", action=action))
    assert run_until_finished(enqueue()).state == State.COMPLETED


@pytest.mark.fault("W5")
def test_duplicate_callbacks_add_one_event(sandbox: Sandbox, site) -> None:
    """Several deliveries of one callback add one event."""
    sandbox.add_fault(Fault(on="callback", action="duplicate", count=5))
    job = enqueue()
    lifecycle.submit()
    wait_for_callback(job)
    job = run_until_finished(job)
    assert event_kinds(job).count("callback") == 1
