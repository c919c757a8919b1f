"""Whether an address of this site's own static or media files has a file behind it."""

from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import FileSystemStorage, default_storage

from django_docraptor.assets.sources import lacks_static_file
from django_docraptor.conf import conf


def missing(url: str) -> str:
    """What is missing: "static file 'a.png'" or "media file 'a.png'"; blank if nothing is."""
    path = _path_here(url.strip())
    if name := _below(settings.STATIC_URL, path):
        return f"static file {name!r}" if lacks_static_file(name) else ""
    if name := _below(settings.MEDIA_URL, path):
        return "" if _has_media(name) else f"media file {name!r}"
    return ""


def _path_here(url: str) -> str:
    """The address as STATIC_URL and MEDIA_URL may begin: this site's own host left out."""
    base = conf.assets_base_url.rstrip("/")
    here = base and url.startswith(f"{base}/")
    return url[len(base) :] if here else url


def _below(prefix: str | None, url: str) -> str:
    if not prefix or prefix == "/" or not url.startswith(prefix):
        return ""
    try:
        return unquote(urlsplit(url.removeprefix(prefix)).path)
    except ValueError:
        return ""


def _has_media(name: str) -> bool:
    """Whether the default storage has it; one that is not on this machine is not asked."""
    if not isinstance(default_storage, FileSystemStorage):
        return True
    try:
        return default_storage.exists(name)
    except (SuspiciousOperation, ValueError, OSError):
        return False
