"""Internal. Probes of DocRaptor: what answers at BASE_URL, the keys, the clock, a document."""

import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error
from django.urls import NoReverseMatch, reverse

from django_docraptor import spool
from django_docraptor.account_settings import (
    DEFAULT_ACCOUNT,
    account_names,
    account_settings,
    settings_for_report,
)
from django_docraptor.callback_urls import make_token
from django_docraptor.client import Client
from django_docraptor.client.failures import is_own_error
from django_docraptor.client.servers import other_site_hint, server_of
from django_docraptor.client.visits import Visit, visit
from django_docraptor.conf import DOCRAPTOR_URL, Conf, conf
from django_docraptor.diagnosis.database import MAX_DIFFERENCE, seconds_ahead
from django_docraptor.diagnosis.results import Result, fail, ok, warn
from django_docraptor.durations import format_duration
from django_docraptor.exceptions import (
    CallError,
    ConfigurationError,
    DocRaptorError,
    UnauthorizedError,
)
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.models import Account
from django_docraptor.shortcuts import render_now

# Accounts whose keys are tried.
MAX_ACCOUNTS: Final = 10
VISIT_SECONDS: Final = 5.0
# The key of DocRaptor's documentation, and the service's name in the sandbox's Server header.
PUBLIC_KEY: Final = "YOUR_API_KEY_HERE"
SANDBOX_SERVER: Final = "docraptor-sandbox"
UNREACHABLE: Final = "If a proxy or firewall is in the way, see DOCRAPTOR['PROXIES']."
KEY_REMEDY: Final = (
    "Copy the key from DocRaptor's dashboard to the environment variable that the settings read, "
    "such as DOCRAPTOR_API_KEY, and restart what runs the engine."
)


def probe_base_url() -> Iterator[Result]:
    """Look what answers at BASE_URL: DocRaptor, the sandbox, this very site, or something else.

    Nothing secret is sent: no key, and a callback of a job that does not exist.
    """
    if conf.client != Conf.client.default:
        yield warn("base url", f"Not checked: DOCRAPTOR['CLIENT'] is {conf.client}.")
        return
    servers: dict[str, Conf] = {}
    for account in known_accounts():
        settings_of_account = settings_for_report(account)
        servers.setdefault(settings_of_account.base_url, settings_of_account)
    for url, first in servers.items():
        yield from _probe_server(url, is_test=first.test_mode)


def _probe_server(base_url: str, *, is_test: bool) -> Iterator[Result]:
    """Look what answers at a BASE_URL.

    Args:
        base_url: of one or several accounts.
        is_test: whether the first of them makes test documents.
    """
    server = server_of(base_url)
    try:
        response = _visit(f"{base_url.rstrip('/')}/doc_logs.json")
    except CallError as error:
        yield fail("base url", error.message, UNREACHABLE if server == DOCRAPTOR_URL else "")
        return
    mode = "on: free documents, with a watermark" if is_test else "off: documents are billed"
    if response.headers.get("Server", "").startswith(SANDBOX_SERVER):
        yield from _sandbox_result(server, mode)
    elif is_own_error(response.body.decode("utf-8", "replace")):
        name = "DocRaptor" if server == DOCRAPTOR_URL else "A service with DocRaptor's API"
        yield ok("base url", f"{name} answers at {server}. Test mode is {mode}.")
    elif _is_this_site(base_url):
        yield fail(
            "base url",
            f"DOCRAPTOR['BASE_URL'], {server}, is this very site.",
            "Set it to the URL of the sandbox (python -m django_docraptor.sandbox --port 8001), or "
            "remove it to use DocRaptor itself.",
        )
    else:
        message = f"{server} does not answer as DocRaptor's API does (HTTP {response.status})."
        yield fail("base url", message, other_site_hint(base_url))


def _sandbox_result(server: str, mode: str) -> Iterator[Result]:
    message = f"The sandbox answers at {server}. Test mode is {mode}."
    if settings.DEBUG:
        yield ok("base url", message)
        return
    remedy = "In production, remove DOCRAPTOR['BASE_URL'] to use DocRaptor itself."
    yield warn("base url", message, remedy)


