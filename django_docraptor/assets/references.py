"""From the name of an asset to what stands in the HTML: a ``data:`` URI or a public address."""

from base64 import b64encode
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import Storage, default_storage
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from django_docraptor.assets.budget import Budget
from django_docraptor.assets.errors import AssetError
from django_docraptor.assets.mime import type_of
from django_docraptor.assets.names import checked
from django_docraptor.assets.sources import Source, static_file, stored_file
from django_docraptor.assets.stylesheets import flatten
from django_docraptor.conf import conf
from django_docraptor.exceptions import ConfigurationError


def asset_url(path: object, budget: Budget) -> str:
    """Address of a static file, for ``src`` and ``href``. Raises AssetError."""
    if conf.assets == "absolute":
        return _public(_static_url(checked(path)))
    return data_uri(static_file(path), budget)


def stylesheet(path: object, budget: Budget) -> SafeString:
    """A stylesheet with all that it needs, as an element. Raises AssetError."""
    if conf.assets == "absolute":
        return format_html('<link rel="stylesheet" href="{}">', asset_url(path, budget))
    css = flatten(checked(path), budget)
    return mark_safe(f"<style>\n{css}\n</style>")  # noqa: S308 # flatten lets no "</" through


def image_url(file: Any, budget: Budget) -> str:
    """Address of the image in a FileField, or of the default storage's file of that name.

    Where addresses are wanted and the storage has none, for it is private: a ``data:`` URI.
    Raises AssetError.
    """
    if not file:
        raise AssetError("there is no file: put {% if %} around it, or store a file first.")
    storage: Storage = getattr(file, "storage", default_storage)
    source = stored_file(storage, file if isinstance(file, str) else getattr(file, "name", None))
    url = _storage_url(storage, source.name) if conf.assets == "absolute" else ""
    return _public(url) if url else data_uri(source, budget, only="image/")


def data_uri(source: Source, budget: Budget, *, only: str = "") -> str:
    """The file as a ``data:`` URI. Raises AssetError if its type does not begin with ``only``."""
    content = source.read(budget)
    kind = type_of(source.name, content)
    if not kind.startswith(only):
        raise AssetError(f"{source.name!r} is no image but {kind}: give a PNG, JPEG or SVG file.")
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"


def _static_url(name: str) -> str:
    try:
        return str(staticfiles_storage.url(name))
    except ValueError as error:
        raise AssetError(f"{name!r} has no address: {error} Run collectstatic.") from error


def _storage_url(storage: Storage, name: str) -> str:
    """The storage's address of a file; blank if it has none."""
    try:
        url = str(storage.url(name) or "")
    except SuspiciousOperation as error:
        raise AssetError(f"{name!r} has no address: {error}") from error
    except (NotImplementedError, ValueError):
        return ""
    # Files on disk without MEDIA_URL: nothing serves them, and they are given "/name".
    is_served = not url.startswith("/") or getattr(storage, "base_url", "") != "/"
    return url if is_served else ""


def _public(url: str) -> str:
    if urlsplit(url).scheme in ("http", "https"):
        return url
    if not conf.assets_base_url:
        raise ConfigurationError(
            "DOCRAPTOR['ASSETS'] is \"absolute\" and DOCRAPTOR['ASSETS_BASE_URL'] is missing: set "
            "it to this site's public address, such as https://shop.example."
        )
    return urljoin(conf.assets_base_url, url)
