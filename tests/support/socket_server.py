"""An HTTP server on raw sockets with scripted behaviour, for faults that no framework produces.

Knows nothing about DocRaptor or the client under test.

    with SocketServer(respond(b"{}"), reset) as server:
        Client(base_url=server.url, …)

Each request is handled by the next behaviour; the last one is repeated. A behaviour is a function
of one `Exchange`.
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it was received."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


class Exchange:
    """One request and the socket of its connection."""

    def __init__(self, server: "SocketServer", sock: socket.socket, connection: int) -> None:
        self.server = server
        self.sock = sock
        self.connection = connection

    def read(self) -> Received | None:
        """Read the whole request and record it; return None at the end of the connection."""
        head = self._read_head()
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = self._read_exactly(int(headers.get("content-length", "0")))
        received = Received(method, path, headers, body, self.connection)
        self.server.requests.append(received)
        return received

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self) -> None:
        """Do nothing until the client goes or the server stops."""
        while not self.server.stopping.is_set():
            readable, _, _ = select.select([self.sock], [], [], 0.02)
            if readable and self._is_gone():
                return

    def _is_gone(self) -> bool:
        try:
            return not self.sock.recv(65536)
        except ssl.SSLWantReadError:
            return False

    def _read_head(self) -> bytes | None:
        data = bytearray()
        while not data.endswith(b"\r\n\r\n"):
            byte = self.sock.recv(1)
            if not byte:
                return None
            data += byte
        return bytes(data[:-4])

    def _read_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self.sock.recv(min(65536, size - len(data)))
            if not piece:
                break
            data += piece
        return bytes(data)


# True: the connection may take another request.
Behaviour = Callable[[Exchange], bool | None]


class SocketServer:
    """Listens on a free port of 127.0.0.1 and responds as scripted.

    Args:
        behaviours: what to do with each request.
        tls: a server-side context, for https.
    """

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.behaviours = list(behaviours)
        self.requests: list[Received] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._tls = tls
        self._lock = threading.Lock()
        self._served = 0
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.01)
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            self._start(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, connection: int) -> None:
        sock.settimeout(5)
        with contextlib.suppress(OSError), contextlib.closing(sock):
            if self._tls:
                with self._tls.wrap_socket(sock, server_side=True) as secure:
                    self._talk(Exchange(self, secure, connection))
            else:
                self._talk(Exchange(self, sock, connection))

    def _talk(self, exchange: Exchange) -> None:
        while not self.stopping.is_set():
            readable, _, _ = select.select([exchange.sock], [], [], 0.02)
            if readable and (_has_ended(exchange.sock) or not self._next()(exchange)):
                return

    def _next(self) -> Behaviour:
        with self._lock:
            index = min(self._served, len(self.behaviours) - 1)
            self._served += 1
        return self.behaviours[index]


def _has_ended(sock: socket.socket) -> bool:
    """Return whether the client has closed, which must not use a behaviour; unknown with TLS."""
    return not isinstance(sock, ssl.SSLSocket) and not sock.recv(1, socket.MSG_PEEK)


def unused_port() -> int:
    """Return an unused port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def unreachable() -> Iterator[str]:
    """Yield a URL whose connections are never established, since its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            for filler in fillers:
                filler.close()


# Behaviours.


def send_bytes(data: bytes, *, keep: bool = False) -> Behaviour:
    """Read the request, send exactly these bytes, and close the connection unless ``keep``."""

    def behave(exchange: Exchange) -> bool:
        if exchange.read() is None:
            return False
        exchange.send(data)
        return keep

    return behave


def respond(
    body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None
) -> Behaviour:
    """Read the request, send a complete response with a length, and keep the connection."""
    lengths = {"Content-Length": str(len(body))}
    return send_bytes(head(status, lengths | dict(headers or {})) + body, keep=True)


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a status line and headers, with the blank line at the end."""
    lines = [
        f"HTTP/1.1 {status} X",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """Return a chunked body, without its end if ``end`` is false."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return body + (b"0\r\n\r\n" if end else b"")


def close_unread(exchange: Exchange) -> None:
    """Close before a byte of the request is read."""
    exchange.reset()


def reset_while_reading(exchange: Exchange) -> None:
    """Read a little of the request, then RST."""
    exchange.sock.recv(10)
    exchange.reset()


def reset(exchange: Exchange) -> None:
    """Read the whole request, then RST."""
    exchange.read()
    exchange.reset()


def close(exchange: Exchange) -> None:
    """Read the whole request, then close without a response."""
    exchange.read()


def hang(exchange: Exchange) -> None:
    """Read the whole request and never respond."""
    exchange.read()
    exchange.hang()


def leave_body_unread(exchange: Exchange) -> None:
    """Read the head of the request and leave the body in the socket."""
    exchange.sock.recv(10)
    exchange.server.stopping.wait(5)


def read_slowly(exchange: Exchange) -> None:
    """Read the request a little at a time, so that sending it goes on but never ends in time."""
    end = time.monotonic() + 5
    while time.monotonic() < end and not exchange.server.stopping.wait(0.02):
        if not exchange.sock.recv(4096):
            return


def refuse_early(data: bytes) -> Behaviour:
    """Respond after the head of the request, then read the rest."""

    def behave(exchange: Exchange) -> None:
        exchange._read_head()
        exchange.send(data)
        exchange.hang()

    return behave


def stall(data: bytes) -> Behaviour:
    """Send these bytes, then nothing, with the connection left open."""

    def behave(exchange: Exchange) -> None:
        exchange.read()
        exchange.send(data)
        exchange.hang()

    return behave


def drip(start: bytes, *, every: float, piece: bytes = b"x") -> Behaviour:
    """Send the start at once, then a piece at a time.

    It ends after 5 s, so that a client that waits for the end fails instead of hanging.
    """

    def behave(exchange: Exchange) -> None:
        exchange.read()
        exchange.send(start)
        end = time.monotonic() + 5
        while time.monotonic() < end and not exchange.server.stopping.wait(every):
            exchange.send(piece)

    return behave


def send_endlessly(start: bytes, piece: bytes) -> Behaviour:
    """Send the start, then the piece again and again, as fast as the client reads.

    It ends at 64 MiB, so that a client that reads all of it fails without harm.
    """

    def behave(exchange: Exchange) -> None:
        exchange.read()
        exchange.send(start)
        for _ in range(64 * 1024 * 1024 // len(piece)):
            exchange.send(piece)

    return behave


def tunnel(port: int) -> Behaviour:
    """Behave as a proxy: respond to CONNECT, then forward bytes to a port of 127.0.0.1."""

    def behave(exchange: Exchange) -> None:
        exchange.read()
        with socket.create_connection(("127.0.0.1", port)) as target:
            exchange.send(head())
            pair = {exchange.sock: target, target: exchange.sock}
            while not exchange.server.stopping.is_set():
                for source in select.select([*pair], [], [], 0.02)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    pair[source].sendall(data)

    return behave
