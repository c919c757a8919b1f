"""The protocol: keys, status codes, limits, and what each call answers."""

import threading
import xml.etree.ElementTree as ElementTree

import pytest

from django_docraptor.sandbox import Sandbox
from tests.support.sandbox_client import wait_until


def errors(response):
    """Return the reasons of an XML error."""
    assert response.headers["Content-Type"].startswith("application/xml")
    root = ElementTree.fromstring(response.content)
    assert root.tag == "errors"
    return [error.text for error in root.findall("error")]


def test_a_synchronous_document_is_answered_with_its_bytes(caller):
    """POST /docs: the bytes, their type, their name, their pages."""
    response = caller.create("/docs", name="Rechnung 請求書.pdf")
    assert response.status_code == 200
    assert response.content.startswith(b"%PDF-")
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["X-DocRaptor-Num-Pages"] == "1"
    assert "filename*=UTF-8''Rechnung%20" in response.headers["Content-Disposition"]


def test_every_answer_has_a_request_id_and_a_runtime(caller):
    """X-Request-Id and X-Runtime, also with errors."""
    for response in (caller.create("/docs"), caller.status("unknown")):
        assert response.headers["X-Request-Id"]
        assert float(response.headers["X-Runtime"]) >= 0


def test_async_true_makes_docs_asynchronous(caller):
    """POST /docs with async: true answers with a status id."""
    assert set(caller.create("/docs", **{"async": True}).json()) == {"status_id"}


