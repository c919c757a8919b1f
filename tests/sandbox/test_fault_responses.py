"""Every fault of an answer, over a real socket, as a client meets it."""

import http.client
import itertools
import threading
import time
import zlib

import pytest
import requests

from django_docraptor.sandbox import Fault, Sandbox
from tests.support.sandbox_client import wait_until

GONE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def raw(sandbox, method, path, body=None):
    """Send one request with the standard library, and return the unread response."""
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=5)
    headers = {"Authorization": "Basic YTo=", "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    return connection, connection.getresponse()


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500, 502, 503, 504])
def test_create_answers_with_a_status(caller, sandbox, status, accept):
    """Any code, whether the document was accepted or not."""
    fault = Fault(
        on="create", action="status", status_code=status, accept=accept, reason="no\nnever"
    )
    sandbox.add_fault(fault)
    response = caller.create(tag="t")
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
def test_an_error_has_another_body(caller, sandbox, body, content):
    """Error bodies may be HTML, JSON, not UTF-8, or empty."""
    fault = Fault(on="create", action="status", status_code=502, body=body, reason="why")
    sandbox.add_fault(fault)
    response = caller.create()
    assert response.status_code == 502
    assert response.content.startswith(content)
    assert (response.content == b"") == (body == "empty")


def test_an_error_tells_when_to_come_again(caller, sandbox):
    """retry_after becomes a header."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=429, retry_after=7))
    assert caller.create().headers["Retry-After"] == "7"


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("action", ["reset", "close"])
def test_create_loses_its_connection(caller, sandbox, action, accept):
    """reset is RST and close is FIN, before or after the document was accepted."""
    sandbox.add_fault(Fault(on="create", action=action, accept=accept))
    with pytest.raises(requests.ConnectionError) as caught:
        caller.create()
    assert ("ConnectionResetError" in repr(caught.value)) == (action == "reset")
    assert len(sandbox.ledger.billed()) == accept


@pytest.mark.parametrize("accept", [True, False])
def test_create_hangs(caller, sandbox, accept):
    """The client runs into its own timeout; the ledger knows the truth."""
    sandbox.add_fault(Fault(on="create", action="hang", accept=accept))
    with pytest.raises(requests.ReadTimeout):
        caller.create(timeout=0.2)
    assert len(sandbox.ledger.billed()) == accept


def test_a_hang_ends_by_itself(caller, sandbox):
    """After its seconds the connection is closed."""
    sandbox.add_fault(Fault(on="status", action="hang", seconds=0.2))
    status_id = caller.create().json()["status_id"]
    began = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        caller.status(status_id)
    assert 0.2 <= time.monotonic() - began < 2


def test_an_answer_is_slow(caller, sandbox):
    """slow answers properly, later."""
    sandbox.add_fault(Fault(on="create", action="slow", seconds=0.2))
    began = time.monotonic()
    assert caller.create().status_code == 200
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("mode", ["length", "chunked", "reset"])
def test_a_cut_answer_is_an_error(caller, sandbox, mode):
    """A body that is shorter than announced is noticed; the document was accepted."""
    sandbox.add_fault(Fault(on="create", action="cut", mode=mode))
    with pytest.raises(GONE):
        caller.create()
    assert len(sandbox.ledger.billed()) == 1


def test_a_cut_answer_without_length_looks_complete(caller, sandbox):
    """Delimited by close, a cut body is no error at all; only its content is wrong."""
    sandbox.add_fault(Fault(on="create", action="cut", mode="close", keep_bytes=9))
    response = caller.create()
    assert response.status_code == 200
    assert response.text == '{"status_'
    assert "Content-Length" not in response.headers
    assert "Transfer-Encoding" not in response.headers


def test_create_answers_without_an_id(caller, sandbox):
    """200 and JSON, but no status_id."""
    sandbox.add_fault(Fault(on="create", action="no_id"))
    response = caller.create()
    assert response.status_code == 200
    assert "status_id" not in response.json()
    assert len(sandbox.ledger.billed()) == 1


@pytest.mark.parametrize("accept", [True, False])
def test_create_answers_with_a_page(caller, sandbox, accept):
    """200 and HTML: somebody else has answered."""
    sandbox.add_fault(Fault(on="create", action="html", accept=accept))
    response = caller.create()
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html")
    assert len(sandbox.ledger.billed()) == accept


def test_create_redirects(caller, sandbox):
    """307 to where the fault says; nothing is accepted."""
    sandbox.add_fault(Fault(on="create", action="redirect", location="http://else.invalid/docs"))
    response = caller.create()
    assert response.status_code == 307
    assert response.headers["Location"] == "http://else.invalid/docs"
    assert sandbox.ledger.accepted() == []


def test_rendering_fails_with_reasons(caller, sandbox):
    """The status says failed, and why; the service does not bill it."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="one\ntwo"))
    status = caller.create_and_finish()
    assert (status["status"], status["validation_errors"]) == ("failed", "one\ntwo")
    assert sandbox.ledger.billed() == []


