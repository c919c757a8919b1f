"""Connections, TLS, proxies, redirects, timeouts, and what is logged."""

import base64
import io
import logging
import os
import threading
import tracemalloc

import pytest
import requests

import django_docraptor
from django_docraptor.client import RemoteStatus, Timeouts
from django_docraptor.client.transport import thread_session
from django_docraptor.exceptions import (
    NotSentError,
    ResponseError,
    Sent,
    UnknownOutcomeError,
)
from django_docraptor.payloads import DocumentRequest, PrinceOptions
from tests.support import socket_server as at
from tests.support.client import (
    ACCEPTED,
    DOWNLOAD_ID,
    KEY,
    REQUEST,
    create_error,
    make_client,
    status_error,
)
from tests.support.socket_server import SocketServer, head, respond


def test_api_key_is_sent_by_basic_authentication():
    """The key is the user name, even if it is not Latin-1, and is not in the URL."""
    with SocketServer(ACCEPTED) as server:
        make_client(server.url, api_key="ключ").create_async_doc(REQUEST)
    expected = base64.b64encode("ключ:".encode()).decode()
    assert server.requests[0].headers["authorization"] == f"Basic {expected}"
    assert "?" not in server.requests[0].path


def test_user_agent_names_the_package():
    """The User-Agent has the package and its version, and no compression is requested."""
    with SocketServer(ACCEPTED) as server:
        make_client(server.url).create_async_doc(REQUEST)
    headers = server.requests[0].headers
    assert headers["user-agent"] == (
        f"django-docraptor/{django_docraptor.__version__} (+python-requests/{requests.__version__})"
    )
    assert headers["accept-encoding"] == "identity"


def test_unusable_response_has_its_request_id():
    """DocRaptor's support finds a request by this ID, also if the response cannot be read."""
    error = status_error(respond(b"no JSON", headers={"X-Request-Id": "r-1"}))
    assert (error.status, error.request_id) == (200, "r-1")


