"""Outgoing HTTP requests.

They go only to allowed hosts (by default, this machine), with limits on time and size, without
redirects or proxies.
"""

import ipaddress
from collections.abc import Collection
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from django_docraptor.sandbox import recorded

TIMEOUT_SECONDS = 10.0
MAX_RESPONSE_BYTES = 64 * 1024
MAX_SOURCE_BYTES = 20 * 1024 * 1024
USER_AGENT = "django-docraptor-sandbox"


class FetchError(ValueError):
    """A `document_url` cannot be used; the message is returned to the client."""


def is_allowed_url(url: str, hosts: Collection[str] = ()) -> bool:
    """Return whether the URL's host is this machine or one of `hosts`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and (host in hosts or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    address = parse_ip_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def parse_ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the host's IP address, or None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def send_request(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    limit: int = MAX_RESPONSE_BYTES,
) -> tuple[int, bytes]:
    """Send a request and return the status and at most `limit` bytes of the response.

    Raises:
        OSError: there is no response.
        HTTPException: the response is not HTTP.
        ValueError: the URL is invalid.
    """
    parts = urlsplit(url)
    connection = _connect(parts)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target, body, {"User-Agent": USER_AGENT} | (headers or {}))
        response: HTTPResponse = connection.getresponse()
        with response:
            return response.status, response.read(limit)
    finally:
        connection.close()


def _connect(parts: SplitResult) -> HTTPConnection:
    connection_class = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return connection_class(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)


def fetch_document_url(url: str, referrer: str = "", user_agent_token: str = "") -> str:
    """Return the HTML at a `document_url` of this machine.

    Raises:
        FetchError: the URL is on another machine, or its HTML cannot be fetched.
    """
    reason = recorded.SOURCE_ERROR
    if urlsplit(url).scheme == "https":
        reason = f"SSL {reason}"
    if not is_allowed_url(url):
        raise FetchError(f"{reason} The sandbox only fetches URLs of its own machine.")
    try:
        headers = {"Referer": referrer} if referrer else {}
        if user_agent_token:
            headers["User-Agent"] = f"{USER_AGENT} {user_agent_token}"
        status, body = send_request("GET", url, headers=headers, limit=MAX_SOURCE_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise FetchError(reason) from error
    if status != 200 or len(body) > MAX_SOURCE_BYTES:
        raise FetchError(reason)
    return body.decode("utf-8", "replace")
