"""A measuring process and its database, from outside."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.databases import scratch_database

ROOT = Path(__file__).parents[2]


class Subject:
    """One history of one size.

    Args:
        process: runs :mod:`benchmarks.growth.probe_server`.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def ask(self, do: str, **arguments: Any) -> Any:
        """Give a command and wait for its answer. Raises RuntimeError if the process has died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{do}: the measuring process ended with {self.process.wait(10)}")
        return json.loads(answer)


@contextmanager
def subject(database: str) -> Iterator[Subject]:
    """A process with a database of its own; both are gone afterwards."""
    with (
        TemporaryDirectory(prefix="docraptor-growth-") as scratch,
        scratch_database(database, Path(scratch)) as place,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.growth.probe_server"],
            cwd=ROOT,
            env=os.environ
            | {"DJANGO_SETTINGS_MODULE": "benchmarks.growth.settings"}
            | place.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            yield Subject(process)
        finally:
            process.kill()
