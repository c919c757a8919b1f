"""StatsD: what arrives at a UDP socket, and what does not wait."""

import re
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from django_docraptor.instrumentation import (
    CallMade,
    Event,
    JobMoved,
    QueueMeasured,
    StepTimed,
)
from django_docraptor.metrics import statsd
from tests.apps.shop.documents import InvoicePDF

JOB = uuid.uuid4()
OF_JOB: dict[str, Any] = {"job": JOB, "account": "default", "document": InvoicePDF.label}
MOVE = JobMoved(
    **OF_JOB,
    from_state="queued",
    to_state="failed",
    attempt=1,
    is_test=False,
    seconds_in_state=1.5,
    error_code="render_failed",
)


@pytest.fixture(autouse=True)
def server(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A UDP socket to which the receiver sends."""
    monkeypatch.setattr(statsd, "_sockets", {})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        port = server.getsockname()[1]
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"STATSD": {"port": port, "prefix": "shop"}}
        yield server
    for connection in statsd._sockets.values():
        if connection is not None:
            connection.close()


def sent(server: socket.socket, event: Event) -> list[str]:
    """Return the lines of the packet that an event is."""
    statsd.receive(event)
    return server.recv(65_536).decode().split("\n")


def test_call(server: socket.socket) -> None:
    """A call is a counter by outcome, a timer and its bytes."""
    call = CallMade(name="download", account="default", seconds=0.25, bytes_received=1000)
    assert sent(server, call) == [
        "shop.calls.download.ok:1|c",
        "shop.call.download:250.000|ms",
        "shop.received_bytes.download:1000|c",
    ]


def test_move(server: socket.socket) -> None:
    """A move is a counter of the new state and a timer of the old one; a failure has its code."""
    assert sent(server, MOVE) == [
        "shop.jobs.shop_InvoicePDF.failed:1|c",
        "shop.failed.shop_InvoicePDF.render_failed:1|c",
        "shop.state.shop_InvoicePDF.queued:1500.000|ms",
    ]


def test_step_and_queue(server: socket.socket) -> None:
    """A step is a timer; the queue is gauges, of all accounts and of each."""
    step = StepTimed(**OF_JOB, name="store", seconds=0.01)
    assert sent(server, step) == ["shop.step.shop_InvoicePDF.store:10.000|ms"]
    measured = {"state": "pending", "depth": 3, "lag_seconds": 1.0}
    lines = ["queue.pending.jobs:3|g", "queue.pending.lag_seconds:1.000|g"]
    assert sent(server, QueueMeasured(account="", **measured)) == [f"shop.{line}" for line in lines]
    assert sent(server, QueueMeasured(account="default", **measured)) == [
        f"shop.{line.replace('queue', 'account.default')}" for line in lines
    ]


def test_names_are_safe(server: socket.socket) -> None:
    """A name cannot add a metric of its own."""
    call = CallMade(name="a:1|c\nb", account="default", seconds=0.0)
    assert all(line.startswith("shop.") for line in sent(server, call))


def test_names_of_other_alphabets_stay_apart(server: socket.socket) -> None:
    """Two accounts are two metrics, also if none of their letters is ASCII."""
    measured = {"state": "pending", "depth": 3, "lag_seconds": 1.0}
    names = {
        sent(server, QueueMeasured(account=name, **measured))[0].split(".")[2]
        for name in ("北京", "上海", "müller", "möller", "acme", "acme:1|c")
    }
    assert len(names) == 6
    assert "acme" in names
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in names)


def test_unreachable_server_costs_nothing(settings: Any) -> None:
    """Nothing is raised if nothing listens, or the host's name is unknown."""
    for address in ({"port": 9}, {"host": "statsd.invalid"}):
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"STATSD": address}
        for _ in range(3):
            statsd.receive(MOVE)
