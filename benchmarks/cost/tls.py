"""CPU of a create over https, each with a connection of its own.

The server runs in another process. Its certificate is of an authority of our own, whose certificate
is added to a copy of the default CA bundle, because the bundle's size is what costs time. The floor
is the same request by ``http.client`` with one TLS context, which checks the same.
"""

import argparse
import http.client
import json
import multiprocessing
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

import certifi
import requests

from benchmarks.cost.metrics import Metric, Result, scaled_target
from benchmarks.cost.site import Site
from django_docraptor.client import Client
from django_docraptor.payloads import DocumentRequest
from tests.support.certificates import HOST, Authority
from tests.support.documents import document_html

# Milliseconds where requests.post takes the second.
TARGET, REFERENCE_MS = 2.5, 17.5
WARM_UP = 5
REQUEST = DocumentRequest(name="tls.pdf", content=document_html("tls"), test=True)
RESPONSE = b'{"status_id": "status"}'


class _Handler(BaseHTTPRequestHandler):
    """Accept each create."""

    def do_POST(self) -> None:
        """Read the request, and respond at once."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(RESPONSE)))
        self.end_headers()
        self.wfile.write(RESPONSE)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


def _serve(port: Connection, context: ssl.SSLContext | None) -> None:
    server = HTTPServer((HOST, 0), _Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def _server(context: ssl.SSLContext | None) -> Iterator[int]:
    """Run a server in another process; yield its port."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=_serve, args=(sender, context), daemon=True
    )
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.kill()
        process.join()


def _cpu_ms(create: Callable[[], object], count: int) -> float:
    """Return the least of the process's CPU for a create, in ms: other work only adds to it."""
    milliseconds = []
    for _ in range(count + WARM_UP):
        started = time.process_time()
        create()
        milliseconds.append(1000 * (time.process_time() - started))
    return min(milliseconds[WARM_UP:])


def _bare_create(port: int, context: ssl.SSLContext) -> Callable[[], None]:
    """Return a create by ``http.client``, and nothing else."""
    body = json.dumps(REQUEST.to_json()).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Basic YmVuY2g6"}

    def create() -> None:
        connection = http.client.HTTPSConnection(HOST, port, timeout=10, context=context)
        connection.request("POST", "/async_docs", body, headers)
        json.load(connection.getresponse())
        connection.close()

    return create


def _plain_create(port: int, bundle: Path) -> Callable[[], object]:
    """Return a create by ``requests.post``."""
    url = f"https://{HOST}:{port}/async_docs"
    return lambda: requests.post(
        url, json=REQUEST.to_json(), auth=("bench", ""), verify=str(bundle), timeout=10
    ).json()


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare with a create that does nothing else, and with `requests.post`."""
    authority = Authority(site.scratch)
    bundle = site.scratch / "bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.bundle.read_bytes())
    count = options.tls_creates
    with _server(authority.server_context()) as port:
        client = Client(api_key="bench", base_url=f"https://{HOST}:{port}", ca_bundle=str(bundle))
        ours = _cpu_ms(lambda: client.create_async_doc(REQUEST), count)
        context = ssl.create_default_context(cafile=str(bundle))
        floor = _cpu_ms(_bare_create(port, context), count)
        plain = _cpu_ms(_plain_create(port, bundle), max(1, count // 5))
    with _server(None) as port:
        unencrypted = Client(api_key="bench", base_url=f"http://{HOST}:{port}")
        http_only = _cpu_ms(lambda: unencrypted.create_async_doc(REQUEST), count)
    return [
        Metric(
            key="tls_create_cpu_ms",
            description="CPU of a create over https with the default CA bundle, ms",
            results=(
                Result(
                    value=ours,
                    target=scaled_target(TARGET, plain, REFERENCE_MS),
                    floor=floor,
                    ours=f"{ours:.2f} ms",
                    baseline=f"{plain:.1f} ms with requests.post",
                ),
            ),
            notes=(
                f"floor: http.client with one shared context: {floor:.2f} ms; "
                f"ours over http: {http_only:.2f} ms",
            ),
        )
    ]
