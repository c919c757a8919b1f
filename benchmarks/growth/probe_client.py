"""Client of a measuring process with its own database."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.databases import scratch_database
from tests.support.processes import python_module

ROOT = Path(__file__).parents[2]


class ProbeClient:
    """A measuring process with one size of history.

    Args:
        process: runs :mod:`benchmarks.growth.probe_server`.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def call(self, command: str, **arguments: Any) -> Any:
        """Send a command and return its result.

        Raises:
            RuntimeError: The process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait(10)
            raise RuntimeError(f"{command}: the measuring process ended with exit status {status}")
        return json.loads(line)


@contextmanager
def start_probe(database: str) -> Iterator[ProbeClient]:
    """Start a process with its own database; delete both afterwards."""
    with (
        TemporaryDirectory(prefix="docraptor-growth-") as scratch,
        scratch_database(database, Path(scratch)) as scratch_db,
        subprocess.Popen(  # noqa: S603 - our own command
            python_module("benchmarks.growth.probe_server"),
            cwd=ROOT,
            env=os.environ
            | {"DJANGO_SETTINGS_MODULE": "benchmarks.growth.settings"}
            | scratch_db.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            yield ProbeClient(process)
        finally:
            process.kill()
