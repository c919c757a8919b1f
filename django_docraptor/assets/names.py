"""Which names may be looked up at all: relative ones that stay below their root."""

import posixpath
import re
from urllib.parse import unquote, urlsplit

from django.conf import settings

from django_docraptor.assets.errors import AssetError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def checked(name: object) -> str:
    """The name, if it is one of a file below a root. Raises AssetError."""
    if not isinstance(name, str) or not name.strip():
        raise AssetError("there is no path: give that of a static file, as {% static %} takes it.")
    if wrong := _wrong(name):
        raise AssetError(
            f"{name[:120]!r} {wrong}: give a path below the static directories or the storage's "
            "root, such as 'shop/logo.png'."
        )
    return name


def _wrong(name: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "has a control character"
    if any(0xD800 <= ord(character) < 0xE000 for character in name):
        return "has a lone surrogate"
    if name.startswith("/") or "\\" in name:
        return "is an absolute path or has a backslash"
    if _SCHEME.match(name):
        return "is an address or has a drive letter"
    if ".." in name.split("/"):
        return "leaves its directory with '..'"
    return ""


def from_stylesheet(stylesheet: str, url: str) -> str:
    """Name of the static file to which a URL in a stylesheet leads; blank if it leads elsewhere.

    Args:
        stylesheet: name of the static file in which the URL stands.
        url: as written, CSS escapes resolved.

    Raises:
        AssetError: for a local file that is no static file.
    """
    url = url.strip()
    if url.startswith(settings.STATIC_URL or "\0"):
        return _joined("", url.removeprefix(settings.STATIC_URL))
    if _is_elsewhere(url):
        return ""
    if url.startswith("/") or _SCHEME.match(url):
        raise AssetError(
            f"{url[:120]!r} is no static file: write a relative URL, or one that "
            f"begins with {settings.STATIC_URL!r}."
        )
    return _joined(posixpath.dirname(stylesheet), url)


def _is_elsewhere(url: str) -> bool:
    return not url or url.startswith(("#", "//")) or url.lower().startswith(_ELSEWHERE)


_ELSEWHERE = ("data:", "http://", "https://")


def _joined(directory: str, url: str) -> str:
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        path = url
    return checked(posixpath.normpath(posixpath.join(directory, path)))
