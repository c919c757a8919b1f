"""Callbacks: form-encoded, after success only, to allowed hosts, and faults."""

import json
import logging
import socket
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from django_docraptor.sandbox import Fault, Sandbox
from tests.support.sandbox_client import wait_until


def test_completed_asynchronous_document_calls_back(client, callback_server, sandbox):
    """The callback is a POST of a form with download_id and download_url."""
    status = client.create_and_finish(callback_url=f"{callback_server.url}/hook?token=1")
    wait_until(lambda: callback_server.received)
    method, path, headers, body = callback_server.received[0]
    assert (method, path) == ("POST", "/hook?token=1")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    fields = {"download_id": [status["download_id"]], "download_url": [status["download_url"]]}
    assert parse_qs(body.decode()) == fields
    assert "Authorization" not in headers
    assert sandbox.ledger.callback_calls == 1


def test_failed_and_synchronous_documents_do_not_call_back(client, callback_server, sandbox):
    """Only a completed asynchronous document calls back."""
    sandbox.add_fault(Fault(on="render", action="fail", match="broken"))
    client.create_and_finish(name="", callback_url=callback_server.url)
    client.create_and_finish(name="broken", callback_url=callback_server.url)
    client.create("/docs", callback_url=callback_server.url)
    client.create_and_finish(name="good", callback_url=callback_server.url)
    wait_until(lambda: callback_server.received)
    assert len(callback_server.received) == 1
    assert [entry.callbacks for entry in sandbox.ledger.entries] == [0, 0, 0, 1]


def test_redirect_of_a_callback_is_not_followed(client, callback_server):
    """A callback is sent to its own URL only."""
    callback_server.response_status = 307
    client.create_and_finish(callback_url=callback_server.url + "/first")
    wait_until(lambda: callback_server.received)
    time.sleep(0.1)
    assert [path for _, path, _, _ in callback_server.received] == ["/first"]


def test_callback_to_another_host_is_not_sent(client, sandbox, caplog):
    """Callbacks are sent to this machine only, unless another host is allowed."""
    with caplog.at_level(logging.WARNING, "django_docraptor.sandbox"):
        client.create_and_finish(callback_url="http://docraptor.invalid/hook")
        wait_until(lambda: "--allow-callbacks-to" in caplog.text)
    assert sandbox.ledger.callback_calls == 0


def test_callback_to_an_allowed_host_is_sent(make_client):
    """callback_hosts adds hosts."""
    with Sandbox(callback_hosts=("docraptor.invalid",)) as sandbox:
        client = make_client(sandbox)
        client.create_and_finish(callback_url="http://docraptor.invalid/hook")
        wait_until(lambda: sandbox.ledger.callback_calls == 1)


@pytest.mark.parametrize(("action", "count"), [("drop", 0), ("duplicate", 3)])
def test_callback_is_dropped_or_duplicated(client, callback_server, sandbox, action, count):
    """Drop sends no callback, duplicate sends `count`."""
    sandbox.add_fault(Fault(on="callback", action=action, count=3, match="faulty"))
    client.create_and_finish(name="faulty", callback_url=callback_server.url + "/faulty")
    client.create_and_finish(name="plain", callback_url=callback_server.url + "/plain")
    wait_until(lambda: len(callback_server.received) == count + 1)
    paths = [path for _, path, _, _ in callback_server.received]
    assert paths.count("/faulty") == count


def test_late_callback_waits_before_it_is_sent(client, callback_server, sandbox):
    """The fault `late` delays the callback."""
    sandbox.add_fault(Fault(on="callback", action="late", seconds=0.5))
    started = time.monotonic()
    client.create_and_finish(callback_url=callback_server.url)
    assert callback_server.received == []
    wait_until(lambda: callback_server.received)
    assert time.monotonic() - started >= 0.5


def test_callback_becomes_a_get(client, callback_server, sandbox):
    """The fault `to_get` sends what a proxy makes of a redirected POST."""
    sandbox.add_fault(Fault(on="callback", action="to_get"))
    status = client.create_and_finish(callback_url=callback_server.url + "/hook?token=1")
    wait_until(lambda: callback_server.received)
    method, path, _, body = callback_server.received[0]
    assert (method, body) == ("GET", b"")
    assert parse_qs(urlsplit(path).query)["download_id"] == [status["download_id"]]


def test_callback_may_be_json(client, callback_server, sandbox):
    """The fault `to_json` sends the same IDs in the other form that a site must read."""
    sandbox.add_fault(Fault(on="callback", action="to_json"))
    status = client.create_and_finish(callback_url=callback_server.url)
    wait_until(lambda: callback_server.received)
    method, _, headers, body = callback_server.received[0]
    assert (method, headers["Content-Type"]) == ("POST", "application/json")
    assert json.loads(body) == {
        "download_id": status["download_id"],
        "download_url": status["download_url"],
    }


def test_callback_may_have_no_body(client, callback_server, sandbox):
    """The fault `no_body` leaves the URL, which is all that a site may rely on."""
    sandbox.add_fault(Fault(on="callback", action="no_body"))
    client.create_and_finish(callback_url=callback_server.url + "/hook")
    wait_until(lambda: callback_server.received)
    method, path, _, body = callback_server.received[0]
    assert (method, path, body) == ("POST", "/hook", b"")


def test_callback_first_precedes_the_create_response(client, callback_server, sandbox):
    """The callback has arrived when the create call returns."""
    sandbox.change_settings(delay=30)
    sandbox.add_fault(Fault(on="create", action="callback_first"))
    response = client.create(callback_url=callback_server.url)
    assert len(callback_server.received) == 1
    assert client.status(response.json()["status_id"]).json()["status"] == "completed"


def test_reset_discards_scheduled_callbacks(client, callback_server, sandbox):
    """A document from before a reset does not call back."""
    sandbox.add_fault(Fault(on="callback", action="late", seconds=0.1))
    client.create_and_finish(callback_url=callback_server.url)
    sandbox.reset()
    time.sleep(0.3)
    assert callback_server.received == []


def test_callback_first_of_an_invalid_document_sends_nothing(client, callback_server, sandbox):
    """A document that fails does not call back."""
    sandbox.add_fault(Fault(on="create", action="callback_first"))
    status = client.create_and_finish(name="", callback_url=callback_server.url)
    assert status["status"] == "failed"
    assert callback_server.received == []


@pytest.mark.parametrize("url", ["http://[bad", "ftp://localhost/", "localhost", "http://"])
def test_invalid_callback_url_does_not_fail_the_document(client, sandbox, url):
    """The document is completed, and no callback is sent."""
    assert client.create_and_finish(callback_url=url)["status"] == "completed"
    assert sandbox.ledger.callback_calls == 0


def test_unreachable_callback_url_does_not_fail_the_document(client, sandbox, caplog):
    """The callback is attempted once, and the document stays completed."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with caplog.at_level(logging.WARNING, "django_docraptor.sandbox"):
        status = client.create_and_finish(callback_url=f"http://localhost:{port}/")
        assert status["status"] == "completed"
        wait_until(lambda: "Callback failed" in caplog.text)
    assert sandbox.ledger.callback_calls == 1
