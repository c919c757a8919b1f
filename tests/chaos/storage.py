"""A storage on a bad day: some saves fail, before or after the file was written."""

import os
import random
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage

LOG = "storage.log"


class FlakyStorage(FileSystemStorage):
    """Files on disk, with the failure rates of ``CHAOS_STORAGE``."""

    def _save(self, name: str, content: Any) -> str:
        self._maybe_fail("storage.fail")
        saved: str = super()._save(name, content)
        self._maybe_fail("storage.fail_late")
        return saved

    def _maybe_fail(self, kind: str) -> None:
        if (settings.SCRATCH / "calm").exists():
            return
        if random.random() < settings.CHAOS_STORAGE.get(kind, 0):
            _note(settings.SCRATCH / LOG, kind)
            raise OSError(f"{kind}: the storage had a bad moment")


def _note(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)
