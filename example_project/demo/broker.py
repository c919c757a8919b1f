"""Kombu's broker in a directory, made safe for several processes.

Kombu lets a reader see a message before it is written: the worker then ends with a JSONDecodeError.
"""

import uuid
from fcntl import LOCK_EX, flock
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

    def _queue_bind(self, *binding: Any) -> None:
        """Let one process at a time write the table of bindings."""
        with Path(self.control_folder, "lock").open("w") as file:
            flock(file, LOCK_EX)
            super()._queue_bind(*binding)


class Transport(filesystem.Transport):
    """The transport for ``files://``."""

    Channel = Channel
