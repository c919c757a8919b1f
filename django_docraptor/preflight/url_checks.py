"""Internal. Decide by its form alone whether DocRaptor can fetch a URL. No network access."""

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, parse_qs, unquote, urljoin, urlsplit

# At least two letters: C:\logo.png is a file, not a URL.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
# IPv4 notations that resolvers accept: 127.1, 2130706433, 0x7f.0.0.1.
_NUMERIC_IPV4 = re.compile(r"[a-fx.]*[0-9][0-9a-fx.]*", re.IGNORECASE)
# No valid host is this long, and urlsplit() needs quadratic time to normalize one.
_OVERLONG_HOST = re.compile(r"[^?#]*?/[\t\r\n]*/[^/?#]{512}")
# IPv6 addresses that gateways translate to the IPv4 address in their last 32 bits.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PRIVATE_ENDINGS = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".localdomain")


def is_relative(url: str) -> bool:
    """Return whether DocRaptor would treat the URL as a file path.

    That includes ``//host/path``: without a base URL it has no scheme.
    """
    url = url.strip()
    if not url or url.startswith("#"):
        return False
    return not _SCHEME.match(url) or is_file_url(url)


def is_file_url(url: str) -> bool:
    """Return whether it is a ``file:`` URL."""
    return url.strip().lower().startswith("file:")


def resolve_http_url(base: str, url: str) -> SplitResult | None:
    """Return the parts of the resolved http(s) URL, or ``None`` if it is not one."""
    if _OVERLONG_HOST.match(base) or _OVERLONG_HOST.match(url):
        return None
    try:
        parts = urlsplit(urljoin(base, url.strip()))
        parts.hostname  # noqa: B018 # raises for a malformed one
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") else None


def is_private(host: str) -> bool:
    """Return whether the host is reachable only from this machine or network."""
    host = _as_resolved(host)
    address = _address(host)
    if address is not None:
        return not address.is_global or address.is_multicast
    return "." not in host or host.endswith(_PRIVATE_ENDINGS)


def _as_resolved(host: str) -> str:
    """Return the host as clients resolve it: decoded, in plain letters and digits."""
    plain = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".")
    return plain.rstrip(".").lower()


def is_loopback(host: str) -> bool:
    """Return whether the host is this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        if _NUMERIC_IPV4.fullmatch(host):
            return ipaddress.IPv4Address(socket.inet_aton(host))
        address = ipaddress.ip_address(host.partition("%")[0])
    except (ValueError, OSError):
        return None
    return _embedded(address) or address if address.version == 6 else address


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, if any."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def signed_url_expiry(parts: SplitResult) -> datetime | None:
    """Return when a signed URL expires.

    Returns:
        ``None`` for URLs that S3, CloudFront or Google Cloud Storage did not sign.
    """
    try:
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return _expiry_of(query)
    except (ValueError, OverflowError, OSError):
        return None


def _expiry_of(query: Mapping[str, str]) -> datetime | None:
    for vendor in ("Amz", "Goog"):
        start, seconds = query.get(f"X-{vendor}-Date"), query.get(f"X-{vendor}-Expires")
        if start and seconds:
            signed_at = datetime.strptime(start, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return signed_at + timedelta(seconds=int(seconds))
    if "Signature" in query and "Expires" in query:
        return datetime.fromtimestamp(int(query["Expires"]), UTC)
    return None
