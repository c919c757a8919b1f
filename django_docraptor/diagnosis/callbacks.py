"""Internal. Probe of the callback URL: this site sends itself a callback, as DocRaptor would."""

import ipaddress
import socket
import uuid
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from django_docraptor import advice
from django_docraptor.account_settings import settings_for_report
from django_docraptor.callback_urls import callback_base_url, callback_url
from django_docraptor.client.servers import server_of
from django_docraptor.client.visits import Visit, visit
from django_docraptor.conf import DOCRAPTOR_URL, conf
from django_docraptor.diagnosis.results import Result, fail, ok, warn
from django_docraptor.diagnosis.service import known_accounts
from django_docraptor.exceptions import CallError

VISIT_SECONDS: Final = 8.0
ONLY_POLLED: Final = "Until then, results are only polled for."


def probe_callback_url() -> Iterator[Result]:
    """Send signed callbacks of a job that does not exist: this site must answer them by 204."""
    accounts: dict[str, str] = {}
    for account in known_accounts():
        if base := callback_base_url(account):
            accounts.setdefault(base, account)
    if not accounts:
        yield ok(
            "callback url", "DOCRAPTOR['CALLBACK_BASE_URL'] is not set: results are polled for."
        )
    for base, account in accounts.items():
        yield _probe(base, account)


def _probe(base: str, account: str) -> Result:
    server = server_of(base)
    addresses, problem = _resolve(base)
    if problem:
        remedy = "Set DOCRAPTOR['CALLBACK_BASE_URL'] to this site's public URL, or remove it."
        return fail("callback url", f"The host of {server} cannot be resolved: {problem}.", remedy)
    try:
        response = visit(
            callback_url(uuid.uuid4(), 0, account),
            method="POST",
            seconds=VISIT_SECONDS,
            proxies=conf.proxies,
            ca_bundle=str(conf.ca_bundle),
        )
    except CallError as error:
        return _unreachable(error)
    return _result(server, response, addresses, settings_for_report(account).base_url)


def _resolve(base: str) -> tuple[list[str], str]:
    """Return the IP addresses of the URL's host, or why there are none."""
    try:
        parts = urlsplit(base)
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError) as error:
        return [], str(error)
    return [str(each[4][0]) for each in found], ""


def _unreachable(error: CallError) -> Result:
    remedy = (
        "Start the web server. If it is reachable from outside of this network only, DocRaptor may "
        "reach it nevertheless: docraptor_status tells if callbacks do not arrive."
    )
    # In a container of a worker, the public URL is often not reachable.
    return warn("callback url", f"This machine cannot reach it. {error.message}", remedy)


def _result(server: str, response: Visit, addresses: list[str], base_url: str) -> Result:
    if response.status != 204:
        return _refusal(server, response)
    if base_url == DOCRAPTOR_URL and all(map(_is_private, addresses)):
        return warn(
            "callback url",
            f"{server} answers its own callback, but it is the private address {addresses[0]}, "
            "which DocRaptor cannot reach.",
            f"Set DOCRAPTOR['CALLBACK_BASE_URL'] to this site's public URL. {ONLY_POLLED}",
        )
    return ok("callback url", f"{server} answers its own callback.")


def _refusal(server: str, response: Visit) -> Result:
    """Return what is in the way of a callback."""
    target = f" to {response.redirect}" if 300 <= response.status < 400 else ""
    message = f"{server} answers a signed callback by HTTP {response.status}{target}, not by 204."
    remedy = advice.callback_remedy(response.status)
    return fail("callback url", message, f"{remedy} {ONLY_POLLED}")


def _is_private(address: str) -> bool:
    return not ipaddress.ip_address(address.partition("%")[0]).is_global
