"""A storage that randomly fails to save, before or after writing the file."""

import os
import random
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage

LOG = "storage.log"
NO_MORE_FAULTS = "no-more-faults"


class FlakyStorage(FileSystemStorage):
    """Files on disk, with the failure rates of ``STORAGE_FAILURE_RATES``."""

    def _save(self, name: str, content: Any) -> str:
        self._maybe_fail("storage.fail")
        saved: str = super()._save(name, content)
        self._maybe_fail("storage.fail_after_save")
        return saved

    def _maybe_fail(self, kind: str) -> None:
        if (settings.SCRATCH / NO_MORE_FAULTS).exists():
            return
        if random.random() < settings.STORAGE_FAILURE_RATES.get(kind, 0):
            _append_line(settings.SCRATCH / LOG, kind)
            raise OSError(f"{kind}: injected storage failure")


def _append_line(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)
