"""The client's calls over real sockets: requests, results, downloads."""

import datetime as dt
import gzip
import hashlib
import io
import json
import os
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from django_docraptor.client import SavedDocument
from django_docraptor.exceptions import (
    CallError,
    DocumentTooLargeError,
    RejectedError,
    Sent,
    UnknownOutcomeError,
)
from tests.support import socket_server as at
from tests.support.client import ACCEPTED, KEY, REQUEST, download_error, make_client, status_error
from tests.support.socket_server import SocketServer, chunked, head, respond

# Requests.


def test_create_async_doc_sends_json_and_returns_the_status_id():
    """The options are at the top level of a UTF-8 JSON body, and the status ID is returned."""
    with SocketServer(ACCEPTED) as server:
        assert make_client(server.url).create_async_doc(REQUEST) == "abc"
    (sent,) = server.requests
    assert (sent.method, sent.path) == ("POST", "/async_docs")
    assert json.loads(sent.body) == REQUEST.to_json()
    assert "Grüße".encode() in sent.body
    assert sent.headers["content-type"] == "application/json"


def test_base_url_may_have_a_path_and_a_slash():
    """A base URL may have a path and end with a slash."""
    with SocketServer(ACCEPTED) as server:
        make_client(f"{server.url}/api/").create_async_doc(REQUEST)
    assert server.requests[0].path == "/api/async_docs"


@pytest.mark.parametrize(
    ("identifier", "path"),
    [
        ("abc-1_2", "/status/abc-1_2"),
        ("../docs", "/status/..%2Fdocs"),
        ("a/b?c#d", "/status/a%2Fb%3Fc%23d"),
        ("%2e%2e", "/status/%252e%252e"),
        ("é &", "/status/%C3%A9%20%26"),
    ],
)
def test_get_status_quotes_the_id(identifier, path):
    """Whatever an ID contains, it cannot change which call is made."""
    with SocketServer(respond(b'{"status": "queued"}')) as server:
        make_client(server.url).get_status(identifier)
    assert server.requests[0].path == path


@pytest.mark.parametrize("identifier", ["", "  ", ".", "..", "a\nb", "x" * 256, "\ud800", None, 7])
@pytest.mark.parametrize("method", ["get_status", "download", "expire"])
def test_invalid_id_is_rejected_without_a_call(identifier, method):
    """An ID that cannot be DocRaptor's is rejected, and nothing is sent."""
    arguments = (identifier, io.BytesIO()) if method == "download" else (identifier,)
    with SocketServer(respond()) as server, pytest.raises(RejectedError) as caught:
        getattr(make_client(server.url), method)(*arguments)
    assert server.connections == 0
    assert (caught.value.sent, caught.value.retryable) == (Sent.NO, False)


# Results.


def test_text_is_sent_as_utf_8():
    """A letter takes its bytes in UTF-8: with escapes a Russian document is three times larger."""
    with SocketServer(ACCEPTED) as server:
        make_client(server.url).create_async_doc(REQUEST)
    assert "Grüße".encode() in server.requests[0].body


@pytest.mark.parametrize("identifier", ["", "x" * 201, "a\nb", "..", None])
def test_impossible_id_is_not_sent(identifier):
    """An ID that cannot be a part of a path is refused with what is wrong, before any call."""
    with SocketServer() as server, pytest.raises(RejectedError) as caught:
        make_client(server.url).get_status(identifier)
    assert server.requests == []
    assert caught.value.sent == Sent.NO
    assert caught.value.message == (
        "Invalid status ID: it is blank, longer than 200 characters or not printable. Nothing was "
        "sent."
    )


def test_create_hosted_async_doc_returns_the_status_id():
    """The hosted call works as the plain one, with its own path."""
    with SocketServer(ACCEPTED) as server:
        assert make_client(server.url).create_hosted_async_doc(REQUEST) == "abc"
    assert server.requests[0].path == "/hosted_async_docs"


def test_create_doc_writes_the_document_to_the_target():
    """The synchronous call streams the document and returns its size and hash."""
    body = b"%PDF-1.7 " + b"x" * 200_000
    headers = {"Content-Type": "application/pdf", "X-DocRaptor-Num-Pages": "3"}
    target = io.BytesIO()
    with SocketServer(respond(body, headers=headers)) as server:
        download = make_client(server.url).create_doc(REQUEST, target)
    assert server.requests[0].path == "/docs"
    assert target.getvalue() == body
    assert download == SavedDocument(
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        content_type="application/pdf",
        number_of_pages=3,
    )


def test_status_does_not_repeat_the_key():
    """Message and reasons of a failure are stored and shown: the key is removed from both."""
    told = {"status": "failed", "message": f"Key {KEY}", "validation_errors": [f"{KEY} is odd"]}
    with SocketServer(respond(json.dumps(told).encode())) as server:
        remote = make_client(server.url).get_status("abc")
    assert (remote.message, remote.validation_errors) == ("Key [redacted]", "[redacted] is odd")


def test_get_status_stops_at_a_megabyte():
    """A status response without end is not loaded."""
    error = status_error(at.send_endlessly(head(200), b" " * 65536))
    assert "larger than" in str(error)


def test_expire_sends_a_patch():
    """A hosted document is expired by PATCH."""
    with SocketServer(respond()) as server:
        assert make_client(server.url).expire("d1") is None
    assert (server.requests[0].method, server.requests[0].path) == ("PATCH", "/expire/d1")


def test_list_doc_logs_sends_period_and_page():
    """The period is sent in UTC, widened to full seconds, together with the page."""
    start = dt.datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    with SocketServer(respond(b"[]")) as server:
        assert (
            make_client(server.url).list_doc_logs(start=start, end=start, page=2, per_page=50) == []
        )
    assert server.requests[0].path == (
        "/doc_logs.json?page=2&per_page=50&search%5Bstart%5D=2026-01-02+02%3A04%3A05+UTC"
        "&search%5Bend%5D=2026-01-02+02%3A04%3A06+UTC"
    )


@pytest.mark.parametrize(
    "arguments",
    [{"page": 0}, {"per_page": 101}, {"start": dt.datetime(2026, 1, 1)}],  # noqa: DTZ001
)
def test_list_doc_logs_validates_its_arguments(arguments):
    """A page below 1, a page size above the limit and a time without a zone are refused."""
    with pytest.raises(ValueError, match=r"page|aware datetime"):
        make_client("http://127.0.0.1:1").list_doc_logs(**arguments)


# Downloads.


def test_download_streams_every_kind_of_body():
    """Bodies with a length, in chunks or until the close are all received whole."""
    body = os.urandom(300_000)
    plain = respond(body)
    pieces = at.send_bytes(
        head(200, {"Transfer-Encoding": "chunked"}) + chunked(body[:9], body[9:])
    )
    until_close = at.send_bytes(head(200) + body)
    with SocketServer(plain, pieces, until_close) as server:
        for _ in range(3):
            target = io.BytesIO()
            download = make_client(server.url).download("d1", target)
            assert target.getvalue() == body
            assert download.size == len(body)
            assert download.sha256 == hashlib.sha256(body).hexdigest()


@pytest.mark.fault("D5")
@pytest.mark.parametrize("length", [True, False])
def test_download_decodes_gzip(length):
    """A compressed body is decoded, though compression was not requested."""
    body = b"%PDF-1.7 " + os.urandom(200_000)
    packed = gzip.compress(body)
    headers = {"Content-Encoding": "gzip"} | ({"Content-Length": len(packed)} if length else {})
    target = io.BytesIO()
    with SocketServer(at.send_bytes(head(200, headers) + packed)) as server:
        make_client(server.url).download("d1", target)
    assert target.getvalue() == body


@pytest.mark.fault("D3")
@pytest.mark.parametrize(
    "behaviour",
    [
        at.send_bytes(head(200, {"Content-Length": "9"}) + b"%PDF-"),
        at.send_bytes(head(200, {"Transfer-Encoding": "chunked"}) + chunked(b"%PDF-", end=False)),
        at.send_bytes(head(200, {"Transfer-Encoding": "chunked"}) + b"9\r\n%PDF-"),
        at.send_bytes(
            head(200, {"Content-Encoding": "gzip", "Content-Length": "9999"})
            + gzip.compress(os.urandom(5000))
        ),
        at.stall(head(200, {"Content-Length": "9"}) + b"%PDF-"),
        at.stall(head(200) + b"%PDF-"),
    ],
    ids=["length", "chunked", "in-a-chunk", "gzip", "stall", "stall-until-close"],
)
def test_truncated_download_is_an_error(behaviour):
    """Every truncation that can be detected is detected."""
    error = download_error(behaviour)
    assert type(error) is UnknownOutcomeError
    assert error.retryable
    assert error.status == 200


@pytest.mark.fault("D3")
def test_download_with_a_wrong_length_is_an_error():
    """A 204 response has no body, whatever its length says; urllib3 does not notice."""
    error = download_error(at.send_bytes(head(204, {"Content-Length": "5"})))
    assert "0 bytes, not the announced 5" in error.message


@pytest.mark.fault("D4")
def test_truncation_without_a_length_is_left_to_the_caller():
    """Without a length a truncation cannot be seen here; the caller checks the document's end."""
    with SocketServer(at.send_bytes(head(200) + b"%PDF-")) as server:
        assert make_client(server.url).download("d1", io.BytesIO()).size == 5


@pytest.mark.fault("D6")
@pytest.mark.parametrize(
    "start",
    [
        head(200, {"Content-Length": "1000000"}),
        head(200),
        head(200, {"Transfer-Encoding": "chunked"}) + b"ffffff\r\n",
    ],
    ids=["length", "close", "one-large-chunk"],
)
def test_slow_download_ends_at_the_total_timeout(start):
    """If each piece is in time but the whole is not, the total timeout ends the download."""
    started = time.monotonic()
    error = download_error(at.drip(start, every=0.05))
    assert "not received within 1 seconds" in error.message
    assert 0.9 < time.monotonic() - started < 10


@pytest.mark.fault("D6")
def test_download_announced_too_large_is_not_started():
    """The announced size is enough to refuse."""
    target = io.BytesIO()
    large = at.stall(head(200, {"Content-Length": "1001"}) + b"x")
    with SocketServer(large) as server, pytest.raises(DocumentTooLargeError, match="1,000"):
        make_client(server.url, max_document_bytes=1000).download("d1", target)
    assert target.getvalue() == b""


def test_download_of_the_maximum_size_is_accepted():
    """A document of exactly the maximum size is accepted."""
    with SocketServer(respond(b"x" * 1000)) as server:
        assert (
            make_client(server.url, max_document_bytes=1000).download("d1", io.BytesIO()).size
            == 1000
        )


@pytest.mark.fault("D6")
@pytest.mark.parametrize("kind", ["endless", "bomb"])
def test_oversized_download_stops_in_bounded_memory(kind, tmp_path):
    """An endless body, and 1 MB of gzip that is 1 GB, stop at the limit with little memory."""
    if kind == "endless":
        behaviour = at.send_endlessly(head(200), b"x" * 65536)
    else:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        packed = b"".join(packer.compress(bytes(10_000_000)) for _ in range(30)) + packer.flush()
        behaviour = at.send_bytes(head(200, {"Content-Encoding": "gzip"}) + packed)
    limit = 10_000_000
    with SocketServer(behaviour) as server, Path(tmp_path / "target").open("w+b") as target:
        tracemalloc.start()
        with pytest.raises(DocumentTooLargeError):
            make_client(server.url, max_document_bytes=limit).download("d1", target)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert target.tell() <= limit
    assert peak < 5_000_000


def test_error_of_the_target_is_not_a_call_error():
    """A full disk is not a network error."""

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with SocketServer(respond(b"x")) as server, pytest.raises(OSError, match="No space") as caught:
        make_client(server.url).download("d1", Full())
    assert not isinstance(caught.value, CallError)
