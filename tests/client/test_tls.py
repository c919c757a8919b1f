"""TLS: whom a call trusts, and that the certificates are read once."""

import os
import socket
import threading

import pytest

from django_docraptor.client import tls
from django_docraptor.client.tls import shared_context
from django_docraptor.exceptions import NotSentError, Sent
from tests.support.certificates import HOST, Authority
from tests.support.client import ACCEPTED, REQUEST, make_client
from tests.support.socket_server import SocketServer, respond, tunnel

QUEUED = respond(b'{"status": "queued"}')


@pytest.fixture
def other(tmp_path_factory):
    """A second authority."""
    return Authority(tmp_path_factory.mktemp("other"))


def refused(client):
    """Return why a create was not sent."""
    with pytest.raises(NotSentError) as caught:
        client.create_async_doc(REQUEST)
    assert caught.value.sent == Sent.NO
    return caught.value.message


def client_of(server, bundle, **options):
    """Return a client that trusts a CA bundle."""
    return make_client(server.url, ca_bundle=str(bundle), **options)


def replace_bundle(path, content):
    """Replace a CA bundle as package managers do."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


@pytest.mark.fault("X11")
@pytest.mark.parametrize(
    ("host", "days", "reason"),
    [
        (HOST, -1, "expired"),
        ("192.0.2.1", 1, "IP address mismatch"),
        ("api.docraptor.com", 1, HOST),
    ],
    ids=["expired", "address", "name"],
)
def test_certificate_that_is_not_the_servers_is_refused(authority, host, days, reason):
    """An expired certificate, or one for another host, ends the call before anything is sent."""
    with SocketServer(ACCEPTED, tls=authority.server_context(host, days=days)) as server:
        assert reason in refused(client_of(server, authority.bundle))
    assert server.requests == []


@pytest.mark.fault("X11")
def test_unknown_authority_is_refused(authority, certificate, other):
    """A certificate of an authority that is not in the bundle, or not in certifi's, is refused."""
    with SocketServer(ACCEPTED, tls=certificate[1]) as server:
        assert "CERTIFICATE_VERIFY_FAILED" in refused(client_of(server, other.bundle))
        assert "CERTIFICATE_VERIFY_FAILED" in refused(make_client(server.url))
        assert client_of(server, authority.bundle).create_async_doc(REQUEST) == "abc"
    assert len(server.requests) == 1


def test_bundle_is_read_once(certificate, monkeypatch):
    """Creates use new connections, but read the certificates only when they have changed."""
    bundle = str(certificate[0])
    context = shared_context(bundle)
    monkeypatch.setattr(context, "load_verify_locations", None)  # as urllib3 would for each
    loads = tls._load.cache_info().misses
    with SocketServer(ACCEPTED, tls=certificate[1]) as server:
        for _ in range(3):
            client_of(server, bundle).create_async_doc(REQUEST)
    assert [sent.connection for sent in server.requests] == [1, 2, 3]
    assert tls._load.cache_info().misses == loads


def test_context_is_shared_by_threads(certificate):
    """All threads of a process use one context."""
    contexts = []
    bundle = str(certificate[0])
    thread = threading.Thread(target=lambda: contexts.append(shared_context(bundle)))
    thread.start()
    thread.join()
    assert contexts == [shared_context(bundle)]
    assert shared_context("") is not contexts[0]


def test_shared_context_is_not_changed_by_a_connection(authority):
    """The protocols stay, which urllib3 sets for each connection while other threads use them."""
    servers = authority.server_context()
    servers.set_alpn_protocols(["h2", "http/1.1"])
    context = shared_context(str(authority.bundle))
    context.set_alpn_protocols(["h2"])
    with (
        SocketServer(ACCEPTED, tls=servers) as server,
        socket.create_connection((HOST, server.port), 5) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        assert secure.selected_alpn_protocol() == "http/1.1"


@pytest.mark.fault("X11")
def test_bundle_that_changes_is_read_again(authority, certificate, other, tmp_path):
    """An authority that was removed from the bundle is refused, also on a kept connection."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.bundle.read_bytes())
    with SocketServer(QUEUED, tls=certificate[1]) as server:
        client = client_of(server, bundle)
        assert client.get_status("abc").status == "queued"
        assert client.get_status("abc").status == "queued"
        replace_bundle(bundle, other.bundle.read_bytes())
        with pytest.raises(NotSentError):
            client.get_status("abc")
        replace_bundle(bundle, other.bundle.read_bytes() + authority.bundle.read_bytes())
        assert client.get_status("abc").status == "queued"
    assert [sent.connection for sent in server.requests] == [1, 1, 3]


@pytest.mark.parametrize(
    "content", [None, b"", b"no certificate"], ids=["missing", "empty", "text"]
)
def test_bundle_that_cannot_be_read_is_named(certificate, tmp_path, content):
    """The error names the setting and the path, and nothing was sent."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with SocketServer(ACCEPTED, tls=certificate[1]) as server:
        message = refused(client_of(server, bundle))
    assert f"the CA bundle {bundle} (DOCRAPTOR['CA_BUNDLE']) cannot be read: " in message
    assert server.connections == 0


def test_http_reads_no_bundle():
    """A sandbox without TLS needs no certificates."""
    with SocketServer(ACCEPTED) as server:
        assert client_of(server, "/nonexistent.pem").create_async_doc(REQUEST) == "abc"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_process_shares_the_context_but_no_connection(certificate):
    """A child process reads no certificates again, and opens its own connections."""
    with SocketServer(QUEUED, tls=certificate[1]) as server:
        client = client_of(server, certificate[0])
        client.get_status("abc")
        loads = tls._load.cache_info().misses
        pid = os.fork()
        if pid == 0:
            done = 1
            try:
                is_queued = client.get_status("abc").status == "queued"
                done = 0 if is_queued and tls._load.cache_info().misses == loads else 1
            finally:
                os._exit(done)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        client.get_status("abc")
    assert [sent.connection for sent in server.requests] == [1, 2, 1]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_tunnel_is_used_and_its_end_is_verified(authority, certificate, scheme):
    """Through a tunnel, the certificate must be the server's, and a proxy with TLS has its own."""
    proxy_context = certificate[1] if scheme == "https" else None
    with (
        SocketServer(ACCEPTED, tls=certificate[1]) as server,
        SocketServer(tunnel(server.port), tls=proxy_context) as proxy,
    ):
        proxies = {"https": proxy.url}
        client = client_of(server, authority.bundle, proxies=proxies)
        assert client.create_async_doc(REQUEST) == "abc"
        assert proxy.requests[0].method == "CONNECT"
        elsewhere = f"https://docraptor.test:{server.port}"
        client = make_client(elsewhere, ca_bundle=str(authority.bundle), proxies=proxies)
        assert "docraptor.test" in refused(client)
    assert len(server.requests) == 1
    assert len(proxy.requests) == 2


@pytest.mark.fault("X11")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_of_an_unknown_authority_is_refused(authority, certificate, other, scheme):
    """A proxy that speaks TLS is verified like the server, before it learns anything."""
    with SocketServer(ACCEPTED, tls=other.server_context()) as proxy:
        client = make_client(
            f"{scheme}://docraptor.test",
            ca_bundle=str(authority.bundle),
            proxies={scheme: proxy.url},
        )
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            client.create_async_doc(REQUEST)
    assert proxy.requests == []