def test_rendering_fails_under_another_word(caller, sandbox):
    """The retired word killed can be the end, too."""
    sandbox.add_fault(Fault(on="render", action="fail", state="killed"))
    assert caller.create_and_finish()["status"] == "killed"


def test_a_synchronous_document_fails_with_422(caller, sandbox):
    """What fails in rendering is 422 when somebody waits for it."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="Document Malformed: x"))
    response = caller.create("/docs")
    assert response.status_code == 422
    assert "Document Malformed: x" in response.text


def test_rendering_stalls(caller, sandbox):
    """stall: working, and never anything else."""
    sandbox.add_fault(Fault(on="render", action="stall", match="stuck"))
    stuck = caller.create(name="stuck").json()["status_id"]
    caller.create_and_finish(name="other")
    time.sleep(0.1)
    assert caller.status(stuck).json()["status"] == "working"


def test_a_synchronous_document_does_not_stall_for_ever(caller, sandbox):
    """A stalled document is killed when somebody waits for it."""
    sandbox.change_settings(synchronous_limit=0.1)
    sandbox.add_fault(Fault(on="render", action="stall"))
    response = caller.create("/docs")
    assert response.status_code == 422
    assert "Timeout trying to create pdf" in response.text


def test_the_status_is_an_unknown_word(caller, sandbox):
    """word: a status nobody has documented."""
    sandbox.add_fault(Fault(on="status", action="unknown_state", state="resting", times=1))
    status_id = caller.create().json()["status_id"]
    assert caller.status(status_id).json()["status"] == "resting"
    assert caller.finish(status_id)["status"] == "completed"


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_the_status_call_fails(caller, sandbox, status):
    """status: any code, for so many times."""
    sandbox.add_fault(Fault(on="status", action="status", status_code=status, times=2))
    status_id = caller.create().json()["status_id"]
    codes = [caller.status(status_id).status_code for _ in range(3)]
    assert codes == [status, status, 200]


@pytest.mark.parametrize("action", ["status", "reset", "close", "html"])
def test_a_download_that_never_began_is_not_counted(caller, sandbox, action):
    """An error instead of the bytes leaves the download to be had."""
    sandbox.change_settings(download_limit=1)
    sandbox.add_fault(Fault(on="download", action=action, times=1))
    url = caller.create_and_finish()["download_url"]
    try:
        assert not caller.send("GET", url).content.startswith(b"%PDF")
    except requests.ConnectionError:
        assert action in {"reset", "close"}
    assert caller.send("GET", url).content.startswith(b"%PDF")


def test_a_lost_download_can_be_counted(caller, sandbox):
    """accept: the answer is lost, the download is spent."""
    sandbox.change_settings(download_limit=1)
    sandbox.add_fault(Fault(on="download", action="reset", times=1, accept=True))
    url = caller.create_and_finish()["download_url"]
    with pytest.raises(requests.ConnectionError):
        caller.send("GET", url)
    assert caller.send("GET", url).status_code == 400


@pytest.mark.parametrize("mode", ["length", "chunked", "close", "reset"])
def test_a_download_is_cut(caller, sandbox, mode):
    """Half of the bytes: an error, except where only %%EOF can tell."""
    sandbox.add_fault(Fault(on="download", action="cut", mode=mode))
    url = caller.create_and_finish()["download_url"]
    if mode == "close":
        content = caller.send("GET", url).content
        assert content.startswith(b"%PDF-")
        assert b"%%EOF" not in content
    else:
        with pytest.raises(GONE):
            caller.send("GET", url)
    assert sandbox.ledger.entries[0].downloads == 1


def test_a_download_is_compressed_unasked(caller, sandbox):
    """gzip: Content-Encoding although identity was asked for."""
    sandbox.add_fault(Fault(on="download", action="gzip"))
    url = caller.create_and_finish()["download_url"]
    connection, response = raw(sandbox, "GET", url.removeprefix(sandbox.url))
    body = response.read()
    connection.close()
    assert response.headers["Content-Encoding"] == "gzip"
    assert zlib.decompress(body, 31).endswith(b"%%EOF\n")


def test_a_download_is_empty(caller, sandbox):
    """empty: 200, the right type, no bytes."""
    sandbox.add_fault(Fault(on="download", action="empty"))
    response = caller.send("GET", caller.create_and_finish()["download_url"])
    assert response.headers["Content-Type"] == "application/pdf"
    assert (response.status_code, response.content) == (200, b"")


def test_a_download_is_of_another_type(caller, sandbox):
    """wrong_type: a workbook where a PDF was asked for."""
    sandbox.add_fault(Fault(on="download", action="wrong_type"))
    assert caller.send("GET", caller.create_and_finish()["download_url"]).content.startswith(b"PK")
    assert (
        caller.send("GET", caller.create_and_finish(type="xlsx")["download_url"]).content[:5]
        == b"%PDF-"
    )


def test_a_download_is_a_bomb(caller, sandbox):
    """bomb: about a thousandth of what it grows to, and valid gzip to the end."""
    size = 20 * 1024 * 1024 + 12345
    sandbox.add_fault(Fault(on="download", action="bomb", size_bytes=size))
    url = caller.create_and_finish()["download_url"]
    connection, response = raw(sandbox, "GET", url.removeprefix(sandbox.url))
    body = response.read()
    connection.close()
    assert len(body) < size / 500
    content = zlib.decompress(body, 31)
    assert (len(content), content[:5]) == (size, b"%PDF-")


def test_a_download_never_ends(caller, sandbox):
    """endless: more than any document, as long as one reads; the end of the reader is fine."""
    sandbox.add_fault(Fault(on="download", action="endless"))
    url = caller.create_and_finish()["download_url"]
    with caller.send("GET", url, stream=True) as response:
        pieces = itertools.islice(response.iter_content(65536), 200)
        received = sum(len(piece) for piece in pieces)
    assert received > 5_000_000
    sandbox.clear_faults()
    assert caller.send("GET", url).content.startswith(b"%PDF-")


def test_a_download_drips(caller, sandbox):
    """drip: a byte at a time."""
    sandbox.add_fault(Fault(on="download", action="drip", seconds=0.05))
    url = caller.create_and_finish()["download_url"]
    began = time.monotonic()
    with caller.send("GET", url, stream=True) as response:
        assert response.raw.read(5) == b"%PDF-"
    assert 0.2 <= time.monotonic() - began < 2


def test_a_download_stops_dripping_with_the_sandbox(call_to):
    """A stop ends what hangs and what drips, at once."""
    with Sandbox() as sandbox:
        caller = call_to(sandbox)
        sandbox.add_fault(Fault(on="download", action="drip", seconds=60))
        with caller.send(
            "GET", caller.create_and_finish()["download_url"], stream=True
        ) as response:
            assert response.raw.read(1) == b"%"
            began = time.monotonic()
            sandbox.stop()
    assert time.monotonic() - began < 3


def test_the_logs_fail(caller, sandbox):
    """status and html on the listing."""
    sandbox.add_fault(
        Fault(on="logs", action="status", status_code=403, times=1), Fault(on="logs", action="html")
    )
    caller.create()
    codes = [caller.send("GET", "/doc_logs.json") for _ in range(2)]
    assert codes[0].status_code == 403
    assert (codes[1].status_code, codes[1].headers["Content-Type"]) == (200, "text/html")


def test_the_logs_leave_documents_out(caller, sandbox):
    """omit: the matching documents are missing, for so many calls."""
    caller.create(tag="seen")
    caller.create(tag="hidden:1")
    caller.create(tag="hidden:2")
    sandbox.add_fault(Fault(on="logs", action="omit", match="hidden", times=2))
    tags = [[entry["tag"] for entry in caller.logs()] for _ in range(3)]
    assert tags == [["seen"], ["seen"], ["hidden:2", "hidden:1", "seen"]]


def test_a_fault_of_one_tag_spares_others(caller, sandbox):
    """match: part of the tag or of the name."""
    sandbox.add_fault(Fault(on="create", action="status", match="job:7"))
    codes = [caller.create(tag=tag).status_code for tag in ("job:6", "job:7", "job:8")]
    assert codes == [200, 500, 200]
    assert caller.create(name="my job:7").status_code == 500


def test_broken_connections_leave_the_sandbox_in_order(caller, sandbox):
    """After all kinds of ends the sandbox answers, and no thread is left behind."""
    actions = ["reset", "close", "hang", "cut"]
    sandbox.add_fault(*[Fault(on="create", action=a, times=1, seconds=0.01) for a in actions])
    for _ in actions:
        with pytest.raises(GONE):
            caller.create()
    assert caller.create().status_code == 200
    assert sandbox.faults[-1]["triggered"] == 1
    wait_until(lambda: len(sandbox.ledger.entries) == 2)


def test_a_stop_ends_what_is_slow(call_to):
    """Neither the delay of an answer nor a hang holds up a stop."""
    with Sandbox() as sandbox:
        caller = call_to(sandbox)
        sandbox.add_fault(
            Fault(on="create", action="slow", seconds=60, match="slow"),
            Fault(on="create", action="hang", seconds=60, match="hang"),
        )
        failed = []

        def create(name):
            try:
                caller.create(name=name, timeout=30)
            except requests.ConnectionError as error:
                failed.append(error)

        threads = [threading.Thread(target=create, args=(name,)) for name in ("slow", "hang")]
        for thread in threads:
            thread.start()
        wait_until(lambda: sandbox.ledger.create_calls == 2)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    for thread in threads:
        thread.join()
    assert len(failed) == 2


def test_an_unknown_code_and_an_empty_code_are_sent(caller, sandbox):
    """Codes that HTTP does not name, and one that has no body."""
    sandbox.add_fault(
        Fault(on="create", action="status", status_code=599, body="html", times=1),
        Fault(on="create", action="status", status_code=204, times=1),
    )
    assert caller.create().status_code == 599
    assert caller.create().content == b""
    assert caller.create().status_code == 200
