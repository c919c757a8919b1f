"""Assets are bounded, each and in sum."""

from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage

from django_docraptor.assets import Budget, asset_url
from django_docraptor.assets.files import stored_file
from tests.support.assets import Write, budget, refusal


def test_budget_bounds_one_asset(write: Write) -> None:
    """The bound is in bytes and allowed itself; the message names the setting."""
    write("a.png", b"x" * 101)
    assert asset_url("a.png", budget(max_asset_bytes=101))
    message = refusal(asset_url, "a.png", budget(max_asset_bytes=100))
    assert "exceeds the limit of 100 bytes" in message
    assert "MAX_ASSET_BYTES" in message


def test_budget_bounds_a_stored_asset() -> None:
    """A storage's file is read up to the bound, whatever size it says."""
    storage = InMemoryStorage()
    storage.save("a.png", ContentFile(b"x" * 101))
    file = stored_file(storage, "a.png")
    assert "exceeds the limit of 100 bytes" in refusal(file.read, budget(max_asset_bytes=100))


def test_budget_bounds_all_assets(write: Write) -> None:
    """What is embedded twice counts twice."""
    write("a.png", b"x" * 5000)
    shared = budget(remaining_bytes=10_000)
    asset_url("a.png", shared)
    asset_url("a.png", shared)
    assert "MAX_ASSETS_BYTES" in refusal(asset_url, "a.png", shared)


def test_budget_by_the_settings(settings: Any) -> None:
    """Without arguments the settings' bounds hold."""
    sizes = {"MAX_ASSET_BYTES": 7, "MAX_ASSETS_BYTES": 9}
    settings.DOCRAPTOR = settings.DOCRAPTOR | sizes
    assert Budget() == Budget(max_asset_bytes=7, remaining_bytes=9)
