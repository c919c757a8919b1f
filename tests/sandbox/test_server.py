"""The server: persistent connections, large bodies, invalid requests, host names, stopping."""

import http.client
import logging
import socket
import threading
import time

import pytest

from django_docraptor.sandbox import RemoteSandbox, Sandbox, server
from tests.support.sandbox_client import wait_until


def address(sandbox):
    """Return host and port."""
    host, _, port = sandbox.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def test_connection_is_reused(sandbox):
    """Several requests use one connection."""
    connection = http.client.HTTPConnection(*address(sandbox), timeout=5)
    ports = set()
    for _ in range(3):
        connection.request("GET", "/docs.json", headers={"Authorization": "Basic YTo="})
        ports.add(connection.sock.getsockname())
        assert connection.getresponse().read() == b"[]"
    connection.close()
    assert len(ports) == 1


def test_http_1_0_client_gets_no_chunks(sandbox):
    """The end of the connection ends the body."""
    with socket.create_connection(address(sandbox), timeout=5) as connection:
        connection.sendall(b"GET /docs.json HTTP/1.0\r\nAuthorization: Basic YTo=\r\n\r\n")
        response = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b"chunked" not in response
    assert response.endswith(b"\r\n\r\n[]")


def test_head_response_has_no_body(sandbox, client):
    """The response has headers only, and the connection can be reused."""
    head = client.send("HEAD", "/docs.json")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", "2")
    assert client.send("GET", "/docs.json").json() == []


def test_chunked_request_is_read(sandbox, client):
    """A request body may have an unknown length."""
    body = iter([b'{"name": "a", "type": "pdf", ', b'"document_content": "x"}'])
    response = client.send("POST", "/docs", data=body)
    assert response.content.startswith(b"%PDF-")


def test_too_large_body_is_rejected_unread(sandbox, client, monkeypatch):
    """JSON and forms that are too large get 413."""
    monkeypatch.setattr(server, "MAX_BODY_BYTES", 1000)
    for media_type in ("application/json", "application/x-www-form-urlencoded"):
        response = client.send(
            "POST", "/docs", data=b"x" * 1001, headers={"Content-Type": media_type}
        )
        assert response.status_code == 413
    assert client.create().status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"POST /docs HTTP/1.1\r\nContent-Length: 1000\r\n\r\nshort",
        b"POST /docs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /docs HTTP/1.1\r\nContent-Length: minus\r\n\r\n",
        b"POST /docs HTTP/1.1\r\nHost: \xff bad/host\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /%ff%00/..//docs.json?%ff=%00 HTTP/1.1\r\nAuthorization: Basic !\r\n\r\n",
        b"GET http://[bad/docs.json HTTP/1.1\r\n\r\n",
    ],
)
def test_invalid_requests_do_no_harm(sandbox, client, caplog, sent):
    """No traceback is logged, and the next client is served."""
    with caplog.at_level(logging.ERROR):
        with socket.create_connection(address(sandbox), timeout=5) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
        assert client.create().status_code == 200
    assert caplog.records == []


@pytest.mark.parametrize("path", ["/docs.json", "/sandbox/ledger"])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8001", 200),
        ("127.0.0.1:8001", 200),
        ("[::1]:8001", 200),
        ("192.0.2.7", 200),
        ("evil.example", 421),
        ("localhost.evil.example:8001", 421),
        ("127.0.0.1.evil.example", 421),
        ("[::1", 421),
        (":8001", 421),
    ],
)
def test_other_host_names_are_rejected(sandbox, client, host, status, path):
    """A web site that points its name to this machine cannot use the sandbox from a browser."""
    response = client.send("GET", path, headers={"Host": host})
    assert response.status_code == status
    if status == 421:
        assert "--host" in response.text
        assert sandbox.calls == []


