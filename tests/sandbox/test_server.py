"""The server: kept-alive connections, many clients, large bodies, rude clients, a quick stop."""

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


def test_connections_are_kept_alive(sandbox):
    """Several requests travel over one connection."""
    connection = http.client.HTTPConnection(*address(sandbox), timeout=5)
    ports = set()
    for _ in range(3):
        connection.request("GET", "/docs.json", headers={"Authorization": "Basic YTo="})
        ports.add(connection.sock.getsockname())
        assert connection.getresponse().read() == b"[]"
    connection.close()
    assert len(ports) == 1


def test_an_http_1_0_client_gets_no_chunks(sandbox):
    """Old clients get an end by close."""
    with socket.create_connection(address(sandbox), timeout=5) as client:
        client.sendall(b"GET /docs.json HTTP/1.0\r\nAuthorization: Basic YTo=\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert b"chunked" not in answer
    assert answer.endswith(b"\r\n\r\n[]")


def test_head_has_no_body(sandbox, caller):
    """HEAD answers with the headers only, and the connection is still in step."""
    head = caller.send("HEAD", "/docs.json")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", "2")
    assert caller.send("GET", "/docs.json").json() == []


def test_a_chunked_request_is_read(sandbox, caller):
    """A body of unknown length is as good as another."""
    body = iter([b'{"name": "a", "type": "pdf", ', b'"document_content": "x"}'])
    response = caller.send("POST", "/docs", data=body)
    assert response.content.startswith(b"%PDF-")


def test_a_body_that_is_too_large_is_refused_unread(sandbox, caller, monkeypatch):
    """413, for JSON and for forms."""
    monkeypatch.setattr(server, "MAX_BODY", 1000)
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        response = caller.send("POST", "/docs", data=b"x" * 1001, headers={"Content-Type": kind})
        assert response.status_code == 413
    assert caller.create().status_code == 200


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
def test_rude_clients_break_nothing(sandbox, caller, caplog, sent):
    """Whatever is sent, no traceback is logged and the next client is served."""
    with caplog.at_level(logging.ERROR):
        with socket.create_connection(address(sandbox), timeout=5) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
        assert caller.create().status_code == 200
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
def test_other_hosts_are_refused(sandbox, caller, host, status, path):
    """A site that points its name to this machine does not reach us through a browser."""
    response = caller.send("GET", path, headers={"Host": host})
    assert response.status_code == status
    if status == 421:
        assert "--host" in response.text
        assert sandbox.calls == []


def test_a_refusal_changes_nothing(sandbox, caller):
    """Neither documents are made for another name, nor faults planned."""
    headers = {"Host": "evil.example"}
    options = {"name": "a", "type": "pdf", "document_content": "x"}
    assert caller.send("POST", "/docs", json=options, headers=headers).status_code == 421
    response = caller.send("PATCH", "/sandbox/settings", json={"delay": 9}, headers=headers)
    assert response.status_code == 421
    assert response.json()["error"]
    assert sandbox.ledger.entries == ()
    assert caller.create("/docs").status_code == 200


def test_it_answers_to_its_host(call_to):
    """Whatever name it was told to listen on is its own."""
    try:
        sandbox = Sandbox(host=socket.gethostname().upper()).start()
    except OSError:
        pytest.skip("this machine has no address under its own name")
    assert call_to(sandbox).create("/docs").status_code == 200
    assert RemoteSandbox(sandbox.url).ledger.accepted()
    sandbox.stop()


def test_a_client_that_leaves_while_it_waits_is_no_error(sandbox, caller, caplog):
    """The document is made all the same."""
    sandbox.change_settings(delay=0.2)
    body = b'{"name": "a", "type": "pdf", "document_content": "x"}'
    head = b"POST /docs HTTP/1.1\r\nAuthorization: Basic YTo=\r\nContent-Length: %d\r\n\r\n"
    with caplog.at_level(logging.ERROR):
        with socket.create_connection(address(sandbox), timeout=5) as client:
            client.sendall(head % len(body) + body)
            wait_until(lambda: sandbox.ledger.entries)
        wait_until(lambda: sandbox.ledger.entries[0].state == "completed")
    assert caplog.records == []


def test_a_stop_is_quick_and_leaves_no_thread(call_to):
    """Open connections, waiting creates and delayed documents end at once."""
    before = set(threading.enumerate())
    sandbox = Sandbox(delay=30)
    sandbox.start()
    caller = call_to(sandbox)
    caller.create()

    def wait_for_document():
        with pytest.raises(OSError, match="Connection"):
            caller.create("/docs")

    waiting = threading.Thread(target=wait_for_document)
    waiting.start()
    wait_until(lambda: len(sandbox.ledger.entries) == 2)
    began = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - began < 3
    waiting.join(5)
    assert set(threading.enumerate()) <= before


def test_a_taken_port_is_an_error(sandbox):
    """Starting on a port in use raises OSError, and leaves nothing open."""
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=address(sandbox)[1]).start()


def test_what_nobody_has_foreseen_is_logged(sandbox, caller, caplog, monkeypatch):
    """A defect of the sandbox is no silent end of a connection."""
    monkeypatch.setattr(server.Handler, "_write", lambda self, response: 1 / 0)
    with caplog.at_level(logging.ERROR), pytest.raises(OSError, match="Connection"):
        caller.create()
    wait_until(lambda: "ZeroDivisionError" in caplog.text)


def test_it_listens_on_ipv6(call_to):
    """The URL of an IPv6 address has brackets."""
    try:
        sandbox = Sandbox(host="::1").start()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert sandbox.url.startswith("http://[::1]:")
    assert call_to(sandbox).create("/docs").status_code == 200
    sandbox.stop()