def test_the_old_wrapper_and_the_form_are_read(caller):
    """{"doc": {...}} and doc[...] fields are as good as top-level JSON."""
    doc = {"name": "old", "document_type": "pdf", "document_content": "x", "test": True}
    old = caller.send("POST", "/docs", json={"doc": doc})
    form = {f"doc[{key}]": str(value).lower() for key, value in doc.items()}
    new = caller.send("POST", "/docs", data=form)
    assert (old.status_code, new.status_code) == (200, 200)
    assert old.content == new.content


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_body_that_is_no_object_is_refused(caller, body):
    """Not JSON, or JSON that is no object: 400."""
    response = caller.send("POST", "/docs", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert "JSON" in errors(response)[0]


def test_unknown_options_are_dropped(caller):
    """The service ignores what it does not know, with 200."""
    response = caller.create("/docs", colour="red", prince_options={"no_such": 1})
    assert response.status_code == 200


def test_status_and_download_ids_differ_and_are_not_interchangeable(caller):
    """One document has two ids, and each is good for one call."""
    status_id = caller.create().json()["status_id"]
    download_id = caller.finish(status_id)["download_id"]
    assert status_id != download_id
    assert caller.status(download_id).status_code == 404
    assert caller.send("GET", f"/download/{status_id}").status_code == 400


def test_a_document_is_queued_or_working_for_its_delay_then_completed(call_to):
    """The delay is the time that a document takes."""
    with Sandbox(delay=0.3) as sandbox:
        caller = call_to(sandbox)
        status_id = caller.create().json()["status_id"]
        wait_until(lambda: caller.status(status_id).json()["status"] == "working")
        assert "download_url" not in caller.status(status_id).json()
        status = caller.finish(status_id)
        entry = sandbox.ledger.entries[0]
    assert status["status"] == "completed"
    assert status["message"].startswith("Completed at ")
    assert (entry.finished_at - entry.created_at).total_seconds() >= 0.3


def test_too_long_a_name_is_422_at_once_when_synchronous(caller, sandbox):
    """Synchronous validation happens at once, and nothing is accepted."""
    response = caller.create("/docs", name="x" * 201)
    assert response.status_code == 422
    assert errors(response) == ["Name is too long (maximum is 200 characters)"]
    assert sandbox.ledger.accepted() == []


def test_too_long_a_name_fails_late_when_asynchronous(caller, sandbox):
    """Asynchronous validation is late: 200, then failed, and not billed."""
    response = caller.create(name="x" * 201, type="odt", tag="t")
    assert response.status_code == 200
    status = caller.finish(response.json()["status_id"])
    assert status["status"] == "failed"
    assert status["validation_errors"].split("\n") == [
        "Name is too long (maximum is 200 characters)",
        "Document type is not included in the list",
    ]
    assert len(sandbox.ledger.accepted("t")) == 1
    assert sandbox.ledger.billed() == []


def test_xls_is_refused_honestly(caller):
    """The sandbox makes no XLS and says so."""
    assert "no xls" in errors(caller.create("/docs", type="xls"))[0]
    assert "no xls" in caller.create_and_finish(type="xls")["validation_errors"]


def test_a_missing_key_is_401(caller):
    """No key, no document."""
    response = caller.create("/docs", auth=None)
    assert response.status_code == 401
    assert errors(response)


def test_a_wrong_key_is_401(call_to):
    """With a key of its own, a sandbox knows no other, wherever it is asked."""
    with Sandbox(api_key="right") as sandbox:
        right, wrong = call_to(sandbox, auth=("right", "")), call_to(sandbox)
        status_id = right.create().json()["status_id"]
        download_id = right.finish(status_id)["download_id"]
        paths = ["/docs.json", "/doc_logs.json", f"/status/{status_id}", f"/download/{download_id}"]
        assert [wrong.send("GET", path).status_code for path in paths] == [401] * 4
        assert [right.send("GET", path).status_code for path in paths] == [200] * 4
        assert wrong.create().status_code == 401
        assert len(sandbox.ledger.entries) == 1


def test_the_key_may_come_as_a_parameter(call_to):
    """user_credentials is accepted, as the service accepts it, and is not recorded."""
    with Sandbox(api_key="right") as sandbox:
        caller = call_to(sandbox, auth=None)
        assert caller.create("/docs?user_credentials=right").status_code == 200
        assert "right" not in repr(sandbox.calls)


def test_the_public_key_is_good_for_test_documents_only(call_to):
    """YOUR_API_KEY_HERE makes test documents, and sees no others."""
    with Sandbox(api_key="right") as sandbox:
        public = call_to(sandbox, auth=("YOUR_API_KEY_HERE", ""))
        call_to(sandbox, auth=("right", "")).create("/docs", name="private")
        assert public.create("/docs", test=True, name="shared").status_code == 200
        assert public.create("/docs", test=False).status_code == 401
        assert [entry["name"] for entry in public.logs()] == ["shared"]


def test_too_many_documents_at_once_are_403(call_to):
    """Beyond max_concurrent a create is refused, until a document has ended."""
    with Sandbox(max_concurrent=2, delay=0.3) as sandbox:
        caller = call_to(sandbox)
        first = caller.create().json()["status_id"]
        caller.create()
        refused = caller.create()
        assert refused.status_code == 403
        assert "simultaneous" in errors(refused)[0]
        caller.finish(first)
        wait_until(lambda: caller.create().status_code == 200)
        assert sandbox.ledger.peak_concurrency == 2


def test_hundreds_of_delayed_documents_need_no_thread_each(call_to):
    """A thousand documents wait in a heap, not in threads."""
    with Sandbox(max_concurrent=1000, delay=30) as sandbox:
        caller = call_to(sandbox)
        before = threading.active_count()
        for _ in range(300):
            caller.create()
        assert threading.active_count() <= before + 1
        assert sandbox.ledger.peak_concurrency == 300


def test_a_document_that_takes_too_long_is_killed(call_to):
    """Synchronous documents end after their limit, and so do asynchronous ones."""
    with Sandbox(delay=9, synchronous_limit=0.1, asynchronous_limit=0.2) as sandbox:
        caller = call_to(sandbox)
        reason = "Timeout trying to create pdf from document content."
        assert errors(caller.create("/docs")) == [reason]
        assert caller.create_and_finish()["validation_errors"] == reason


def test_downloads_are_limited(call_to):
    """An account with the shortest retention has one download; then 400."""
    with Sandbox(download_limit=1) as sandbox:
        caller = call_to(sandbox)
        url = caller.create_and_finish()["download_url"]
        assert caller.send("GET", url).status_code == 200
        assert caller.send("GET", url).status_code == 400
        assert sandbox.ledger.entries[0].downloads == 1


def test_the_download_url_needs_no_key(caller):
    """The download URL is a bearer secret."""
    status = caller.create_and_finish()
    assert caller.send("GET", status["download_url"], auth=None).content.startswith(b"%PDF-")


def test_an_unfinished_document_cannot_be_downloaded(call_to):
    """Too early is 400, as is a bad id."""
    with Sandbox(delay=30) as sandbox:
        caller = call_to(sandbox)
        caller.create()
        (entry,) = caller.logs()
        assert caller.send("GET", f"/download/{entry['id']}").status_code == 400
        assert caller.send("GET", "/download/nonsense").status_code == 400


def test_a_hosted_document_ends_after_its_downloads(caller):
    """hosted_download_limit counts, and the hosted URL is public."""
    hosted = caller.create("/hosted_docs", hosted_download_limit=2).json()
    codes = [caller.send("GET", hosted["download_url"], auth=None).status_code for _ in range(3)]
    assert codes == [200, 200, 404]


def test_a_hosted_document_ends_at_its_time(caller):
    """hosted_expires_at in the past: nothing to fetch; in the future: the bytes."""
    past = caller.create("/hosted_docs", hosted_expires_at="1981-01-23T08:02:30-05:00").json()
    future = caller.create("/hosted_docs", hosted_expires_at="2981-01-23T08:02:30-05:00").json()
    assert caller.send("GET", past["download_url"]).status_code == 404
    assert caller.send("GET", future["download_url"]).status_code == 200


def test_expire_is_for_hosted_documents(caller):
    """Expiring ends a hosted document; others have nothing to expire."""
    hosted = caller.create("/hosted_docs").json()
    assert caller.send("PATCH", f"/expire/{hosted['download_id']}").status_code == 200
    assert caller.send("GET", hosted["download_url"]).status_code == 404
    plain = caller.create_and_finish()["download_id"]
    assert caller.send("PATCH", f"/expire/{plain}").status_code == 400
    assert caller.send("GET", f"/hosted/{plain}").status_code == 404


def test_unknown_paths_and_methods_are_xml_errors(caller):
    """404 and 405 are XML too."""
    assert caller.send("GET", "/nothing").status_code == 404
    assert errors(caller.send("GET", "/nothing"))
    assert caller.send("GET", "/docs").status_code == 405


def test_requests_are_recorded_without_credentials(caller, sandbox):
    """What is recorded tells who called what, and no key."""
    caller.create("/docs", name="recorded")
    (call,) = sandbox.calls
    assert (call.method, call.path) == ("POST", "/docs")
    assert call.user_agent.startswith("python-requests/")
    assert call.body_size > 50
    assert "authorization" not in {name.lower() for name in call.headers}