def test_rejected_host_name_changes_nothing(sandbox, client):
    """Neither documents nor settings change."""
    headers = {"Host": "evil.example"}
    options = {"name": "a", "type": "pdf", "document_content": "x"}
    assert client.send("POST", "/docs", json=options, headers=headers).status_code == 421
    response = client.send("PATCH", "/sandbox/settings", json={"delay": 9}, headers=headers)
    assert response.status_code == 421
    assert response.json()["error"]
    assert sandbox.ledger.entries == ()
    assert client.create("/docs").status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/async_docs", "/sandbox/settings"])
@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (None, True),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://192.0.2.7", False),
        ("null", False),
        ("http://[::1", False),
    ],
)
def test_pages_of_other_sites_are_rejected(sandbox, client, origin, is_allowed, path) -> None:
    """A page can send a form without asking for permission; it creates and changes nothing."""
    headers = {"Content-Type": "text/plain"} | ({"Origin": origin} if origin else {})
    options = b'{"name": "a", "type": "pdf", "document_content": "x", "test": true}'
    method, body = ("PATCH", b'{"delay": 0.5}') if "settings" in path else ("POST", options)
    response = client.send(method, path, data=body, headers=headers)
    if is_allowed:
        assert response.status_code != 403
    else:
        assert response.status_code == 403
        assert "Origin" in response.text
        assert sandbox.ledger.entries == ()


def test_server_accepts_its_own_host_name(make_client):
    """The name given as host is allowed, in any case."""
    try:
        sandbox = Sandbox(host=socket.gethostname().upper()).start()
    except OSError:
        pytest.skip("this machine has no address under its own name")
    assert make_client(sandbox).create("/docs").status_code == 200
    assert RemoteSandbox(sandbox.url).ledger.accepted()
    sandbox.stop()


def test_client_that_disconnects_is_not_an_error(sandbox, client, caplog):
    """The document is rendered although its client has left."""
    sandbox.change_settings(delay=0.2)
    body = b'{"name": "a", "type": "pdf", "document_content": "x"}'
    head = b"POST /docs HTTP/1.1\r\nAuthorization: Basic YTo=\r\nContent-Length: %d\r\n\r\n"
    with caplog.at_level(logging.ERROR):
        with socket.create_connection(address(sandbox), timeout=5) as connection:
            connection.sendall(head % len(body) + body)
            wait_until(lambda: sandbox.ledger.entries)
        wait_until(lambda: sandbox.ledger.entries[0].state == "completed")
    assert caplog.records == []


def test_stop_is_quick_and_ends_all_threads(make_client):
    """Stopping does not wait for open connections, waiting calls or delayed documents."""
    before = set(threading.enumerate())
    sandbox = Sandbox(delay=30)
    sandbox.start()
    client = make_client(sandbox)
    client.create()

    def wait_for_document():
        with pytest.raises(OSError, match="Connection"):
            client.create("/docs")

    waiting = threading.Thread(target=wait_for_document)
    waiting.start()
    wait_until(lambda: len(sandbox.ledger.entries) == 2)
    started = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - started < 20
    waiting.join(5)
    assert set(threading.enumerate()) <= before


def test_port_in_use_raises_oserror(sandbox):
    """Nothing stays open if the server cannot start."""
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=address(sandbox)[1]).start()


def test_unexpected_exception_is_logged(sandbox, client, caplog, monkeypatch):
    """A defect of the sandbox does not end a connection silently."""
    monkeypatch.setattr(server.Handler, "_write", lambda self, response: 1 / 0)
    with caplog.at_level(logging.ERROR), pytest.raises(OSError, match="Connection"):
        client.create()
    wait_until(lambda: "ZeroDivisionError" in caplog.text)


def test_server_listens_on_ipv6(make_client):
    """The URL of an IPv6 address has brackets."""
    try:
        sandbox = Sandbox(host="::1").start()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert sandbox.url.startswith("http://[::1]:")
    assert make_client(sandbox).create("/docs").status_code == 200
    sandbox.stop()
