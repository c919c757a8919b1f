"""Brokers that can be frozen and killed: a private Redis server, or RabbitMQ behind a TCP proxy."""

import contextlib
import shutil
import signal
import uuid
from pathlib import Path

import amqp
import redis

from tests.support.processes import ManagedProcess, free_port, python_module

HOST = "127.0.0.1"
RABBITMQ_PORT = 5672


class Redis:
    """A Redis server without persistence: a restart loses all messages, like a failover."""

    def __init__(self, folder: Path) -> None:
        server = shutil.which("redis-server") or "redis-server"
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self.queue = "documents"
        options = ["--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = ManagedProcess("redis", [server, *options, "--dir", str(folder)], {}, folder)

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        self.process.start()
        self.process.wait_for_output("Ready to accept connections")

    def flush(self) -> None:
        """Delete all messages, bindings and unacknowledged copies."""
        with redis.Redis(HOST, self.port, socket_timeout=2) as connection:
            connection.flushall()

    def stop(self) -> None:
        """Kill the server."""
        self.process.kill_all()


class RabbitMQ:
    """A private queue and exchange.

    The proxy in front is frozen or killed instead of RabbitMQ.
    """

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"amqp://guest:guest@{HOST}:{port}//"
        self.queue = f"docraptor-{uuid.uuid4().hex[:12]}"
        command = python_module("tests.support.tcp_proxy", str(port), str(RABBITMQ_PORT))
        self.process = ManagedProcess("proxy", command, {"PYTHONUNBUFFERED": "1"}, folder)

    def start(self) -> None:
        """Start the proxy and wait until it accepts connections."""
        self.process.start()
        self.process.wait_for_output("listening on")

    def flush(self) -> None:
        """Delete all messages that no worker has received."""
        with amqp.Connection(HOST) as connection, contextlib.suppress(amqp.NotFound):
            connection.channel().queue_purge(self.queue)

    def stop(self) -> None:
        """Kill the proxy; delete the queue and the exchange."""
        self.process.kill_all()
        with amqp.Connection(HOST) as connection:
            channel = connection.channel()
            channel.queue_delete(self.queue)
            channel.exchange_delete(self.queue)


Broker = Redis | RabbitMQ
BROKERS: dict[str, type[Redis] | type[RabbitMQ]] = {"redis": Redis, "rabbitmq": RabbitMQ}


def restart(broker: Broker) -> None:
    """Kill a broker and start it again."""
    broker.process.signal_group(signal.SIGKILL)
    if broker.process.popen is not None:
        broker.process.popen.wait()
    broker.process.start()
