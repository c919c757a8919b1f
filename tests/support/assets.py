"""Assets: a picture, its data: URI, budgets, and the errors of what is refused."""

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


def png() -> bytes:
    """The smallest red picture."""

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


def budget(**changes: int) -> Budget:
    """Enough for anything, unless said otherwise."""
    return Budget(**{"max_asset_bytes": 10**6, "remaining_bytes": 10**7} | changes)


def uri(kind: str, content: bytes) -> str:
    """The data: URI that is expected."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def refusal(make: Callable[..., object], *arguments: object) -> str:
    """The message of the AssetError that is raised."""
    with pytest.raises(AssetError) as caught:
        make(*arguments)
    return str(caught.value)


class Stored:
    """What the tags see of a FieldFile."""

    def __init__(self, name: str, storage: Any) -> None:
        self.name = name
        self.storage = storage


def use_media(settings: Any, location: Path) -> None:
    """Put the default storage into a directory of the test's own."""
    backend = "django.core.files.storage.FileSystemStorage"
    default = {"BACKEND": backend, "OPTIONS": {"location": location, "base_url": "/media/"}}
    settings.STORAGES = settings.STORAGES | {"default": default}


# Addresses.


def absolute(settings: Any, base: str = "https://shop.example") -> None:
    """Let the tags write addresses."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"ASSETS": "absolute", "ASSETS_BASE_URL": base}
