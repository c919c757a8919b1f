"""The client over real sockets: what it sends, what it understands, what each fault proves."""

import base64
import datetime as dt
import gzip
import hashlib
import io
import ipaddress
import json
import logging
import os
import ssl
import threading
import time
import traceback
import tracemalloc
import zlib
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests
import urllib3.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import django_docraptor
from django_docraptor.client import Client, Download, LogEntry, RemoteStatus, Timeouts
from django_docraptor.client.failures import Redactor, from_network
from django_docraptor.client.transport import session_for
from django_docraptor.exceptions import (
    CallError,
    DocumentTooLargeError,
    ForbiddenError,
    NotFoundError,
    NotSentError,
    RateLimitError,
    RejectedError,
    ResponseError,
    Sent,
    ServerError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from django_docraptor.payloads import DocumentRequest, PrinceOptions
from tests.support import socket_server as at
from tests.support.socket_server import SocketServer, answer, chunked, head

KEY = "s3cr3t/key+with=signs"
QUICK = Timeouts(
    connect=0.3, create_read=0.3, sync_read=0.3, status_read=0.3, download_read=0.3, total=1
)
REQUEST = DocumentRequest(name="a.pdf", content="<p>Grüße</p>", tag="t:1")
ACCEPTED = answer(b'{"status_id": "abc"}')


def client(url, **options):
    return Client(**{"api_key": KEY, "base_url": url, "timeouts": QUICK} | options)


def create_error(*behaviours, request=REQUEST, **options):
    """The error of one create call, and the server that saw it."""
    with SocketServer(*behaviours) as server, pytest.raises(CallError) as caught:
        client(server.url, **options).create_async_doc(request)
    return caught.value, server


def status_error(*behaviours):
    with SocketServer(*behaviours) as server, pytest.raises(CallError) as caught:
        client(server.url).get_status("abc")
    return caught.value


def download_error(*behaviours, **options):
    with SocketServer(*behaviours) as server, pytest.raises(CallError) as caught:
        client(server.url, **options).download("abc", io.BytesIO())
    return caught.value


# What is sent.


def test_create_async_doc_posts_json_and_returns_the_status_id():
    """The options stand at the top level of a UTF-8 JSON body; the answer's id is returned."""
    with SocketServer(ACCEPTED) as server:
        assert client(server.url).create_async_doc(REQUEST) == "abc"
    (sent,) = server.requests
    assert (sent.method, sent.path) == ("POST", "/async_docs")
    assert json.loads(sent.body) == REQUEST.to_json()
    assert "Grüße".encode() in sent.body
    assert sent.headers["content-type"] == "application/json"


def test_client_authenticates_with_the_key_as_user_and_no_password():
    """Basic authentication carries the key, even one that is not Latin-1; the address does not."""
    with SocketServer(ACCEPTED) as server:
        client(server.url, api_key="ключ").create_async_doc(REQUEST)
    expected = base64.b64encode("ключ:".encode()).decode()
    assert server.requests[0].headers["authorization"] == f"Basic {expected}"
    assert "?" not in server.requests[0].path


def test_client_says_who_it_is_and_asks_for_no_encoding():
    """User-Agent names package and version; compression is not asked for."""
    with SocketServer(ACCEPTED) as server:
        client(server.url).create_async_doc(REQUEST)
    headers = server.requests[0].headers
    assert headers["user-agent"] == (
        f"django-docraptor/{django_docraptor.__version__} (+python-requests/{requests.__version__})"
    )
    assert headers["accept-encoding"] == "identity"


def test_base_url_with_slash_and_path_is_kept():
    """A base URL may have a path and a slash at its end."""
    with SocketServer(ACCEPTED) as server:
        client(f"{server.url}/api/").create_async_doc(REQUEST)
    assert server.requests[0].path == "/api/async_docs"


def test_creates_and_downloads_use_a_connection_of_their_own():
    """A kept connection may die as the request arrives: a create or a download never risks it."""
    with SocketServer(ACCEPTED, ACCEPTED, answer(b"%PDF-")) as server:
        mine = client(server.url)
        mine.create_async_doc(REQUEST)
        mine.create_async_doc(REQUEST)
        mine.download("abc", io.BytesIO())
    assert [sent.connection for sent in server.requests] == [1, 2, 3]
    assert {sent.headers["connection"] for sent in server.requests} == {"close"}


def test_status_calls_share_a_pooled_connection():
    """Polling does not pay for a TLS handshake each time, even across clients."""
    with SocketServer(answer(b'{"status": "queued"}')) as server:
        for _ in range(3):
            client(server.url).get_status("abc")
    assert [sent.connection for sent in server.requests] == [1, 1, 1]


def test_pooled_session_belongs_to_one_thread():
    """Two threads never share a session."""
    others = []
    thread = threading.Thread(target=lambda: others.append(session_for("pooled")))
    thread.start()
    thread.join()
    assert others[0] is not session_for("pooled")
    assert session_for("pooled") is session_for("pooled")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_pooled_session_is_not_inherited_across_a_fork():
    """X6: a child process opens its own connection; the parent's stays usable."""
    with SocketServer(answer(b'{"status": "queued"}')) as server:
        client(server.url).get_status("abc")
        pid = os.fork()
        if pid == 0:
            done = 1
            try:
                done = 0 if client(server.url).get_status("abc").status == "queued" else 1
            finally:
                os._exit(done)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        client(server.url).get_status("abc")
    assert [sent.connection for sent in server.requests] == [1, 2, 1]


def test_cookies_are_not_kept():
    """A cookie that is set is never sent back."""
    queued = answer(b'{"status": "queued"}', headers={"Set-Cookie": "a=b; Path=/"})
    with SocketServer(queued) as server:
        client(server.url).get_status("abc")
        client(server.url).get_status("abc")
    assert "cookie" not in server.requests[1].headers


def test_environment_is_not_trusted(monkeypatch, tmp_path):
    """X5: netrc, proxy and CA variables change nothing: the key goes to the API host only."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login evil password evil\n")
    nowhere = f"http://127.0.0.1:{at.unused_port()}"
    for name in ("NETRC", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, nowhere)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with SocketServer(ACCEPTED) as server:
        assert client(server.url).create_async_doc(REQUEST) == "abc"
    expected = base64.b64encode(f"{KEY}:".encode()).decode()
    assert server.requests[0].headers["authorization"] == f"Basic {expected}"


def test_configured_proxy_is_used():
    """A proxy that the project names gets the call."""
    with SocketServer(ACCEPTED) as proxy:
        proxies = {"http": proxy.url}
        mine = client("http://docraptor.test", proxies=proxies)
        assert mine.create_async_doc(REQUEST) == "abc"
    assert proxy.requests[0].path == "http://docraptor.test/async_docs"


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
def test_get_status_quotes_the_id_into_one_part_of_the_path(identifier, path):
    """Whatever an id holds, it cannot change which call is made."""
    with SocketServer(answer(b'{"status": "queued"}')) as server:
        client(server.url).get_status(identifier)
    assert server.requests[0].path == path


@pytest.mark.parametrize("identifier", ["", "  ", ".", "..", "a\nb", "x" * 256, "\ud800", None, 7])
@pytest.mark.parametrize("method", ["get_status", "download", "expire"])
def test_absurd_id_is_rejected_without_a_call(identifier, method):
    """Such an id never came from DocRaptor: nothing is sent."""
    arguments = (identifier, io.BytesIO()) if method == "download" else (identifier,)
    with SocketServer(answer()) as server, pytest.raises(RejectedError) as caught:
        getattr(client(server.url), method)(*arguments)
    assert server.connections == 0
    assert (caught.value.sent, caught.value.retryable) == (Sent.NO, False)


# What is understood.


def test_create_hosted_async_doc_returns_the_status_id():
    """As the plain asynchronous call, under its own path."""
    with SocketServer(ACCEPTED) as server:
        assert client(server.url).create_hosted_async_doc(REQUEST) == "abc"
    assert server.requests[0].path == "/hosted_async_docs"


def test_create_hosted_doc_returns_where_it_is():
    """The answer has no status: that it came means completed."""
    body = {"download_id": "d1", "download_url": "https://x.test/download/d1", "number_of_pages": 2}
    with SocketServer(answer(json.dumps(body).encode())) as server:
        remote = client(server.url).create_hosted_doc(REQUEST)
    assert server.requests[0].path == "/hosted_docs"
    assert (remote.status, remote.download_id, remote.number_of_pages) == ("completed", "d1", 2)


def test_create_hosted_doc_without_an_id_is_an_unknown_outcome():
    """It was accepted, but where it is has been lost."""
    with (
        SocketServer(answer(b'{"number_of_pages": 1}')) as server,
        pytest.raises(UnknownOutcomeError, match="no download_id") as caught,
    ):
        client(server.url).create_hosted_doc(REQUEST)
    assert caught.value.sent == Sent.YES


def test_create_doc_writes_the_document_to_the_target():
    """The synchronous call streams the bytes and says what they were."""
    body = b"%PDF-1.7 " + b"x" * 200_000
    headers = {"Content-Type": "application/pdf", "X-DocRaptor-Num-Pages": "3"}
    target = io.BytesIO()
    with SocketServer(answer(body, headers=headers)) as server:
        download = client(server.url).create_doc(REQUEST, target)
    assert server.requests[0].path == "/docs"
    assert target.getvalue() == body
    assert download == Download(
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        content_type="application/pdf",
        number_of_pages=3,
    )


def test_get_status_reads_every_field():
    """A completed document's answer is read whole."""
    body = {
        "status": "completed",
        "download_id": "d1",
        "download_url": "https://x.test/download/d1",
        "message": "Completed at Mon Jun 06 18:33:17 +0000 2011",
        "number_of_pages": 4,
    }
    with SocketServer(answer(json.dumps(body).encode())) as server:
        assert client(server.url).get_status("abc") == RemoteStatus(**body)


def test_get_status_takes_the_download_id_from_the_address():
    """Old answers have no download_id: it is the last part of the address's path."""
    body = b'{"status": "completed", "download_url": "https://x.test/download/d%2F1?a=b"}'
    with SocketServer(answer(body)) as server:
        assert client(server.url).get_status("abc").download_id == "d/1"


def test_get_status_survives_an_address_that_is_none():
    """A download_url that cannot be read leaves the id blank."""
    body = b'{"status": "completed", "download_url": "http://[bad/download/d1"}'
    with SocketServer(answer(body)) as server:
        assert client(server.url).get_status("abc").download_id == ""


def test_get_status_keeps_every_reason_of_a_failure():
    """Several reasons come in one string, and stay whole."""
    reasons = "Name can't be blank\nName is too long (maximum is 200 characters)"
    body = json.dumps({"status": "failed", "validation_errors": reasons}).encode()
    with SocketServer(answer(body)) as server:
        remote = client(server.url).get_status("abc")
    assert (remote.status, remote.validation_errors) == ("failed", reasons)


def test_get_status_survives_odd_values_and_unknown_words():
    """A new word, a number as a string, a list of reasons: nothing hides the rest."""
    body = b'{"status": " Paused ", "number_of_pages": "7", "validation_errors": ["a", "b"]}'
    with SocketServer(answer(body)) as server:
        remote = client(server.url).get_status("abc")
    assert remote.status == "paused"
    assert (remote.number_of_pages, remote.validation_errors) == (7, "a\nb")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"<html>", b'{"status": null}'])
def test_get_status_without_a_status_may_be_asked_again(body):
    """An answer without a status says nothing: ask again later."""
    error = status_error(answer(body))
    assert isinstance(error, UnknownOutcomeError)
    assert error.retryable


def test_get_status_stops_at_a_megabyte():
    """A status answer without end is not loaded."""
    error = status_error(at.pour(head(200), b" " * 65536))
    assert "larger than" in str(error)


def test_expire_patches():
    """A hosted document is ended by PATCH."""
    with SocketServer(answer()) as server:
        assert client(server.url).expire("d1") is None
    assert (server.requests[0].method, server.requests[0].path) == ("PATCH", "/expire/d1")


def test_list_doc_logs_asks_for_a_period_and_a_page():
    """The period is sent in UTC, widened to full seconds, and the page with it."""
    start = dt.datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    with SocketServer(answer(b"[]")) as server:
        assert client(server.url).list_doc_logs(start=start, end=start, page=2, per_page=50) == []
    assert server.requests[0].path == (
        "/doc_logs.json?page=2&per_page=50&search%5Bstart%5D=2026-01-02T02%3A04%3A05%2B00%3A00"
        "&search%5Bend%5D=2026-01-02T02%3A04%3A06%2B00%3A00"
    )


def test_list_doc_logs_reads_lines_tolerantly():
    """What a line lacks stays blank; every known way to write a time is read."""
    lines = [
        {"tag": "t:1", "status_id": "s1", "success": True, "created_at": "2026-01-02T03:04:05Z"},
        {"doc_log": {"tag": None, "id": 7, "success": "false"}},
        {"created_at": "Fri Jan 02 03:04:05 +0000 2026", "test": False},
        {"created_at": "2026-01-02 03:04:05 UTC"},
        {"created_at": "soon", "success": "perhaps", "prince_options": {"a": 1}},
    ]
    with SocketServer(answer(json.dumps(lines).encode())) as server:
        entries = client(server.url).list_doc_logs()
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert entries == [
        LogEntry(tag="t:1", status_id="s1", success=True, created_at=moment),
        LogEntry(success=False),
        LogEntry(created_at=moment, test=False),
        LogEntry(created_at=moment),
        LogEntry(),
    ]


