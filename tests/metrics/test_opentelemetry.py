"""OpenTelemetry: a document's spans are one trace, from the request to the stored file."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from django_docraptor import instrumentation
from django_docraptor.callback_urls import make_token
from django_docraptor.instrumentation import CallMade
from django_docraptor.metrics import opentelemetry
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from tests.support.jobs import enqueue, run_until_finished

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Subscribe the receiver, with an SDK that keeps the spans in memory."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    subscription = {"trace_source": opentelemetry.trace_parent}
    instrumentation.subscribe(opentelemetry.receive, **subscription)
    yield exporter
    instrumentation.unsubscribe(opentelemetry.receive, **subscription)


def spans_of(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """Return the finished spans by name, the last of each."""
    return {span.name: span for span in exporter.get_finished_spans()}


def test_spans_of_a_document_are_one_trace(
    sandbox: Sandbox, documents_dir: Any, exporter: InMemorySpanExporter
) -> None:
    """From the request that enqueues to the stored file, each part is below the request's span."""
    with trace.get_tracer("web").start_as_current_span("POST /invoices/") as request:
        job = enqueue()
    assert job.trace_parent.split("-")[1] == f"{request.get_span_context().trace_id:032x}"
    exporter.clear()
    run_until_finished(RenderJob.objects.get(pk=job.pk))
    spans = spans_of(exporter)
    assert {
        "docraptor pending",
        "docraptor render",
        "docraptor create_async_doc",
        "docraptor get_status",
        "docraptor download",
        "docraptor store",
        "docraptor downloading",
    } <= spans.keys()
    for span in spans.values():
        assert span.context.trace_id == request.get_span_context().trace_id, span.name
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id
        assert span.attributes is not None
        assert span.attributes["docraptor.job"] == str(job.pk)
        assert span.start_time <= span.end_time  # type: ignore[operator]
    assert spans["docraptor download"].attributes["http.response.status_code"] == 200  # type: ignore[index]


def test_job_without_a_trace_has_one_of_its_own(
    sandbox: Sandbox, documents_dir: Any, exporter: InMemorySpanExporter
) -> None:
    """What a command or cron enqueues is one trace, too: that of the job's ID."""
    job = run_until_finished(enqueue())
    assert job.trace_parent == ""
    spans = exporter.get_finished_spans()
    assert len(spans) > 5
    assert {span.context.trace_id for span in spans} == {job.pk.int}
    assert spans[0].name == "docraptor enqueue"


def test_callback_is_part_of_the_trace(sandbox: Sandbox, exporter: InMemorySpanExporter) -> None:
    """A callback, which comes in a request of its own, is in the job's trace."""
    job = run_until_finished(enqueue(), until=lambda job: bool(job.status_id))
    url = reverse("django_docraptor:callback", args=[make_token(job.pk, job.attempt)])
    assert Client().post(url).status_code == 204
    assert spans_of(exporter)["docraptor callback"].context.trace_id == job.pk.int


def test_failures_are_errors(sandbox: Sandbox, exporter: InMemorySpanExporter) -> None:
    """A failed call, and the state in which a job failed, have the status of an error."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422))
    job = run_until_finished(enqueue())
    spans = spans_of(exporter)
    call, state = spans["docraptor create_async_doc"], spans["docraptor submitting"]
    for span, code in ((call, "rejected"), (state, job.error_code)):
        assert span.status.status_code == StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] == code


def test_call_without_a_job_has_no_parent(exporter: InMemorySpanExporter) -> None:
    """A call that belongs to no job is a span of whatever span is current, or of none."""
    opentelemetry.receive(CallMade(name="list_doc_logs", account="default", seconds=0.5))
    (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert span.end_time - span.start_time == 500_000_000  # type: ignore[operator]
    assert uuid.UUID(int=span.context.trace_id)
