"""Callbacks over the wire: the sandbox calls the site's own view. Rows W1, W2, W7 and W8."""

import time

import pytest

from django_docraptor import lifecycle
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import run_until_finished, enqueue, event_kinds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(sandbox: Sandbox, documents_dir, settings, live_server):
    """A site that DocRaptor can call."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": live_server.url}
    return live_server


def called_back(job: RenderJob) -> RenderJob:
    """Wait until the callback has been noted."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        job.refresh_from_db()
        if job.callback_at is not None:
            return job
        time.sleep(0.02)
    raise AssertionError("no callback came")


def test_W1_callback(sandbox: Sandbox, site) -> None:
    """The callback makes the job due at once: no waiting for the next poll."""
    job = enqueue()
    lifecycle.submit()
    called_back(job)
    assert RenderJob.objects.due().filter(pk=job.pk).exists()
    lifecycle.poll()
    lifecycle.download()
    job.refresh_from_db()
    assert job.state == State.COMPLETED
    assert sandbox.ledger.status_calls == 1


def test_W2_callback_before_the_create_returned(sandbox: Sandbox, site) -> None:
    """DocRaptor calls back before its answer to the create has come: no wake-up is lost."""
    sandbox.add_fault(Fault(on="create", action="callback_first"))
    job = enqueue()
    lifecycle.submit()
    job.refresh_from_db()
    assert job.callback_at is not None
    assert job.state == State.QUEUED
    assert RenderJob.objects.due().filter(pk=job.pk).exists()
    assert run_until_finished(job).state == State.COMPLETED
    assert event_kinds(job)[:4] == ["enqueued", "submitting", "callback", "accepted"]


def test_W7_nothing_that_is_posted_is_contacted(sandbox: Sandbox, site) -> None:
    """What the callback's body says is never looked at."""
    with Sandbox() as elsewhere:
        job = enqueue()
        lifecycle.submit()
        job = called_back(job)
        assert run_until_finished(job).state == State.COMPLETED
        assert elsewhere.requests == []
    paths = {request.path.split("/")[1] for request in sandbox.calls}
    assert paths <= {"async_docs", "docs", "status", "download", "doc_logs.json"}


@pytest.mark.parametrize("action", ["drop", "late", "to_get"])
def test_W8_no_callback(sandbox: Sandbox, site, action: str) -> None:
    """A callback that never comes, comes too late or by the wrong method: polling finishes."""
    sandbox.add_fault(Fault(on="callback", action=action))
    assert run_until_finished(enqueue()).state == State.COMPLETED


def test_W5_duplicate_callbacks(sandbox: Sandbox, site) -> None:
    """Many deliveries of one callback leave one line in the history."""
    sandbox.add_fault(Fault(on="callback", action="duplicate", count=5))
    job = enqueue()
    lifecycle.submit()
    called_back(job)
    job = run_until_finished(job)
    assert event_kinds(job).count("callback") == 1
