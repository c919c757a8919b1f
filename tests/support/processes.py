"""Processes that can be killed, frozen and restarted, and are always ended."""

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

OUTPUT_TIMEOUT = 60.0
LOG_TAIL_CHARACTERS = 4000


class TimedOutError(AssertionError):
    """A condition did not become true in time."""


def wait_until(
    what: str, condition: Callable[[], object], timeout: float, interval: float = 0.1
) -> None:
    """Wait until a condition is true.

    Args:
        what: the condition in words, for the error.
        condition: called until it returns something true.
        timeout: seconds.
        interval: seconds between two calls.

    Raises:
        TimedOutError: The condition is still false after the timeout.
    """
    stop = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > stop:
            raise TimedOutError(f"not within {timeout:g} s: {what}")
        time.sleep(interval)


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def python_module(*arguments: str) -> list[str]:
    """Return the command that runs a module with this Python."""
    return [sys.executable, "-m", *arguments]


class ManagedProcess:
    """A process that can be restarted, together with its children in a process group.

    Args:
        name: the name of the process and of its log file.
        command: the command to run.
        environment: variables that are added to this process's environment.
        folder: the directory of the log file.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = folder / f"{name}.log"
        self._popen: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []

    def start(self) -> None:
        """Start the process, or start it again."""
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.command,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._groups.append(self.pid)

    @property
    def popen(self) -> "subprocess.Popen[bytes]":
        """The process that was started last."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen

    @property
    def pid(self) -> int:
        """The ID of the process that was started last."""
        return self.popen.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def children(self) -> list[int]:
        """The IDs of its children, in ascending order."""
        pgrep = shutil.which("pgrep") or "pgrep"
        found = subprocess.run(
            [pgrep, "-P", str(self.pid)], capture_output=True, text=True, check=False
        )
        return sorted(map(int, found.stdout.split()))

    @property
    def output(self) -> str:
        """The whole log."""
        return self.log.read_text(errors="replace")

    @property
    def tail(self) -> str:
        """The end of the log."""
        return self.output[-LOG_TAIL_CHARACTERS:]

    def wait_for_output(self, text: str, timeout: float = OUTPUT_TIMEOUT) -> str:
        """Wait until the log contains `text`; return the last line that contains it."""
        wait_until(
            f"{text!r} in {self.log.name}",
            lambda: text in self.output or not self.is_alive,
            timeout,
            0.05,
        )
        output = self.output
        assert text in output, f"{self.name} did not print {text!r}:\n{self.tail}"
        return [line for line in output.splitlines() if text in line][-1]

    def signal(self, number: int) -> None:
        """Send a signal to the process, but not to its children."""
        _send(os.kill, self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and all of its children."""
        _send(os.killpg, self.pid, number)

    def resume(self) -> None:
        """Resume every process started by this object."""
        for group in self._groups:
            _send(os.killpg, group, signal.SIGCONT)

    def terminate(self, timeout: float = 30.0) -> int:
        """Ask the process to stop; return its exit status."""
        if self.is_alive:
            self.popen.terminate()
        return self.popen.wait(timeout)

    def kill_all(self) -> None:
        """Kill every process started by this object."""
        for group in self._groups:
            _send(os.killpg, group, signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait()


def _send(function: Callable[[int, int], None], target: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        function(target, number)
