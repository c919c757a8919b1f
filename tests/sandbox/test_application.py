"""DocRaptor's API: keys, status codes, limits, and the response to each call."""

import threading
import xml.etree.ElementTree as ElementTree
from datetime import UTC
from email.utils import parsedate_to_datetime

import pytest

from django_docraptor.sandbox import Sandbox
from tests.support.sandbox_client import wait_until


def xml_errors(response):
    """Return the messages of an XML error."""
    assert response.headers["Content-Type"].startswith("application/xml")
    root = ElementTree.fromstring(response.content)
    assert root.tag == "errors"
    return [error.text for error in root.findall("error")]


def test_synchronous_create_returns_the_file(client):
    """POST /docs returns the file with its type, its name and its number of pages."""
    response = client.create("/docs", name="Rechnung 請求書.pdf")
    assert response.status_code == 200
    assert response.content.startswith(b"%PDF-")
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["X-DocRaptor-Num-Pages"] == "1"
    assert "filename*=UTF-8''Rechnung%20" in response.headers["Content-Disposition"]


@pytest.mark.parametrize("path", ["/docs.json", "/status/unknown", "/no-such-path"])
def test_every_response_has_date_request_id_and_runtime(client, path):
    """Successes, errors and pages of the web site have DocRaptor's headers."""
    headers = client.send("GET", path).headers
    assert parsedate_to_datetime(headers["Date"]).tzinfo is UTC
    assert headers["X-Request-Id"]
    assert float(headers["X-Runtime"]) >= 0


def test_async_option_makes_a_document_asynchronous(client):
    """POST /docs with async: true returns a status ID."""
    assert set(client.create("/docs", **{"async": True}).json()) == {"status_id"}


