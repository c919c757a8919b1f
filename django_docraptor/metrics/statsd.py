"""StatsD: counters, timers and gauges by UDP. It needs no package.

``DOCRAPTOR["STATSD"]`` has ``host`` (127.0.0.1), ``port`` (8125) and ``prefix`` (docraptor). A
packet that cannot be sent is lost, and nothing waits for it. The host's name is resolved once per
process.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any
from zlib import crc32

from django_docraptor.conf import conf
from django_docraptor.instrumentation import CallMade, Event, JobMoved, QueueMeasured, StepTimed
from django_docraptor.metrics.labels import account_label, document_label, outcome_label
from django_docraptor.states import State

DEFAULTS = {"host": "127.0.0.1", "port": 8125, "prefix": "docraptor"}
# What is not in a name: dots, colons and bars have a meaning.
UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")

_lock = threading.Lock()
_sockets: dict[tuple[str, int], socket.socket | None] = {}


def receive(event: Event) -> None:
    """Send an event in one packet."""
    settings: dict[str, Any] = {**DEFAULTS, **conf.statsd}
    prefix = str(settings["prefix"])
    lines = [f"{prefix}.{line}" if prefix else line for line in _lines(event)]
    connection = _connection(str(settings["host"]), int(settings["port"]))
    if connection is not None and lines:
        with suppress(OSError):  # no server listens, or the buffer is full
            connection.send("\n".join(lines).encode())


def _connection(host: str, port: int) -> socket.socket | None:
    """Return a socket that does not wait; ``None`` if the name is unknown."""
    with _lock:
        if (host, port) not in _sockets:
            _sockets[host, port] = _connect(host, port)
        return _sockets[host, port]


def _connect(host: str, port: int) -> socket.socket | None:
    try:
        family, kind, protocol, _name, server = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM
        )[0]
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        connection.connect(server)
    except OSError:
        return None
    return connection


def _lines(event: Event) -> Iterator[str]:
    match event:
        case CallMade():
            yield f"calls.{_safe(event.name)}.{_safe(outcome_label(event.error_code))}:1|c"
            yield _timer(f"call.{_safe(event.name)}", event.seconds)
            yield f"received_bytes.{_safe(event.name)}:{event.bytes_received}|c"
        case JobMoved():
            document = _safe(document_label(event.document))
            yield f"jobs.{document}.{event.to_state}:1|c"
            if event.to_state == State.FAILED:
                yield f"failed.{document}.{_safe(event.error_code)}:1|c"
            if event.seconds_in_state is not None:
                yield _timer(f"state.{document}.{event.from_state}", event.seconds_in_state)
        case StepTimed():
            document = _safe(document_label(event.document))
            yield _timer(f"step.{document}.{_safe(event.name)}", event.seconds)
        case QueueMeasured():
            yield from _gauges(event)


def _gauges(event: QueueMeasured) -> Iterator[str]:
    if event.account and account_label(event.account) != event.account:  # several are not one
        return
    name = f"account.{_safe(event.account)}" if event.account else "queue"
    yield f"{name}.{event.state}.jobs:{event.depth}|g"
    yield f"{name}.{event.state}.lag_seconds:{event.lag_seconds:.3f}|g"


def _timer(name: str, seconds: float) -> str:
    return f"{name}:{seconds * 1000:.3f}|ms"


@lru_cache(maxsize=512)
def _safe(text: str) -> str:
    """Return a name as part of a metric's. Those of other alphabets would all be the same."""
    safe = UNSAFE.sub("_", text) or "none"
    is_plain = not text or safe == text.replace(".", "_")
    return safe if is_plain else f"{safe}-{crc32(text.encode()):08x}"
