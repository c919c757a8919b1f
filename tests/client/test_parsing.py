"""What the client reads from DocRaptor's responses."""

import datetime as dt
import json

import pytest

from django_docraptor.client import LogEntry, RemoteStatus
from django_docraptor.exceptions import (
    Sent,
    UnknownOutcomeError,
)
from tests.support.client import REQUEST, client, status_error
from tests.support.socket_server import SocketServer, respond


def test_create_hosted_doc_returns_where_it_is():
    """The answer has no status: that it came means completed."""
    body = {"download_id": "d1", "download_url": "https://x.test/download/d1", "number_of_pages": 2}
    with SocketServer(respond(json.dumps(body).encode())) as server:
        remote = client(server.url).create_hosted_doc(REQUEST)
    assert server.requests[0].path == "/hosted_docs"
    assert (remote.status, remote.download_id, remote.number_of_pages) == ("completed", "d1", 2)


def test_create_hosted_doc_without_an_id_is_an_unknown_outcome():
    """It was accepted, but where it is has been lost."""
    with (
        SocketServer(respond(b'{"number_of_pages": 1}')) as server,
        pytest.raises(UnknownOutcomeError, match="no download_id") as caught,
    ):
        client(server.url).create_hosted_doc(REQUEST)
    assert caught.value.sent == Sent.YES


def test_get_status_reads_every_field():
    """A completed document's answer is read whole."""
    body = {
        "status": "completed",
        "download_id": "d1",
        "download_url": "https://x.test/download/d1",
        "message": "Completed at Mon Jun 06 18:33:17 +0000 2011",
        "number_of_pages": 4,
    }
    with SocketServer(respond(json.dumps(body).encode())) as server:
        assert client(server.url).get_status("abc") == RemoteStatus(**body)


def test_get_status_takes_the_download_id_from_the_address():
    """Old answers have no download_id: it is the last part of the address's path."""
    body = b'{"status": "completed", "download_url": "https://x.test/download/d%2F1?a=b"}'
    with SocketServer(respond(body)) as server:
        assert client(server.url).get_status("abc").download_id == "d/1"


def test_get_status_survives_an_address_that_is_none():
    """A download_url that cannot be read leaves the id blank."""
    body = b'{"status": "completed", "download_url": "http://[bad/download/d1"}'
    with SocketServer(respond(body)) as server:
        assert client(server.url).get_status("abc").download_id == ""


def test_get_status_keeps_every_reason_of_a_failure():
    """Several reasons come in one string, and stay whole."""
    reasons = "Name can't be blank\nName is too long (maximum is 200 characters)"
    body = json.dumps({"status": "failed", "validation_errors": reasons}).encode()
    with SocketServer(respond(body)) as server:
        remote = client(server.url).get_status("abc")
    assert (remote.status, remote.validation_errors) == ("failed", reasons)


def test_get_status_survives_odd_values_and_unknown_words():
    """A new word, a number as a string, a list of reasons: nothing hides the rest."""
    body = b'{"status": " Paused ", "number_of_pages": "7", "validation_errors": ["a", "b"]}'
    with SocketServer(respond(body)) as server:
        remote = client(server.url).get_status("abc")
    assert remote.status == "paused"
    assert (remote.number_of_pages, remote.validation_errors) == (7, "a\nb")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"<html>", b'{"status": null}'])
def test_get_status_without_a_status_may_be_asked_again(body):
    """An answer without a status says nothing: ask again later."""
    error = status_error(respond(body))
    assert isinstance(error, UnknownOutcomeError)
    assert error.retryable


def test_list_doc_logs_reads_lines_tolerantly():
    """What a line lacks stays blank; every known way to write a time is read."""
    lines = [
        {"tag": "t:1", "status_id": "s1", "success": True, "created_at": "2026-01-02T03:04:05Z"},
        {"doc_log": {"tag": None, "id": 7, "success": "false"}},
        {"created_at": "Fri Jan 02 03:04:05 +0000 2026", "test": False},
        {"created_at": "2026-01-02 03:04:05 UTC"},
        {"created_at": "soon", "success": "perhaps", "prince_options": {"a": 1}},
    ]
    with SocketServer(respond(json.dumps(lines).encode())) as server:
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
    with SocketServer(respond(b'{"docs": [{"name": "a"}], "total": 1}')) as server:
        assert client(server.url).list_docs() == [LogEntry(name="a")]
    assert server.requests[0].path == "/docs.json?page=1&per_page=100"


@pytest.mark.parametrize("body", [b"{}", b'["a"]', b"null", b'[{"tag": "t'])
def test_list_doc_logs_that_is_not_understood_is_an_error(body):
    """An attempt is absent only from a listing that was read to its end."""
    with SocketServer(respond(body)) as server, pytest.raises(UnknownOutcomeError):
        client(server.url).list_doc_logs()
