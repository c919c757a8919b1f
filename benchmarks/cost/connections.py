"""Connections to DocRaptor: kept alive across polls, and none shared with a forked process."""

import argparse
import http.client
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from django_docraptor.client import Client
from tests.support.documents import document_html

POLLS = 50


class Counter(threading.Thread):
    """Passes bytes on to a sandbox, and counts the connections that it was asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        target = urlsplit(url)
        self.target = (str(target.hostname), int(target.port or 80))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.opened = 0

    def run(self) -> None:
        """Accept until closed."""
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.opened += 1
            far = socket.create_connection(self.target)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


@contextmanager
def counted(url: str) -> Iterator[Counter]:
    """A counter in front of a sandbox, for a while."""
    counter = Counter(url)
    counter.start()
    try:
        yield counter
    finally:
        counter.listener.close()


def opened(url: str, polls: int = POLLS) -> dict[str, int]:
    """Connections that so many polls open here, and then in a forked process."""
    with counted(url) as counter:
        client = Client(api_key="bench", base_url=counter.url)
        status_id = _create(url)
        for _ in range(polls):
            client.get_status(status_id)
        here = counter.opened
        fork = multiprocessing.get_context("fork").Process(
            target=lambda: [client.get_status(status_id) for _ in range(polls)]
        )
        fork.start()
        fork.join(30)
        if fork.exitcode != 0:
            raise RuntimeError(f"the forked process ended with {fork.exitcode}")
        forked = counter.opened - here
        client.get_status(status_id)
        return {"here": here, "forked": forked, "after": counter.opened - here - forked}


def _create(url: str) -> str:
    """A document to ask for, made without the client that is measured."""
    import json

    target = urlsplit(url)
    connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=10)
    body = {"name": "connections.pdf", "type": "pdf", "document_content": document_html("c")}
    headers = {"Content-Type": "application/json", "Authorization": "Basic YmVuY2g6"}
    connection.request("POST", "/async_docs", json.dumps(body | {"test": True}), headers)
    status_id: str = json.load(connection.getresponse())["status_id"]
    connection.close()
    return status_id


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """One connection a process."""
    place.clean()
    found = opened(place.control.url)
    cases = {
        "here": f"{POLLS} polls",
        "forked": f"{POLLS} polls in a forked process",
        "after": "1 more poll here",
    }
    limits = {"here": 1, "forked": 1, "after": 0}
    return [
        Figure(
            key="connections",
            what="connections opened to DocRaptor",
            cases=tuple(
                Case(name=name, value=found[name], limit=limits[name], ours=words)
                for name, words in cases.items()
            ),
        )
    ]
