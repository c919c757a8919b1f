"""Callbacks: after success only, form-encoded, to allowed hosts, and spoilt on request."""

import logging
import socket
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from django_docraptor.sandbox import Fault, Sandbox
from tests.support.sandbox_client import wait_until


def test_a_successful_asynchronous_document_calls_back(caller, receiver, sandbox):
    """One POST with download_id and download_url, as a form."""
    status = caller.create_and_finish(callback_url=f"{receiver.url}/hook?token=1")
    wait_until(lambda: receiver.received)
    method, path, headers, body = receiver.received[0]
    assert (method, path) == ("POST", "/hook?token=1")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    fields = {"download_id": [status["download_id"]], "download_url": [status["download_url"]]}
    assert parse_qs(body.decode()) == fields
    assert "Authorization" not in headers
    assert sandbox.ledger.callback_calls == 1


def test_failed_and_synchronous_documents_never_call_back(caller, receiver, sandbox):
    """Only success of an asynchronous document calls back."""
    sandbox.add_fault(Fault(on="render", action="fail", match="broken"))
    caller.create_and_finish(name="", callback_url=receiver.url)
    caller.create_and_finish(name="broken", callback_url=receiver.url)
    caller.create("/docs", callback_url=receiver.url)
    caller.create_and_finish(name="good", callback_url=receiver.url)
    wait_until(lambda: receiver.received)
    assert len(receiver.received) == 1
    assert [entry.callbacks for entry in sandbox.ledger.entries] == [0, 0, 0, 1]


def test_redirects_are_not_followed(caller, receiver):
    """A callback goes where it was sent, and nowhere else."""
    receiver.answer = 307
    caller.create_and_finish(callback_url=receiver.url + "/first")
    wait_until(lambda: receiver.received)
    time.sleep(0.1)
    assert [path for _, path, _, _ in receiver.received] == ["/first"]


def test_other_hosts_are_not_called(caller, sandbox, caplog):
    """Only this machine is called back, unless another host was allowed."""
    with caplog.at_level(logging.WARNING, "django_docraptor.sandbox"):
        caller.create_and_finish(callback_url="http://docraptor.invalid/hook")
        wait_until(lambda: "--allow-callbacks-to" in caplog.text)
    assert sandbox.ledger.callback_calls == 0


def test_allowed_hosts_are_called(call_to):
    """A host that was allowed is tried."""
    with Sandbox(callback_hosts=("docraptor.invalid",)) as sandbox:
        caller = call_to(sandbox)
        caller.create_and_finish(callback_url="http://docraptor.invalid/hook")
        wait_until(lambda: sandbox.ledger.callback_calls == 1)


@pytest.mark.parametrize(("action", "count"), [("drop", 0), ("duplicate", 3)])
def test_callbacks_are_dropped_or_doubled(caller, receiver, sandbox, action, count):
    """drop sends none, duplicate sends `count`."""
    sandbox.add_fault(Fault(on="callback", action=action, count=3, match="spoilt"))
    caller.create_and_finish(name="spoilt", callback_url=receiver.url + "/spoilt")
    caller.create_and_finish(name="plain", callback_url=receiver.url + "/plain")
    wait_until(lambda: len(receiver.received) == count + 1)
    paths = [path for _, path, _, _ in receiver.received]
    assert paths.count("/spoilt") == count


def test_a_callback_comes_late(caller, receiver, sandbox):
    """late waits before it sends."""
    sandbox.add_fault(Fault(on="callback", action="late", seconds=0.5))
    began = time.monotonic()
    caller.create_and_finish(callback_url=receiver.url)
    assert receiver.received == []
    wait_until(lambda: receiver.received)
    assert time.monotonic() - began >= 0.5


def test_a_callback_turns_into_a_get(caller, receiver, sandbox):
    """to_get sends what a proxy makes of a redirected POST."""
    sandbox.add_fault(Fault(on="callback", action="to_get"))
    status = caller.create_and_finish(callback_url=receiver.url + "/hook?token=1")
    wait_until(lambda: receiver.received)
    method, path, _, body = receiver.received[0]
    assert (method, body) == ("GET", b"")
    assert parse_qs(urlsplit(path).query)["download_id"] == [status["download_id"]]


def test_the_callback_comes_before_the_create_answers(caller, receiver, sandbox):
    """callback_first: the receiver knows before the caller does."""
    sandbox.change_settings(delay=30)
    sandbox.add_fault(Fault(on="create", action="callback_first"))
    response = caller.create(callback_url=receiver.url)
    assert len(receiver.received) == 1
    assert caller.status(response.json()["status_id"]).json()["status"] == "completed"


def test_a_reset_forgets_callbacks_that_are_due(caller, receiver, sandbox):
    """A document from before a reset calls nobody."""
    sandbox.add_fault(Fault(on="callback", action="late", seconds=0.1))
    caller.create_and_finish(callback_url=receiver.url)
    sandbox.reset()
    time.sleep(0.3)
    assert receiver.received == []


def test_an_invalid_document_calls_nobody_first(caller, receiver, sandbox):
    """callback_first of a document that fails is no callback."""
    sandbox.add_fault(Fault(on="create", action="callback_first"))
    status = caller.create_and_finish(name="", callback_url=receiver.url)
    assert status["status"] == "failed"
    assert receiver.received == []


@pytest.mark.parametrize("url", ["http://[bad", "ftp://localhost/", "localhost", "http://"])
def test_an_impossible_callback_url_harms_nobody(caller, sandbox, url):
    """The document is made; the callback is not."""
    assert caller.create_and_finish(callback_url=url)["status"] == "completed"
    assert sandbox.ledger.callback_calls == 0


def test_a_receiver_that_is_down_harms_nobody(caller, sandbox, caplog):
    """The callback is tried once, and the document stays completed."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with caplog.at_level(logging.WARNING, "django_docraptor.sandbox"):
        assert (
            caller.create_and_finish(callback_url=f"http://localhost:{port}/")["status"]
            == "completed"
        )
        wait_until(lambda: "callback failed" in caplog.text)
    assert sandbox.ledger.callback_calls == 1
