"""Reading DocRaptor's responses."""

import datetime as dt
import json

import pytest

from django_docraptor.client import LogEntry, RemoteStatus
from django_docraptor.client.parsing import parse_count
from django_docraptor.exceptions import (
    Sent,
    UnknownOutcomeError,
)
from tests.support.client import REQUEST, make_client, status_error
from tests.support.socket_server import SocketServer, respond


def test_create_hosted_doc_returns_the_public_url():
    """The response has no status; that it arrived means completed."""
    body = {"download_id": "d1", "download_url": "https://x.test/download/d1", "number_of_pages": 2}
    with SocketServer(respond(json.dumps(body).encode())) as server:
        remote = make_client(server.url).create_hosted_doc(REQUEST)
    assert server.requests[0].path == "/hosted_docs"
    assert (remote.status, remote.download_id, remote.number_of_pages) == ("completed", "d1", 2)


def test_create_hosted_doc_without_an_id_is_an_unknown_outcome():
    """The document was accepted, but its ID is lost."""
    with (
        SocketServer(respond(b'{"number_of_pages": 1}')) as server,
        pytest.raises(UnknownOutcomeError, match="no download_id") as caught,
    ):
        make_client(server.url).create_hosted_doc(REQUEST)
    assert caught.value.sent == Sent.YES


def test_get_status_reads_every_field():
    """Every field of a completed document's status is read."""
    body = {
        "status": "completed",
        "download_id": "d1",
        "download_url": "https://x.test/download/d1",
        "message": "Completed at Mon Jun 06 18:33:17 +0000 2011",
        "number_of_pages": 4,
    }
    with SocketServer(respond(json.dumps(body).encode())) as server:
        assert make_client(server.url).get_status("abc") == RemoteStatus(**body)


def test_download_id_is_read_from_the_url():
    """Old responses have no download_id; it is the last part of the URL's path."""
    body = b'{"status": "completed", "download_url": "https://x.test/download/d%2F1?a=b"}'
    with SocketServer(respond(body)) as server:
        assert make_client(server.url).get_status("abc").download_id == "d/1"


def test_invalid_download_url_leaves_the_id_blank():
    """A download_url that cannot be parsed leaves the ID blank."""
    body = b'{"status": "completed", "download_url": "http://[bad/download/d1"}'
    with SocketServer(respond(body)) as server:
        assert make_client(server.url).get_status("abc").download_id == ""


@pytest.mark.fault("P4")
def test_every_validation_error_is_kept():
    """Several errors in one string are kept whole."""
    reasons = "Name can't be blank\nName is too long (maximum is 200 characters)"
    body = json.dumps({"status": "failed", "validation_errors": reasons}).encode()
    with SocketServer(respond(body)) as server:
        remote = make_client(server.url).get_status("abc")
    assert (remote.status, remote.validation_errors) == ("failed", reasons)


@pytest.mark.fault("P4")
@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        ({"name": ["is blank", "is odd"], "type": None}, "name: is blank\nis odd"),
        ({"base": "Timeout", "n": 5}, "base: Timeout\nn: 5"),
        ({"name": {"deep": 1}}, ""),
        (["a", None, {"b": 1}], "a\n"),
    ],
)
def test_reasons_may_stand_under_names(reasons, text):
    """A failure's reasons are read in the forms that error responses have."""
    body = json.dumps({"status": "failed", "validation_errors": reasons}).encode()
    with SocketServer(respond(body)) as server:
        assert make_client(server.url).get_status("abc").validation_errors == text


@pytest.mark.fault("P2")
def test_unknown_status_and_odd_values_are_read():
    """An unknown status, a number as a string and a list of errors do not hide the other fields."""
    body = b'{"status": " Paused ", "number_of_pages": "7", "validation_errors": ["a", "b"]}'
    with SocketServer(respond(body)) as server:
        remote = make_client(server.url).get_status("abc")
    assert remote.status == "paused"
    assert (remote.number_of_pages, remote.validation_errors) == (7, "a\nb")


@pytest.mark.fault("P1")
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"<html>", b'{"status": null}'])
def test_response_without_a_status_is_retryable(body):
    """A response without a status says nothing, so the call can be repeated."""
    error = status_error(respond(body))
    assert isinstance(error, UnknownOutcomeError)
    assert error.retryable


def test_log_entries_are_read_tolerantly():
    """A missing field is blank, and every known format of a time is read."""
    lines = [
        {"tag": "t:1", "status_id": "s1", "success": True, "created_at": "2026-01-02T03:04:05Z"},
        {"doc_log": {"tag": None, "id": 7, "success": "false"}},
        {"created_at": "Fri Jan 02 03:04:05 +0000 2026", "test": False},
        {"created_at": "2026-01-02 03:04:05 UTC"},
        {"created_at": "soon", "success": "perhaps", "prince_options": {"a": 1}},
    ]
    with SocketServer(respond(json.dumps(lines).encode())) as server:
        entries = make_client(server.url).list_doc_logs()
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert entries == [
        LogEntry(tag="t:1", status_id="s1", success=True, created_at=moment),
        LogEntry(id="7", success=False),
        LogEntry(created_at=moment, test=False),
        LogEntry(created_at=moment),
        LogEntry(),
    ]


