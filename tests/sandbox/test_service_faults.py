"""Faults of the service as a whole: outages, accounts, clocks, and what is billed during them."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from django_docraptor.sandbox import Fault, SettingError, recorded
from tests.support.sandbox_client import wait_until

CALLS = {
    "create": ("POST", "/async_docs"),
    "status": ("GET", "/status/{status_id}"),
    "download": ("GET", "/download/{download_id}"),
    "logs": ("GET", "/doc_logs.json"),
    "expire": ("PATCH", "/expire/{download_id}"),
}


@pytest.fixture
def send(client):
    """A function that sends one call of a kind, about a hosted document that has finished."""
    status_id = client.create("/hosted_async_docs", tag="known").json()["status_id"]
    values = {"status_id": status_id, "download_id": client.finish(status_id)["download_id"]}

    def send_call(on, **options):
        method, path = CALLS[on]
        if on == "create":
            return client.create(tag="new", **options)
        return client.send(method, path.format(**values), **options)

    return send_call


@pytest.mark.parametrize("on", CALLS)
@pytest.mark.parametrize("status_code", [403, 404, 429, 500, 502, 503, 504])
def test_every_call_can_be_answered_with_any_status(send, sandbox, on, status_code):
    """With a page of a content delivery network and a Retry-After, for a number of times."""
    fault = Fault(
        on=on, action="status", status_code=status_code, body="cdn", retry_after=7, times=2
    )
    sandbox.add_fault(fault)
    first, second, third = (send(on) for _ in range(3))
    for response in (first, second):
        assert response.status_code == status_code
        assert response.headers["Content-Type"].startswith("text/html")
        assert response.headers["Retry-After"] == "7"
        assert response.headers["CF-RAY"]
    assert third.status_code == 200
    assert [entry.tag for entry in sandbox.ledger.accepted("new")] == (
        ["new"] if on == "create" else []
    )


@pytest.mark.parametrize("on", CALLS)
def test_fault_may_last_for_some_seconds(send, sandbox, on):
    """An outage ends by itself; afterwards it matches nothing."""
    sandbox.add_fault(Fault(on=on, action="status", status_code=503, lasts=0.3))
    assert send(on).status_code == 503
    wait_until(lambda: send(on).status_code == 200)
    assert sandbox.faults[0]["triggered"] >= 1
    matched = sandbox.faults[0]["matched"]
    send(on)
    assert sandbox.faults[0]["matched"] == matched


@pytest.mark.parametrize("on", CALLS)
def test_every_call_can_have_an_empty_body(send, sandbox, on):
    """200 and nothing: a failed call, whatever the code says."""
    sandbox.add_fault(Fault(on=on, action="empty", times=1))
    response = send(on)
    assert (response.status_code, response.content) == (200, b"")
    assert len(sandbox.ledger.accepted("new")) == (on == "create")


@pytest.mark.parametrize("on", CALLS)
@pytest.mark.parametrize("action", ["drip", "drip_headers"])
def test_body_and_headers_may_drip(send, sandbox, on, action):
    """A byte at a time; the whole answer arrives in the end."""
    sandbox.add_fault(Fault(on=on, action=action, seconds=0.0005, times=1))
    started = time.monotonic()
    dripped = send(on)
    assert time.monotonic() - started > 0.0005 * 20
    assert dripped.status_code == 200
    if on != "create":
        assert dripped.content == send(on).content


def test_dripping_headers_outlast_a_read_timeout(send, sandbox):
    """No byte is late enough for a read timeout, but the head as a whole is."""
    sandbox.add_fault(Fault(on="status", action="drip_headers", seconds=0.01))
    started = time.monotonic()
    send("status", timeout=0.5)
    assert time.monotonic() - started > 1


@pytest.mark.parametrize("status_code", [400, 403, 404])
def test_finished_file_may_be_refused_for_some_seconds(client, sandbox, status_code):
    """Each document counts from its own completion; a refusal spends no download."""
    sandbox.change_settings(download_limit=1)
    sandbox.add_fault(Fault(on="download", action="not_yet", seconds=0.3, status_code=status_code))
    for _ in range(2):
        path = f"/download/{client.create_and_finish()['download_id']}"
        assert client.send("GET", path).status_code == status_code
        wait_until(lambda path=path: client.send("GET", path).status_code == 200)
    assert [entry.downloads for entry in sandbox.ledger.entries] == [1, 1]
    assert client.send("GET", "/download/unknown").status_code == 400


def test_one_status_id_may_be_given_twice(client, sandbox):
    """Both documents are accepted and billed, but one of them cannot be asked for."""
    first = client.create(tag="a").json()
    sandbox.add_fault(Fault(on="create", action="same_id", times=1))
    assert client.create(tag="b").json() == first
    assert client.create(tag="c").json() != first
    entries = sandbox.ledger.entries
    assert [entry.tag for entry in sandbox.ledger.billed()] == ["a", "b", "c"]
    assert entries[0].status_id == first["status_id"] != entries[1].status_id


def test_old_status_answers_lack_the_download_id(client, sandbox):
    """It is the last part of the download URL then."""
    sandbox.add_fault(Fault(on="status", action="no_download_id"))
    status = client.create_and_finish()
    assert "download_id" not in status
    assert client.send("GET", status["download_url"]).status_code == 200


@pytest.mark.parametrize("offset", [-7200, 7200])
def test_clock_of_the_service_may_be_wrong(client, sandbox, offset):
    """Date, created_at, the message and the log's window follow it; the ledger does not."""
    sandbox.change_settings(clock_offset=offset)
    response = client.create(tag="x")
    theirs = datetime.now(UTC) + timedelta(seconds=offset)
    assert abs(parsedate_to_datetime(response.headers["Date"]) - theirs) < timedelta(seconds=5)
    client.finish(response.json()["status_id"])
    created = datetime.fromisoformat(client.logs()[0]["created_at"])
    assert abs(created - theirs) < timedelta(seconds=5)
    start, end = (
        f"{theirs + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S} UTC" for minutes in (-1, 1)
    )
    assert len(client.logs(**{"search[start]": start, "search[end]": end})) == 1
    assert client.logs(**{"search[start]": end}) == []
    assert client.logs(**{"search[end]": start}) == []
    entry = sandbox.ledger.entries[0]
    assert abs(entry.created_at - datetime.now(UTC)) < timedelta(seconds=5)


