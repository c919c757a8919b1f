"""The HTTP server: sockets and threads.

HTTP/1.1 with persistent connections and one daemon thread per connection. Knows nothing about
documents.
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
from django_docraptor.sandbox.control_api import PREFIX, ControlApi
from django_docraptor.sandbox.fault_bodies import DropConnectionError, reset_connection
from django_docraptor.sandbox.outgoing import parse_ip_address
from django_docraptor.sandbox.responses import json_response, xml_error_response

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 100 * 1024 * 1024
STATUSES_WITHOUT_BODY = {204, 304}
WRONG_HOST_MESSAGE = (
    "The sandbox accepts only requests for localhost, IP addresses and its own --host. The Host "
    "header contains another name."
)
FOREIGN_PAGE_MESSAGE = (
    "The sandbox accepts no requests from pages of other web sites. The Origin header names one."
)


class Handler(WSGIRequestHandler):
    """Read requests from one connection and write the responses, or drop the connection."""

    protocol_version = "HTTP/1.1"
    # Seconds that a connection may be idle.
    timeout = 75
    # Head and body are written separately; Nagle's algorithm would delay the body by 40 ms.
    disable_nagle_algorithm = True
    # Seconds between two bytes of the head.
    _head_interval = 0.0

    def version_string(self) -> str:
        """Return the Server header, by which `docraptor_check` recognizes a sandbox."""
        return "docraptor-sandbox"

    def run_wsgi(self) -> None:
        """Handle one request; Werkzeug calls this for every method."""
        server = cast("Server", self.server)
        try:
            self.environ = self.make_environ()
        except ValueError:
            self.send_error(400)
            return
        try:
            self._write(server.handle(Request(self.environ)))
        except DropConnectionError as error:
            self._drop_connection(error)
        except OSError:
            # The client has disconnected, or the sandbox is stopping.
            self.close_connection = True

    def _drop_connection(self, error: DropConnectionError) -> None:
        self.close_connection = True
        if error.reset:
            # The socket is closed only when nothing else refers to it.
            self.rfile.close()
            reset_connection(self.connection)

    def _write(self, response: Response) -> None:
        chunked = self._write_head(response)
        if self.command == "HEAD" or response.status_code in STATUSES_WITHOUT_BODY:
            return
        for data in response.iter_encoded():
            if data:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _write_head(self, response: Response) -> bool:
        """Write status and headers, and return whether the body must be sent in chunks."""
        closes = response.headers.get("Connection") == "close"
        if response.content_length is None and response.is_sequence:
            response.content_length = sum(map(len, response.iter_encoded()))
        has_no_length = response.content_length is None
        chunked = has_no_length and not closes and self.request_version == "HTTP/1.1"
        if has_no_length and not chunked:
            response.headers["Connection"] = "close"
        # Not `send_response`, which adds the time of this host's clock.
        self.log_request(response.status_code)
        self.send_response_only(response.status_code)
        self.send_header("Server", self.version_string())
        response.headers.setdefault("Date", self.date_time_string())
        for name, value in response.headers:
            # `send_header` itself ends the connection after `Connection: close`.
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self._head_interval = getattr(response, "head_interval", 0.0)
        self.end_headers()
        return chunked

    def flush_headers(self) -> None:
        """Write the status line and the headers, a byte at a time if a fault says so."""
        if not self._head_interval:
            super().flush_headers()
            return
        buffer: list[bytes] = vars(self)["_headers_buffer"]
        head = b"".join(buffer)
        buffer.clear()
        server = cast("Server", self.server)
        for number in range(len(head)):
            self.wfile.write(head[number : number + 1])
            if server.wait_for_stop(self._head_interval):
                raise DropConnectionError

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log one line, without the query, which may contain an API key."""
        path = getattr(self, "path", "").partition("?")[0]
        logger.info("%s %s %s", self.command, path, int(code))

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log a message of Werkzeug."""
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
        host: str,
    ) -> None:
        """Serve on a listening socket; `host` is the name that requests may use."""
        address, port = listener.getsockname()[:2]
        self._host_names = {"localhost", host.lower()}
        self._application = application
        self._control_api = ControlApi(
            application.settings, application.store, application.faults, reset
        )
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        super().__init__(address, port, Response(), handler=Handler, fd=listener.fileno())

    def handle(self, request: Request) -> Response:
        """Return the response to a request.

        A body that is too large is rejected unread. A request for another host name gets 421: any
        web site could point its own name to this machine and control the sandbox from a browser
        (DNS rebinding). A request from another site's page gets 403.
        """
        request.max_content_length = request.max_form_memory_size = MAX_BODY_BYTES
        try:
            request.get_data(cache=True)
        except HTTPException as error:
            response = xml_error_response(error.code or 400, [error.name])
            # The rest of the body is still arriving, so the connection cannot be reused.
            response.headers["Connection"] = "close"
            return response
        if not self._is_allowed_host(request):
            return _refusal(request, 421, WRONG_HOST_MESSAGE)
        if self._is_foreign_page(request):
            return _refusal(request, 403, FOREIGN_PAGE_MESSAGE)
        if request.path.startswith(PREFIX):
            return self._control_api.handle(request)
        return self._application.handle(request)

    def wait_for_stop(self, seconds: float) -> bool:
        """Wait, and return whether the sandbox is stopping."""
        return self._application.stopping.wait(seconds)

    def _is_allowed_host(self, request: Request) -> bool:
        """Return whether the Host header is allowed.

        It may be missing (browsers always send it), an IP address, or this server's name.
        """
        header = request.environ.get("HTTP_HOST", "")
        host = _host_name(f"//{header}")
        is_known = host in self._host_names or parse_ip_address(host) is not None
        return not header or is_known

    def _is_foreign_page(self, request: Request) -> bool:
        """Return whether a browser sends the request for a page that is not on this machine.

        Browsers name the page in `Origin` with every request that could change something, also if
        the page needs no permission for it, as for a form.
        """
        origin = request.environ.get("HTTP_ORIGIN")
        if origin is None:
            return False
        page = _host_name(origin)
        address = parse_ip_address(page)
        own = {*self._host_names, _host_name(f"//{request.environ.get('HTTP_HOST', '')}")} - {""}
        return page not in own and (address is None or not address.is_loopback)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread that `close_connections` can join."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an unexpected exception."""
        logger.exception("A sandbox connection failed")

    def close_connections(self, timeout: float = 5.0) -> None:
        """Close all connections and join their threads, waiting at most `timeout` seconds."""
        with self._lock:
            connections = dict(self._connections)
        for connection in connections.values():
            _close(connection)
        deadline = time.monotonic() + timeout
        for thread in connections:
            thread.join(max(0.0, deadline - time.monotonic()))


def _close(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The client or the connection's own thread has already closed it.
        logger.debug("The connection was already closed")


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the port is in use, or the host is not an address of this machine.
    """
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


def _host_name(url: str) -> str:
    """Return the host name in a URL, or an empty string."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _refusal(request: Request, status: int, message: str) -> Response:
    """Return an error in the format that the request's path has."""
    if request.path.startswith(PREFIX):
        return json_response({"error": message}, status)
    return xml_error_response(status, [message])
