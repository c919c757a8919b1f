"""The only way out of the sandbox: bounded HTTP requests to hosts that are allowed.

By default those of this machine. No redirect is followed, no proxy is used.
"""

import ipaddress
from collections.abc import Collection
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

TIMEOUT = 10.0
MAX_SOURCE = 20 * 1024 * 1024
USER_AGENT = "django-docraptor-sandbox"


class FetchError(ValueError):
    """A `document_url` that cannot be used; the text is the reason for the caller."""


def is_allowed(url: str, hosts: Collection[str] = ()) -> bool:
    """Whether the URL is on this machine or on one of the hosts."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and (host in hosts or _is_loopback(host))


def _is_loopback(host: str) -> bool:
    address = address_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that the host is; ``None`` for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def send(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    limit: int = 64 * 1024,
) -> tuple[int, bytes]:
    """Send one request and return the status and at most `limit` bytes of the answer.

    Raises OSError, HTTPException or ValueError if there is no answer.
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
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=TIMEOUT)


def fetch_source(url: str, referrer: str = "") -> str:
    """Return the HTML at a `document_url` of this machine; raise FetchError for any other."""
    reason = "Error downloading document content from supplied url."
    if urlsplit(url).scheme == "https":
        reason = f"SSL {reason}"
    if not is_allowed(url):
        raise FetchError(f"{reason} The sandbox only asks its own machine.")
    try:
        headers = {"Referer": referrer} if referrer else {}
        status, body = send("GET", url, headers=headers, limit=MAX_SOURCE + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise FetchError(reason) from error
    if status != 200 or len(body) > MAX_SOURCE:
        raise FetchError(reason)
    return body.decode("utf-8", "replace")