def test_list_docs_reads_a_list_under_one_name():
    """A listing may stand under a name of its own."""
    with SocketServer(answer(b'{"docs": [{"name": "a"}], "total": 1}')) as server:
        assert client(server.url).list_docs() == [LogEntry(name="a")]
    assert server.requests[0].path == "/docs.json?page=1&per_page=100"


@pytest.mark.parametrize("body", [b"{}", b'["a"]', b"null", b'[{"tag": "t'])
def test_list_doc_logs_that_is_not_understood_is_an_error(body):
    """An attempt is absent only from a listing that was read to its end."""
    with SocketServer(answer(body)) as server, pytest.raises(UnknownOutcomeError):
        client(server.url).list_doc_logs()


@pytest.mark.parametrize(
    "arguments",
    [{"page": 0}, {"per_page": 101}, {"start": dt.datetime(2026, 1, 1)}],  # noqa: DTZ001
)
def test_list_doc_logs_refuses_what_cannot_be_meant(arguments):
    """A page before the first, a page too large, a time without a zone."""
    with pytest.raises(ValueError, match=r"page|time zone"):
        client("http://127.0.0.1:1").list_doc_logs(**arguments)


# Certainly not sent.


def test_create_refused_was_not_sent():
    """Nobody listens: safe to send again."""
    with pytest.raises(NotSentError, match="ConnectionRefusedError") as caught:
        client(f"http://127.0.0.1:{at.unused_port()}").create_async_doc(REQUEST)
    assert (caught.value.sent, caught.value.retryable) == (Sent.NO, True)


