"""OpenTelemetry: a span for each state, call and step of a job, below the request that enqueued it.

Only ``opentelemetry-api`` is imported; the project's SDK decides where spans go. Each job keeps the
``traceparent`` of the span in which it was enqueued, so all spans of the job are in that trace,
whichever process makes them. Without one, the trace has the job's ID.
"""

import time
import uuid
from collections.abc import Mapping
from typing import TypeAlias

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from django_docraptor.instrumentation import CallMade, Event, JobMoved, StepTimed
from django_docraptor.states import State

NANOSECONDS = 1_000_000_000
Attributes: TypeAlias = Mapping[str, str | int | float | bool]

_propagator = TraceContextTextMapPropagator()


def trace_parent() -> str:
    """Return the W3C ``traceparent`` of the current span; "" without one."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


def receive(event: Event) -> None:
    """Make a span of an event. Measurements of the queue are not part of a trace."""
    match event:
        case CallMade():
            _add_span(
                f"docraptor {event.name}",
                event,
                event.seconds,
                kind=SpanKind.CLIENT,
                error=event.error_code,
                attributes={
                    "http.response.status_code": event.status,
                    "http.response.body.size": event.bytes_received,
                    "docraptor.request_id": event.request_id,
                },
            )
        case JobMoved() if not event.from_state:
            _add_span("docraptor enqueue", event, 0.0, kind=SpanKind.PRODUCER)
        case JobMoved():
            _add_span(
                f"docraptor {event.from_state}",
                event,
                event.seconds_in_state or 0.0,
                error=event.error_code if event.to_state == State.FAILED else "",
                attributes={
                    "docraptor.to_state": event.to_state,
                    "docraptor.attempt": event.attempt,
                    "docraptor.test": event.is_test,
                },
            )
        case StepTimed():
            _add_span(f"docraptor {event.name}", event, event.seconds)


def _add_span(
    name: str,
    event: CallMade | JobMoved | StepTimed,
    seconds: float,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    error: str = "",
    attributes: Attributes | None = None,
) -> None:
    """Make a span that ends now and took so many seconds."""
    ended_at = time.time_ns()
    own: dict[str, str | int | float | bool] = {
        "docraptor.account": event.account,
        "docraptor.document": event.document,
        **(attributes or {}),
    }
    if event.job is not None:
        own["docraptor.job"] = str(event.job)
    parent = event.trace_parent or _parent_of(event.job)
    span = trace.get_tracer("django_docraptor").start_span(
        name,
        context=_propagator.extract({"traceparent": parent}) if parent else None,
        kind=kind,
        attributes=own,
        start_time=ended_at - round(seconds * NANOSECONDS),
    )
    if error:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR, error)
    span.end(end_time=ended_at)


def _parent_of(job: uuid.UUID | None) -> str:
    """Return a ``traceparent`` that all spans of a job have in common; "" without a job."""
    return f"00-{job.hex}-{job.hex[:16]}-01" if job else ""
