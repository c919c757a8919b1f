"""What a template writes: data: URIs or full URLs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SuspiciousOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, default_storage

from django_docraptor.assets import AssetError, asset_url, image_url, stylesheet_html
from django_docraptor.exceptions import ConfigurationError, DocRaptorError
from tests.support.assets import Stored, Write, absolute, budget, png, refusal, uri, use_media

# Static files.


def test_asset_url_embeds_a_static_file(write: Write) -> None:
    """The bytes and the type of a file that the finders find."""
    write("shop/logo.png", png())
    assert asset_url("shop/logo.png", budget()) == uri("image/png", png())


@pytest.mark.parametrize("name", ["a.png", "a%2e.png", "a b é.png", "..a/b..png"])
def test_asset_url_takes_any_name_below_the_root(write: Write, name: str) -> None:
    """A template names a file, not an address: nothing is decoded."""
    write(name, png())
    assert asset_url(name, budget()) == uri("image/png", png())


def test_asset_url_of_a_hashed_file(
    write: Write, collect: Callable[[], None], settings: Any
) -> None:
    """In production the collected file is read, by its plain name or by its hashed one."""
    write("a.png", png())
    collect()
    (hashed,) = Path(settings.STATIC_ROOT).glob("a.*.png")
    hashed.write_bytes(png() + b"collected")
    expected = uri("image/png", png() + b"collected")
    assert asset_url("a.png", budget()) == expected
    assert asset_url(hashed.name, budget()) == expected


# Images of storages.


def test_image_url_of_a_private_storage() -> None:
    """A storage without addresses is read, not linked."""
    storage = InMemoryStorage()
    storage.save("a.png", ContentFile(png()))
    assert image_url(Stored("a.png", storage), budget()) == uri("image/png", png())


def test_image_url_of_the_default_storage(settings: Any, tmp_path: Path) -> None:
    """A string names a file of the default storage."""
    use_media(settings, tmp_path)
    default_storage.save("a.png", ContentFile(png()))
    assert image_url("a.png", budget()) == uri("image/png", png())


@pytest.mark.parametrize("file", [None, "", Stored("", None)])
def test_image_url_without_a_file(file: object) -> None:
    """An empty field says so, instead of an address that is none."""
    assert refusal(image_url, file, budget()).startswith(
        ("the field has no file", "the path is blank")
    )


def test_image_url_of_a_missing_file() -> None:
    """The name is said."""
    message = refusal(image_url, Stored("no.png", InMemoryStorage()), budget())
    assert message == "file 'no.png' does not exist in its storage."


def test_stored_file_that_the_storage_refuses(settings: Any) -> None:
    """What a storage says against a name is an asset error, in both modes."""
    file = Stored("a.png", Suspicious())
    assert "is outside its root" in refusal(image_url, file, budget())
    absolute(settings)
    assert "'a.png' has no URL: no such luck" in refusal(image_url, file, budget())


class Suspicious(InMemoryStorage):
    """A storage that takes every name for an attack."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise SuspiciousOperation("no such luck")

    def url(self, name: str | None) -> str:
        raise SuspiciousOperation("no such luck")


def test_stored_file_of_a_storage_that_is_down() -> None:
    """The name and the reason, not a traceback."""
    message = refusal(image_url, Stored("a.png", Down()), budget())
    assert message.startswith("'a.png' cannot be read (ConnectionError)")


class Down(InMemoryStorage):
    """A storage that does not answer."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise ConnectionError


def test_image_url_of_something_else() -> None:
    """A page that somebody uploaded as a logo is no image."""
    storage = InMemoryStorage()
    storage.save("a.html", ContentFile(b"<script>"))
    assert "'a.html' is not an image" in refusal(image_url, Stored("a.html", storage), budget())


def test_absolute_addresses(settings: Any, tmp_path: Path) -> None:
    """This site's address before what the storages give, escaped for HTML."""
    absolute(settings)
    use_media(settings, tmp_path)
    assert asset_url("a b.png", budget()) == "https://shop.example/static/a%20b.png"
    assert image_url("b.png", budget()) == "https://shop.example/media/b.png"
    link = '<link rel="stylesheet" href="https://shop.example/static/a.css">'
    assert stylesheet_html("a.css", budget()) == link


def test_absolute_addresses_of_a_storage(settings: Any) -> None:
    """A full address stays as it is, and needs no base."""
    absolute(settings, "")
    settings.STATIC_URL = "https://cdn.example/static/"
    assert asset_url("a.png", budget()) == "https://cdn.example/static/a.png"


def test_absolute_address_of_a_private_file(settings: Any) -> None:
    """A file that has no address is embedded."""
    absolute(settings)
    storage = Private()
    storage.save("a.png", ContentFile(png()))
    assert image_url(Stored("a.png", storage), budget()) == uri("image/png", png())


class Private(InMemoryStorage):
    """A storage without addresses."""

    def url(self, name: str | None) -> str:
        raise NotImplementedError


def test_absolute_address_of_a_file_without_media_url(settings: Any, tmp_path: Path) -> None:
    """Files on disk have an address only if something serves them."""
    absolute(settings)
    storage = FileSystemStorage(location=tmp_path)
    storage.save("a.png", ContentFile(png()))
    assert image_url(Stored("a.png", storage), budget()) == uri("image/png", png())
    settings.MEDIA_URL = "/media/"
    file = Stored("a.png", FileSystemStorage(location=tmp_path))
    assert image_url(file, budget()) == "https://shop.example/media/a.png"


def test_absolute_address_without_a_base(settings: Any) -> None:
    """The setting that is missing is named."""
    absolute(settings, "")
    with pytest.raises(ConfigurationError, match="ASSETS_BASE_URL"):
        asset_url("a.png", budget())


def test_absolute_address_of_an_unknown_hashed_file(
    settings: Any, write: Write, collect: Callable[[], None]
) -> None:
    """A name that is not in the manifest has no address."""
    write("a.png")
    collect()
    absolute(settings)
    assert asset_url("a.png", budget()).startswith("https://shop.example/static/a.")
    assert "'no.png' has no URL" in refusal(asset_url, "no.png", budget())


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "file:///a", "a\x00", "//host/a"])
def test_absolute_address_refuses(settings: Any, name: str) -> None:
    """Hostile names get no address, either."""
    absolute(settings)
    assert "use a path relative to" in refusal(asset_url, name, budget())


def test_asset_error_is_ours() -> None:
    """A project that catches this package's errors catches these."""
    assert issubclass(AssetError, DocRaptorError)
    assert not issubclass(AssetError, ConfigurationError)
