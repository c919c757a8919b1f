"""Events for metrics: who is told, and what a receiver that raises disturbs."""

import ast
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import django_docraptor
from django_docraptor import instrumentation
from django_docraptor.instrumentation import QueueMeasured, publish, subscribe, unsubscribe
from django_docraptor.models import RenderJob

TRACE_PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
EVENT = QueueMeasured(account="default", state="pending", depth=1, lag_seconds=0.5)


@pytest.fixture(autouse=True)
def _receivers_end_with_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instrumentation, "receivers", [])
    monkeypatch.setattr(instrumentation, "_trace_sources", [])
    monkeypatch.setattr(instrumentation, "_last_warned_at", -instrumentation.WARNING_INTERVAL)


def fail(event: object) -> None:
    """A receiver that always raises."""
    raise RuntimeError("broken")


def test_receiver_gets_each_event_once() -> None:
    """A receiver gets each event once, however often it subscribed, until it unsubscribes."""
    received: list[Any] = []
    receive = received.append
    subscribe(receive)
    subscribe(receive)
    publish(EVENT)
    unsubscribe(receive)
    unsubscribe(receive)
    publish(EVENT)
    assert received == [EVENT]


@pytest.mark.fault("M1")
def test_receiver_that_raises_disturbs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that raises is logged once a minute; the others still get the event."""
    received: list[Any] = []
    subscribe(fail)
    subscribe(received.append)
    with caplog.at_level(logging.ERROR, "django_docraptor"):
        publish(EVENT)
        publish(EVENT)
    assert received == [EVENT, EVENT]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "QueueMeasured" in caplog.text
    assert "broken" in caplog.text


def test_events_cannot_be_changed() -> None:
    """All receivers get the same object, so none can change it."""
    with pytest.raises(AttributeError):
        EVENT.depth = 2  # type: ignore[misc]


def test_trace_of_the_first_source_that_has_one() -> None:
    """A job keeps the traceparent of the first source that knows one; one that raises has none."""
    assert instrumentation.current_trace_parent() == ""

    def broken() -> str:
        raise RuntimeError("broken")

    subscribe(fail, trace_source=broken)
    subscribe(publish, trace_source=lambda: "x" * 1000)  # a row has no room for it
    assert instrumentation.current_trace_parent() == ""
    subscribe(publish, trace_source=lambda: TRACE_PARENT)
    assert instrumentation.current_trace_parent() == TRACE_PARENT


@pytest.mark.parametrize(
    "invalid",
    [
        "",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'b' * 16}-01",
        f"{TRACE_PARENT}-more",
        f"{TRACE_PARENT}\n",
    ],
)
def test_invalid_trace_is_not_kept(invalid: str) -> None:
    """A job keeps nothing that W3C calls invalid, whatever a client has sent."""
    subscribe(fail, trace_source=lambda: invalid)
    assert instrumentation.current_trace_parent() == ""


@pytest.mark.parametrize("value", [None, b"00", 7])
def test_source_of_traces_that_is_broken(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A source that returns no text is logged once a minute, as one that raises."""
    subscribe(fail, trace_source=lambda: value)
    with caplog.at_level(logging.ERROR, "django_docraptor"):
        for _ in range(3):
            assert instrumentation.current_trace_parent() == ""
    assert len(caplog.records) == 1
    assert __name__ in caplog.text


def logger_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a logger that writes a record about a job, with its place."""
    for path in sorted(Path(django_docraptor.__file__).parent.rglob("*.py")):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            is_call = isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger.")
            if is_call and "Job %s" in (ast.get_source_segment(source, node) or ""):
                yield f"{path.name}:{node.lineno}", node


@pytest.mark.once
def test_every_record_about_a_job_has_its_fields() -> None:
    """A formatter that names a field finds it in each record about a job."""
    calls = dict(logger_calls())
    assert len(calls) > 20
    assert [
        place
        for place, call in calls.items()
        if not any(
            each.arg == "extra" and ast.unparse(each.value).startswith("log_fields(")
            for each in call.keywords
        )
    ] == []


def test_log_fields_read_no_database() -> None:
    """A log record about a job has four fields, also if the row has not been read whole."""
    job = RenderJob(id=uuid.UUID(int=1), account="acme", document="shop.InvoicePDF", attempt=2)
    expected = {"job": str(job.pk), "attempt": 2, "account": "acme", "document": "shop.InvoicePDF"}
    assert instrumentation.log_fields(job) == expected
    del job.account  # deferred: access would read it
    assert instrumentation.log_fields(job) == expected | {"account": None}
