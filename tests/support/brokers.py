"""An isolated namespace in a broker for one site, deleted afterwards."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import amqp
import redis

HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The broker of one site."""

    kind: str
    url: str
    queue: str
    transport: dict[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the site's settings read."""
        return {
            "TEST_BROKER": self.url,
            "SITE_QUEUE": self.queue,
            "SITE_TRANSPORT": json.dumps(self.transport),
        }

    def empty(self) -> None:
        """Delete every message and all else that the broker has for this site."""
        if self.kind == "redis":
            with closing(redis.Redis(HOST)) as connection:
                for key in connection.scan_iter(f"{self.transport['global_keyprefix']}*", 1000):
                    connection.delete(key)
        elif self.kind == "rabbitmq":
            with closing(amqp.Connection(HOST)) as connection:
                connection.connect()
                channel = connection.channel()
                channel.queue_delete(self.queue)
                channel.exchange_delete(self.queue)


@contextmanager
def scratch_broker(kind: str, scratch: Path) -> Iterator[Broker]:
    """Yield an isolated namespace of a broker, which is emptied afterwards."""
    queue = f"docraptor-{uuid.uuid4().hex[:12]}"
    url, transport = {
        "redis": (
            f"redis://{HOST}:6379/0",
            {"global_keyprefix": f"{queue}:", "socket_timeout": 5, "socket_connect_timeout": 5},
        ),
        "rabbitmq": (f"amqp://guest:guest@{HOST}:5672//", {"confirm_publish": True}),
        "files": (
            "files://",
            {
                "data_folder_in": str(_folder(scratch, "messages")),
                "data_folder_out": str(_folder(scratch, "messages")),
                "control_folder": str(_folder(scratch, "control")),
            },
        ),
    }[kind]
    broker = Broker(kind=kind, url=url, queue=queue, transport=transport)
    try:
        yield broker
    finally:
        broker.empty()


def _folder(scratch: Path, name: str) -> Path:
    path = scratch / name
    path.mkdir(exist_ok=True)
    return path