def test_create_to_a_name_without_an_address_was_not_sent():
    """The name cannot be resolved."""
    with pytest.raises(NotSentError):
        client("http://nowhere.invalid").create_async_doc(REQUEST)


def test_create_connect_timeout_was_not_sent():
    """The connection is never established."""
    with at.unreachable() as url, pytest.raises(NotSentError):
        client(url).create_async_doc(REQUEST)


@pytest.mark.parametrize(
    "url",
    [
        "docraptor.test",
        "ftp://docraptor.test",
        "http://",
        "http://[::1",
        "http://.test",
        f"http://{'a' * 64}.test",
    ],
)
def test_create_to_a_wrong_address_was_not_sent(url):
    """An address that is none fails on our side."""
    with pytest.raises(NotSentError):
        client(url).create_async_doc(REQUEST)


def test_create_with_a_missing_ca_bundle_was_not_sent(tmp_path):
    """requests raises a plain OSError for it, before it connects."""
    missing = str(tmp_path / "none.pem")
    with pytest.raises(NotSentError, match=r"none\.pem"):
        client("https://127.0.0.1:1", ca_bundle=missing).create_async_doc(REQUEST)


def test_create_through_a_proxy_that_refuses_was_not_sent():
    """The proxy is not there; for http and https alike nothing has left."""
    nowhere = f"http://127.0.0.1:{at.unused_port()}"
    proxies = {"http": nowhere, "https": nowhere}
    for url in ("http://docraptor.test", "https://docraptor.test"):
        with pytest.raises(NotSentError):
            client(url, proxies=proxies).create_async_doc(REQUEST)


def test_create_over_https_that_the_proxy_does_not_connect_was_not_sent():
    """CONNECT answered with 502: the proxy has seen no request of ours."""
    refuse = at.raw(head(502, {"Content-Length": "0"}))
    with SocketServer(refuse) as proxy, pytest.raises(NotSentError):
        client("https://docraptor.test", proxies={"https": proxy.url}).create_async_doc(REQUEST)
    assert [sent.method for sent in proxy.requests] == ["CONNECT"]
    assert "authorization" not in proxy.requests[0].headers