def test_response_that_ends_early_is_told_with_its_cause():
    """The error says what happened to the connection, not only that the response is unusable."""
    error = status_error(at.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"))
    assert "cannot be used: IncompleteRead: " in error.message


def test_creates_and_downloads_use_new_connections():
    """A kept connection may close as the request arrives, so creates and downloads use new ones."""
    with SocketServer(ACCEPTED, ACCEPTED, respond(b"%PDF-")) as server:
        mine = make_client(server.url)
        mine.create_async_doc(REQUEST)
        mine.create_async_doc(REQUEST)
        mine.download("abc", io.BytesIO())
    assert [sent.connection for sent in server.requests] == [1, 2, 3]
    assert {sent.headers["connection"] for sent in server.requests} == {"close"}


def test_status_calls_share_a_pooled_connection():
    """Status calls share a connection, even across clients, so polling needs one TLS handshake."""
    with SocketServer(respond(b'{"status": "queued"}')) as server:
        for _ in range(3):
            make_client(server.url).get_status("abc")
    assert [sent.connection for sent in server.requests] == [1, 1, 1]


@pytest.mark.fault("S28")
@pytest.mark.parametrize("interim", [(100,), (102,), (103,), (103, 100, 102, 199)], ids=str)
def test_interim_response_is_not_the_response(interim):
    """1xx responses are skipped on every call, and the next call gets no earlier response."""
    start = b"".join(head(status, {"Link": "</a.css>"}) for status in interim)

    def respond_late(body):
        def behave(exchange):
            exchange.read()
            exchange.send(start)
            exchange.server.stopping.wait(0.05)
            exchange.send(head(200, {"Content-Length": str(len(body))}) + body)
            return True

        return behave

    first = respond_late(b'{"status": "completed", "download_id": "first"}')
    second = respond_late(b'{"status": "working"}')
    file = io.BytesIO()
    third, fourth = respond_late(b'{"status_id": "a"}'), respond_late(b"%PDF-")
    with SocketServer(first, second, third, fourth) as server:
        client = make_client(server.url)
        assert client.get_status("1").download_id == "first"
        assert client.get_status("2").status == "working"
        assert client.create_async_doc(REQUEST) == "a"
        client.download("1", file)
    assert file.getvalue() == b"%PDF-"
    assert [sent.connection for sent in server.requests] == [1, 1, 2, 3]


@pytest.mark.fault("S28")
@pytest.mark.parametrize("status", [101, 102, 103])
def test_interim_response_alone_says_nothing(status):
    """If nothing follows, the outcome of a create is unknown, and no status is refused."""
    only = at.send_bytes(head(status))
    error, server = create_error(only)
    assert isinstance(error, UnknownOutcomeError)
    assert (error.sent, len(server.requests)) == (Sent.MAYBE, 1)
    assert isinstance(status_error(only), UnknownOutcomeError)


@pytest.mark.fault("S28")
def test_endless_interim_responses_end_with_the_call():
    """They are bounded by the time of the whole call."""
    error = status_error(at.send_endlessly(b"", head(103)))
    assert isinstance(error, UnknownOutcomeError)
    assert "within 0.9 seconds" in str(error)


@pytest.mark.fault("S28")
def test_connection_that_has_switched_protocols_is_not_reused():
    """After a 101, the next call gets a connection of its own."""
    switch = at.send_bytes(head(101, {"Upgrade": "h2c"}), keep=True)
    with SocketServer(switch, respond(b'{"status": "queued"}')) as server:
        client = make_client(server.url)
        with pytest.raises(UnknownOutcomeError):
            client.get_status("1")
        assert client.get_status("2").status == "queued"
    assert [sent.connection for sent in server.requests] == [1, 2]


def test_pooled_session_belongs_to_one_thread():
    """Two threads never share a session."""
    others = []
    thread = threading.Thread(target=lambda: others.append(thread_session("pooled")))
    thread.start()
    thread.join()
    assert others[0] is not thread_session("pooled")
    assert thread_session("pooled") is thread_session("pooled")


@pytest.mark.fault("X6")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_pooled_session_is_not_inherited_across_a_fork():
    """A child process opens its own connection, and the parent's remains usable."""
    with SocketServer(respond(b'{"status": "queued"}')) as server:
        make_client(server.url).get_status("abc")
        pid = os.fork()
        if pid == 0:
            done = 1
            try:
                done = 0 if make_client(server.url).get_status("abc").status == "queued" else 1
            finally:
                os._exit(done)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        make_client(server.url).get_status("abc")
    assert [sent.connection for sent in server.requests] == [1, 2, 1]


def test_cookies_are_not_kept():
    """A cookie from a response is never sent."""
    queued = respond(b'{"status": "queued"}', headers={"Set-Cookie": "a=b; Path=/"})
    with SocketServer(queued) as server:
        make_client(server.url).get_status("abc")
        make_client(server.url).get_status("abc")
    assert "cookie" not in server.requests[1].headers


@pytest.mark.fault("X5")
def test_environment_is_ignored(monkeypatch, tmp_path):
    """netrc, proxy and CA variables change nothing, so the key is sent to the API host only."""
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
        assert make_client(server.url).create_async_doc(REQUEST) == "abc"
    expected = base64.b64encode(f"{KEY}:".encode()).decode()
    assert server.requests[0].headers["authorization"] == f"Basic {expected}"


@pytest.mark.fault("S29")
@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h"])
def test_socks_proxy_without_its_package_was_not_sent(scheme):
    """The error says what to install, not the proxy's password, and nothing was sent."""
    proxies = {"https": f"{scheme}://user:passw0rd@127.0.0.1:1080"}
    client = make_client("https://docraptor.test", proxies=proxies)
    for call in (lambda: client.create_async_doc(REQUEST), lambda: client.get_status("1")):
        with pytest.raises(NotSentError, match=r"requests\[socks\]") as caught:
            call()
        assert caught.value.sent == Sent.NO
        assert "passw0rd" not in str(caught.value)


def test_configured_proxy_is_used():
    """A proxy from the settings receives the call."""
    with SocketServer(ACCEPTED) as proxy:
        proxies = {"http": proxy.url}
        mine = make_client("http://docraptor.test", proxies=proxies)
        assert mine.create_async_doc(REQUEST) == "abc"
    assert proxy.requests[0].path == "http://docraptor.test/async_docs"


@pytest.mark.fault("X5")
def test_ca_bundle_of_the_settings_is_used(certificate, monkeypatch):
    """The CA bundle from the settings is used, whatever the environment says."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent.pem")
    with SocketServer(ACCEPTED, tls=certificate[1]) as server:
        mine = make_client(server.url, ca_bundle=str(certificate[0]))
        assert mine.create_async_doc(REQUEST) == "abc"


@pytest.mark.fault("X5")
def test_ca_bundle_of_the_environment_is_ignored(certificate, monkeypatch):
    """A CA bundle from the environment is not used."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with SocketServer(ACCEPTED, tls=certificate[1]) as server, pytest.raises(NotSentError):
        make_client(server.url).create_async_doc(REQUEST)


@pytest.mark.fault("S14")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(status):
    """A create call is not repeated elsewhere, and the key is not sent there."""
    with SocketServer(ACCEPTED) as other:
        location = {"Location": f"{other.url}/async_docs?token=t0ken"}
        error, server = create_error(respond(b"moved", status, location))
        assert other.connections == 0
    assert type(error) is UnknownOutcomeError
    assert "redirect to 127.0.0.1" in error.message
    assert "t0ken" not in error.message
    assert len(server.requests) == 1


@pytest.mark.fault("S14")
@pytest.mark.parametrize("location", ["http://[bad", "nonsense://x", "http://"])
def test_redirect_to_an_invalid_url_is_unknown(location):
    """Requests would raise InvalidURL, as for a URL of ours; but this call was sent."""
    error, _ = create_error(respond(b"", 307, {"Location": location}))
    assert type(error) is UnknownOutcomeError


def test_redirect_with_an_endless_body_is_not_loaded():
    """Requests would load the whole body to see where the redirect leads."""
    pour = at.send_endlessly(head(307, {"Location": "/elsewhere"}), b"x" * 65536)
    tracemalloc.start()
    error, _ = create_error(pour)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(error, UnknownOutcomeError)
    assert peak < 5_000_000


def test_redirect_of_a_status_call_is_retryable():
    """The redirect is not followed, and the call can be repeated."""
    error = status_error(respond(b"", 302, {"Location": "http://127.0.0.1:1/"}))
    assert type(error) is ResponseError
    assert (error.status, error.retryable) == (302, True)


@pytest.mark.fault("X7")
def test_urllib3_logs_a_download_without_its_id(caplog):
    """urllib3 logs every path at DEBUG; the ID is replaced, and the line is kept."""
    caplog.set_level(logging.DEBUG, logger="urllib3")
    with SocketServer(respond(b"x")) as server:
        make_client(server.url).download(DOWNLOAD_ID, io.BytesIO())
    assert '"GET /download/[redacted] HTTP/1.1" 200' in caplog.text
    assert DOWNLOAD_ID not in caplog.text


def test_urllib3_log_with_named_arguments_is_unchanged(caplog):
    """A log line with named arguments is not changed."""
    make_client("https://docraptor.test")
    caplog.set_level(logging.DEBUG, logger="urllib3")
    logging.getLogger("urllib3.connectionpool").debug("%(a)s", {"a": 1})
    assert caplog.messages == ["1"]


@pytest.mark.fault("X7")
def test_call_is_logged_without_ids(caplog):
    """Each call logs one line at DEBUG: method, path without IDs, status, seconds."""
    caplog.set_level(logging.DEBUG, logger="django_docraptor.client.transport")
    with SocketServer(respond(b'{"status": "queued"}')) as server:
        make_client(server.url).get_status("st4tus")
    (line,) = [one for one in caplog.records if one.name == "django_docraptor.client.transport"]
    assert line.getMessage().startswith("GET /status/…: 200 in 0.")


@pytest.mark.fault("X7")
def test_repr_hides_secrets():
    """Neither the client nor its results show a secret."""
    mine = make_client("https://docraptor.test")
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
    """DocRaptor takes up to 60 s for a synchronous document, so the timeout must be longer."""
    assert Timeouts().sync_read > 60
    assert Timeouts().total > Timeouts().sync_read
