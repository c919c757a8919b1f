"""The memory that a download adds to a server of ASGI: the peak, above that of the idle server.

The floor is what the server itself needs to send blocks of the same size.
"""

import argparse
import os
from pathlib import Path

import requests

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from tests.support.processes import free_port, python_module, wait_until

MEBIBYTE = 1024 * 1024
TARGET = 1.0
SIZE_MIB = 52
APPLICATION = "tests.e2e.asgi_site:application"


def _peak(url: str) -> int:
    """Return the server's peak memory in bytes; 0 if it does not answer."""
    try:
        return int(requests.get(f"{url}state/", timeout=5).json()["peak"])
    except requests.ConnectionError:
        return 0


def _download(url: str) -> int:
    """Download the document in small pieces, and return its bytes."""
    with requests.get(url, stream=True, timeout=30) as response:
        return sum(map(len, response.iter_content(64 * 1024)))


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Download a small document, so that everything is loaded, then a large one."""
    file = site.scratch / "asgi.pdf"
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command = python_module("uvicorn", "--port", str(port), "--log-level", "warning", APPLICATION)
    _resize(file, MEBIBYTE)
    server = site.start_process("asgi", command, LARGE_FILE=str(file))
    try:
        wait_until("the server answers", lambda: _peak(url), 30)
        for _ in range(5):
            _download(url)
        before = _peak(url)
        _resize(file, SIZE_MIB * MEBIBYTE)
        received = _download(url)
        grown = (_peak(url) - before) / MEBIBYTE
    finally:
        server.kill_all()
    return [
        Metric(
            key="asgi_extra_mib",
            description=f"memory that a download of {SIZE_MIB} MiB adds to a server of ASGI, MiB",
            results=(
                Result(
                    value=grown,
                    target=TARGET,
                    ours=f"{grown:.2f} MiB",
                    baseline=f"{received / MEBIBYTE:.0f} MiB if it were read at once",
                ),
            ),
        )
    ]


def _resize(file: Path, size: int) -> None:
    """Make a file of so many bytes, which takes no room on the disk."""
    with file.open("ab"):
        os.truncate(file, size)