def test_create_over_http_with_502_from_a_proxy_is_a_server_error():
    """Without a tunnel the proxy has the request, and may have passed it on."""
    with SocketServer(answer(status=502)) as proxy, pytest.raises(ServerError) as caught:
        client("http://docraptor.test", proxies={"http": proxy.url}).create_async_doc(REQUEST)
    assert caught.value.sent == Sent.MAYBE


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 as (path, server context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    path = folder / "cert.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, folder / "key.pem")
    return path, context


def test_create_with_an_untrusted_certificate_was_not_sent(certificate):
    """The handshake fails before the key is shown to anybody."""
    with (
        SocketServer(ACCEPTED, tls=certificate[1]) as server,
        pytest.raises(NotSentError, match="SSLCertVerificationError"),
    ):
        client(server.url).create_async_doc(REQUEST)
    assert server.requests == []


def test_create_with_a_trusted_certificate_works(certificate, monkeypatch):
    """The project's own CA bundle counts, whatever the environment says."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent.pem")
    with SocketServer(ACCEPTED, tls=certificate[1]) as server:
        mine = client(server.url, ca_bundle=str(certificate[0]))
        assert mine.create_async_doc(REQUEST) == "abc"


def test_environment_cannot_make_a_certificate_trusted(certificate, monkeypatch):
    """A CA bundle in the environment is not used."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with SocketServer(ACCEPTED, tls=certificate[1]) as server, pytest.raises(NotSentError):
        client(server.url).create_async_doc(REQUEST)


def test_create_whose_handshake_hangs_is_unknown():
    """It looks like a read timeout, hence must count as one."""
    with SocketServer(at.Exchange.hang) as server, pytest.raises(UnknownOutcomeError) as caught:
        client(server.url.replace("http:", "https:")).create_async_doc(REQUEST)
    assert caught.value.sent == Sent.MAYBE


# Outcome unknown.

BIG = DocumentRequest(name="big", content="x" * 20_000_000)


@pytest.mark.parametrize(
    "behaviour",
    [
        at.close_unread,
        at.close_while_reading,
        at.reset,
        at.close,
        at.hang,
        at.raw(b"HTT"),
        at.raw(b"garbage\r\n\r\n"),
        at.raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
        at.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        at.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
    ],
    ids=[
        "rst-unread",
        "rst-while-reading",
        "rst",
        "close",
        "hang",
        "half-status-line",
        "garbage",
        "cut-headers",
        "two-lengths",
        "endless-header",
    ],
)
def test_create_without_an_answer_is_unknown_and_sent_once(behaviour):
    """Whatever became of the request, it may have been accepted; it is never repeated here."""
    error, server = create_error(behaviour)
    assert type(error) is UnknownOutcomeError
    assert error.sent in (Sent.MAYBE, Sent.YES)
    assert server.connections == 1


def test_create_whose_body_is_not_taken_is_unknown():
    """The server stops reading a large body: the read timeout also bounds the writing."""
    started = time.monotonic()
    error, _ = create_error(at.stop_reading, request=BIG)
    assert type(error) is UnknownOutcomeError
    assert time.monotonic() - started < 2


def test_create_refused_while_sending_is_rejected():
    """An early 413 is an answer like any other."""
    data = head(413, {"Content-Length": "0", "Connection": "close"})
    error, _ = create_error(at.refuse_early(data), request=BIG)
    assert isinstance(error, RejectedError)


@pytest.mark.parametrize(
    "behaviour",
    [
        at.raw(head(200, {"Content-Length": "20"}) + b'{"status_id'),
        at.raw(head(200, {"Transfer-Encoding": "chunked"}) + chunked(b'{"status_id', end=False)),
        at.raw(head(200) + b'{"status_id'),
        at.stall(head(200, {"Content-Length": "20"}) + b'{"status_id'),
        at.drip(head(200, {"Content-Length": "999999"}), every=0.05, piece=b" "),
        answer(b"<html>Welcome to our hotel</html>"),
        answer(b"{}"),
        answer(b'{"status_id": " "}'),
        answer(b'["abc"]'),
        answer(b"\xff\xfe"),
        answer(b"[" * 100_000),
        answer(b"x", headers={"Content-Encoding": "gzip"}),
        answer(b"", status=204),
    ],
    ids=[
        "cut-length",
        "cut-chunked",
        "cut-close",
        "stall",
        "drip",
        "html",
        "no-id",
        "blank-id",
        "list",
        "not-utf-8",
        "deep",
        "not-gzip",
        "204",
    ],
)
def test_create_accepted_with_a_lost_id_is_unknown_but_sent(behaviour):
    """A success whose body is lost was accepted; only the log can tell its id."""
    error, server = create_error(behaviour)
    assert type(error) is UnknownOutcomeError
    assert error.sent == Sent.YES
    assert error.status in (200, 204)
    assert server.connections == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_create_with_a_server_error_may_have_been_accepted(status):
    """A gateway's error says nothing of the application behind it."""
    error, server = create_error(answer(b"<title>Bad Gateway</title>", status))
    assert isinstance(error, ServerError)
    assert (error.sent, error.retryable, error.status) == (Sent.MAYBE, True, status)
    assert error.message == "Bad Gateway"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed_and_the_key_not_sent_there(status):
    """A create is not repeated elsewhere, and its outcome is unknown."""
    with SocketServer(ACCEPTED) as other:
        location = {"Location": f"{other.url}/async_docs?token=t0ken"}
        error, server = create_error(answer(b"moved", status, location))
        assert other.connections == 0
    assert type(error) is UnknownOutcomeError
    assert "redirect to 127.0.0.1" in error.message
    assert "t0ken" not in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["http://[bad", "nonsense://x", "http://"])
def test_redirect_to_a_broken_address_is_unknown_not_unsent(location):
    """requests would raise InvalidURL, as for an address of ours; but this create was sent."""
    error, _ = create_error(answer(b"", 307, {"Location": location}))
    assert type(error) is UnknownOutcomeError


def test_redirect_with_an_endless_body_is_not_loaded():
    """requests would load it whole to look where the redirect goes."""
    pour = at.pour(head(307, {"Location": "/elsewhere"}), b"x" * 65536)
    tracemalloc.start()
    error, _ = create_error(pour)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(error, UnknownOutcomeError)
    assert peak < 5_000_000


def test_redirect_of_a_status_call_may_be_asked_again():
    """Something in between answered: not followed, not final."""
    error = status_error(answer(b"", 302, {"Location": "http://127.0.0.1:1/"}))
    assert type(error) is ResponseError
    assert (error.status, error.retryable) == (302, True)


def test_from_network_takes_only_explicit_links_for_proof():
    """An error that was merely being handled meanwhile proves nothing."""
    failure = requests.ConnectionError("Connection aborted.")
    failure.__context__ = urllib3.exceptions.NewConnectionError(None, "refused")
    error = from_network(failure, url="http://x", creates=True, redact=Redactor(()))
    assert type(error) is UnknownOutcomeError


@pytest.mark.parametrize("behaviour", [at.reset, at.close, at.hang, at.raw(b"junk")])
def test_status_without_an_answer_may_be_asked_again(behaviour):
    """Asking is free, so it is retryable."""
    error = status_error(behaviour)
    assert type(error) is UnknownOutcomeError
    assert error.retryable


def test_status_refused_was_not_sent():
    """The same classes as for a create."""
    with pytest.raises(NotSentError):
        client(f"http://127.0.0.1:{at.unused_port()}").get_status("abc")


# Answers that are errors.


