"""Internal. Turn an asset into a ``data:`` URI or a public URL."""

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
from django_docraptor.assets.files import AssetFile, find_static_file, stored_file
from django_docraptor.assets.mime import guess_mime_type
from django_docraptor.assets.paths import validate_path
from django_docraptor.assets.stylesheets import flatten_stylesheet
from django_docraptor.conf import conf
from django_docraptor.exceptions import ConfigurationError


def asset_url(path: object, budget: Budget) -> str:
    """Return the URL of a static file for ``src`` or ``href``.

    Raises:
        AssetError: the file cannot be used.
        ConfigurationError: public URLs need ``ASSETS_BASE_URL``.
    """
    if conf.assets == "absolute":
        return _absolute_url(_static_url(validate_path(path)))
    return data_uri(find_static_file(path), budget)


def stylesheet_html(path: object, budget: Budget) -> SafeString:
    """Return a self-contained stylesheet element.

    With ``ASSETS = "absolute"``, the element links the static file instead.

    Raises:
        AssetError: the stylesheet or a file that it needs cannot be used.
        ConfigurationError: public URLs need ``ASSETS_BASE_URL``.
    """
    if conf.assets == "absolute":
        return format_html('<link rel="stylesheet" href="{}">', asset_url(path, budget))
    css = flatten_stylesheet(validate_path(path), budget)
    return mark_safe(f"<style>\n{css}\n</style>")  # noqa: S308 # flatten_stylesheet escapes "</"


def image_url(file: Any, budget: Budget) -> str:
    """Return the URL of an image in a FileField or of a file in the default storage.

    With ``ASSETS = "absolute"``, a private storage without URLs falls back to a ``data:`` URI.

    Raises:
        AssetError: there is no file, or it is not an image.
        ConfigurationError: public URLs need ``ASSETS_BASE_URL``.
    """
    if not file:
        raise AssetError("the field has no file: wrap the tag in {% if %}, or upload a file first.")
    storage: Storage = getattr(file, "storage", default_storage)
    asset = stored_file(storage, file if isinstance(file, str) else getattr(file, "name", None))
    url = _storage_url(storage, asset.name) if conf.assets == "absolute" else ""
    return _absolute_url(url) if url else data_uri(asset, budget, mime_prefix="image/")


def data_uri(asset: AssetFile, budget: Budget, *, mime_prefix: str = "") -> str:
    """Return the file as a ``data:`` URI.

    Raises:
        AssetError: the file cannot be used, or its type does not begin with ``mime_prefix``.
    """
    content = asset.read(budget)
    mime_type = guess_mime_type(asset.name, content)
    if not mime_type.startswith(mime_prefix):
        raise AssetError(
            f"{asset.name!r} is not an image ({mime_type}): use a PNG, JPEG or SVG file."
        )
    return f"data:{mime_type};base64,{b64encode(content).decode('ascii')}"


def _static_url(name: str) -> str:
    try:
        return str(staticfiles_storage.url(name))
    except ValueError as error:
        raise AssetError(f"{name!r} has no URL: {error} Run collectstatic.") from error


def _storage_url(storage: Storage, name: str) -> str:
    """Return the storage's URL of a file; blank if it has none."""
    try:
        url = str(storage.url(name) or "")
    except SuspiciousOperation as error:
        raise AssetError(f"{name!r} has no URL: {error}") from error
    except (NotImplementedError, ValueError):
        return ""
    # Without MEDIA_URL, files on disk get the URL "/name", which nothing serves.
    is_served = not url.startswith("/") or getattr(storage, "base_url", "") != "/"
    return url if is_served else ""


def _absolute_url(url: str) -> str:
    if urlsplit(url).scheme in ("http", "https"):
        return url
    if not conf.assets_base_url:
        raise ConfigurationError(
            "DOCRAPTOR['ASSETS'] = \"absolute\" requires DOCRAPTOR['ASSETS_BASE_URL']: set it to "
            "this site's public URL, such as https://shop.example."
        )
    return urljoin(conf.assets_base_url, url)
