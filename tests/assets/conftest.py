"""Static files that only one test uses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from tests.support.assets import MANIFEST, SECRET, Write


@pytest.fixture
def write_static(settings: Any, tmp_path: Path) -> Write:
    """Return a function that writes a static file; a secret lies beside the static directory."""
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "secret.txt").write_bytes(SECRET)
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = str(tmp_path / "collected")

    def make(name: str, content: bytes | str = b"x") -> Path:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


@pytest.fixture
def collect_static(settings: Any) -> Callable[[], None]:
    """Return a function that runs collectstatic with hashed names and removes the sources."""

    def run() -> None:
        settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": MANIFEST}}
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=["admin"])
        settings.STATICFILES_DIRS = []

    return run
