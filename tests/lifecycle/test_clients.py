"""Calls of DocRaptor's API are published for metrics, and the response's ID is in the history."""

import logging
from io import BytesIO
from typing import Any

import pytest

from django_docraptor import instrumentation, lifecycle, render_now
from django_docraptor.exceptions import DocRaptorError
from django_docraptor.instrumentation import CallMade, StepTimed
from django_docraptor.lifecycle.clients import open_client
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import EventKind
from tests.support.jobs import enqueue, run_until_finished
from tests.support.socket_server import SocketServer, respond

pytestmark = pytest.mark.django_db(transaction=True)


def calls(events: list[Any]) -> list[CallMade]:
    """Return the published calls."""
    return [event for event in events if isinstance(event, CallMade)]


def test_calls_of_a_document(sandbox: Sandbox, documents_dir: Any, events: list[Any]) -> None:
    """Each call is published with its job, status, size, duration and DocRaptor's ID."""
    job = run_until_finished(enqueue())
    names = [call.name for call in calls(events)]
    assert names[0] == "create_async_doc"
    assert set(names[1:-1]) == {"get_status"}
    assert names[-1] == "download"
    for call in calls(events):
        assert (call.job, call.account, call.status, call.error_code) == (
            *(job.pk, "default", 200),
            "",
        )
        assert call.request_id
        assert call.seconds > 0
    assert calls(events)[-1].bytes_received == job.file_size
    steps = [event.name for event in events if isinstance(event, StepTimed)]
    assert steps == ["render", "store"]


def test_request_ids_of_successes_are_kept(sandbox: Sandbox, documents_dir: Any) -> None:
    """The history has the ID of the response to the create, of the last status, and of the file."""
    job = run_until_finished(enqueue())
    ids = {
        event.kind: event.detail.get("request_id")
        for event in job.events.filter(
            kind__in=(EventKind.ACCEPTED, EventKind.RENDERED, EventKind.COMPLETED)
        )
    }
    assert len(ids) == 3
    assert all(ids.values())
    assert len(set(ids.values())) == 3
    submitting = job.events.get(kind=EventKind.SUBMITTING)
    assert "request_id" not in submitting.detail


def test_failed_call_has_its_code_and_status(sandbox: Sandbox, events: list[Any]) -> None:
    """A call that DocRaptor refuses is published with status and code, one without a job, too."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=500, times=1))
    with pytest.raises(DocRaptorError):
        render_now(BytesIO(), name="a.pdf", content="<p>x</p>")
    (call,) = calls(events)
    assert (call.name, call.status, call.job) == ("create_doc", 500, None)
    assert call.error_code


def test_unexpected_error_is_published(sandbox: Sandbox, events: list[Any]) -> None:
    """What a custom client raises has one code for all: its class is not a label."""

    def fail(client: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_client("default").call("get_status", fail)
    assert [call.error_code for call in calls(events)] == ["unexpected"]


@pytest.mark.fault("M1")
def test_broken_receiver_loses_no_document(
    sandbox: Sandbox, documents_dir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that raises for each event disturbs no step."""

    def fail(event: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(instrumentation, "receivers", [fail])
    job = run_until_finished(enqueue())
    assert job.state == "completed"
    assert len(sandbox.ledger.accepted()) == 1


def test_log_records_carry_the_job(
    sandbox: Sandbox, documents_dir: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What the engine logs about a job has its fields, for a log that is searched by them."""
    job = enqueue()
    with caplog.at_level(logging.INFO, "django_docraptor"):
        lifecycle.submit()
    records = [record for record in caplog.records if "Job " in record.getMessage()]
    assert records
    for record in records:
        fields = vars(record)
        assert (fields["job"], fields["account"], fields["document"]) == (
            str(job.pk),
            "default",
            "",
        )
        assert fields["attempt"] == RenderJob.objects.get(pk=job.pk).attempt


def test_request_id_is_redacted(settings: Any) -> None:
    """A response that repeats the API key in its ID leaves no key in the history."""
    key = "a-key-of-this-test"
    response = respond(b'{"status_id": "abc"}', headers={"X-Request-Id": f"r {key}"})
    with SocketServer(response) as server:
        settings.DOCRAPTOR = settings.DOCRAPTOR | {
            "BASE_URL": server.url,
            "API_KEY": key,
            "RUNNER": "none",
        }
        job = enqueue()
        lifecycle.submit()
    detail = job.events.get(kind=EventKind.ACCEPTED).detail
    assert detail["request_id"].startswith("r ")
    assert key not in str(detail)