@pytest.mark.parametrize(
    ("status", "kind", "sent", "retryable"),
    [
        (400, RejectedError, Sent.YES, False),
        (401, UnauthorizedError, Sent.YES, True),
        (403, ForbiddenError, Sent.NO, True),
        (404, NotFoundError, Sent.YES, False),
        (409, RejectedError, Sent.YES, False),
        (413, RejectedError, Sent.YES, False),
        (422, RejectedError, Sent.YES, False),
        (429, RateLimitError, Sent.NO, True),
    ],
)
def test_create_errors_by_status(status, kind, sent, retryable):
    """What each status code proves about a create."""
    error, _ = create_error(answer(b"", status, {"X-Request-Id": "r-1"}))
    assert type(error) is kind
    assert (error.sent, error.retryable) == (sent, retryable)
    assert (error.status, error.request_id) == (status, "r-1")


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, RejectedError, False),
        (401, UnauthorizedError, True),
        (403, ForbiddenError, False),
        (404, NotFoundError, False),
        (429, RateLimitError, True),
        (500, ServerError, True),
    ],
)
def test_status_and_download_errors_by_status(status, kind, retryable):
    """403 is final where nothing is created."""
    for error in (status_error(answer(b"", status)), download_error(answer(b"", status))):
        assert type(error) is kind
        assert error.retryable is retryable


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<?xml version='1.0'?><errors><error>Name can't be blank</error></errors>", None),
        (
            b"<errors>\n<error>One &lt;b&gt; &amp;lt;</error><error>Two</error></errors>",
            "One <b> &lt;\nTwo",
        ),
        (b"<errors><error type='x'><![CDATA[a <b> c]]></error></errors>", "a <b> c"),
        (b"<errors><error>Gr\xfc\xdfe</error></errors>", "Grüße"),
        (b"<errors><error>Gr\xc3\xbc\xc3\x9fe</error></errors>", "Grüße"),
        (b'{"errors": ["One", "Two"]}', "One\nTwo"),
        (b'{"errors": {"name": ["too long"]}}', "name: too long"),
        (b'{"error": "One"}', "One"),
        (b'{"message": "One"}', "One"),
        (b'{"errors": [1, null, [["a", [["b"]]]], {"x": {"y": "z"}}]}', "a\ny: z"),
        (b'["One", "Two"]', "One\nTwo"),
        (b'{"code": 7}', '{"code": 7}'),
        (b'{"validation_errors": "One\\nTwo"}', "One\nTwo"),
        (
            b"<html><head><TITLE>413 Request\n Too Large</TITLE></head></html>",
            "413 Request Too Large",
        ),
        (b"plain words", "plain words"),
        (b"", "DocRaptor answered 422 without a reason."),
        (b"<p>", "DocRaptor answered 422 without a reason."),
        (b"[" * 60_000, None),
        (b"<error" * 10_000, "DocRaptor answered 422 without a reason."),
    ],
)
def test_error_message_holds_every_reason(body, message):
    """XML, JSON, HTML, text, not UTF-8, empty: the reasons are found, the status is never lost."""
    started = time.monotonic()
    error, _ = create_error(answer(body, 422))
    assert error.status == 422
    assert error.message == message or message is None
    assert time.monotonic() - started < 1


def test_error_message_is_whole_and_the_body_an_excerpt():
    """A long reason is not cut; the body is, at 2,000 characters."""
    reason = "x" * 5_000
    error, _ = create_error(answer(f"<errors><error>{reason}</error></errors>".encode(), 422))
    assert error.message == reason
    assert len(error.body) == 2_000


def test_error_body_cannot_expand():
    """Entities that a document declares are text, not something to resolve."""
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
        b"<errors><error>&b; &xxe;</error></errors>"
    )
    error, _ = create_error(answer(bomb, 422))
    assert error.message == "&b; &xxe;"


@pytest.mark.parametrize(
    "behaviour",
    [
        at.raw(head(422, {"Content-Length": "99"}) + b"<errors><error>Cut</error>"),
        at.stall(head(422, {"Content-Length": "99"}) + b"<errors><error>Cut</error>"),
        at.pour(head(422), b"<errors><error>Cut</error>" + b" " * 65536),
        at.raw(head(422, {"Content-Encoding": "gzip"}) + b"not gzip"),
    ],
    ids=["cut", "stall", "endless", "not-gzip"],
)
def test_error_body_that_cannot_be_read_does_not_hide_the_status(behaviour):
    """The status decides; of the body, what came is used."""
    error, _ = create_error(behaviour)
    assert type(error) is RejectedError
    assert error.status == 422


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("999999", 3600), ("-5", None), ("soon", None), ("", None), ("9" * 400, 3600)],
)
def test_retry_after_in_seconds(value, seconds):
    """Seconds, one hour at most; nonsense is as if nothing was said."""
    error, _ = create_error(answer(b"", 429, {"Retry-After": value}))
    assert error.retry_after == seconds


def test_retry_after_as_a_date():
    """An HTTP date becomes the seconds until then, never negative."""
    now = dt.datetime.now(dt.UTC)
    later = format_datetime(now + dt.timedelta(seconds=100), usegmt=True)
    error, _ = create_error(answer(b"", 429, {"Retry-After": later}))
    assert 90 < error.retry_after <= 100
    past = format_datetime(now - dt.timedelta(days=1), usegmt=True)
    error, _ = create_error(answer(b"", 503, {"Retry-After": past}))
    assert error.retry_after == 0


