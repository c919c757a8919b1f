"""The sandbox as a running server: sockets, threads, start and stop.

HTTP/1.1 with kept-alive connections, a daemon thread for each. Knows nothing of documents.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from django_docraptor.sandbox.application import Application
from django_docraptor.sandbox.control_api import PREFIX, Administration
from django_docraptor.sandbox.fault_bodies import DropError, reset_connection
from django_docraptor.sandbox.outgoing import address_of
from django_docraptor.sandbox.responses import json_answer, xml_errors

logger = logging.getLogger("django_docraptor.sandbox")

MAX_BODY = 100 * 1024 * 1024
BODILESS = {204, 304}
WRONG_HOST = (
    "The sandbox answers to localhost, to IP addresses and to its own --host; the Host header has "
    "another name."
)


class Handler(WSGIRequestHandler):
    """Reads requests off one connection and writes the answers, or breaks it off."""

    protocol_version = "HTTP/1.1"
    # Seconds that a connection may be idle.
    timeout = 75
    # Head and body are written separately; Nagle would hold the body back for 40 ms.
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request; called by werkzeug for every method."""
        server = cast("Server", self.server)
        try:
            self.environ = self.make_environ()
        except ValueError:
            self.send_error(400)
            return
        try:
            self._write(server.answer(Request(self.environ)))
        except DropError as drop:
            self._end(drop)
        except OSError:
            # The client is gone, or the sandbox stops.
            self.close_connection = True

    def _end(self, drop: DropError) -> None:
        self.close_connection = True
        if drop.reset:
            # The socket is really closed only when nothing else holds it open.
            self.rfile.close()
            reset_connection(self.connection)

    def _write(self, response: Response) -> None:
        chunked = self._write_head(response)
        if self.command == "HEAD" or response.status_code in BODILESS:
            return
        for piece in response.iter_encoded():
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _write_head(self, response: Response) -> bool:
        """Write status and headers; return whether the body will be sent in chunks."""
        close = response.headers.get("Connection") == "close"
        if response.content_length is None and response.is_sequence:
            response.content_length = sum(map(len, response.iter_encoded()))
        unknown = response.content_length is None
        chunked = unknown and not close and self.request_version == "HTTP/1.1"
        if unknown and not chunked:
            response.headers["Connection"] = "close"
        self.send_response(response.status_code)
        for name, value in response.headers:
            # `send_header` itself ends the connection after `Connection: close`.
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return chunked

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log one line; without the query, which may hold a key."""
        path = getattr(self, "path", "").partition("?")[0]
        logger.info("%s %s %s", self.command, path, int(code))

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log what werkzeug has to say."""
        logger.info(message.rstrip(), *args)


class Server(ThreadedWSGIServer):
    """The listening socket and the threads of its connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        listener: socket.socket,
        application: Application,
        reset: Callable[[], None],
        name: str,
    ) -> None:
        host, port = listener.getsockname()[:2]
        self._names = {"localhost", name.lower()}
        self._application = application
        self._administration = Administration(
            application.settings, application.store, application.faults, reset
        )
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        super().__init__(host, port, Response(), handler=Handler, fd=listener.fileno())

    def answer(self, request: Request) -> Response:
        """Return the answer to a request; one that is too large is refused unread.

        One for a name that is not ours gets 421: any site can point its own name to this machine,
        and its page would then drive us from a browser (DNS rebinding).
        """
        request.max_content_length = request.max_form_memory_size = MAX_BODY
        try:
            request.get_data(cache=True)
        except HTTPException as error:
            response = xml_errors(error.code or 400, [error.name])
            # The rest of the body is still on its way: this connection is of no more use.
            response.headers["Connection"] = "close"
            return response
        if not self._is_ours(request):
            if request.path.startswith(PREFIX):
                return json_answer({"error": WRONG_HOST}, 421)
            return xml_errors(421, [WRONG_HOST])
        if request.path.startswith(PREFIX):
            return self._administration.answer(request)
        return self._application.answer(request)

    def _is_ours(self, request: Request) -> bool:
        """Whether the Host header is absent, as in no browser, an address, or our name."""
        given = request.environ.get("HTTP_HOST", "")
        try:
            host = urlsplit(f"//{given}").hostname or ""
        except ValueError:
            return False
        return not given or host in self._names or address_of(host) is not None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, known to `end_connections`."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._open[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what nobody has foreseen."""
        logger.exception("A sandbox connection failed")

    def end_connections(self, timeout: float = 5.0) -> None:
        """Shut all connections and join their threads, at most `timeout` seconds."""
        with self._lock:
            threads = dict(self._open)
        for connection in threads.values():
            _shut(connection)
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # Its own thread or the client has been quicker.
        logger.debug("connection was already closed")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise OSError if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener
