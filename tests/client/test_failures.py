"""What each failure of a call proves (not sent, sent, unknown), and its error message."""

import base64
import datetime as dt
import html
import io
import json
import logging
import time
from email.utils import format_datetime
from urllib.parse import quote, quote_plus

import pytest
import requests
import urllib3.exceptions

from django_docraptor.client.failures import Redactor, network_error
from django_docraptor.exceptions import (
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
from django_docraptor.payloads import DocumentRequest
from django_docraptor.secret_text import SecretText
from tests.support import socket_server as at
from tests.support.client import (
    ACCEPTED,
    DOWNLOAD_ID,
    FORMS,
    REQUEST,
    all_text_of,
    call_error,
    create_error,
    download_error,
    make_client,
    status_error,
)
from tests.support.socket_server import SocketServer, chunked, head, respond

# Not sent.


@pytest.mark.fault("S3")
def test_refused_create_was_not_sent():
    """A refused connection proves that nothing was sent."""
    with pytest.raises(NotSentError, match="ConnectionRefusedError") as caught:
        make_client(f"http://127.0.0.1:{at.unused_port()}").create_async_doc(REQUEST)
    assert (caught.value.sent, caught.value.retryable) == (Sent.NO, True)


def test_refused_connection_to_this_machine_asks_for_the_sandbox():
    """The error names the address, and how to start what is usually missing there."""
    port = at.unused_port()
    message = str(call_error(lambda: make_client(f"http://127.0.0.1:{port}").get_status("abc")))
    assert f"The request to http://127.0.0.1:{port} was not sent: " in message
    assert (
        f"Is the sandbox running? Start it: python -m django_docraptor.sandbox --port {port}."
        in (message)
    )


def test_refused_proxy_is_not_taken_for_the_sandbox():
    """If a proxy refuses the connection, the remedy is not the sandbox."""
    proxies = {"http": f"http://127.0.0.1:{at.unused_port()}"}
    client = make_client("http://127.0.0.1:9", proxies=proxies)
    message = str(call_error(lambda: client.get_status("abc")))
    assert "ProxyError" in message or "Connection refused" in message
    assert "sandbox" not in message


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_page_of_this_very_site_is_named_as_such(status):
    """The page of a Django site at BASE_URL leads to the setting, not to the document."""
    page = b"<!DOCTYPE html><title>Page not found at /async_docs</title>"
    error, server = create_error(respond(page, status))
    assert error.message == (
        f"{server.url} returned a web page, “Page not found at /async_docs”. Is "
        f"DOCRAPTOR['BASE_URL'], {server.url}, this very site? Set it to the URL of the sandbox, "
        "or remove it to use DocRaptor itself."
    )


@pytest.mark.parametrize(
    "behaviour",
    [at.reset_while_reading, respond(b"not JSON"), respond(b"busy", 503), respond(b"", 404)],
)
def test_every_error_of_the_transport_names_the_address(behaviour):
    """Whatever is in the way, the error says at which address."""
    error, server = create_error(behaviour)
    assert server.url in error.message


def test_address_of_an_error_has_no_password():
    """A password in BASE_URL is not repeated."""
    url = f"http://user:s3cret@127.0.0.1:{at.unused_port()}"
    error = call_error(lambda: make_client(url).get_status("abc"))
    assert "s3cret" not in all_text_of(error)


@pytest.mark.fault("S3")
def test_create_to_an_unknown_host_was_not_sent():
    """A host name that cannot be resolved proves that nothing was sent."""
    with pytest.raises(NotSentError):
        make_client("http://nowhere.invalid").create_async_doc(REQUEST)


@pytest.mark.fault("S4")
def test_create_with_a_connect_timeout_was_not_sent():
    """A connection that is never established proves that nothing was sent."""
    with at.unreachable() as url, pytest.raises(NotSentError):
        make_client(url).create_async_doc(REQUEST)


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
def test_create_to_an_invalid_url_was_not_sent(url):
    """An invalid URL fails before anything is sent."""
    with pytest.raises(NotSentError):
        make_client(url).create_async_doc(REQUEST)


def test_create_with_a_missing_ca_bundle_was_not_sent(tmp_path):
    """Requests raises a plain OSError for a missing CA bundle, before it connects."""
    missing = str(tmp_path / "none.pem")
    with pytest.raises(NotSentError, match=r"none\.pem"):
        make_client("https://127.0.0.1:1", ca_bundle=missing).create_async_doc(REQUEST)


@pytest.mark.fault("S3")
def test_create_through_a_proxy_that_refuses_was_not_sent():
    """A proxy that refuses connections proves that nothing was sent, for http and https."""
    nowhere = f"http://127.0.0.1:{at.unused_port()}"
    proxies = {"http": nowhere, "https": nowhere}
    for url in ("http://docraptor.test", "https://docraptor.test"):
        with pytest.raises(NotSentError):
            make_client(url, proxies=proxies).create_async_doc(REQUEST)


def test_create_without_a_proxy_tunnel_was_not_sent():
    """A proxy that answers CONNECT with 502 has not received the request."""
    refuse = at.send_bytes(head(502, {"Content-Length": "0"}))
    with SocketServer(refuse) as proxy, pytest.raises(NotSentError):
        make_client("https://docraptor.test", proxies={"https": proxy.url}).create_async_doc(
            REQUEST
        )
    assert [sent.method for sent in proxy.requests] == ["CONNECT"]
    assert "authorization" not in proxy.requests[0].headers


@pytest.mark.fault("S10")
def test_502_from_a_proxy_over_http_is_a_server_error():
    """Without a tunnel the proxy has the request, and may have forwarded it."""
    with SocketServer(respond(status=502)) as proxy, pytest.raises(ServerError) as caught:
        make_client("http://docraptor.test", proxies={"http": proxy.url}).create_async_doc(REQUEST)
    assert caught.value.sent == Sent.MAYBE


def test_create_with_an_untrusted_certificate_was_not_sent(certificate):
    """The handshake fails before the API key is sent."""
    with (
        SocketServer(ACCEPTED, tls=certificate[1]) as server,
        pytest.raises(NotSentError, match="SSLCertVerificationError"),
    ):
        make_client(server.url).create_async_doc(REQUEST)
    assert server.requests == []


def test_create_with_a_hanging_handshake_is_unknown():
    """It looks like a read timeout, so it must count as one."""
    with SocketServer(at.Exchange.hang) as server, pytest.raises(UnknownOutcomeError) as caught:
        make_client(server.url.replace("http:", "https:")).create_async_doc(REQUEST)
    assert caught.value.sent == Sent.MAYBE


# Outcome unknown.


BIG = DocumentRequest(name="big", content="x" * 20_000_000)


@pytest.mark.fault("S5", "S6", "S7")
@pytest.mark.parametrize(
    "behaviour",
    [
        at.close_unread,
        at.reset_while_reading,
        at.reset,
        at.close,
        at.hang,
        at.send_bytes(b"HTT"),
        at.send_bytes(b"garbage\r\n\r\n"),
        at.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Le"),
        at.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        at.send_bytes(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
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
def test_create_without_a_response_is_unknown_and_sent_once(behaviour):
    """The request may have been accepted, and it is never repeated here."""
    error, server = create_error(behaviour)
    assert type(error) is UnknownOutcomeError
    assert error.sent in (Sent.MAYBE, Sent.YES)
    assert server.connections == 1


def test_create_with_an_unread_body_is_unknown():
    """If the server stops reading, the read timeout also limits the writing."""
    started = time.monotonic()
    error, _ = create_error(at.leave_body_unread, request=BIG)
    assert type(error) is UnknownOutcomeError
    assert time.monotonic() - started < 20


@pytest.mark.fault("S13")
def test_early_413_is_a_rejection():
    """A 413 response that arrives while the body is being sent is a response like any other."""
    data = head(413, {"Content-Length": "0", "Connection": "close"})
    error, _ = create_error(at.refuse_early(data), request=BIG)
    assert isinstance(error, RejectedError)


@pytest.mark.fault("S8", "S9")
@pytest.mark.parametrize(
    "behaviour",
    [
        at.send_bytes(head(200, {"Content-Length": "20"}) + b'{"status_id'),
        at.send_bytes(
            head(200, {"Transfer-Encoding": "chunked"}) + chunked(b'{"status_id', end=False)
        ),
        at.send_bytes(head(200) + b'{"status_id'),
        at.stall(head(200, {"Content-Length": "20"}) + b'{"status_id'),
        at.drip(head(200, {"Content-Length": "999999"}), every=0.05, piece=b" "),
        respond(b"<html>Welcome to our hotel</html>"),
        respond(b"{}"),
        respond(b'{"status_id": " "}'),
        respond(b'["abc"]'),
        respond(b"\xff\xfe"),
        respond(b"[" * 100_000),
        respond(b"x", headers={"Content-Encoding": "gzip"}),
        respond(b"", status=204),
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
def test_create_with_a_lost_status_id_is_unknown_but_sent(behaviour):
    """A success without a readable body was accepted; only the log has its ID."""
    error, server = create_error(behaviour)
    assert type(error) is UnknownOutcomeError
    assert error.sent == Sent.YES
    assert error.status in (200, 204)
    assert server.connections == 1


@pytest.mark.fault("S10")
@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_create_with_a_server_error_may_have_been_accepted(status):
    """A gateway's error says nothing about the application behind it."""
    error, server = create_error(respond(b"<title>Bad Gateway</title>", status))
    assert isinstance(error, ServerError)
    assert (error.sent, error.retryable, error.status) == (Sent.MAYBE, True, status)
    assert error.message == f"{server.url} returned a web page, “Bad Gateway”."
    assert len(server.requests) == 1


def test_only_an_explicit_cause_is_proof():
    """An error that was only being handled at the same time proves nothing."""
    failure = requests.ConnectionError("Connection aborted.")
    failure.__context__ = urllib3.exceptions.NewConnectionError(None, "refused")
    error = network_error(failure, url="http://x", is_create=True, redact=Redactor(()))
    assert type(error) is UnknownOutcomeError


@pytest.mark.fault("P1")
@pytest.mark.parametrize("behaviour", [at.reset, at.close, at.hang, at.send_bytes(b"junk")])
def test_status_without_a_response_is_retryable(behaviour):
    """A status call is free, so it can be repeated."""
    error = status_error(behaviour)
    assert type(error) is UnknownOutcomeError
    assert error.retryable


@pytest.mark.fault("P1")
def test_refused_status_call_was_not_sent():
    """Status calls have the same errors as create calls."""
    with pytest.raises(NotSentError):
        make_client(f"http://127.0.0.1:{at.unused_port()}").get_status("abc")


# Error responses.


DAY = 86_400


@pytest.mark.fault("S11", "S12", "S13")
@pytest.mark.parametrize(
    ("status", "kind", "sent", "retryable"),
    [
        (400, RejectedError, Sent.YES, False),
        (401, UnauthorizedError, Sent.YES, True),
        (403, ForbiddenError, Sent.NO, True),
        (404, NotFoundError, Sent.NO, True),
        (408, ResponseError, Sent.NO, True),
        (421, ResponseError, Sent.NO, True),
        (425, ResponseError, Sent.NO, True),
        (409, RejectedError, Sent.NO, True),
        (413, RejectedError, Sent.YES, False),
        (422, RejectedError, Sent.YES, False),
        (429, RateLimitError, Sent.NO, True),
    ],
)
def test_create_error_depends_on_the_status_code(status, kind, sent, retryable):
    """Each status code proves whether a create call was accepted."""
    error, _ = create_error(respond(b"", status, {"X-Request-Id": "r-1"}))
    assert type(error) is kind
    assert (error.sent, error.retryable) == (sent, retryable)
    assert (error.status, error.request_id) == (status, "r-1")


@pytest.mark.fault("P1", "P3")
@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, RejectedError, False),
        (401, UnauthorizedError, True),
        (403, ForbiddenError, False),
        (404, NotFoundError, False),
        (421, ResponseError, True),
        (425, ResponseError, True),
        (429, RateLimitError, True),
        (500, ServerError, True),
    ],
)
def test_status_and_download_errors_depend_on_the_status_code(status, kind, retryable):
    """A 403 response is final if nothing is created and DocRaptor gives a reason."""
    for body in (b"<errors><error>No</error></errors>", b'{"errors": ["No"]}', b'{"error": "No"}'):
        answer = respond(body, status)
        for error in (status_error(answer), download_error(answer)):
            assert type(error) is kind
            assert error.retryable is retryable


@pytest.mark.fault("P9")
@pytest.mark.parametrize("status", [400, 403, 404, 410])
@pytest.mark.parametrize(
    "body",
    [
        b"<html><head><title>Attention Required!</title></head></html>",
        b"<h1>Not found</h1>",
        b"Forbidden",
        b"<Error><Code>AccessDenied</Code></Error>",
        b"<errors><error>Cut",
        b"",
    ],
)
def test_page_of_an_intermediary_is_no_verdict(status, body):
    """An error without DocRaptor's structure is retryable if nothing is created."""
    for error in (status_error(respond(body, status)), download_error(respond(body, status))):
        assert error.status == status
        assert error.retryable


PAGE = b"<!DOCTYPE html><html><title>Attention Required!</title></html>"


@pytest.mark.fault("S25")
@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 451])
@pytest.mark.parametrize("page", [PAGE, PAGE.upper(), b"<h1>Not found</h1>"])
def test_page_of_an_intermediary_is_sent_again(status, page):
    """A page that answers a create call with 4xx did not come from DocRaptor: nothing was sent."""
    error, _ = create_error(respond(page, status))
    assert (error.status, error.sent, error.retryable) == (status, Sent.NO, True)


@pytest.mark.fault("S25")
@pytest.mark.parametrize("status", [402, 404, 405, 407, 409, 410, 423, 451])
@pytest.mark.parametrize("body", [b"", b"404 page not found", b"no healthy upstream", b"<br>"])
def test_plain_text_of_an_intermediary_is_sent_again(status, body):
    """DocRaptor rejects a create with 400 or 422, or in XML or JSON; a router's text is neither."""
    error, _ = create_error(respond(body, status))
    assert (error.status, error.sent, error.retryable) == (status, Sent.NO, True)


@pytest.mark.fault("S13")
@pytest.mark.parametrize("status", [400, 402, 404, 405, 409, 410, 422, 451])
@pytest.mark.parametrize("body", [b"<errors><error>No</error></errors>", b'{"error": "No"}'])
def test_docraptors_own_words_reject_a_create(status, body):
    """In DocRaptor's structure, every 4xx without a meaning of its own is a verdict."""
    error, _ = create_error(respond(body, status))
    assert (error.status, error.sent, error.retryable) == (status, Sent.YES, False)


@pytest.mark.fault("S13")
@pytest.mark.parametrize("body", [PAGE, b"", b"Too large"])
def test_too_large_request_is_rejected_by_a_proxy_too(body):
    """A 413 concerns the request, also if a proxy in front of DocRaptor sends it."""
    error, _ = create_error(respond(body, 413))
    assert (error.sent, error.retryable) == (Sent.YES, False)


@pytest.mark.fault("S11", "S25")
@pytest.mark.parametrize("status", [403, 422, 500, 503])
@pytest.mark.parametrize(
    "text",
    [
        "Too many simultaneous document requests",
        "[Document Queueing Error] There was an error queueing your document.",
    ],
)
@pytest.mark.parametrize("form", ["<errors><error>{}</error></errors>", '{{"errors": ["{}"]}}'])
def test_docraptors_text_says_that_nothing_was_accepted(status, text, form):
    """DocRaptor's own words prove that a create was not accepted, whatever the code is."""
    answer = respond(form.format(text).encode(), status)
    error, _ = create_error(answer)
    assert (error.status, error.sent, error.retryable) == (status, Sent.NO, True)
    assert status_error(answer).retryable
    assert download_error(answer).retryable


@pytest.mark.fault("S10")
@pytest.mark.parametrize("body", [PAGE, b"Too many simultaneous document requests", b""])
@pytest.mark.parametrize("status", [500, 503])
def test_only_docraptors_own_text_is_proof(status, body):
    """The same words on a page, or no words, leave the outcome of a create open."""
    error, _ = create_error(respond(body, status))
    assert error.sent == Sent.MAYBE


@pytest.mark.fault("S11")
def test_forbidden_create_is_not_accepted():
    """DocRaptor's own 403 without these words may be final, but nothing was accepted."""
    error, _ = create_error(respond(b"<errors><error>No permission</error></errors>", 403))
    assert (error.sent, error.retryable) == (Sent.NO, False)


@pytest.mark.fault("S13")
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
            "SERVER returned a web page, “413 Request Too Large”. Is DOCRAPTOR['BASE_URL'], "
            "SERVER, this very site? Set it to the URL of the sandbox, or remove it to use "
            "DocRaptor itself.",
        ),
        (b"plain words", "plain words"),
        (b"", "SERVER returned HTTP 422 without an error message."),
        (b"<p>", "SERVER returned HTTP 422 without an error message."),
        (b"[" * 60_000, None),
        (b"<error" * 10_000, "SERVER returned HTTP 422 without an error message."),
    ],
)
def test_error_message_has_every_reason(body, message):
    """Reasons are found in XML, JSON, HTML and undecodable bodies; the status is never lost."""
    started = time.process_time()
    error, server = create_error(respond(body, 422))
    assert error.status == 422
    assert error.message.replace(server.url, "SERVER") == message or message is None
    assert time.process_time() - started < 1


def test_error_message_is_whole_and_its_body_is_cut():
    """A long reason is not cut; the body is cut at 2,000 characters."""
    reason = "x" * 5_000
    error, _ = create_error(respond(f"<errors><error>{reason}</error></errors>".encode(), 422))
    assert error.message == reason
    assert len(error.body) == 2_000


def test_error_body_does_not_expand_entities():
    """Entities that a body declares are text and are not resolved."""
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
        b"<errors><error>&b; &xxe;</error></errors>"
    )
    error, _ = create_error(respond(bomb, 422))
    assert error.message == "&b; &xxe;"


@pytest.mark.parametrize(
    "behaviour",
    [
        at.send_bytes(head(422, {"Content-Length": "99"}) + b"<errors><error>Cut</error>"),
        at.stall(head(422, {"Content-Length": "99"}) + b"<errors><error>Cut</error>"),
        at.send_endlessly(head(422), b"<errors><error>Cut</error>" + b" " * 65536),
        at.send_bytes(head(422, {"Content-Encoding": "gzip"}) + b"not gzip"),
    ],
    ids=["cut", "stall", "endless", "not-gzip"],
)
def test_unreadable_error_body_keeps_the_status(behaviour):
    """The status decides, and the part of the body that arrived is used."""
    error, _ = create_error(behaviour)
    assert type(error) is RejectedError
    assert error.status == 422


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), ("999999", DAY), ("-5", None), ("soon", None), ("", None), ("9" * 400, DAY)],
)
def test_retry_after_in_seconds_is_bounded(value, seconds):
    """Seconds are limited to one day, and invalid values are ignored."""
    error, _ = create_error(respond(b"", 429, {"Retry-After": value}))
    assert error.retry_after == seconds


IMPOSSIBLE_TIMES = [
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 99999999999999999999 Jan 2026 00:00:00 GMT",
    "Mon, 01 Jan 2026 9999999999999999999:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +99999999999999999",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "0001-01-01T00:00:00+23:59",
]


@pytest.mark.parametrize("value", IMPOSSIBLE_TIMES)
def test_impossible_retry_after_is_ignored(value):
    """A date that no clock has hides neither the status nor that nothing was accepted."""
    error, _ = create_error(respond(b"", 429, {"Retry-After": value}))
    assert (error.retry_after, error.sent) == (None, Sent.NO)


def test_retry_after_may_be_a_date():
    """An HTTP date becomes the seconds until then, and never a negative number."""
    now = dt.datetime.now(dt.UTC)
    later = format_datetime(now + dt.timedelta(seconds=100), usegmt=True)
    error, _ = create_error(respond(b"", 429, {"Retry-After": later}))
    assert 90 < error.retry_after <= 100
    past = format_datetime(now - dt.timedelta(days=1), usegmt=True)
    error, _ = create_error(respond(b"", 503, {"Retry-After": past}))
    assert error.retry_after == 0


@pytest.mark.fault("X7")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [401, 422, 500])
def test_api_key_in_an_error_body_is_redacted(form, status):
    """An error body may contain the API key in several encodings."""
    body = f"<errors><error>Bad key {form}!</error></errors>".encode()
    error, _ = create_error(respond(body, status, {"X-Request-Id": f"r {form}"}))
    assert error.message == "Bad key [redacted]!"
    assert form not in all_text_of(error)
    assert "[redacted]" in error.body


