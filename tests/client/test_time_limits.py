"""TIMEOUT["total"] bounds the whole call: connecting, TLS, sending, headers and body."""

import gzip
import io
import os
import threading
import time

import pytest

from django_docraptor.client import Timeouts
from django_docraptor.exceptions import CallError, NotSentError, Sent, UnknownOutcomeError
from django_docraptor.payloads import DocumentRequest
from tests.support import socket_server as at
from tests.support.client import KEY, REQUEST, make_client
from tests.support.socket_server import SocketServer, head, respond

# No single read, and no connection, takes as long as its own timeout.
LIMIT = 0.5
PATIENT = Timeouts(
    connect=30, create_read=30, sync_read=30, status_read=30, download_read=30, total=LIMIT
)
BIG = DocumentRequest(name="big", content="x" * 20_000_000)
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
GZIP = {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}

DRIPPING_STATUS_LINE = at.drip(b"HTTP/1.1 200 ", every=0.05)
DRIPPING_HEADERS = at.drip(b"HTTP/1.1 200 OK\r\nX: ", every=0.05)
DRIPPING_HEADER_LINES = at.drip(b"HTTP/1.1 200 OK\r\n", every=0.05, piece=b"X: y\r\n")
BODIES = {
    "length": at.drip(head(200, {"Content-Length": "1000"}), every=0.05),
    "until-close": at.drip(head(200, {"Connection": "close"}), every=0.05),
    "chunked": at.drip(
        head(200, {"Transfer-Encoding": "chunked"}), every=0.05, piece=b"1\r\nx\r\n"
    ),
    "inside-chunk": at.drip(head(200, {"Transfer-Encoding": "chunked"}) + b"ffff\r\n", every=0.05),
    "gzip": at.drip(
        head(200, GZIP) + b"ffff\r\n" + gzip.compress(b"x")[:10], every=0.05, piece=EMPTY_BLOCK
    ),
}


def ends_in_time(call):
    """Return the error of a call, which must end at its limit."""
    started = time.monotonic()
    with pytest.raises(CallError) as caught:
        call()
    seconds = time.monotonic() - started
    assert LIMIT - 0.1 < seconds < LIMIT + 15  # of the 30 of a single read
    assert f"within {LIMIT:g} seconds" in str(caught.value)
    assert "DOCRAPTOR['TIMEOUT']" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


def patient_client(url, **options):
    """Return a client whose calls are only bounded as a whole."""
    return make_client(url, **{"timeouts": PATIENT} | options)


@pytest.mark.fault("X9")
@pytest.mark.parametrize(
    "behaviour",
    [DRIPPING_STATUS_LINE, DRIPPING_HEADERS, DRIPPING_HEADER_LINES, at.hang],
    ids=["status-line", "header", "header-lines", "silence"],
)
def test_headers_that_drip_end_at_the_total(behaviour):
    """Headers that come a byte at a time end the call, and a create may have been accepted."""
    with SocketServer(behaviour) as server:
        mine = patient_client(server.url)
        error = ends_in_time(lambda: mine.create_async_doc(REQUEST))
        assert type(error) is UnknownOutcomeError
        assert error.sent == Sent.MAYBE
        assert "headers" in error.message
        assert type(ends_in_time(lambda: mine.get_status("abc"))) is UnknownOutcomeError
        ends_in_time(lambda: mine.download("abc", io.BytesIO()))
        ends_in_time(lambda: mine.expire("abc"))
        ends_in_time(mine.list_doc_logs)


@pytest.mark.fault("X9")
@pytest.mark.parametrize("behaviour", BODIES.values(), ids=BODIES)
def test_body_that_drips_ends_at_the_total(behaviour):
    """A body that was cut by the limit is never taken for a whole one."""
    with SocketServer(behaviour) as server:
        mine = patient_client(server.url)
        error = ends_in_time(lambda: mine.download("abc", io.BytesIO()))
        assert "not received" in error.message
        error = ends_in_time(lambda: mine.create_async_doc(REQUEST))
    assert error.sent == Sent.YES


@pytest.mark.fault("X9")
def test_handshake_that_hangs_ends_at_the_total():
    """Nothing is sent before the handshake is complete."""
    with SocketServer(at.Exchange.hang) as server:
        mine = patient_client(server.url.replace("http:", "https:"))
        error = ends_in_time(lambda: mine.create_async_doc(REQUEST))
    assert type(error) is NotSentError
    assert "the connection was not established" in error.message


@pytest.mark.fault("X9")
def test_connection_that_is_never_established_ends_at_the_total():
    """The connection has no more time than the whole call."""
    with at.unreachable() as url:
        error = ends_in_time(lambda: patient_client(url).create_async_doc(REQUEST))
    assert type(error) is NotSentError


@pytest.mark.fault("X9")
@pytest.mark.parametrize("behaviour", [at.read_slowly, at.leave_body_unread])
def test_slow_upload_ends_at_the_total(behaviour):
    """A request that is read slowly, or not at all, may still have arrived."""
    with SocketServer(behaviour) as server:
        error = ends_in_time(lambda: patient_client(server.url).create_async_doc(BIG))
    assert type(error) is UnknownOutcomeError
    assert "the request was not sent completely" in error.message


