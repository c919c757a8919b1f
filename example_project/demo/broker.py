"""Kombu's filesystem broker, made safe for several processes.

Kombu lets readers see partly written messages and bindings, which crashes the worker with a
JSONDecodeError.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, flock
from pathlib import Path
from time import monotonic
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """Write messages and bindings atomically."""

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:
        """Write to a temporary name, then rename."""
        name = f"{round(monotonic() * 1000)}_{uuid.uuid4()}"
        draft = Path(self.data_folder_out) / f"{name}.draft"
        draft.write_text(dumps(payload))
        draft.rename(draft.with_name(f"{name}.{queue}.msg"))

    def get_table(self, exchange: str) -> list[Any]:
        """Read the bindings under a shared lock."""
        with self._lock_bindings(LOCK_SH):
            return super().get_table(exchange)

    def _queue_bind(self, *binding: Any) -> None:
        """Write the bindings under an exclusive lock."""
        with self._lock_bindings(LOCK_EX):
            super()._queue_bind(*binding)

    def _delete(self, *binding: Any, **kwargs: Any) -> None:
        """Write the bindings under an exclusive lock."""
        with self._lock_bindings(LOCK_EX):
            super()._delete(*binding, **kwargs)

    @contextmanager
    def _lock_bindings(self, operation: int) -> Iterator[None]:
        directory = Path(self.control_folder)
        directory.mkdir(exist_ok=True)
        with (directory / "lock").open("w") as file:
            flock(file, operation)
            yield


class Transport(filesystem.Transport):
    """The transport for ``files://``."""

    Channel = Channel