@pytest.mark.fault("X7")
@pytest.mark.parametrize(
    "behaviour",
    [at.reset, at.hang, at.send_bytes(b"junk\r\n"), respond(b"{", 200), respond(b"", 403)],
)
def test_errors_and_logs_have_no_secret(behaviour, caplog):
    """No error, traceback or log line contains the API key or the download ID."""
    caplog.set_level(logging.DEBUG)
    with SocketServer(behaviour) as server:
        mine = make_client(server.url)
        for call in (
            lambda: mine.create_doc(REQUEST, io.BytesIO()),
            lambda: mine.create_async_doc(REQUEST),
            lambda: mine.download(DOWNLOAD_ID, io.BytesIO()),
            lambda: mine.expire(DOWNLOAD_ID),
        ):
            error = call_error(call)
            if error is None:
                continue
            assert error.__context__ is None
            assert error.__cause__ is None
            told = all_text_of(error)
            for secret in [*FORMS, DOWNLOAD_ID, "Grüße"]:
                assert secret not in told
    assert "GET /download/…" in caplog.text
    for secret in [*FORMS, DOWNLOAD_ID, "Grüße"]:
        assert secret not in caplog.text


@pytest.mark.fault("X7")
def test_download_id_in_an_error_body_is_redacted():
    """A download URL in an error body is a secret, too."""
    body = b"<errors><error>https://x.test/download/an0ther?x and abc1234 failed</error></errors>"
    with SocketServer(respond(body, 400)) as server, pytest.raises(RejectedError) as caught:
        make_client(server.url).download("abc1234", io.BytesIO())
    told = all_text_of(caught.value)
    assert "an0ther" not in told
    assert "abc1234" not in caught.value.message


# Its base64 ends with "=" and has a "/", which the form for URLs has not.
ODD_KEY = 'k"<&> ~~é?ÿ'
BASIC = base64.b64encode(f"{ODD_KEY}:".encode()).decode()
URL_SAFE = base64.urlsafe_b64encode(f"{ODD_KEY}:".encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        ODD_KEY,
        quote(ODD_KEY, safe=""),
        quote_plus(ODD_KEY),
        html.escape(ODD_KEY),
        json.dumps(ODD_KEY)[1:-1],
        BASIC,
        BASIC.rstrip("="),
        quote_plus(BASIC),
        URL_SAFE,
        URL_SAFE.rstrip("="),
    ],
)
def test_key_is_removed_in_every_form(form):
    """No character of the key remains, however the server has written it."""
    assert Redactor.for_key(SecretText(ODD_KEY))(f"<{form}>") == "<[redacted]>"
