"""The example's broker in a directory: what one process writes, another reads whole."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from kombu import Connection

WORKERS = 6
TRANSPORT = "example_project.demo.broker:Transport"


def bind_together(folder: Path, transport: str) -> list[int]:
    """Several channels bind the same queue at once; how many bindings each then reads.

    Below ``declare()``, which threads of one process would not all pass on to the transport.
    """
    options = {f"data_folder_{way}": str(folder) for way in ("in", "out")}
    options["control_folder"] = str(folder / "control")
    start = Barrier(WORKERS)

    def bind(_number: int) -> int:
        with Connection(transport=transport, transport_options=options) as connection:
            channel = connection.channel()
            start.wait(10)
            channel._queue_bind("docraptor", "docraptor", "", "docraptor")
            return len(channel.get_table("docraptor"))

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(bind, range(WORKERS)))


def test_workers_that_start_together_read_whole_bindings(tmp_path):
    """Kombu's own transport fails here: it truncates the table before it locks it."""
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        assert set(bind_together(folder, TRANSPORT)) == {1}
