"""Start, watch and stop processes. None outlives the ``with`` block.

Django runs only in the child processes.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import NoReturn, Self

from example_project.demo.paths import ROOT, SITE, VAR

LOGS = VAR / "logs"
# Environment of every process, with the site's directory on its path.
ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONPATH": os.pathsep.join(
        filter(None, [os.environ.get("PYTHONPATH"), str(ROOT), str(SITE)])
    ),
    "EXAMPLE_VAR": str(VAR),
    "DJANGO_SETTINGS_MODULE": "example_project.demo.settings",
    "DJANGO_RUNSERVER_HIDE_WARNING": "true",
}
# Files of earlier runs that a new run deletes; only files this project creates.
GENERATED_FILES = [
    "db.sqlite3*",
    "broker",
    "documents",
    "media",
    "mail",
    "spool",
    "logs",
    "celerybeat-*",
]
# Seconds to wait for a process before killing it.
STOP_TIMEOUT = 12.0


class RunError(Exception):
    """The run cannot continue. The message is shown to the user."""

    def __init__(self, reason: str, code: int = 1) -> None:
        super().__init__(reason)
        self.code = code


class Process:
    """A process in its own session, so that Ctrl-C reaches only the parent."""

    def __init__(self, name: str, arguments: list[str], log: Path | None) -> None:
        self.name = name
        self.log = log
        output = log.open("wb") if log else None
        self.popen = subprocess.Popen(  # noqa: S603 - the arguments are this project's own
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        if output:
            output.close()

    @property
    def output(self) -> str:
        """The output so far."""
        return self.log.read_text(errors="replace") if self.log else ""

    def failure(self) -> RunError:
        """Return an error with the last lines of output.

        Commands exit with status 2 after printing one line for the user.
        """
        code = self.popen.wait()
        lines = self.output.strip().splitlines() or ["no output"]
        if code == 2:
            return RunError(lines[-1], code)
        return RunError("\n".join([f"{self.name} exited with status {code}:", *lines[-15:]]))

    def stop(self) -> None:
        """Send SIGTERM, then SIGKILL to the whole process group after a timeout."""
        ended_early = self.popen.poll() is not None
        with suppress(ProcessLookupError):
            self.popen.terminate()
        try:
            self.popen.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
        if ended_early:
            self.kill()

    def kill(self) -> None:
        """Kill the process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


class Processes:
    """The processes of one run, which must be ready or finished by ``deadline``."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.running: list[Process] = []

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _exit_on_signal)
        return self

    def __exit__(self, *error: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if self.running:
            print_status("stopping", ", ".join(process.name for process in self.running))
        for process in reversed(self.running):
            process.stop()

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def serve(self, name: str, *arguments: str, ready: str) -> str:
        """Start a server, wait until its output matches ``ready``, and return the first group."""
        process = self._start(name, arguments, LOGS / f"{name}.log")
        while not (match := re.search(ready, process.output)):
            self._pause(f"{name} did not start")
        return match[1]

    def run(self, name: str, *arguments: str, quiet: bool = False, grace: float = 0) -> None:
        """Run a command to its end, or ``grace`` seconds beyond the deadline; watch the servers."""
        process = self._start(name, arguments, LOGS / f"{name}.log" if quiet else None)
        while process.popen.poll() is None:
            self._pause(f"{name} did not finish", ignore=process, grace=grace)
        self.running.remove(process)
        if process.popen.returncode:
            raise process.failure() if quiet else RunError("", process.popen.returncode)

    def watch(self) -> NoReturn:
        """Wait until a server exits or the user interrupts."""
        while True:
            self._check()
            time.sleep(0.2)

    def _start(self, name: str, arguments: tuple[str, ...], log: Path | None) -> Process:
        self.running.append(Process(name, list(arguments), log))
        return self.running[-1]

    def _pause(self, problem: str, ignore: Process | None = None, grace: float = 0) -> None:
        self._check(ignore)
        if self.remaining < -grace:
            raise RunError(
                f"{problem} within {self.seconds + grace:.0f} s; see the logs in {LOGS}."
            )
        time.sleep(0.05)

    def _check(self, ignore: Process | None = None) -> None:
        for process in self.running:
            if process is not ignore and process.popen.poll() is not None:
                raise process.failure()


def start_site(processes: Processes, *, port: int, sandbox_port: int, delay: float) -> str:
    """Start the site and its services. Return its URL. Port 0 means any free port."""
    run_sandbox = not (os.environ.get("DOCRAPTOR_API_KEY") or os.environ.get("DOCRAPTOR_BASE_URL"))
    check_port(port, "--port")
    processes.run("migrate", "-m", "django", "migrate", quiet=True)
    if run_sandbox:
        check_port(sandbox_port, "--sandbox-port")
        sandbox = ["-m", "django_docraptor.sandbox", f"--port={sandbox_port}", f"--delay={delay}"]
        url = processes.serve("sandbox", *sandbox, ready=r"listening on (http://\S+)")
        os.environ["DOCRAPTOR_BASE_URL"] = url
        print_status("sandbox", url)
    web = ["-m", "django", "runserver", "--noreload", f"127.0.0.1:{port}"]
    site = processes.serve("web", *web, ready=r"development server at (http://[\d.:]+)/\n")
    print_status("web", site)
    if run_sandbox:
        os.environ.setdefault("SITE_URL", site)
    worker = "-m celery -A mysite worker -B --concurrency=2 --loglevel=INFO"
    quiet_options = "--without-gossip --without-mingle --without-heartbeat"
    arguments = [*worker.split(), *quiet_options.split()]
    print_status("worker", processes.serve("worker", *arguments, ready=r"(\S+) ready\."))
    return site


def check_port(port: int, option: str) -> None:
    """Raise RunError, which names the option that chooses another port, if the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise RunError(
                f"Port {port} is not available ({error.strerror}); choose another with {option} "
                f'(make serve ARGS="{option} …").'
            ) from None


def remove_generated_files() -> None:
    """Delete the files of earlier runs."""
    for path in (path for pattern in GENERATED_FILES for path in VAR.glob(pattern)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def print_status(label: str, text: str) -> None:
    """Print and flush a line."""
    print(f"{label:8}  {text}", flush=True)


def main(action: Callable[[], None]) -> int:
    """Run the action with an exclusive lock on the directory. Return the exit status."""
    VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (VAR / "lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
            action()
        except BlockingIOError:
            return _fail(f"Another run is using {VAR}. Stop it, or set EXAMPLE_VAR.", 1)
        except RunError as error:
            return _fail(str(error), error.code)
        except KeyboardInterrupt:
            return _fail("\nstopped", 130)
    return 0


def argument_parser(description: str, *, port: int) -> ArgumentParser:
    """Return a parser with the options of both commands."""
    parser = ArgumentParser(description=description)
    parser.add_argument(
        "--port", type=int, default=port, help="port of the web server (0: any free port)"
    )
    parser.add_argument(
        "--sandbox-port", type=int, default=0, help="port of the sandbox (0: any free port)"
    )
    parser.add_argument(
        "--delay", type=float, default=2.0, help="seconds the sandbox takes for a document"
    )
    return parser


def _fail(reason: str, code: int) -> int:
    if reason:
        print(reason, file=sys.stderr, flush=True)
    return code


def _exit_on_signal(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)
