"""The probe of the callback URL, against this site and what may be in its way."""

import pytest

from django_docraptor import advice
from django_docraptor.conf import DOCRAPTOR_URL
from django_docraptor.diagnosis.callbacks import probe_callback_url
from django_docraptor.models import Heartbeat, RenderEvent
from tests.diagnosis.conftest import Configure, only
from tests.support.socket_server import SocketServer, respond, unused_port

pytestmark = pytest.mark.django_db(transaction=True)


def test_without_a_url_results_are_polled() -> None:
    """That is a choice, and no problem."""
    assert only(probe_callback_url())[0] == "ok"


def test_site_answers_its_own_callback(configure: Configure, live_server) -> None:
    """It leaves no trace: neither an event nor a sign that DocRaptor's callbacks arrive."""
    configure(CALLBACK_BASE_URL=live_server.url)
    status, text = only(probe_callback_url())
    assert (status, text) == ("ok", f"{live_server.url} answers its own callback.")
    assert not RenderEvent.objects.exists()
    assert not Heartbeat.objects.filter(called_back_at__isnull=False).exists()


def test_callable_url_is_that_of_the_site_in_force(configure: Configure, live_server) -> None:
    """A tenant's own site is tried."""
    configure(CALLBACK_BASE_URL=lambda: live_server.url)
    assert only(probe_callback_url())[0] == "ok"


def test_private_address_is_told_if_docraptor_would_call_it(
    configure: Configure, live_server
) -> None:
    """This machine reaches it, DocRaptor does not."""
    configure(CALLBACK_BASE_URL=live_server.url, BASE_URL=DOCRAPTOR_URL)
    status, text = only(probe_callback_url())
    assert (status, "private address 127.0.0.1, which DocRaptor cannot reach" in text) == (
        "warn",
        True,
    )


def test_host_that_the_site_does_not_accept(configure: Configure, live_server, settings) -> None:
    """The site answers 400, and the remedy names the setting."""
    configure(CALLBACK_BASE_URL=live_server.url)
    settings.ALLOWED_HOSTS = ["shop.example"]
    status, text = only(probe_callback_url())
    assert (status, "ALLOWED_HOSTS lacks the host" in text) == ("fail", True)


def test_other_secret_key_is_told(configure: Configure, live_server) -> None:
    """A web server whose SECRET_KEY or URLconf is another one refuses the token."""
    configure(CALLBACK_BASE_URL=f"{live_server.url}/below")
    status, text = only(probe_callback_url())
    assert (status, "SECRET_KEY" in text) == ("fail", True)


@pytest.mark.parametrize(
    ("status", "headers", "remedy"),
    [
        (301, {"Location": "https://shop.example/x"}, advice.CALLBACK_REDIRECTED),
        (302, {"Location": "/login/?next=/docraptor/"}, advice.CALLBACK_REDIRECTED),
        (401, {}, advice.CALLBACK_REFUSED),
        (403, {}, advice.CALLBACK_REFUSED),
        (404, {}, advice.CALLBACK_NOT_FOUND),
        (200, {}, advice.CALLBACK_NOT_FOUND),
        (500, {}, advice.CALLBACK_FAILED),
        (503, {}, advice.CALLBACK_FAILED),
    ],
)
def test_what_is_in_the_way_is_named_by_the_status(
    configure: Configure, status: int, headers: dict[str, str], remedy: object
) -> None:
    """Only 204 is the answer of this site; a redirect is not followed, and told without a query."""
    with SocketServer(respond(b"", status, headers)) as server:
        configure(CALLBACK_BASE_URL=server.url)
        found, text = only(probe_callback_url())
    assert found == "fail"
    assert text.startswith(f"{server.url} answers a signed callback by HTTP {status}")
    assert str(remedy) in text
    assert "next=" not in text
    assert ("shop.example/x" in text) == (status == 301)


def test_host_that_does_not_exist(configure: Configure) -> None:
    """A name that cannot be resolved is a failure."""
    configure(CALLBACK_BASE_URL="https://nowhere.invalid")
    status, text = only(probe_callback_url())
    assert (status, "The host of https://nowhere.invalid cannot be resolved" in text) == (
        "fail",
        True,
    )


def test_web_server_that_cannot_be_reached_from_here(configure: Configure) -> None:
    """DocRaptor may reach it nevertheless, so that it is a warning; no token is told."""
    configure(CALLBACK_BASE_URL=f"http://127.0.0.1:{unused_port()}")
    status, text = only(probe_callback_url())
    assert (status, text.startswith("This machine cannot reach it. ")) == ("warn", True)
    assert "/docraptor/callback/" not in text