def _visit(url: str, method: str = "GET") -> Visit:
    return visit(
        url,
        method=method,
        seconds=VISIT_SECONDS,
        proxies=conf.proxies,
        ca_bundle=str(conf.ca_bundle),
    )


def _is_this_site(base_url: str) -> bool:
    """Return whether a callback that this site has signed is accepted at BASE_URL, and no other."""
    try:
        paths = [
            reverse("django_docraptor:callback", args=[token])
            for token in (make_token(uuid.uuid4(), 0), "forged")
        ]
    except NoReverseMatch:
        return False
    parts = urlsplit(base_url)
    base = f"{parts.scheme}://{parts.netloc}"
    try:
        signed, forged = (_visit(base + path, "POST").status for path in paths)
    except CallError:
        return False
    return (signed, forged) == (204, 404)


def probe_api_keys() -> Iterator[Result]:
    """Try the API key of each account, by reading one line of DocRaptor's log."""
    for account in known_accounts():
        yield from _probe_key(account)


def known_accounts() -> list[str]:
    """Return the accounts of the settings, or those that the engine has used, or the default one.

    A provider that fails is told by the probe of the keys.
    """
    with suppress(ConfigurationError):
        if configured := account_names()[:MAX_ACCOUNTS]:
            return list(configured)
    try:
        names = list(Account.objects.order_by("name").values_list("name", flat=True)[:MAX_ACCOUNTS])
    except Error:  # not migrated, which another probe tells
        names = []
    return names or [DEFAULT_ACCOUNT]


def _probe_key(account: str) -> Iterator[Result]:
    try:
        client_for(account).list_doc_logs(per_page=1)
    except ConfigurationError as error:
        yield fail("api key", str(error), KEY_REMEDY)
    except UnauthorizedError as error:
        message = f"The key of the account {account!r} is refused: {error}."
        yield fail("api key", message, KEY_REMEDY)
    except CallError as error:
        yield warn("api key", f"The key of the account {account!r} could not be tried: {error}")
    else:
        yield from _accepted_key(account)


def _accepted_key(account: str) -> Iterator[Result]:
    if account_settings(account).api_keys[0] == PUBLIC_KEY:
        yield warn(
            "api key",
            f"The account {account!r} has the key of DocRaptor's documentation, which everyone "
            "shares: it is for test documents without confidential content.",
            KEY_REMEDY,
        )
    else:
        yield ok("api key", f"The key of the account {account!r} is accepted.")


def probe_service_clock() -> Iterator[Result]:
    """Compare the clock of the database with DocRaptor's, by the Date header."""
    page = _any_client().list_doc_logs(per_page=1)
    if page.served_at is None:
        yield warn("docraptor clock", "The response has no Date header to compare with.")
        return
    # The header is up to a second old by its form.
    difference = seconds_ahead(page.served_at)
    if abs(difference) <= MAX_DIFFERENCE:
        yield ok("docraptor clock", "DocRaptor and the database have the same time.")
        return
    side = "ahead of" if difference > 0 else "behind"
    duration = format_duration(abs(difference))
    yield warn(
        "docraptor clock",
        f"DocRaptor's clock is {duration} {side} the database's. Nothing is billed twice because "
        "of it, but what its log proves takes longer.",
        "Synchronize the database's host with a time server (NTP).",
    )


def _any_client() -> Client:
    return client_for(known_accounts()[0])


def probe_live() -> Iterator[Result]:
    """Make one free test document, and verify it."""
    started = time.monotonic()
    account = known_accounts()[0]
    try:
        with tempfile.NamedTemporaryFile(dir=spool.get_directory(), prefix="now-") as file:
            saved = render_now(
                cast(BinaryIO, file),
                name="docraptor-check.pdf",
                content="<h1>docraptor_check</h1>",
                test=True,
                account=account,
            )
            file.flush()
            spool.verify(Path(file.name), "pdf", content_type=saved.content_type)
    except DocRaptorError as error:
        yield fail("live", f"No test document could be generated: {error}")
        return
    seconds = time.monotonic() - started
    yield ok("live", f"A test document of {saved.size:,} bytes was generated in {seconds:.1f} s.")