# Downloads.


def test_download_streams_to_the_target():
    """Plain, chunked and close-delimited bodies all arrive whole."""
    body = os.urandom(300_000)
    plain = answer(body)
    pieces = at.raw(head(200, {"Transfer-Encoding": "chunked"}) + chunked(body[:9], body[9:]))
    until_close = at.raw(head(200) + body)
    with SocketServer(plain, pieces, until_close) as server:
        for _ in range(3):
            target = io.BytesIO()
            download = client(server.url).download("d1", target)
            assert target.getvalue() == body
            assert download.size == len(body)
            assert download.sha256 == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("length", [True, False])
def test_download_decodes_gzip(length):
    """A body that is compressed all the same is stored as what it is, not as gzip."""
    body = b"%PDF-1.7 " + os.urandom(200_000)
    packed = gzip.compress(body)
    headers = {"Content-Encoding": "gzip"} | ({"Content-Length": len(packed)} if length else {})
    target = io.BytesIO()
    with SocketServer(at.raw(head(200, headers) + packed)) as server:
        client(server.url).download("d1", target)
    assert target.getvalue() == body


@pytest.mark.parametrize(
    "behaviour",
    [
        at.raw(head(200, {"Content-Length": "9"}) + b"%PDF-"),
        at.raw(head(200, {"Transfer-Encoding": "chunked"}) + chunked(b"%PDF-", end=False)),
        at.raw(head(200, {"Transfer-Encoding": "chunked"}) + b"9\r\n%PDF-"),
        at.raw(
            head(200, {"Content-Encoding": "gzip", "Content-Length": "9999"})
            + gzip.compress(os.urandom(5000))
        ),
        at.stall(head(200, {"Content-Length": "9"}) + b"%PDF-"),
        at.stall(head(200) + b"%PDF-"),
    ],
    ids=["length", "chunked", "in-a-chunk", "gzip", "stall", "stall-until-close"],
)
def test_download_that_is_cut_is_an_error(behaviour):
    """Every cut that can be seen is seen."""
    error = download_error(behaviour)
    assert type(error) is UnknownOutcomeError
    assert error.retryable
    assert error.status == 200


def test_download_of_another_length_than_announced_is_an_error():
    """A 204 has no body, whatever length it announces: urllib3 lets that pass."""
    error = download_error(at.raw(head(204, {"Content-Length": "5"})))
    assert "0 bytes instead of 5" in error.message


def test_download_cut_without_any_length_is_left_to_the_caller():
    """Nothing on the wire tells it from the end: the caller looks at the document's own end."""
    with SocketServer(at.raw(head(200) + b"%PDF-")) as server:
        assert client(server.url).download("d1", io.BytesIO()).size == 5


@pytest.mark.parametrize(
    "start",
    [
        head(200, {"Content-Length": "1000000"}),
        head(200),
        head(200, {"Transfer-Encoding": "chunked"}) + b"ffffff\r\n",
    ],
    ids=["length", "close", "one-large-chunk"],
)
def test_download_that_drips_ends_at_the_total_time(start):
    """Each piece is in time, the whole is not: the clock is looked at after every read."""
    started = time.monotonic()
    error = download_error(at.drip(start, every=0.05))
    assert "longer than the time allowed" in error.message
    assert 0.9 < time.monotonic() - started < 1.6


def test_download_announced_too_large_is_not_begun():
    """The announced size is enough to refuse."""
    target = io.BytesIO()
    large = at.stall(head(200, {"Content-Length": "1001"}) + b"x")
    with SocketServer(large) as server, pytest.raises(DocumentTooLargeError, match="1,000"):
        client(server.url, max_document_bytes=1000).download("d1", target)
    assert target.getvalue() == b""


def test_download_of_the_largest_size_is_accepted():
    """The limit itself is allowed."""
    with SocketServer(answer(b"x" * 1000)) as server:
        assert client(server.url, max_document_bytes=1000).download("d1", io.BytesIO()).size == 1000


@pytest.mark.parametrize("kind", ["endless", "bomb"])
def test_download_that_is_too_large_stops_in_bounded_memory(kind, tmp_path):
    """An endless body, and 1 MB of gzip that is 1 GB, stop at the limit; memory stays small."""
    if kind == "endless":
        behaviour = at.pour(head(200), b"x" * 65536)
    else:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        packed = b"".join(packer.compress(bytes(10_000_000)) for _ in range(30)) + packer.flush()
        behaviour = at.raw(head(200, {"Content-Encoding": "gzip"}) + packed)
    limit = 10_000_000
    with SocketServer(behaviour) as server, Path(tmp_path / "target").open("w+b") as target:
        tracemalloc.start()
        with pytest.raises(DocumentTooLargeError):
            client(server.url, max_document_bytes=limit).download("d1", target)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert target.tell() <= limit
    assert peak < 5_000_000


