"""A storage that randomly fails to save, or whose worker is killed, before or after the write."""

import os
import random
import signal
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from tests.chaos.injected import count_fault, has_ended


class FlakyStorage(FileSystemStorage):
    """Files on disk, with the failure rates of ``STORAGE_FAILURE_RATES``."""

    def _save(self, name: str, content: Any) -> str:
        self._maybe_kill("storage.killed")
        self._maybe_fail("storage.fail")
        saved: str = super()._save(name, content)
        self._maybe_kill("storage.killed_after_save")
        self._maybe_fail("storage.fail_after_save")
        return saved

    def _maybe_fail(self, kind: str) -> None:
        if _is_due(kind):
            raise OSError(f"{kind}: injected storage failure")

    def _maybe_kill(self, kind: str) -> None:
        if _is_due(kind):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_due(kind: str) -> bool:
    if has_ended() or random.random() >= settings.STORAGE_FAILURE_RATES.get(kind, 0):
        return False
    count_fault(kind)
    return True
