"""The broker: a Redis of the run's own, or a corner of a RabbitMQ behind a wire of its own."""

import contextlib
import shutil
import signal
import uuid
from pathlib import Path

import amqp
import redis

from benchmarks.roles import Role, free_port, module

HOST = "127.0.0.1"
RABBITMQ_PORT = 5672


class Redis:
    """A Redis server that keeps nothing on disk: a restart loses all, like a failover."""

    def __init__(self, folder: Path) -> None:
        server = shutil.which("redis-server") or "redis-server"
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self.queue = "documents"
        options = ["--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.role = Role("redis", [server, *options, "--dir", str(folder)], {}, folder)

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.role.start()
        self.role.says("Ready to accept connections")

    def flush(self) -> None:
        """Lose every message, binding and unacknowledged copy."""
        with redis.Redis(HOST, self.port, socket_timeout=2) as connection:
            connection.flushall()

    def end(self) -> None:
        """Stop it."""
        self.role.end()


class RabbitMQ:
    """A queue and an exchange of the run's own; freezing and cutting happen on the wire."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"amqp://guest:guest@{HOST}:{port}//"
        self.queue = f"docraptor-{uuid.uuid4().hex[:12]}"
        command = module("tests.support.tcp_proxy", str(port), str(RABBITMQ_PORT))
        self.role = Role("wire", command, {"PYTHONUNBUFFERED": "1"}, folder)

    def start(self) -> None:
        """Start the wire, and wait until it takes connections."""
        self.role.start()
        self.role.says("listening on")

    def flush(self) -> None:
        """Lose every message that no worker holds."""
        with amqp.Connection(HOST) as connection, contextlib.suppress(amqp.NotFound):
            connection.channel().queue_purge(self.queue)

    def end(self) -> None:
        """Cut the wire; leave nothing behind."""
        self.role.end()
        with amqp.Connection(HOST) as connection:
            channel = connection.channel()
            channel.queue_delete(self.queue)
            channel.exchange_delete(self.queue)


Broker = Redis | RabbitMQ
KINDS: dict[str, type[Redis] | type[RabbitMQ]] = {"redis": Redis, "rabbitmq": RabbitMQ}


def restart(broker: Broker) -> None:
    """Kill it and start it again."""
    broker.role.signal_all(signal.SIGKILL)
    if broker.role.process is not None:
        broker.role.process.wait()
    broker.role.start()
