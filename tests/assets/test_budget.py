"""Limits for each asset and for all assets of a document."""

from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage

from django_docraptor.assets import Budget, asset_url
from django_docraptor.assets.files import stored_file
from tests.support.assets import Write, asset_error, make_budget


def test_one_asset_is_limited(write_static: Write) -> None:
    """The limit is in bytes and inclusive, and the error names the setting."""
    write_static("a.png", b"x" * 101)
    assert asset_url("a.png", make_budget(max_asset_bytes=101))
    message = asset_error(asset_url, "a.png", make_budget(max_asset_bytes=100))
    assert "exceeds the limit of 100 bytes" in message
    assert "MAX_ASSET_BYTES" in message


def test_stored_asset_is_limited() -> None:
    """A storage's file is read up to the limit, whatever size it claims."""
    storage = InMemoryStorage()
    storage.save("a.png", ContentFile(b"x" * 101))
    file = stored_file(storage, "a.png")
    assert "exceeds the limit of 100 bytes" in asset_error(
        file.read, make_budget(max_asset_bytes=100)
    )


def test_all_assets_are_limited_together(write_static: Write) -> None:
    """An asset that is embedded twice counts twice."""
    write_static("a.png", b"x" * 5000)
    shared = make_budget(remaining_bytes=10_000)
    asset_url("a.png", shared)
    asset_url("a.png", shared)
    assert "MAX_ASSETS_BYTES" in asset_error(asset_url, "a.png", shared)


def test_default_limits_are_those_of_the_settings(settings: Any) -> None:
    """Without arguments the limits of the settings apply."""
    sizes = {"MAX_ASSET_BYTES": 7, "MAX_ASSETS_BYTES": 9}
    settings.DOCRAPTOR = settings.DOCRAPTOR | sizes
    assert Budget() == Budget(max_asset_bytes=7, remaining_bytes=9)
