"""One request to any URL: what comes back, and what its errors tell."""

import gzip

import pytest

from django_docraptor.client.visits import MAX_BODY_BYTES, visit
from django_docraptor.exceptions import NotSentError, UnknownOutcomeError
from tests.support import socket_server as at
from tests.support.socket_server import SocketServer, respond


def test_response_is_returned_whatever_its_status_is():
    """Status, headers and body are read, and no key is sent."""
    with SocketServer(respond(b"no such page", 404, {"Server": "tests"})) as server:
        found = visit(f"{server.url}/page")
    assert (found.status, found.headers["server"], found.body) == (404, "tests", b"no such page")
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/page")
    assert "authorization" not in request.headers
    assert "content-length" not in request.headers


def test_post_says_that_its_body_is_empty():
    """Many servers refuse a POST without a length."""
    with SocketServer(respond()) as server:
        visit(server.url, method="POST")
    (request,) = server.requests
    assert (request.method, request.headers["content-length"]) == ("POST", "0")


def test_compressed_body_is_decoded():
    """Some servers compress also if they are not asked to."""
    body = gzip.compress(b"a page")
    with SocketServer(respond(body, headers={"Content-Encoding": "gzip"})) as server:
        assert visit(server.url).body == b"a page"


def test_beginning_of_a_large_body_is_read():
    """The memory is bounded, whatever the server sends."""
    with SocketServer(respond(b"x" * (MAX_BODY_BYTES + 1))) as server:
        assert visit(server.url).body == b"x" * MAX_BODY_BYTES


def test_redirect_is_told_without_its_query():
    """The redirect is not followed, and its query may contain a secret."""
    headers = {"Location": "https://login.example/?next=/secret"}
    with SocketServer(respond(b"", 302, headers)) as server:
        found = visit(server.url)
    assert (found.status, found.redirect) == (302, "https://login.example/")
    assert len(server.requests) == 1


def test_missing_response_is_told_without_the_path():
    """The path may be a secret; a visit is no create call, so nothing may have been accepted."""
    with SocketServer(at.reset) as server, pytest.raises(UnknownOutcomeError) as caught:
        visit(f"{server.url}/secret")
    message = caught.value.message
    assert message.startswith(f"No response was received from {server.url}: ")
    assert "secret" not in message


def test_refused_connection_was_not_sent():
    """Nothing listens at the port."""
    with pytest.raises(NotSentError, match="was not sent"):
        visit(f"http://127.0.0.1:{at.unused_port()}/secret")


def test_slow_server_is_left_when_the_time_is_up():
    """The time limit is for the whole call, and the error names it."""
    with SocketServer(at.hang) as server, pytest.raises(UnknownOutcomeError) as caught:
        visit(f"{server.url}/secret", seconds=0.2)
    assert "secret" not in caught.value.message
