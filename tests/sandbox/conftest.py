"""Fixtures: a running sandbox, and a client for it."""

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
def client(sandbox):
    """A client of that sandbox."""
    one = SandboxClient(sandbox.url)
    yield one
    one.session.close()


@pytest.fixture
def make_client():
    """A function that makes clients of other sandboxes."""
    clients = []

    def make(sandbox, **kwargs):
        clients.append(SandboxClient(sandbox.url, **kwargs))
        return clients[-1]

    yield make
    for one in clients:
        one.session.close()


class _Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.receive()

    def do_GET(self):
        self.receive()

    def receive(self):
        length = int(self.headers.get("Content-Length", 0))
        received = (self.command, self.path, self.headers, self.rfile.read(length))
        self.server.received.append(received)
        self.send_response(self.server.response_status)
        self.send_header("Location", self.server.url + "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Be silent."""


@pytest.fixture
def callback_server():
    """A server that records callbacks: `url`, `received`, `response_status`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.received, server.response_status = [], 200
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
