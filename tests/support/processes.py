"""A process of the site: its log in a file, its end certain."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

PATIENCE = 30.0
TAIL = 4000


class NotInTimeError(AssertionError):
    """Something did not happen before its deadline."""


def wait_until(
    what: str, happens: Callable[[], object], seconds: float, every: float = 0.1
) -> None:
    """Wait for something to become true; raise NotInTimeError if it does not."""
    stop = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > stop:
            raise NotInTimeError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


class Process:
    """One process and its children, in a group of their own.

    Args:
        module: what ``python -m`` runs, with its arguments.
        environment: over this process's own.
        log: where its output goes.
    """

    def __init__(self, *module: str, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", *module],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """All it has said so far."""
        return self.log.read_text(errors="replace")

    @property
    def tail(self) -> str:
        """The last of it."""
        return self.text[-TAIL:]

    def says(self, words: str, seconds: float = PATIENCE) -> str:
        """Wait for words in its log; return the line they stand in."""
        wait_until(
            f"{words!r} in {self.log.name}",
            lambda: words in self.text or self.popen.poll() is not None,
            seconds,
        )
        assert words in self.text, f"{self.log.name} ended without {words!r}:\n{self.tail}"
        return next(line for line in self.text.splitlines() if words in line)

    def terminate(self, seconds: float = PATIENCE) -> int:
        """Ask it to stop; return its exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
        return self.popen.wait(seconds)

    def end(self) -> None:
        """Kill what is left of it, and its children: nobody needs their last words."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()
