"""The site's processes: started, killed, frozen, started again, and surely ended."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE = 60.0
TAIL = 3000


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def module(*words: str) -> list[str]:
    """The command that runs a module with this Python."""
    return [sys.executable, "-m", *words]


class Role:
    """A part that one process after the other plays, each with its children in a group.

    Args:
        name: of its log file, too.
        command: what to run.
        environment: over this process's own.
        folder: for the log.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = folder / f"{name}.log"
        self._groups: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the next process of this role."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own commands
                self.command,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._groups.append(self.process.pid)

    @property
    def is_alive(self) -> bool:
        """Whether its present process has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """Its present process."""
        if self.process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self.process.pid

    @property
    def children(self) -> list[int]:
        """Its present process's children, in order."""
        pgrep = shutil.which("pgrep") or "pgrep"
        found = subprocess.run(  # noqa: S603 - a number is no command
            [pgrep, "-P", str(self.pid)], capture_output=True, text=True, check=False
        )
        return sorted(map(int, found.stdout.split()))

    def says(self, words: str, seconds: float = PATIENCE) -> str:
        """Wait for words in its log; return the last line they stand in."""
        stop = time.monotonic() + seconds
        while words not in (text := self.log.read_text(errors="replace")):
            if not self.is_alive or time.monotonic() > stop:
                raise RuntimeError(f"{self.name} did not say {words!r}:\n{text[-TAIL:]}")
            time.sleep(0.05)
        return [line for line in text.splitlines() if words in line][-1]

    def signal(self, number: int) -> None:
        """Send a signal to its present process alone."""
        _send(os.kill, self.pid, number)

    def signal_all(self, number: int) -> None:
        """Send a signal to its present process and all of its children."""
        _send(os.killpg, self.pid, number)

    def thaw(self) -> None:
        """Let everything go on that was ever started for this role."""
        for group in self._groups:
            _send(os.killpg, group, signal.SIGCONT)

    def end(self) -> None:
        """End whatever was ever started for this role."""
        for group in self._groups:
            _send(os.killpg, group, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


def _send(how: Callable[[int, int], None], target: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        how(target, number)