@pytest.mark.fault("X9")
@pytest.mark.parametrize(
    "behaviour",
    [DRIPPING_HEADERS, BODIES["chunked"], at.read_slowly],
    ids=["headers", "body", "upload"],
)
def test_https_call_ends_at_the_total(certificate, behaviour):
    """Encryption changes nothing."""
    path, context = certificate
    with SocketServer(behaviour, tls=context) as server:
        mine = patient_client(server.url, ca_bundle=str(path))
        error = ends_in_time(lambda: mine.create_async_doc(BIG))
    assert error.sent in (Sent.MAYBE, Sent.YES)


@pytest.mark.fault("X9")
def test_http_proxy_that_drips_ends_at_the_total():
    """A proxy that passes the request on may have done so."""
    with SocketServer(DRIPPING_HEADERS) as proxy:
        mine = patient_client("http://docraptor.test", proxies={"http": proxy.url})
        error = ends_in_time(lambda: mine.create_async_doc(REQUEST))
    assert type(error) is UnknownOutcomeError


@pytest.mark.fault("X9")
@pytest.mark.parametrize(
    "behaviour",
    [
        at.hang,
        DRIPPING_HEADERS,
        at.stall(b"HTTP/1.1 200 Connection established\r\n\r\n"),
    ],
    ids=["silence", "headers", "handshake"],
)
def test_proxy_tunnel_that_hangs_ends_at_the_total(behaviour):
    """Through a tunnel that is not established, nothing is sent."""
    with SocketServer(behaviour) as proxy:
        mine = patient_client("https://docraptor.test", proxies={"https": proxy.url})
        error = ends_in_time(lambda: mine.create_async_doc(REQUEST))
    assert type(error) is NotSentError


def test_error_keeps_its_status_if_its_body_drips():
    """The status is known, so the limit does not hide it."""
    dripping = at.drip(head(422, {"Content-Length": "1000"}), every=0.05)
    with SocketServer(dripping) as server, pytest.raises(CallError) as caught:
        patient_client(server.url).create_async_doc(REQUEST)
    assert caught.value.status == 422


@pytest.mark.fault("X9")
def test_reused_connection_is_limited():
    """A connection of the pool is bounded in each call, and a new one replaces it afterwards."""
    queued = respond(b'{"status": "queued"}')
    with SocketServer(queued, DRIPPING_HEADERS, queued) as server:
        mine = patient_client(server.url)
        mine.get_status("abc")
        ends_in_time(lambda: mine.get_status("abc"))
        assert mine.get_status("abc").status == "queued"
    assert [sent.connection for sent in server.requests] == [1, 1, 2]


def test_limit_of_an_earlier_call_does_not_touch_the_connection():
    """A connection that is kept for longer than the limit of its first call stays usable."""
    with SocketServer(respond(b'{"status": "queued"}')) as server:
        mine = patient_client(server.url)
        mine.get_status("abc")
        time.sleep(LIMIT + 0.2)
        mine.get_status("abc")
    assert [sent.connection for sent in server.requests] == [1, 1]


def test_status_calls_have_less_time_than_creates():
    """The response is small: a claim on many jobs must not last as long as a download."""
    assert Timeouts().status_total == 35
    assert Timeouts(total=10).status_total == 10
    timeouts = Timeouts(connect=0.1, status_read=0.2, create_read=5, total=60)
    with SocketServer(DRIPPING_HEADERS) as server:
        error = ends_in_time(lambda: make_client(server.url, timeouts=timeouts).get_status("abc"))
    assert KEY not in error.message


@pytest.mark.fault("X9")
def test_calls_leave_no_thread_and_no_file():
    """Neither calls that end in time nor those that do not leave anything behind."""

    def open_files():
        return len(os.listdir("/proc/self/fd"))

    queued = respond(b'{"status": "queued"}')
    with SocketServer(queued, DRIPPING_HEADERS, queued) as server:
        mine = patient_client(server.url)
        mine.get_status("abc")
        before = set(threading.enumerate())
        files = open_files()
        ends_in_time(lambda: mine.get_status("abc"))
        for _ in range(50):
            mine.get_status("abc")
        end = time.monotonic() + 2
        while time.monotonic() < end and timers(before):
            time.sleep(0.01)
        assert timers(before) == []
        assert open_files() <= files + 2  # the server's new connection, and ours


def timers(before):
    """Return the timers that were started since."""
    added = set(threading.enumerate()) - before
    return [thread for thread in added if isinstance(thread, threading.Timer)]


@pytest.mark.fault("X9")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_call_of_a_forked_process_is_limited():
    """A child process bounds its own calls."""
    with SocketServer(respond(b'{"status": "queued"}'), DRIPPING_HEADERS) as server:
        mine = patient_client(server.url)
        mine.get_status("abc")
        pid = os.fork()
        if pid == 0:
            done = 1
            try:
                ends_in_time(lambda: mine.get_status("abc"))
                done = 0
            finally:
                os._exit(done)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_process_without_threads_sends_nothing(monkeypatch):
    """A call that cannot be bounded is not made, and its create may be repeated."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with SocketServer(at.hang) as server:
        monkeypatch.setattr(threading.Timer, "start", refuse)
        with pytest.raises(NotSentError, match="thread"):
            patient_client(server.url).create_async_doc(REQUEST)
    assert server.requests == []