def test_only_the_clock_may_be_negative(sandbox):
    """Every other number of seconds must be zero or more."""
    with pytest.raises(SettingError, match="delay"):
        sandbox.change_settings(delay=-1)


def test_key_sees_only_the_documents_of_its_account(client, make_client, sandbox):
    """If any key is accepted, each is an account of its own."""
    status_id = client.create(tag="mine").json()["status_id"]
    download_id = client.finish(status_id)["download_id"]
    other = make_client(sandbox, auth=("other", ""))
    assert other.status(status_id).status_code == 403
    assert recorded.FOREIGN_STATUS in other.status(status_id).text
    assert other.logs() == []
    assert other.send("GET", "/docs.json").json() == []
    assert other.send("PATCH", f"/expire/{download_id}").status_code == 400
    # The ID of a download is the permission.
    assert other.send("GET", f"/download/{download_id}").status_code == 200


def test_new_key_of_an_account_sees_its_documents(make_client, sandbox):
    """If one key is valid, it may be changed."""
    sandbox.change_settings(api_key="old")
    status_id = make_client(sandbox, auth=("old", "")).create().json()["status_id"]
    sandbox.change_settings(api_key="new")
    assert make_client(sandbox, auth=("new", "")).status(status_id).status_code == 200
    assert make_client(sandbox, auth=("old", "")).status(status_id).status_code == 401


@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        *(({"action": action}, 0) for action in ("status", "html", "reset", "close", "redirect")),
        *(({"action": action, "accept": True}, 1) for action in ("status", "html", "reset")),
        *(({"action": action}, 1) for action in ("slow", "cut", "empty", "no_id", "same_id")),
        *(({"action": action, "accept": False}, 0) for action in ("cut", "empty", "no_id")),
    ],
)
def test_ledger_says_what_each_fault_bills(client, sandbox, fault, billed):
    """A document is billed if the call took effect, whatever the client was told; tests never."""
    location = {"location": sandbox.url} if fault["action"] == "redirect" else {}
    sandbox.add_fault(Fault(on="create", seconds=0.01, **fault, **location))
    for test in (False, True):
        try:
            client.create(tag="x", test=test)
        except OSError:
            # Two of the faults end the connection.
            continue
    assert len(sandbox.ledger.billed("x")) == billed
    assert len(sandbox.ledger.accepted("x")) == 2 * billed


def test_hosted_document_may_be_at_most_100_megabytes(client, sandbox):
    """A larger one fails and is not billed; the same size is fine if it is not hosted."""
    sandbox.change_settings(canned_bytes=100 * 1024 * 1024 + 1)
    status = client.create_and_finish(hosted=True)
    assert status["validation_errors"] == recorded.HOSTED_TOO_LARGE
    assert client.create_and_finish()["status"] == "completed"
    assert len(sandbox.ledger.billed()) == 1
