"""Kombu's broker in a directory, made safe for several processes.

Kombu lets a reader see a message or a table of bindings before it is written: the worker then ends
with a JSONDecodeError.
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
    """Messages and bindings appear whole or not at all."""

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:
        """Write under a name that no reader looks for, then rename."""
        name = f"{round(monotonic() * 1000)}_{uuid.uuid4()}"
        draft = Path(self.data_folder_out) / f"{name}.draft"
        draft.write_text(dumps(payload))
        draft.rename(draft.with_name(f"{name}.{queue}.msg"))

    def get_table(self, exchange: str) -> list[Any]:
        """Read the bindings while nobody writes them."""
        with self._bindings(LOCK_SH):
            return super().get_table(exchange)

    def _queue_bind(self, *binding: Any) -> None:
        """Let one process at a time write the bindings."""
        with self._bindings(LOCK_EX):
            super()._queue_bind(*binding)

    def _delete(self, *binding: Any, **kwargs: Any) -> None:
        """Let one process at a time write the bindings."""
        with self._bindings(LOCK_EX):
            super()._delete(*binding, **kwargs)

    @contextmanager
    def _bindings(self, how: int) -> Iterator[None]:
        folder = Path(self.control_folder)
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as file:
            flock(file, how)
            yield


class Transport(filesystem.Transport):
    """The transport for ``files://``."""

    Channel = Channel
