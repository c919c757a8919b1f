"""Assets: an image, its data: URI, budgets, and the errors of refused files."""

import base64
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from django_docraptor.assets import AssetError, Budget

Write = Callable[..., Path]
MANIFEST = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
SECRET = b"top secret"


def png_image() -> bytes:
    """Return the smallest red image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
        + chunk(b"IEND", b"")
    )


def make_budget(**changes: int) -> Budget:
    """Return a budget that is large enough for anything, unless changed."""
    return Budget(**{"max_asset_bytes": 10**6, "remaining_bytes": 10**7} | changes)


def data_uri(kind: str, content: bytes) -> str:
    """Return the expected data: URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def asset_error(make: Callable[..., object], *arguments: object) -> str:
    """Return the message of the AssetError that is raised."""
    with pytest.raises(AssetError) as caught:
        make(*arguments)
    return str(caught.value)


class Stored:
    """The attributes of a FieldFile that the tags use."""

    def __init__(self, name: str, storage: Any) -> None:
        self.name = name
        self.storage = storage


def use_media_dir(settings: Any, location: Path) -> None:
    """Move the default storage into a directory that only this test uses."""
    backend = "django.core.files.storage.FileSystemStorage"
    default = {"BACKEND": backend, "OPTIONS": {"location": location, "base_url": "/media/"}}
    settings.STORAGES = settings.STORAGES | {"default": default}


def use_absolute_urls(settings: Any, base: str = "https://shop.example") -> None:
    """Make the tags write URLs."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ASSETS": "absolute", "ASSETS_BASE_URL": base}
