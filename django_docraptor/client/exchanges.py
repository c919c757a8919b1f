"""Internal. What is known of the exchange of one call: status, request ID and bytes.

The transport notes it where the caller has opened one, because a method of the client returns only
what a caller needs. Knows neither HTTP nor jobs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

MAX_REQUEST_ID_LENGTH = 200


@dataclass(slots=True)
class Exchange:
    """The response of one call, as far as it came.

    Args:
        status: 0 if there was none.
        request_id: DocRaptor's ``X-Request-Id``; "" if there was none.
        bytes_received: of the body.
    """

    status: int = 0
    request_id: str = ""
    bytes_received: int = 0


_current: ContextVar[Exchange | None] = ContextVar("docraptor_exchange", default=None)


@contextmanager
def observed_exchange() -> Iterator[Exchange]:
    """Yield the exchange of the call that is made inside."""
    exchange = Exchange()
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        _current.reset(token)


def note_response(status: int, request_id: str) -> None:
    """Note that a response has begun, if a caller observes the call."""
    if (exchange := _current.get()) is not None:
        exchange.status = status
        is_text = request_id.isprintable()
        exchange.request_id = request_id[:MAX_REQUEST_ID_LENGTH] if is_text else ""


def note_bytes(count: int) -> None:
    """Note the bytes of the body, if a caller observes the call."""
    if (exchange := _current.get()) is not None:
        exchange.bytes_received = count
