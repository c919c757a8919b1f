"""The bodies that users of DocRaptor have recorded, word for word."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from django_docraptor.sandbox import Fault, Sandbox, recorded


def error_of(response):
    """Return the status code and the messages of an XML error."""
    assert response.headers["Content-Type"].startswith("application/xml")
    return response.status_code, [error.text for error in ElementTree.fromstring(response.content)]


@pytest.mark.parametrize("auth", [None, ("", ""), ("wrong", ""), ("", "right")])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", "/docs"), ("POST", "/async_docs"), ("GET", "/status/1"), ("GET", "/docs.json")),
        *(("GET", "/doc_logs.json"), ("PATCH", "/expire/1")),
    ],
)
def test_missing_and_wrong_key_get_the_same_401(client, sandbox, method, path, auth):
    """401 comes before anything that is wrong with the request, and does not say which it was."""
    sandbox.change_settings(api_key="right")
    response = client.send(method, path, auth=auth)
    assert error_of(response) == (401, ["Please provide a valid API key."])


def test_unknown_download_key_gets_400(client):
    """With and without credentials."""
    expected = (400, ["[Download Key Error] The supplied download key is not valid."])
    assert error_of(client.send("GET", "/download/unknown")) == expected
    assert error_of(client.send("GET", "/download/unknown", auth=None)) == expected
    assert error_of(client.send("PATCH", "/expire/unknown")) == expected


def test_unknown_status_gets_403(client):
    """The status of a document that is unknown or another account's is refused alike."""
    text = "[Authentication Error] You do not have permission to view the status of this document."
    assert error_of(client.status("unknown")) == (403, [text])


def test_download_before_completion_gets_400(make_client):
    """The document exists, but is not finished."""
    with Sandbox(delay=30) as sandbox:
        client = make_client(sandbox)
        client.create()
        status, (text,) = error_of(client.send("GET", f"/download/{client.logs()[0]['id']}"))
    assert status == 400
    assert "not completed" in text


def test_too_many_documents_at_once_get_403(make_client):
    """The text that tells a passing 403 from a final one."""
    with Sandbox(max_concurrent=1, delay=30) as sandbox:
        client = make_client(sandbox)
        client.create()
        assert error_of(client.create()) == (403, ["Too many simultaneous document requests"])


def test_one_fault_may_have_two_errors(client, sandbox):
    """As two elements of a 422, and as two lines of a status."""
    sandbox.add_fault(Fault(on="render", action="fail", reason=recorded.JAVASCRIPT_ERROR))
    status, errors = error_of(client.create("/docs"))
    assert status == 422
    assert errors[0].startswith("[Javascript Error] ReferenceError")
    assert errors[1:] == ["[Javascript Error] document:642"]
    assert client.create_and_finish()["validation_errors"].splitlines() == errors


def test_queueing_error_can_be_played(client, sandbox):
    """A create call that was not accepted, in DocRaptor's words."""
    sandbox.add_fault(
        Fault(on="create", action="status", status_code=400, reason=recorded.QUEUEING_ERROR)
    )
    expected = "[Document Queueing Error] There was an error queueing your document."
    assert error_of(client.create()) == (400, [expected])
    assert sandbox.ledger.accepted() == []


def test_markup_in_a_reason_is_escaped(client, sandbox):
    """A reason quotes the document, so it may contain markup and control characters."""
    reason = recorded.malformed('<b> & \x00 ]]> "x"')
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, reason=reason))
    assert error_of(client.create()) == (422, ['Document Malformed: <b> &  ]]> "x"'])


def test_documents_beyond_the_plan_fail_late(client, sandbox):
    """The create call gets 200; status and log say why it failed; test documents do not count."""
    sandbox.change_settings(document_limit=1)
    assert client.create_and_finish(test=True)["status"] == "completed"
    assert client.create_and_finish(tag="in")["status"] == "completed"
    response = client.create(tag="beyond")
    assert response.status_code == 200
    status = client.finish(response.json()["status_id"])
    assert status == {"status": "failed", "validation_errors": recorded.OVER_LIMIT}
    line = client.logs()[0]
    assert (line["success"], line["validation_errors"]) == (False, recorded.OVER_LIMIT)
    assert error_of(client.create("/docs", test=False)) == (422, [recorded.OVER_LIMIT])
    assert client.create_and_finish(test=True)["status"] == "completed"
    assert [entry.tag for entry in sandbox.ledger.billed()] == ["in"]


def test_failed_document_does_not_use_up_the_plan(client, sandbox):
    """Only what is billed counts towards the limit."""
    sandbox.change_settings(document_limit=1)
    assert client.create_and_finish(type="odt")["status"] == "failed"
    assert client.create_and_finish()["status"] == "completed"


@pytest.mark.parametrize("reason", [recorded.ACCOUNT_CANCELED, recorded.ACCOUNT_SUSPENDED])
def test_closed_account_fails_every_document(client, sandbox, reason):
    """Late, like every refusal of an asynchronous document; nothing is billed."""
    sandbox.change_settings(refusal=reason)
    for test in (True, False):
        assert client.create_and_finish(test=test)["validation_errors"] == reason
    assert sandbox.ledger.billed() == []


def test_download_url_may_name_another_scheme_and_host(client, sandbox):
    """DocRaptor's download URL was often http:// and another host's; the ID is what counts."""
    sandbox.change_settings(download_url_base="http://docraptor.com")
    status = client.create_and_finish()
    assert status["download_url"] == f"http://docraptor.com/download/{status['download_id']}"
    assert client.send("GET", f"/download/{status['download_id']}").status_code == 200


@pytest.mark.parametrize(
    "options", [{"hosted_download_limit": 1}, {"hosted_download_limit": 99}, {}]
)
def test_hosted_test_document_has_five_downloads(client, options):
    """Whatever limit the call sets."""
    hosted = client.create("/hosted_docs", test=True, **options).json()
    codes = [client.send("GET", hosted["download_url"], auth=None).status_code for _ in range(6)]
    assert codes == [200] * 5 + [404]


def test_hosted_option_makes_a_document_hosted(client):
    """`hosted: true` on /docs is another way to /hosted_docs, also asynchronously."""
    assert "/hosted/" in client.create("/docs", hosted=True).json()["download_url"]
    status = client.create_and_finish(hosted=True)
    assert client.send("GET", status["download_url"], auth=None).status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "https://a.test"},
        {"prince_options": {"http_insecure": True, "accessibility": 1, "tag_svg": "yes"}},
        {"user_agent_token": "secret", "pipeline": "11"},
    ],
)
def test_unknown_and_misspelt_options_are_dropped_silently(client, options):
    """A create call with them gets 200, and the document completes."""
    assert client.create_and_finish(**options)["status"] == "completed"


def test_user_agent_token_is_sent_with_fetches(client, web_page):
    """The token is added to the User-Agent with which `document_url` is fetched."""
    options = {"document_content": None, "document_url": f"{web_page.url}/source"}
    assert client.create_and_finish(**options, user_agent_token="t0ken")["status"] == "completed"
    assert web_page.agents[-1].endswith(" t0ken")


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("uuid", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("hex", r"[0-9a-f]{32}"),
        ("digits", r"\d{15,20}"),
        ("long", r"[0-9a-f]{128}"),
    ],
)
def test_status_ids_have_several_forms(client, sandbox, form, pattern):
    """DocRaptor has used several; a client must take them as they are."""
    sandbox.change_settings(status_id_form=form)
    status_id = client.create().json()["status_id"]
    assert re.fullmatch(pattern, status_id)
    assert client.finish(status_id)["status"] == "completed"
    assert client.logs()[0]["status_id"] == status_id