def test_every_field_of_a_log_entry_is_read():
    """What the log tells of a document is kept under its own name."""
    texts = {"id": "i1", "tag": "t:1", "status_id": "s1", "name": "a.pdf", "document_type": "pdf"}
    line = texts | {
        "success": False,
        "test": True,
        "created_at": "2026-01-02T03:04:05Z",
        "validation_errors": ["One", "Two"],
    }
    with SocketServer(respond(json.dumps([line]).encode())) as server:
        (entry,) = make_client(server.url).list_doc_logs()
    assert entry == LogEntry(
        **texts,
        success=False,
        test=True,
        created_at=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        validation_errors="One\nTwo",
    )


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (" 7 ", 7),
        (2**31 - 1, 2**31 - 1),
        ("7".zfill(19), 7),
        ("7".zfill(20), None),
        ("9" * 5000, None),
        (2**31, None),
        (-1, None),
        ("-1", None),
        ("７", None),  # noqa: RUF001
        (True, None),
        (7.0, None),
    ],
)
def test_count_fits_its_column(value, count):
    """A count is between 0 and the largest one of the column; endless digits are not converted."""
    assert parse_count(value) == count


def test_listing_may_be_nested_under_a_name():
    """A listing may be the only list in an object."""
    with SocketServer(respond(b'{"docs": [{"name": "a"}], "total": 1}')) as server:
        assert make_client(server.url).list_docs() == [LogEntry(name="a")]
    assert server.requests[0].path == "/docs.json?page=1&per_page=100"


@pytest.mark.fault("S18")
@pytest.mark.parametrize("body", [b"{}", b'["a"]', b"null", b'[{"tag": "t'])
def test_unreadable_listing_is_an_error(body):
    """An attempt is missing only from a listing that was read to its end."""
    with SocketServer(respond(body)) as server, pytest.raises(UnknownOutcomeError):
        make_client(server.url).list_doc_logs()


IMPOSSIBLE_TIMES = [
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +99999999999999999",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
]


@pytest.mark.fault("S18")
@pytest.mark.parametrize("time", IMPOSSIBLE_TIMES)
def test_impossible_time_hides_no_entry(time):
    """A time that no clock has is a missing one, in an entry and in the header."""
    lines = json.dumps([{"tag": "t:1", "created_at": time}]).encode()
    with SocketServer(respond(lines, headers={"Date": time})) as server:
        page = make_client(server.url).list_doc_logs()
    assert page == [LogEntry(tag="t:1")]
    assert page.served_at is None


UNUSABLE_IDS = [
    *("null", "true", "false", "NaN", "1e400", "1.5", "[]", '["a"]', '["a", "b"]', '{"a": 1}'),
    *('""', '"  "', '"."', '".."', '"a\\nb"', '"a\\u0000"', '"\\ud800"', f'"{"x" * 201}"'),
]


@pytest.mark.fault("S9")
@pytest.mark.parametrize("value", UNUSABLE_IDS, ids=lambda value: value[:12].replace("\\", "/"))
def test_unusable_status_id_is_an_unknown_outcome(value):
    """What cannot be asked for later is no ID: the log has to tell it."""
    with (
        SocketServer(respond(f'{{"status_id": {value}}}'.encode())) as server,
        pytest.raises(UnknownOutcomeError, match="no valid status_id") as caught,
    ):
        make_client(server.url).create_async_doc(REQUEST)
    assert caught.value.sent == Sent.YES


@pytest.mark.fault("S9")
@pytest.mark.parametrize("value", UNUSABLE_IDS, ids=lambda value: value[:12].replace("\\", "/"))
def test_unusable_download_id_is_read_from_the_url(value):
    """Another field may have the ID that a field lacks; an entry of the log has none."""
    body = f'{{"status": "completed", "download_id": {value}, "download_url": "/download/d1"}}'
    with SocketServer(respond(body.encode())) as server:
        assert make_client(server.url).get_status("abc").download_id == "d1"
    with SocketServer(respond(f'[{{"status_id": {value}}}]'.encode())) as server:
        assert make_client(server.url).list_doc_logs() == [LogEntry()]


@pytest.mark.parametrize("given", ["7", '"7"', '" 7 "'])
def test_numeric_id_is_an_id(given):
    """DocRaptor's IDs were digits, UUIDs and hexadecimal."""
    with SocketServer(respond(f'{{"status_id": {given}}}'.encode())) as server:
        assert make_client(server.url).create_async_doc(REQUEST) == "7"
