"""Internal. Bound a whole HTTP call, from the connection to the end of the body.

The timeouts of requests apply to each read of the socket: headers or a body that come a byte at a
time pass them for hours. A :class:`TimeLimit` shuts the call's connection down instead, from a
timer's thread, which ends whatever the call waits for: a TLS handshake, sending, headers, a body.
"""

import http.client
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from enum import Enum
from functools import cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import requests.adapters
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection
from urllib3.response import BaseHTTPResponse

from django_docraptor.exceptions import NotSentError

_local: Final = threading.local()


class Phase(Enum):
    """How far a call has come; the value says what had not happened when its time was over."""

    CONNECTING = "the connection was not established"
    SENDING = "the request was not sent completely"
    WAITING = "the response's headers were not received"
    RECEIVING = "it was not received"


class TimeLimit:
    """The time limit of one call, which begins with the ``with`` block.

    Args:
        seconds: the time that the call may take.
    """

    def __init__(self, seconds: float) -> None:
        """Create a time limit; it does not run yet."""
        self.seconds = seconds
        self.phase = Phase.CONNECTING
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._shut_down)
        # So that it does not delay the end of the process.
        self._timer.daemon = True

    def __enter__(self) -> Self:
        """Start the time.

        Raises:
            NotSentError: the process cannot start a thread, so that the call would have no limit.
        """
        self._deadline = time.monotonic() + self.seconds
        try:
            self._timer.start()
        except RuntimeError as error:
            raise NotSentError(f"The request was not sent: {error}.") from None
        _local.current = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the limit: the connection is not touched any more, and may be used again."""
        _local.current = None
        self._timer.cancel()
        self._replace(None)

    @property
    def has_passed(self) -> bool:
        """Whether the time is over, so that the connection has been, or is being, shut down."""
        return time.monotonic() >= self._deadline

    @property
    def reason(self) -> str:
        """What had not happened when the time was over."""
        limit = "the limit of the whole call (DOCRAPTOR['TIMEOUT'])"
        return f"{self.phase.value} within {self.seconds:g} seconds, {limit}"

    def watch(self, sock: Any) -> None:
        """Shut this connection down when the time is over.

        A duplicate is kept, which no other thread can close: the number of a closed one may belong
        to another connection.
        """
        self._replace(socket.socket(fileno=os.dup(sock.fileno())))
        if self.has_passed:
            self._shut_down()

    def _replace(self, sock: socket.socket | None) -> None:
        with self._lock:
            previous, self._sock = self._sock, sock
        if previous is not None:
            previous.close()

    def _shut_down(self) -> None:
        with self._lock:
            if self._sock is not None:
                with suppress(OSError):  # the other side has closed it
                    self._sock.shutdown(socket.SHUT_RDWR)


def _current() -> TimeLimit | None:
    """Return the time limit of this thread's call."""
    limit: TimeLimit | None = getattr(_local, "current", None)
    return limit


class _FinalResponse(http.client.HTTPResponse):
    """A response after any interim ones (1xx), of which Python itself skips only 100.

    An interim one that is taken for the response leaves that to the connection's next call. 101
    ends HTTP on the connection: nothing follows it.
    """

    def begin(self) -> None:
        super().begin()
        while 100 < self.status < 200 and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            # As in a new response, unknown to the stubs: with headers, begin() returns at once.
            self.headers = None  # type: ignore[assignment]
            super().begin()


class _LimitedConnection(HTTPConnection):
    """A connection that tells the current call's time limit its socket and the call's phase."""

    response_class = _FinalResponse

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        if limit := _current():
            limit.watch(sock)  # before a tunnel or a TLS handshake, which may hang
        return sock

    def _tunnel(self) -> None:
        # Untyped in some releases of urllib3 only, so the comment for mypy is unused with others.
        super()._tunnel()  # type: ignore[no-untyped-call, unused-ignore]
        if (limit := _current()) and limit.has_passed:
            # Headers that were cut look like whole ones, and TLS would begin on a dead connection.
            raise TimeoutError(limit.reason)

    def connect(self) -> None:
        super().connect()
        if limit := _current():
            limit.phase = Phase.SENDING

    def request(self, *args: Any, **kwargs: Any) -> None:
        limit = _current()
        if limit and self.sock is not None:  # of an earlier call, or established by the pool
            limit.watch(self.sock)
            limit.phase = Phase.SENDING
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        limit = _current()
        if limit and not limit.has_passed:  # urllib3 reads on after a broken pipe
            limit.phase = Phase.WAITING
        response: BaseHTTPResponse = super().getresponse()
        return response


class LimitedAdapter(requests.adapters.HTTPAdapter):
    """Sends through connections that keep to a time limit, also those through a proxy.

    Args:
        context: for TLS with the server and with a proxy; ``None`` if there is none.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """Create an adapter without connections."""
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pool manager of direct connections."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        _limit_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pool manager of a proxy."""
        kwargs["ssl_context"] = self._context
        if proxy.lower().startswith("https:"):
            kwargs["proxy_ssl_context"] = self._context
        return _limit_pools(super().proxy_manager_for(proxy, **kwargs))

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Add nothing to the context, which has the CA bundle and requires a certificate."""


def _limit_pools(manager: PoolManager) -> PoolManager:
    classes: dict[str, Any] = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {
        scheme: _limited(pool_class) for scheme, pool_class in classes.items()
    }
    return manager


@cache
def _limited(pool_class: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    """Return the pool's class with limited connections: of http, https or SOCKS."""
    connection: Any = pool_class.ConnectionCls
    if issubclass(connection, _LimitedConnection):
        return pool_class
    limited = type(f"Limited{connection.__name__}", (_LimitedConnection, connection), {})
    return type(f"Limited{pool_class.__name__}", (pool_class,), {"ConnectionCls": limited})
