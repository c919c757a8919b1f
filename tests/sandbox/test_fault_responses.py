"""Every fault of a response, as a client sees it on a real socket."""

import http.client
import itertools
import threading
import time
import zlib

import pytest
import requests

from django_docraptor.sandbox import Fault, Sandbox
from tests.support.sandbox_client import wait_until

CONNECTION_ERRORS = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def send_raw(sandbox, method, path, body=None):
    """Send one request with the standard library, and return the unread response."""
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=5)
    headers = {"Authorization": "Basic YTo=", "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    return connection, connection.getresponse()


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500, 502, 503, 504])
def test_create_returns_any_status_code(client, sandbox, status, accept):
    """The document is accepted or not, as the fault says."""
    fault = Fault(
        on="create", action="status", status_code=status, accept=accept, reason="no\nnever"
    )
    sandbox.add_fault(fault)
    response = client.create(tag="t")
    assert response.status_code == status
    assert "<error>no</error>" in response.text
    assert "<error>never</error>" in response.text
    assert len(sandbox.ledger.billed("t")) == accept


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ("html", b"<html><head><title>502 Bad Gateway"),
        ("json", b'{"errors": ["why"]}'),
        ("garbage", b"\xff\xfe"),
        ("empty", b""),
    ],
)
def test_error_has_another_type_of_body(client, sandbox, body, content):
    """Error bodies may be HTML, JSON, not UTF-8, or empty."""
    fault = Fault(on="create", action="status", status_code=502, body=body, reason="why")
    sandbox.add_fault(fault)
    response = client.create()
    assert response.status_code == 502
    assert response.content.startswith(content)
    assert (response.content == b"") == (body == "empty")


def test_error_has_a_retry_after_header(client, sandbox):
    """retry_after sets the header Retry-After."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=429, retry_after=7))
    assert client.create().headers["Retry-After"] == "7"


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("action", ["reset", "close"])
def test_create_loses_its_connection(client, sandbox, action, accept):
    """Reset sends RST and close sends FIN, before or after the document is accepted."""
    sandbox.add_fault(Fault(on="create", action=action, accept=accept))
    with pytest.raises(requests.ConnectionError) as caught:
        client.create()
    assert ("ConnectionResetError" in repr(caught.value)) == (action == "reset")
    assert len(sandbox.ledger.billed()) == accept


@pytest.mark.parametrize("accept", [True, False])
def test_create_hangs_until_the_client_times_out(client, sandbox, accept):
    """The ledger shows whether the document was accepted."""
    sandbox.add_fault(Fault(on="create", action="hang", accept=accept))
    with pytest.raises(requests.ReadTimeout):
        client.create(timeout=0.2)
    assert len(sandbox.ledger.billed()) == accept


def test_hang_ends_after_its_seconds(client, sandbox):
    """Then the connection is closed."""
    sandbox.add_fault(Fault(on="status", action="hang", seconds=0.2))
    status_id = client.create().json()["status_id"]
    started = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        client.status(status_id)
    assert 0.2 <= time.monotonic() - started < 9


def test_slow_response_is_unchanged(client, sandbox):
    """Slow delays the normal response."""
    sandbox.add_fault(Fault(on="create", action="slow", seconds=0.2))
    started = time.monotonic()
    assert client.create().status_code == 200
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("mode", ["length", "chunked", "reset"])
def test_truncated_response_is_an_error(client, sandbox, mode):
    """The client notices a body that is shorter than declared; the document was accepted."""
    sandbox.add_fault(Fault(on="create", action="cut", mode=mode))
    with pytest.raises(CONNECTION_ERRORS):
        client.create()
    assert len(sandbox.ledger.billed()) == 1


def test_truncated_response_without_length_looks_complete(client, sandbox):
    """The client cannot notice it if the end of the connection ends the body."""
    sandbox.add_fault(Fault(on="create", action="cut", mode="close", keep_bytes=9))
    response = client.create()
    assert response.status_code == 200
    assert response.text == '{"status_'
    assert "Content-Length" not in response.headers
    assert "Transfer-Encoding" not in response.headers


def test_create_response_lacks_its_id(client, sandbox):
    """The response is JSON with 200, but without status_id."""
    sandbox.add_fault(Fault(on="create", action="no_id"))
    response = client.create()
    assert response.status_code == 200
    assert "status_id" not in response.json()
    assert len(sandbox.ledger.billed()) == 1


@pytest.mark.parametrize("accept", [True, False])
def test_create_returns_an_html_page(client, sandbox, accept):
    """The response has 200, but a proxy seems to have sent it."""
    sandbox.add_fault(Fault(on="create", action="html", accept=accept))
    response = client.create()
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html")
    assert len(sandbox.ledger.billed()) == accept


def test_create_is_redirected(client, sandbox):
    """The response is 307 with the fault's location, and nothing is accepted."""
    sandbox.add_fault(Fault(on="create", action="redirect", location="http://else.invalid/docs"))
    response = client.create()
    assert response.status_code == 307
    assert response.headers["Location"] == "http://else.invalid/docs"
    assert sandbox.ledger.accepted() == []


