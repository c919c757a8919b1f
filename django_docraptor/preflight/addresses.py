"""Whether DocRaptor can fetch an address: by its form alone, nothing is asked of the network."""

import ipaddress
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

# Two letters at least: C:\logo.png is a file, not an address.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
# Forms of IPv4 that resolvers take: 127.1, 2130706433, 0x7f.0.0.1.
_NUMERIC = re.compile(r"[a-fx.]*[0-9][0-9a-fx.]*", re.IGNORECASE)
# No host is as long, and urlsplit() normalizes one in a time that grows with its length's square.
_ENDLESS = re.compile(r"[^?#]*?/[\t\r\n]*/[^/?#]{512}")
_PRIVATE_ENDINGS = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".localdomain")


def is_relative(url: str) -> bool:
    """Whether DocRaptor would look for the URL among files.

    ``//host/path`` is: without a base address there is no scheme that it could take over.
    """
    url = url.strip()
    if not url or url.startswith("#"):
        return False
    return not _SCHEME.match(url) or is_file(url)


def is_file(url: str) -> bool:
    """Whether it is a ``file:`` address."""
    return url.strip().lower().startswith("file:")


def resolved(base: str, url: str) -> SplitResult | None:
    """The parts of the http address that is meant; ``None`` if it is none."""
    if _ENDLESS.match(base) or _ENDLESS.match(url):
        return None
    try:
        parts = urlsplit(urljoin(base, url.strip()))
        parts.hostname  # noqa: B018 # raises for a malformed one
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") else None


def is_private(host: str) -> bool:
    """Whether only this machine or this network can reach the host."""
    host = host.rstrip(".").lower()
    address = _address(host)
    if address is not None:
        return not address.is_global or address.is_multicast
    return "." not in host or host.endswith(_PRIVATE_ENDINGS)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        if _NUMERIC.fullmatch(host):
            return ipaddress.IPv4Address(socket.inet_aton(host))
        address = ipaddress.ip_address(host.partition("%")[0])
    except (ValueError, OSError):
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def expiry(parts: SplitResult) -> datetime | None:
    """When a signed address ends: those of S3, CloudFront and Google; ``None`` for any other."""
    try:
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return _signed_until(query)
    except (ValueError, OverflowError, OSError):
        return None


def _signed_until(query: Mapping[str, str]) -> datetime | None:
    for vendor in ("Amz", "Goog"):
        start, seconds = query.get(f"X-{vendor}-Date"), query.get(f"X-{vendor}-Expires")
        if start and seconds:
            begin = datetime.strptime(start, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return begin + timedelta(seconds=int(seconds))
    if "Signature" in query and "Expires" in query:
        return datetime.fromtimestamp(int(query["Expires"]), UTC)
    return None
