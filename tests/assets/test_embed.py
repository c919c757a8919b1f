"""Assets in a template: data: URIs or full URLs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SuspiciousOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, default_storage

from django_docraptor.assets import AssetError, asset_url, image_url, stylesheet_html
from django_docraptor.exceptions import ConfigurationError, DocRaptorError
from tests.support.assets import (
    Stored,
    Write,
    asset_error,
    data_uri,
    make_budget,
    png_image,
    use_absolute_urls,
    use_media_dir,
)

# Static files.


def test_asset_url_embeds_a_static_file(write_static: Write) -> None:
    """The URI has the content and the type of a file that the finders find."""
    write_static("shop/logo.png", png_image())
    assert asset_url("shop/logo.png", make_budget()) == data_uri("image/png", png_image())


@pytest.mark.parametrize("name", ["a.png", "a%2e.png", "a b é.png", "..a/b..png"])
def test_asset_name_is_not_decoded(write_static: Write, name: str) -> None:
    """A template names a file, not a URL, so nothing in it is decoded."""
    write_static(name, png_image())
    assert asset_url(name, make_budget()) == data_uri("image/png", png_image())


def test_collected_file_is_read_in_production(
    write_static: Write, collect_static: Callable[[], None], settings: Any
) -> None:
    """In production the collected file is read, by its plain or its hashed name."""
    write_static("a.png", png_image())
    collect_static()
    (hashed,) = Path(settings.STATIC_ROOT).glob("a.*.png")
    hashed.write_bytes(png_image() + b"collected")
    expected = data_uri("image/png", png_image() + b"collected")
    assert asset_url("a.png", make_budget()) == expected
    assert asset_url(hashed.name, make_budget()) == expected


# Images in storages.


def test_image_in_a_private_storage_is_embedded() -> None:
    """The file of a storage without URLs is embedded."""
    storage = InMemoryStorage()
    storage.save("a.png", ContentFile(png_image()))
    assert image_url(Stored("a.png", storage), make_budget()) == data_uri("image/png", png_image())


def test_image_name_is_in_the_default_storage(settings: Any, tmp_path: Path) -> None:
    """A string names a file in the default storage."""
    use_media_dir(settings, tmp_path)
    default_storage.save("a.png", ContentFile(png_image()))
    assert image_url("a.png", make_budget()) == data_uri("image/png", png_image())


@pytest.mark.parametrize("file", [None, "", Stored("", None)])
def test_empty_image_field_is_an_error(file: object) -> None:
    """An empty field raises an error."""
    assert asset_error(image_url, file, make_budget()).startswith(
        ("the field has no file", "the path is blank")
    )


def test_missing_image_is_named() -> None:
    """The error names the missing file."""
    message = asset_error(image_url, Stored("no.png", InMemoryStorage()), make_budget())
    assert message == "file 'no.png' does not exist in its storage."


def test_name_that_the_storage_refuses_is_an_asset_error(settings: Any) -> None:
    """If a storage refuses a name, an asset error is raised, in both modes."""
    file = Stored("a.png", SuspiciousStorage())
    assert "is outside its root" in asset_error(image_url, file, make_budget())
    use_absolute_urls(settings)
    assert "'a.png' has no URL: no such luck" in asset_error(image_url, file, make_budget())


class SuspiciousStorage(InMemoryStorage):
    """A storage that refuses every name as suspicious."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise SuspiciousOperation("no such luck")

    def url(self, name: str | None) -> str:
        raise SuspiciousOperation("no such luck")


def test_unreachable_storage_is_an_asset_error() -> None:
    """The error has the name and the reason."""
    message = asset_error(image_url, Stored("a.png", UnreachableStorage()), make_budget())
    assert message.startswith("'a.png' cannot be read (ConnectionError)")


class UnreachableStorage(InMemoryStorage):
    """A storage that cannot be reached."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise ConnectionError


def test_file_that_is_not_an_image_is_refused() -> None:
    """A page that was uploaded as a logo is not an image."""
    storage = InMemoryStorage()
    storage.save("a.html", ContentFile(b"<script>"))
    assert "'a.html' is not an image" in asset_error(
        image_url, Stored("a.html", storage), make_budget()
    )


def test_absolute_urls_start_with_the_sites_url(settings: Any, tmp_path: Path) -> None:
    """The site's URL is put before the storages' paths, and the result is escaped for HTML."""
    use_absolute_urls(settings)
    use_media_dir(settings, tmp_path)
    assert asset_url("a b.png", make_budget()) == "https://shop.example/static/a%20b.png"
    assert image_url("b.png", make_budget()) == "https://shop.example/media/b.png"
    link = '<link rel="stylesheet" href="https://shop.example/static/a.css">'
    assert stylesheet_html("a.css", make_budget()) == link


def test_absolute_url_of_a_storage_is_kept(settings: Any) -> None:
    """A full URL is not changed and needs no base URL."""
    use_absolute_urls(settings, "")
    settings.STATIC_URL = "https://cdn.example/static/"
    assert asset_url("a.png", make_budget()) == "https://cdn.example/static/a.png"


def test_private_file_is_embedded_in_absolute_mode(settings: Any) -> None:
    """A file without a URL is embedded."""
    use_absolute_urls(settings)
    storage = PrivateStorage()
    storage.save("a.png", ContentFile(png_image()))
    assert image_url(Stored("a.png", storage), make_budget()) == data_uri("image/png", png_image())


class PrivateStorage(InMemoryStorage):
    """A storage without URLs."""

    def url(self, name: str | None) -> str:
        raise NotImplementedError


def test_file_is_embedded_without_a_media_url(settings: Any, tmp_path: Path) -> None:
    """A file on disk has a URL only if MEDIA_URL is set."""
    use_absolute_urls(settings)
    storage = FileSystemStorage(location=tmp_path)
    storage.save("a.png", ContentFile(png_image()))
    assert image_url(Stored("a.png", storage), make_budget()) == data_uri("image/png", png_image())
    settings.MEDIA_URL = "/media/"
    file = Stored("a.png", FileSystemStorage(location=tmp_path))
    assert image_url(file, make_budget()) == "https://shop.example/media/a.png"


def test_absolute_url_needs_a_base_url(settings: Any) -> None:
    """The error names the missing setting."""
    use_absolute_urls(settings, "")
    with pytest.raises(ConfigurationError, match="ASSETS_BASE_URL"):
        asset_url("a.png", make_budget())


def test_file_missing_in_the_manifest_has_no_url(
    settings: Any, write_static: Write, collect_static: Callable[[], None]
) -> None:
    """A name that is not in the manifest raises an error."""
    write_static("a.png")
    collect_static()
    use_absolute_urls(settings)
    assert asset_url("a.png", make_budget()).startswith("https://shop.example/static/a.")
    assert "'no.png' has no URL" in asset_error(asset_url, "no.png", make_budget())


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "file:///a", "a\x00", "//host/a"])
def test_hostile_name_has_no_url(settings: Any, name: str) -> None:
    """Hostile names are refused in absolute mode, too."""
    use_absolute_urls(settings)
    assert "use a path relative to" in asset_error(asset_url, name, make_budget())


def test_asset_error_is_a_docraptor_error() -> None:
    """A project that catches the package's errors catches this one."""
    assert issubclass(AssetError, DocRaptorError)
    assert not issubclass(AssetError, ConfigurationError)
