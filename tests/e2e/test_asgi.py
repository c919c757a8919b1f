"""Documents under ASGI: constant memory, and files that are closed."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.processes import free_port, python_module, wait_until

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read in /proc"),
]

MEBIBYTE = 1024 * 1024
SIZE = 200 * MEBIBYTE
APPLICATION = "tests.e2e.asgi_site:application"
SERVERS = {
    "uvicorn": lambda port: ("uvicorn", "--port", str(port), "--log-level", "warning"),
    "daphne": lambda port: ("daphne", "-p", str(port), "-v", "0"),
}


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """A document of 200 MiB, which takes no room on the disk."""
    file = tmp_path / "large.pdf"
    with file.open("wb") as target:
        target.truncate(SIZE)
    return file


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, large_file: Path) -> Iterator[str]:
    """The URL of a site that a server of ASGI runs."""
    port = free_port()
    command = python_module(*SERVERS[request.param](port), APPLICATION)
    environment = os.environ | {"LARGE_FILE": str(large_file)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    url = f"http://127.0.0.1:{port}/"
    with subprocess.Popen(command, env=environment) as process:
        try:
            wait_until("the server answers", lambda: state_of(url), 30)
            yield url
        finally:
            process.terminate()


def state_of(url: str) -> dict[str, Any]:
    """Return the server's peak memory and number of open documents; nothing if it is down."""
    try:
        return requests.get(f"{url}state/", timeout=5).json()
    except requests.ConnectionError:
        return {}


def test_large_document_takes_constant_memory(site: str) -> None:
    """The server's memory does not grow with the document."""
    requests.get(site, stream=True, timeout=10).close()  # load what is loaded once
    before = state_of(site)["peak"]
    received = 0
    with requests.get(site, stream=True, timeout=10) as response:
        assert response.headers["Content-Length"] == str(SIZE)
        for block in response.iter_content(MEBIBYTE):
            received += len(block)
    assert received == SIZE
    grown = state_of(site)["peak"] - before
    print(f"{grown / MEBIBYTE:.1f} MiB")
    assert grown < 24 * MEBIBYTE


def test_file_is_closed_if_the_client_goes_away(site: str) -> None:
    """A client that stops in the middle leaves no open file."""
    for _ in range(3):
        with requests.get(site, stream=True, timeout=10) as response:
            next(response.iter_content(MEBIBYTE))
    wait_until("no document is open", lambda: state_of(site)["open"] == 0, 10)


@pytest.mark.parametrize("site", ["uvicorn"], indirect=True)
def test_slow_client_holds_no_more_than_a_block(site: str) -> None:
    """What the client has not read is not read from the file; Daphne would buffer it."""
    before = state_of(site)["peak"]
    with requests.get(site, stream=True, timeout=10) as response:
        next(response.iter_content(MEBIBYTE))
        time.sleep(2)
        assert state_of(site)["peak"] - before < 24 * MEBIBYTE
