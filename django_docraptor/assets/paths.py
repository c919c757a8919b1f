"""Internal. Validate asset paths: only relative paths below a root are allowed."""

import posixpath
import re
from urllib.parse import unquote, urlsplit

from django.conf import settings

from django_docraptor.assets.errors import AssetError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def validate_path(path: object) -> str:
    """Return the path if it is relative and below a root.

    Raises:
        AssetError: it is anything else.
    """
    if not isinstance(path, str) or not path.strip():
        raise AssetError("the path is blank: use the path of a static file, as for {% static %}.")
    if problem := _path_problem(path):
        raise AssetError(
            f"{path[:120]!r} {problem}: use a path relative to the static directories or the "
            "storage root, such as 'shop/logo.png'."
        )
    return path


def _path_problem(path: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "contains a control character"
    if any(0xD800 <= ord(character) < 0xE000 for character in path):
        return "contains a lone surrogate"
    if path.startswith("/") or "\\" in path:
        return "is an absolute path or has a backslash"
    if _SCHEME.match(path):
        return "is a URL or has a drive letter"
    if ".." in path.split("/"):
        return "leaves its directory with '..'"
    return ""


def resolve_stylesheet_url(stylesheet: str, url: str) -> str:
    """Return the static file that a stylesheet's URL refers to; blank for an external URL.

    Args:
        stylesheet: path of the stylesheet.
        url: as written, CSS escapes resolved.

    Raises:
        AssetError: the URL is local but not a static file.
    """
    url = url.strip()
    if url.startswith(settings.STATIC_URL or "\0"):
        return _joined("", url.removeprefix(settings.STATIC_URL))
    if _is_external(url):
        return ""
    if url.startswith("/") or _SCHEME.match(url):
        raise AssetError(
            f"{url[:120]!r} is not a static file: use a relative URL, or one that begins with "
            f"{settings.STATIC_URL!r}."
        )
    return _joined(posixpath.dirname(stylesheet), url)


def _is_external(url: str) -> bool:
    return not url or url.startswith(("#", "//")) or url.lower().startswith(_EXTERNAL_PREFIXES)


_EXTERNAL_PREFIXES = ("data:", "http://", "https://")


def _joined(directory: str, url: str) -> str:
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        path = url
    return validate_path(posixpath.normpath(posixpath.join(directory, path)))