def test_create_accepts_the_doc_object_and_forms(client):
    """{"doc": {...}} and doc[...] fields are equivalent to top-level JSON."""
    doc = {"name": "old", "document_type": "pdf", "document_content": "x", "test": True}
    old = client.send("POST", "/docs", json={"doc": doc})
    form = {f"doc[{key}]": str(value).lower() for key, value in doc.items()}
    new = client.send("POST", "/docs", data=form)
    assert (old.status_code, new.status_code) == (200, 200)
    assert old.content == new.content


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_body_that_is_not_a_json_object_is_rejected(client, body):
    """A create call without a JSON object gets 400."""
    response = client.send("POST", "/docs", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert "JSON" in xml_errors(response)[0]


def test_unknown_options_are_ignored(client):
    """A create call with options that DocRaptor does not know gets 200."""
    response = client.create("/docs", colour="red", prince_options={"no_such": 1})
    assert response.status_code == 200


def test_status_and_download_ids_are_not_interchangeable(client):
    """A document has two different IDs, and each is valid for one call."""
    status_id = client.create().json()["status_id"]
    download_id = client.finish(status_id)["download_id"]
    assert status_id != download_id
    assert client.status(download_id).status_code == 403
    assert client.send("GET", f"/download/{status_id}").status_code == 400


def test_document_is_working_for_its_delay_then_completed(make_client):
    """Rendering takes the delay that is set."""
    with Sandbox(delay=0.3) as sandbox:
        client = make_client(sandbox)
        status_id = client.create().json()["status_id"]
        wait_until(lambda: client.status(status_id).json()["status"] == "working")
        assert "download_url" not in client.status(status_id).json()
        status = client.finish(status_id)
        entry = sandbox.ledger.entries[0]
    assert status["status"] == "completed"
    assert status["message"].startswith("Completed at ")
    assert (entry.finished_at - entry.created_at).total_seconds() >= 0.3


def test_invalid_synchronous_document_is_rejected_with_422(client, sandbox):
    """A synchronous create call is validated before it is accepted."""
    response = client.create("/docs", name="x" * 201)
    assert response.status_code == 422
    assert xml_errors(response) == ["Name is too long (maximum is 200 characters)"]
    assert sandbox.ledger.accepted() == []


def test_invalid_asynchronous_document_fails_late(client, sandbox):
    """An asynchronous create call returns 200; its document fails and is not billed."""
    response = client.create(name="x" * 201, type="odt", tag="t")
    assert response.status_code == 200
    status = client.finish(response.json()["status_id"])
    assert status["status"] == "failed"
    assert status["validation_errors"].split("\n") == [
        "Name is too long (maximum is 200 characters)",
        "Document type is not included in the list",
    ]
    assert len(sandbox.ledger.accepted("t")) == 1
    assert sandbox.ledger.billed() == []


def test_xls_is_rejected_as_unsupported(client):
    """The error of an xls document names the limit of the sandbox."""
    assert "not support xls" in xml_errors(client.create("/docs", type="xls"))[0]
    assert "not support xls" in client.create_and_finish(type="xls")["validation_errors"]


def test_missing_api_key_gets_401(client):
    """A create call without a key gets 401."""
    response = client.create("/docs", auth=None)
    assert response.status_code == 401
    assert xml_errors(response)


def test_wrong_api_key_gets_401_on_every_call(make_client):
    """If the sandbox has an API key, all calls require it."""
    with Sandbox(api_key="right") as sandbox:
        right, wrong = make_client(sandbox, auth=("right", "")), make_client(sandbox)
        status_id = right.create().json()["status_id"]
        download_id = right.finish(status_id)["download_id"]
        paths = ["/docs.json", "/doc_logs.json", f"/status/{status_id}", f"/download/{download_id}"]
        assert [wrong.send("GET", path).status_code for path in paths] == [401] * 4
        assert [right.send("GET", path).status_code for path in paths] == [200] * 4
        assert wrong.create().status_code == 401
        assert len(sandbox.ledger.entries) == 1


def test_api_key_parameter_is_accepted_and_not_recorded(make_client):
    """user_credentials is accepted, as at DocRaptor, and does not appear in the recorded calls."""
    with Sandbox(api_key="right") as sandbox:
        client = make_client(sandbox, auth=None)
        assert client.create("/docs?user_credentials=right").status_code == 200
        assert "right" not in repr(sandbox.calls)


def test_shared_test_key_is_valid_for_test_documents_only(make_client):
    """YOUR_API_KEY_HERE creates test documents and lists no others."""
    with Sandbox(api_key="right") as sandbox:
        shared = make_client(sandbox, auth=("YOUR_API_KEY_HERE", ""))
        make_client(sandbox, auth=("right", "")).create("/docs", name="private")
        assert shared.create("/docs", test=True, name="shared").status_code == 200
        assert shared.create("/docs", test=False).status_code == 401
        assert [entry["name"] for entry in shared.logs()] == ["shared"]


def test_too_many_concurrent_documents_get_403(make_client):
    """Beyond max_concurrent, create calls are rejected until a document has finished."""
    with Sandbox(max_concurrent=2, delay=0.3) as sandbox:
        client = make_client(sandbox)
        first = client.create().json()["status_id"]
        client.create()
        refused = client.create()
        assert refused.status_code == 403
        assert "simultaneous" in xml_errors(refused)[0]
        client.finish(first)
        wait_until(lambda: client.create().status_code == 200)
        assert sandbox.ledger.peak_concurrency == 2


def test_delayed_documents_do_not_need_threads(make_client):
    """Delayed documents wait in a heap instead of sleeping threads."""
    with Sandbox(max_concurrent=1000, delay=30) as sandbox:
        client = make_client(sandbox)
        before = threading.active_count()
        for _ in range(300):
            client.create()
        assert threading.active_count() <= before + 1
        assert sandbox.ledger.peak_concurrency == 300


def test_document_that_exceeds_its_time_limit_fails(make_client):
    """Synchronous and asynchronous documents have separate limits."""
    with Sandbox(delay=9, synchronous_limit=0.1, asynchronous_limit=0.2) as sandbox:
        client = make_client(sandbox)
        reason = "Timeout trying to create pdf from document content."
        assert xml_errors(client.create("/docs")) == [reason]
        assert client.create_and_finish()["validation_errors"] == reason


def test_download_beyond_the_limit_gets_400(make_client):
    """An account with the shortest retention allows one download."""
    with Sandbox(download_limit=1) as sandbox:
        client = make_client(sandbox)
        url = client.create_and_finish()["download_url"]
        assert client.send("GET", url).status_code == 200
        assert client.send("GET", url).status_code == 400
        assert sandbox.ledger.entries[0].downloads == 1


def test_download_url_needs_no_api_key(client):
    """The ID in the download URL is the permission."""
    status = client.create_and_finish()
    assert client.send("GET", status["download_url"], auth=None).content.startswith(b"%PDF-")


def test_unfinished_document_cannot_be_downloaded(make_client):
    """Downloads of an unfinished or unknown document get 400."""
    with Sandbox(delay=30) as sandbox:
        client = make_client(sandbox)
        client.create()
        (entry,) = client.logs()
        assert client.send("GET", f"/download/{entry['id']}").status_code == 400
        assert client.send("GET", "/download/nonsense").status_code == 400


def test_hosted_document_expires_after_its_downloads(client):
    """The hosted URL is public, and hosted_download_limit applies to it."""
    hosted = client.create("/hosted_docs", hosted_download_limit=2).json()
    codes = [client.send("GET", hosted["download_url"], auth=None).status_code for _ in range(3)]
    assert codes == [200, 200, 404]


def test_hosted_document_expires_at_its_time(client):
    """A document whose hosted_expires_at is in the past gets 404."""
    past = client.create("/hosted_docs", hosted_expires_at="1981-01-23T08:02:30-05:00").json()
    future = client.create("/hosted_docs", hosted_expires_at="2981-01-23T08:02:30-05:00").json()
    assert client.send("GET", past["download_url"]).status_code == 404
    assert client.send("GET", future["download_url"]).status_code == 200


def test_only_hosted_documents_can_be_expired(client):
    """An expired document gets 404; expiring a document that is not hosted gets 400."""
    hosted = client.create("/hosted_docs").json()
    assert client.send("PATCH", f"/expire/{hosted['download_id']}").status_code == 200
    assert client.send("GET", hosted["download_url"]).status_code == 404
    plain = client.create_and_finish()["download_id"]
    assert client.send("PATCH", f"/expire/{plain}").status_code == 400
    assert client.send("GET", f"/hosted/{plain}").status_code == 404


@pytest.mark.parametrize("auth", [None, ("a-key", ""), ("wrong", "")])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/nothing"), ("GET", "/docs"), ("POST", "/v2/async_docs"), ("GET", "/")),
        *(("PUT", "/status/1"), ("POST", "/download/1"), ("GET", "/expire/1"), ("GET", "/docs/")),
    ],
)
def test_wrong_path_or_method_gets_the_web_site(client, sandbox, method, path, auth):
    """The web site answers what is not the API's: 404, as HTML, whatever the key."""
    sandbox.change_settings(api_key="a-key")
    response = client.send(method, path, auth=auth)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")
    assert "<h1>" in response.text


def test_calls_are_recorded_without_credentials(client, sandbox):
    """A recorded call has method, path and headers, but no API key."""
    client.create("/docs", name="recorded")
    (call,) = sandbox.calls
    assert (call.method, call.path) == ("POST", "/docs")
    assert call.headers["User-Agent"].startswith("python-requests/")
    assert int(call.headers["Content-Length"]) > 50
    assert "authorization" not in {name.lower() for name in call.headers}
