"""Connections to DocRaptor: kept alive across polls, and none shared with a forked process."""

import argparse
import http.client
import json
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.client import Client
from tests.support.documents import document_html

POLLS = 50


class CountingProxy(threading.Thread):
    """Forward bytes to a sandbox and count the connections."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        target = urlsplit(url)
        self.target = (str(target.hostname), int(target.port or 80))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.count = 0

    def run(self) -> None:
        """Accept connections until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            server = socket.create_connection(self.target)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_forward, args=pair, daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


@contextmanager
def counting_proxy(url: str) -> Iterator[CountingProxy]:
    """Run a proxy in front of a sandbox."""
    proxy = CountingProxy(url)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.listener.close()


def count_connections(url: str, polls: int = POLLS) -> dict[str, int]:
    """Return how many connections polls open, by the process that sends them.

    Args:
        url: the sandbox's URL.
        polls: how many are sent in this process, and then in a forked one. One more follows here.
    """
    with counting_proxy(url) as proxy:
        client = Client(api_key="bench", base_url=proxy.url)
        status_id = _create(url)
        for _ in range(polls):
            client.get_status(status_id)
        first = proxy.count
        fork = multiprocessing.get_context("fork").Process(
            target=lambda: [client.get_status(status_id) for _ in range(polls)]
        )
        fork.start()
        fork.join(30)
        if fork.exitcode != 0:
            raise RuntimeError(f"the forked process ended with exit status {fork.exitcode}")
        forked = proxy.count - first
        client.get_status(status_id)
        afterwards = proxy.count - first - forked
        return {"first_process": first, "forked_process": forked, "afterwards": afterwards}


def _create(url: str) -> str:
    """Create a document without the client that is measured; return its status ID."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=10)
    body = {"name": "connections.pdf", "type": "pdf", "document_content": document_html("c")}
    headers = {"Content-Type": "application/json", "Authorization": "Basic YmVuY2g6"}
    connection.request("POST", "/async_docs", json.dumps(body | {"test": True}), headers)
    status_id: str = json.load(connection.getresponse())["status_id"]
    connection.close()
    return status_id


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Count connections: the target is one per process."""
    site.reset()
    counts = count_connections(site.control.url)
    polls = {
        "first_process": f"{POLLS} polls",
        "forked_process": f"{POLLS} polls in a forked process",
        "afterwards": "1 more poll in the first process",
    }
    targets = {"first_process": 1, "forked_process": 1, "afterwards": 0}
    return [
        Metric(
            key="connections",
            description="connections opened to DocRaptor",
            results=tuple(
                Result(name=name, value=counts[name], target=targets[name], ours=text)
                for name, text in polls.items()
            ),
        )
    ]