def test_download_leaves_errors_of_the_target_alone():
    """A full disk is not an error of the network."""

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with SocketServer(answer(b"x")) as server, pytest.raises(OSError, match="No space") as caught:
        client(server.url).download("d1", Full())
    assert not isinstance(caught.value, CallError)


# Secrets.

FORMS = [KEY, "s3cr3t%2Fkey%2Bwith%3Dsigns", base64.b64encode(f"{KEY}:".encode()).decode()]


DOWNLOAD_ID = "d0wnl0ad"


def everything(error):
    """All text that an error or a report of it could show."""
    shown = "".join(traceback.format_exception(error))
    return " ".join([str(error), repr(error), repr(error.args), repr(vars(error)), shown])


def error_of(call):
    """The CallError that a call raises, or None."""
    try:
        call()
    except CallError as error:
        return error
    return None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [401, 422, 500])
def test_error_that_repeats_the_key_is_redacted(form, status):
    """An error body may repeat the key in any of its forms."""
    body = f"<errors><error>Bad key {form}!</error></errors>".encode()
    error, _ = create_error(answer(body, status, {"X-Request-Id": f"r {form}"}))
    assert error.message == "Bad key [redacted]!"
    assert form not in everything(error)
    assert "[redacted]" in error.body


@pytest.mark.parametrize(
    "behaviour", [at.reset, at.hang, at.raw(b"junk\r\n"), answer(b"{", 200), answer(b"", 403)]
)
def test_errors_and_logs_show_no_secret(behaviour, caplog):
    """Neither the key nor the download id is in any text of an error, its traceback or a log."""
    caplog.set_level(logging.DEBUG)
    with SocketServer(behaviour) as server:
        mine = client(server.url)
        for call in (
            lambda: mine.create_doc(REQUEST, io.BytesIO()),
            lambda: mine.create_async_doc(REQUEST),
            lambda: mine.download(DOWNLOAD_ID, io.BytesIO()),
            lambda: mine.expire(DOWNLOAD_ID),
        ):
            error = error_of(call)
            if error is None:
                continue
            assert error.__context__ is None
            assert error.__cause__ is None
            told = everything(error)
            for secret in [*FORMS, DOWNLOAD_ID, "Grüße"]:
                assert secret not in told
    assert "GET /download/…" in caplog.text
    for secret in [*FORMS, DOWNLOAD_ID, "Grüße"]:
        assert secret not in caplog.text


def test_urllib3_logs_a_download_without_its_id(caplog):
    """urllib3 logs every path at DEBUG; the id in it is taken out, the line stays."""
    caplog.set_level(logging.DEBUG, logger="urllib3")
    with SocketServer(answer(b"x")) as server:
        client(server.url).download(DOWNLOAD_ID, io.BytesIO())
    assert '"GET /download/[redacted] HTTP/1.1" 200' in caplog.text
    assert DOWNLOAD_ID not in caplog.text


def test_urllib3_may_log_a_dict(caplog):
    """A log line with named arguments passes as it is."""
    client("https://docraptor.test")
    caplog.set_level(logging.DEBUG, logger="urllib3")
    logging.getLogger("urllib3.connectionpool").debug("%(a)s", {"a": 1})
    assert caplog.messages == ["1"]


def test_error_that_repeats_the_download_id_is_redacted():
    """A download's address in an error body is a secret too."""
    body = b"<errors><error>https://x.test/download/an0ther?x and abc1234 failed</error></errors>"
    with SocketServer(answer(body, 400)) as server, pytest.raises(RejectedError) as caught:
        client(server.url).download("abc1234", io.BytesIO())
    told = everything(caught.value)
    assert "an0ther" not in told
    assert "abc1234" not in caught.value.message


def test_call_is_logged_without_ids(caplog):
    """One line a call at DEBUG: method, path without ids, status, seconds."""
    caplog.set_level(logging.DEBUG, logger="django_docraptor.client")
    with SocketServer(answer(b'{"status": "queued"}')) as server:
        client(server.url).get_status("st4tus")
    (line,) = [one for one in caplog.records if one.name == "django_docraptor.client"]
    assert line.getMessage().startswith("GET /status/…: 200 in 0.")


def test_repr_hides_secrets():
    """Neither the client nor what it returns shows a secret."""
    mine = client("https://docraptor.test")
    assert repr(mine) == "Client(base_url='https://docraptor.test')"
    assert KEY not in repr(mine._transport)
    remote = RemoteStatus(status="completed", download_id="d1x", download_url="https://x/d1x")
    assert "d1x" not in repr(remote)
    request = DocumentRequest(
        name="a",
        content="c0ntent",
        callback_url="https://x.test/t0ken",
        prince_options=PrinceOptions(user_password="pa55", owner_password="pa55"),
    )
    for secret in ("c0ntent", "t0ken", "pa55"):
        assert secret not in repr(request)


def test_default_timeouts_are_above_docraptors_limit():
    """DocRaptor takes up to 60 s for a synchronous document: giving up earlier wastes it."""
    assert Timeouts().sync_read > 60
    assert Timeouts().total > Timeouts().sync_read
