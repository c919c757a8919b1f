"""The probes of DocRaptor, against the sandbox, this very site and other servers."""

import pytest

from django_docraptor.diagnosis import service
from django_docraptor.models import Account
from django_docraptor.sandbox import Sandbox
from tests.diagnosis.conftest import Configure, only
from tests.support.socket_server import SocketServer, respond, unused_port

pytestmark = pytest.mark.django_db

UNAUTHORIZED = (
    b"<?xml version='1.0'?><errors><error>Please provide a valid API key.</error></errors>"
)


def test_sandbox_is_recognized_in_development(sandbox: Sandbox, settings) -> None:
    """It is good where it belongs, and the mode is told."""
    settings.DEBUG = True
    status, text = only(service.probe_base_url())
    assert status == "ok"
    assert text.startswith(f"The sandbox answers at {sandbox.url}. Test mode is on: ")


def test_sandbox_in_production_is_a_warning(sandbox: Sandbox) -> None:
    """Without DEBUG, its documents are not those that customers should get."""
    status, text = only(service.probe_base_url())
    assert (status, text.endswith("remove DOCRAPTOR['BASE_URL'] to use DocRaptor itself.")) == (
        "warn",
        True,
    )


def test_sandbox_that_is_not_running_is_told_with_its_command(configure: Configure) -> None:
    """A refused connection on this machine asks for the sandbox, with the port of BASE_URL."""
    port = unused_port()
    configure(BASE_URL=f"http://127.0.0.1:{port}")
    status, text = only(service.probe_base_url())
    assert status == "fail"
    assert f"The request to http://127.0.0.1:{port} was not sent" in text
    assert f"Start it: python -m django_docraptor.sandbox --port {port}." in text


def test_this_very_site_is_recognized(configure: Configure, live_server) -> None:
    """It accepts a callback that it has signed, and no forged one."""
    configure(BASE_URL=live_server.url)
    status, text = only(service.probe_base_url())
    assert status == "fail"
    assert text.startswith(f"DOCRAPTOR['BASE_URL'], {live_server.url}, is this very site. Set it")


@pytest.mark.parametrize(
    "behaviour",
    [
        respond(b"<title>Welcome</title>"),
        respond(b"", 204),
        respond(b"", 301, {"Location": "https://elsewhere.example/?key=secret"}),
        respond(b"Not found", 404),
    ],
)
def test_another_server_is_not_taken_for_docraptor(configure: Configure, behaviour) -> None:
    """What does not refuse a call without a key as DocRaptor does is another server."""
    with SocketServer(behaviour) as server:
        configure(BASE_URL=server.url)
        status, text = only(service.probe_base_url())
    assert status == "fail"
    assert text.startswith(f"{server.url} does not answer as DocRaptor's API does (HTTP ")
    assert "this very site? Set it to the URL of the sandbox" in text


def test_service_is_recognized_by_its_refusal(configure: Configure) -> None:
    """DocRaptor refuses a call without a key in XML; no key was sent to find that out."""
    with SocketServer(respond(UNAUTHORIZED, 401)) as server:
        configure(BASE_URL=server.url, TEST_MODE=False)
        status, text = only(service.probe_base_url())
    assert (status, "Test mode is off: documents are billed." in text) == ("ok", True)
    assert [("authorization" in each.headers) for each in server.requests] == [False]


def test_replaced_client_is_told(configure: Configure) -> None:
    """A project's own client may not call BASE_URL at all."""
    configure(CLIENT="shop.clients.Fake")
    assert only(service.probe_base_url())[0] == "warn"


def test_accepted_key(sandbox: Sandbox) -> None:
    """A line of the log can be read."""
    assert only(service.probe_api_keys()) == ("ok", "The key of the account 'default' is accepted.")


def test_rejected_key_is_a_failure(sandbox: Sandbox) -> None:
    """The remedy says where the key comes from and what to restart; the key is not shown."""
    sandbox.change_settings(api_key="another")
    status, text = only(service.probe_api_keys())
    assert (status, service.KEY_REMEDY in text) == ("fail", True)
    assert "Please provide a valid API key" in text
    assert "tests-key" not in text


@pytest.mark.parametrize("key", ["", "  ", lambda account: None, lambda account: 1 / 0])
def test_missing_key_is_a_failure(sandbox: Sandbox, configure: Configure, key: object) -> None:
    """An unset variable, or a callable that fails, leads to the variable to set."""
    configure(API_KEY=key)
    status, text = only(service.probe_api_keys())
    assert (status, text.endswith(service.KEY_REMEDY)) == ("fail", True)


def test_public_key_is_a_warning(sandbox: Sandbox, configure: Configure) -> None:
    """Everyone shares the key of DocRaptor's documentation."""
    configure(API_KEY=service.PUBLIC_KEY)
    status, text = only(service.probe_api_keys())
    assert (status, "everyone shares" in text) == ("warn", True)


def test_each_account_has_its_key_tried(sandbox: Sandbox, configure: Configure) -> None:
    """The accounts are those that the engine has used."""
    Account.objects.create(name="a")
    Account.objects.create(name="b")
    sandbox.change_settings(api_key="key-of-a")
    configure(API_KEY=lambda account: f"key-of-{account}")
    assert [result.status for result in service.probe_api_keys()] == ["ok", "fail"]


def test_key_that_cannot_be_tried_is_a_warning(configure: Configure) -> None:
    """A failure of the service says nothing about the key."""
    with SocketServer(respond(b"busy", 503)) as server:
        configure(BASE_URL=server.url)
        status, text = only(service.probe_api_keys())
    assert (status, "could not be tried" in text) == ("warn", True)


@pytest.mark.parametrize(
    ("offset", "status", "text"),
    [
        (0, "ok", "have the same time"),
        (3600, "warn", "DocRaptor's clock is 60 minutes ahead of the database's"),
        (-86_400, "warn", "DocRaptor's clock is 24 hours behind the database's"),
    ],
)
def test_clock_of_the_service(sandbox: Sandbox, offset: int, status: str, text: str) -> None:
    """It is compared by the Date header."""
    sandbox.change_settings(clock_offset=offset)
    found, message = only(service.probe_service_clock())
    assert (found, text in message) == (status, True)


def test_response_without_a_date_is_told(configure: Configure) -> None:
    """A proxy may remove it."""
    with SocketServer(respond(b"[]")) as server:
        configure(BASE_URL=server.url)
        assert only(service.probe_service_clock())[0] == "warn"


@pytest.mark.django_db(transaction=True)
def test_live_makes_one_test_document(sandbox: Sandbox, configure: Configure) -> None:
    """It is free even if the site makes billed ones, and leaves no job."""
    configure(TEST_MODE=False)
    status, text = only(service.probe_live())
    assert (status, text.startswith("A test document of ")) == ("ok", True)
    (document,) = sandbox.ledger.accepted()
    assert document.test is True


@pytest.mark.django_db(transaction=True)
def test_live_tells_why_there_is_no_document(sandbox: Sandbox) -> None:
    """The error is the one that a job would have."""
    sandbox.change_settings(api_key="another")
    status, text = only(service.probe_live())
    assert (status, "Please provide a valid API key" in text) == ("fail", True)
