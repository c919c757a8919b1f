"""Internal. Check that URLs of this site's static and media files refer to existing files."""

from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import FileSystemStorage, default_storage

from django_docraptor.assets.files import is_static_file_missing
from django_docraptor.conf import conf


def missing_file(url: str) -> str:
    """Describe the missing file that a URL of this site refers to.

    Returns:
        For example "static file 'a.png'"; blank if no file is missing.
    """
    path = _strip_own_host(url.strip())
    if name := _name_below(settings.STATIC_URL, path):
        return f"static file {name!r}" if is_static_file_missing(name) else ""
    if name := _name_below(settings.MEDIA_URL, path):
        return "" if _has_media(name) else f"media file {name!r}"
    return ""


def _strip_own_host(url: str) -> str:
    """Return the URL without this site's own host, as STATIC_URL and MEDIA_URL begin."""
    base = conf.assets_base_url.rstrip("/")
    is_own = base and url.startswith(f"{base}/")
    return url[len(base) :] if is_own else url


def _name_below(prefix: str | None, url: str) -> str:
    if not prefix or prefix == "/" or not url.startswith(prefix):
        return ""
    try:
        return unquote(urlsplit(url.removeprefix(prefix)).path)
    except ValueError:
        return ""


def _has_media(name: str) -> bool:
    """Return whether the file exists in the default storage. Remote storages are not queried."""
    if not isinstance(default_storage, FileSystemStorage):
        return True
    try:
        return default_storage.exists(name)
    except (SuspiciousOperation, ValueError, OSError):
        return False
