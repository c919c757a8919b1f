"""Fixtures: running sandboxes, clients for them, and servers for them to call."""

import contextlib
import http.server
import threading

import pytest

from django_docraptor.sandbox import Sandbox
from tests.support.sandbox_client import SandboxClient


@pytest.fixture
def sandbox():
    """A sandbox with instant documents."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def make_client():
    """A function that makes clients of other sandboxes."""
    clients = []

    def make(sandbox, **kwargs):
        clients.append(SandboxClient(sandbox.url, **kwargs))
        return clients[-1]

    yield make
    for client in clients:
        client.session.close()


@pytest.fixture
def client(sandbox, make_client):
    """A client of the sandbox with instant documents."""
    return make_client(sandbox)


@pytest.fixture(scope="module")
def rendering_client():
    """A client of a sandbox that renders real PDFs, shared by the tests of a module."""
    with Sandbox(renderer="weasyprint") as sandbox:
        client = SandboxClient(sandbox.url)
        yield client
        client.session.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.do_GET()

    def log_message(self, *args):
        """Be silent."""


class _CallbackHandler(_Handler):
    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        received = (self.command, self.path, self.headers, self.rfile.read(length))
        self.server.received.append(received)
        self.send_response(self.server.response_status)
        self.send_header("Location", self.server.url + "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()


class _PageHandler(_Handler):
    def do_GET(self):
        self.server.paths.append(self.path)
        self.server.agents.append(self.headers["User-Agent"])
        self.send_response(200 if self.path == "/source" else 302)
        self.send_header("Location", "/source")
        body = b"<p>fetched</p>"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def _serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def callback_server():
    """A server that records callbacks: `url`, `received`, `response_status`."""
    with _serve(_CallbackHandler) as server:
        server.received, server.response_status = [], 200
        yield server


@pytest.fixture
def web_page():
    """A server with a page at /source and redirects to it; records `paths` and `agents`."""
    with _serve(_PageHandler) as server:
        server.paths, server.agents = [], []
        yield server