def test_rendering_fails_with_reasons(client, sandbox):
    """The status call returns the reasons, and the document is not billed."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="one\ntwo"))
    status = client.create_and_finish()
    assert (status["status"], status["validation_errors"]) == ("failed", "one\ntwo")
    assert sandbox.ledger.billed() == []


def test_rendering_fails_with_another_state(client, sandbox):
    """DocRaptor's former final state killed can be simulated."""
    sandbox.add_fault(Fault(on="render", action="fail", state="killed"))
    assert client.create_and_finish()["status"] == "killed"


def test_failed_synchronous_document_gets_422(client, sandbox):
    """A synchronous create call returns the reasons of a failed rendering."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="Document Malformed: x"))
    response = client.create("/docs")
    assert response.status_code == 422
    assert "Document Malformed: x" in response.text


def test_stalled_document_stays_working(client, sandbox):
    """A stalled document does not affect others."""
    sandbox.add_fault(Fault(on="render", action="stall", match="stuck"))
    stuck = client.create(name="stuck").json()["status_id"]
    client.create_and_finish(name="other")
    time.sleep(0.1)
    assert client.status(stuck).json()["status"] == "working"


def test_stalled_synchronous_document_times_out(client, sandbox):
    """A synchronous create call ends even if its document stalls."""
    sandbox.change_settings(synchronous_limit=0.1)
    sandbox.add_fault(Fault(on="render", action="stall"))
    response = client.create("/docs")
    assert response.status_code == 422
    assert "Timeout trying to create pdf" in response.text


def test_status_response_has_an_unknown_state(client, sandbox):
    """The state can be any text."""
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="resting", times=1))
    status_id = client.create().json()["status_id"]
    assert client.status(status_id).json()["status"] == "resting"
    assert client.finish(status_id)["status"] == "completed"


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_status_call_fails_a_number_of_times(client, sandbox, status):
    """Times limits how often the fault is triggered."""
    sandbox.add_fault(Fault(on="status", action="status", status_code=status, times=2))
    status_id = client.create().json()["status_id"]
    codes = [client.status(status_id).status_code for _ in range(3)]
    assert codes == [status, status, 200]


@pytest.mark.parametrize("action", ["status", "reset", "close", "html"])
def test_download_replaced_by_a_fault_is_not_counted(client, sandbox, action):
    """After an error in place of the file, the download is still available."""
    sandbox.change_settings(download_limit=1)
    sandbox.add_fault(Fault(on="download", action=action, times=1))
    url = client.create_and_finish()["download_url"]
    try:
        assert not client.send("GET", url).content.startswith(b"%PDF")
    except requests.ConnectionError:
        assert action in {"reset", "close"}
    assert client.send("GET", url).content.startswith(b"%PDF")


def test_lost_download_is_counted_if_accepted(client, sandbox):
    """With accept, the response is lost and the download is counted."""
    sandbox.change_settings(download_limit=1)
    sandbox.add_fault(Fault(on="download", action="reset", times=1, accept=True))
    url = client.create_and_finish()["download_url"]
    with pytest.raises(requests.ConnectionError):
        client.send("GET", url)
    assert client.send("GET", url).status_code == 400


@pytest.mark.parametrize("mode", ["length", "chunked", "close", "reset"])
def test_truncated_download_is_counted(client, sandbox, mode):
    """Half of the file arrives; without a declared length only %%EOF reveals it."""
    sandbox.add_fault(Fault(on="download", action="cut", mode=mode))
    url = client.create_and_finish()["download_url"]
    if mode == "close":
        content = client.send("GET", url).content
        assert content.startswith(b"%PDF-")
        assert b"%%EOF" not in content
    else:
        with pytest.raises(CONNECTION_ERRORS):
            client.send("GET", url)
    assert sandbox.ledger.entries[0].downloads == 1


def test_download_is_compressed_without_being_asked(client, sandbox):
    """Gzip sets Content-Encoding although the client asks for identity."""
    sandbox.add_fault(Fault(on="download", action="gzip"))
    url = client.create_and_finish()["download_url"]
    connection, response = send_raw(sandbox, "GET", url.removeprefix(sandbox.url))
    body = response.read()
    connection.close()
    assert response.headers["Content-Encoding"] == "gzip"
    assert zlib.decompress(body, 31).endswith(b"%%EOF\n")


def test_download_is_empty(client, sandbox):
    """Empty returns 200, the right type, and no bytes."""
    sandbox.add_fault(Fault(on="download", action="empty"))
    response = client.send("GET", client.create_and_finish()["download_url"])
    assert response.headers["Content-Type"] == "application/pdf"
    assert (response.status_code, response.content) == (200, b"")


def test_download_has_the_wrong_type(client, sandbox):
    """wrong_type returns a workbook for a PDF, and the reverse."""
    sandbox.add_fault(Fault(on="download", action="wrong_type"))
    assert client.send("GET", client.create_and_finish()["download_url"]).content.startswith(b"PK")
    assert (
        client.send("GET", client.create_and_finish(type="xlsx")["download_url"]).content[:5]
        == b"%PDF-"
    )


@pytest.mark.parametrize(("keep", "expected"), [(None, 0.5), (10, 10), (10**9, 1.0)])
def test_download_is_partial(client, sandbox, keep, expected):
    """Partial returns 206, the range, and that part of the file."""
    url = client.create_and_finish()["download_url"]
    whole = client.send("GET", url).content
    sandbox.add_fault(Fault(on="download", action="partial", keep_bytes=keep))
    response = client.send("GET", url)
    length = int(expected * len(whole)) if isinstance(expected, float) else expected
    assert (response.status_code, response.content) == (206, whole[:length])
    assert response.headers["Content-Range"] == f"bytes 0-{length - 1}/{len(whole)}"


def test_download_has_the_content_type_of_a_page(client, sandbox):
    """as_page returns the file as text/html."""
    sandbox.add_fault(Fault(on="download", action="as_page"))
    response = client.send("GET", client.create_and_finish()["download_url"])
    assert response.headers["Content-Type"].startswith("text/html")
    assert (response.status_code, response.content[:5]) == (200, b"%PDF-")


def test_download_is_a_gzip_bomb(client, sandbox):
    """Bomb sends a small part of its expanded size, and is valid gzip to the end."""
    size = 20 * 1024 * 1024 + 12345
    sandbox.add_fault(Fault(on="download", action="bomb", size_bytes=size))
    url = client.create_and_finish()["download_url"]
    connection, response = send_raw(sandbox, "GET", url.removeprefix(sandbox.url))
    body = response.read()
    connection.close()
    assert len(body) < size / 500
    content = zlib.decompress(body, 31)
    assert (len(content), content[:5]) == (size, b"%PDF-")


def test_download_is_endless(client, sandbox):
    """Endless sends bytes until the client stops reading, and the sandbox goes on."""
    sandbox.add_fault(Fault(on="download", action="endless"))
    url = client.create_and_finish()["download_url"]
    with client.send("GET", url, stream=True) as response:
        chunks = itertools.islice(response.iter_content(65536), 200)
        received = sum(len(chunk) for chunk in chunks)
    assert received > 5_000_000
    sandbox.clear_faults()
    assert client.send("GET", url).content.startswith(b"%PDF-")


def test_download_drips(client, sandbox):
    """Drip sends a byte at a time."""
    sandbox.add_fault(Fault(on="download", action="drip", seconds=0.05))
    url = client.create_and_finish()["download_url"]
    started = time.monotonic()
    with client.send("GET", url, stream=True) as response:
        assert response.raw.read(5) == b"%PDF-"
    assert 0.2 <= time.monotonic() - started < 9


def test_stop_ends_a_dripping_download(make_client):
    """Stopping does not wait for the rest of a download."""
    with Sandbox() as sandbox:
        client = make_client(sandbox)
        sandbox.add_fault(Fault(on="download", action="drip", seconds=60))
        with client.send(
            "GET", client.create_and_finish()["download_url"], stream=True
        ) as response:
            assert response.raw.read(1) == b"%"
            started = time.monotonic()
            sandbox.stop()
    assert time.monotonic() - started < 20


def test_list_of_logs_fails(client, sandbox):
    """Status and html apply to doc_logs.json, too."""
    sandbox.add_fault(
        Fault(on="logs", action="status", status_code=403, times=1), Fault(on="logs", action="html")
    )
    client.create()
    responses = [client.send("GET", "/doc_logs.json") for _ in range(2)]
    assert responses[0].status_code == 403
    assert (responses[1].status_code, responses[1].headers["Content-Type"]) == (200, "text/html")


def test_list_of_logs_omits_documents(client, sandbox):
    """Omit removes the matching documents from a number of lists."""
    client.create(tag="visible")
    client.create(tag="hidden:1")
    client.create(tag="hidden:2")
    sandbox.add_fault(Fault(on="logs", action="omit", match="hidden", times=2))
    tags = [[entry["tag"] for entry in client.logs()] for _ in range(3)]
    assert tags == [["visible"], ["visible"], ["hidden:2", "hidden:1", "visible"]]


def test_fault_with_match_does_not_affect_others(client, sandbox):
    """Match is a part of the tag or of the name."""
    sandbox.add_fault(Fault(on="create", action="status", match="job:7"))
    codes = [client.create(tag=tag).status_code for tag in ("job:6", "job:7", "job:8")]
    assert codes == [200, 500, 200]
    assert client.create(name="my job:7").status_code == 500


def test_sandbox_works_after_broken_connections(client, sandbox):
    """Each fault breaks one connection only."""
    actions = ["reset", "close", "hang", "cut"]
    sandbox.add_fault(
        *[Fault(on="create", action=action, times=1, seconds=0.01) for action in actions]
    )
    for _ in actions:
        with pytest.raises(CONNECTION_ERRORS):
            client.create()
    assert client.create().status_code == 200
    assert sandbox.faults[-1]["triggered"] == 1
    wait_until(lambda: len(sandbox.ledger.entries) == 2)


def test_stop_ends_slow_and_hanging_calls(make_client):
    """Stopping does not wait for the seconds of a fault."""
    with Sandbox() as sandbox:
        client = make_client(sandbox)
        sandbox.add_fault(
            Fault(on="create", action="slow", seconds=60, match="slow"),
            Fault(on="create", action="hang", seconds=60, match="hang"),
        )
        failed = []

        def create(name):
            try:
                client.create(name=name, timeout=30)
            except requests.ConnectionError as error:
                failed.append(error)

        threads = [threading.Thread(target=create, args=(name,)) for name in ("slow", "hang")]
        for thread in threads:
            thread.start()
        wait_until(lambda: sandbox.ledger.create_calls == 2)
        started = time.monotonic()
    assert time.monotonic() - started < 20
    for thread in threads:
        thread.join()
    assert len(failed) == 2


def test_unusual_status_codes_are_sent(client, sandbox):
    """HTTP does not define 599, and 204 has no body."""
    sandbox.add_fault(
        Fault(on="create", action="status", status_code=599, body="html", times=1),
        Fault(on="create", action="status", status_code=204, times=1),
    )
    assert client.create().status_code == 599
    assert client.create().content == b""
    assert client.create().status_code == 200
