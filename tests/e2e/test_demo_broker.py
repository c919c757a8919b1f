"""The demo's broker in a directory: no process reads a half-written file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from kombu import Connection

pytestmark = pytest.mark.once

WORKERS = 6
TRANSPORT = "example_project.demo.broker:Transport"


def bind_in_parallel(folder: Path, transport: str) -> list[int]:
    """Bind one queue with several channels at once; return the bindings that each one reads.

    This is below ``declare()``, which threads of one process would not all forward to the
    transport.
    """
    options = {f"data_folder_{way}": str(folder) for way in ("in", "out")}
    options["control_folder"] = str(folder / "control")
    start = Barrier(WORKERS)

    def bind(_number: int) -> int:
        with Connection(transport=transport, transport_options=options) as connection:
            channel = connection.channel()
            start.wait(60)
            channel._queue_bind("docraptor", "docraptor", "", "docraptor")
            return len(channel.get_table("docraptor"))

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(bind, range(WORKERS)))


def test_parallel_workers_read_whole_bindings(tmp_path):
    """Kombu's own transport fails here, since it truncates the table before it locks it."""
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        assert set(bind_in_parallel(folder, TRANSPORT)) == {1}
