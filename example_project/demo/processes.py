"""Start processes, watch them, stop them. Nothing outlives the ``with`` block.

No Django here: the processes have it.
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

from example_project.demo.place import ROOT, SITE, VAR

LOGS = VAR / "logs"
# What every process gets: the site's directory in its path, as if it had been started there.
ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONPATH": os.pathsep.join(
        filter(None, [os.environ.get("PYTHONPATH"), str(ROOT), str(SITE)])
    ),
    "EXAMPLE_VAR": str(VAR),
    "DJANGO_SETTINGS_MODULE": "example_project.demo.settings",
    "DJANGO_RUNSERVER_HIDE_WARNING": "true",
}
# What a fresh start removes: nothing that this project has not made.
MADE = ["db.sqlite3*", "broker", "documents", "media", "mail", "spool", "logs", "celerybeat-*"]
# Seconds that a process has for stopping before it is killed.
PATIENCE = 12.0


class RunError(Exception):
    """It cannot go on. The text is for the user."""

    def __init__(self, reason: str, code: int = 1) -> None:
        super().__init__(reason)
        self.code = code


class Process:
    """One process in a session of its own, so that Ctrl-C reaches only us."""

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
        """What it has said so far."""
        return self.log.read_text(errors="replace") if self.log else ""

    def failure(self) -> RunError:
        """Why it ended, from what it said last; commands end with 2 after a line for the user."""
        code = self.popen.wait()
        lines = self.output.strip().splitlines() or ["it said nothing"]
        if code == 2:
            return RunError(lines[-1], code)
        return RunError("\n".join([f"{self.name} ended with {code}:", *lines[-15:]]))

    def stop(self) -> None:
        """SIGTERM; after a while SIGKILL, for its children too."""
        ended_early = self.popen.poll() is not None
        with suppress(ProcessLookupError):
            self.popen.terminate()
        try:
            self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        if ended_early:
            self.kill()

    def kill(self) -> None:
        """Kill it and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


class Processes:
    """The processes of one run. They have until ``deadline`` to get ready, or to finish."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.running: list[Process] = []

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        return self

    def __exit__(self, *error: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if self.running:
            say("stopping", ", ".join(process.name for process in self.running))
        for process in reversed(self.running):
            process.stop()

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def serve(self, name: str, *arguments: str, ready: str) -> str:
        """Start a server and wait until it says that it is ready. Returns what matched."""
        process = self._start(name, arguments, LOGS / f"{name}.log")
        while not (found := re.search(ready, process.output)):
            self._pause(f"{name} did not get ready")
        return found[1]

    def run(self, name: str, *arguments: str, quiet: bool = False) -> None:
        """Run a command to its end while watching the servers."""
        process = self._start(name, arguments, LOGS / f"{name}.log" if quiet else None)
        while process.popen.poll() is None:
            self._pause(f"{name} did not finish", but=process)
        self.running.remove(process)
        if process.popen.returncode:
            raise process.failure() if quiet else RunError("", process.popen.returncode)

    def watch(self) -> NoReturn:
        """Wait until a server ends, or somebody interrupts."""
        while True:
            self._check()
            time.sleep(0.2)

    def _start(self, name: str, arguments: tuple[str, ...], log: Path | None) -> Process:
        self.running.append(Process(name, list(arguments), log))
        return self.running[-1]

    def _pause(self, complaint: str, but: Process | None = None) -> None:
        self._check(but)
        if self.remaining < 0:
            raise RunError(f"{complaint} within {self.seconds:.0f} s; see the logs in {LOGS}.")
        time.sleep(0.05)

    def _check(self, but: Process | None = None) -> None:
        for process in self.running:
            if process is not but and process.popen.poll() is not None:
                raise process.failure()


def start_site(processes: Processes, *, port: int, sandbox_port: int, delay: float) -> str:
    """Start everything that the site needs. Returns its address. A port of 0 means any free one."""
    run_sandbox = not (os.environ.get("DOCRAPTOR_API_KEY") or os.environ.get("DOCRAPTOR_BASE_URL"))
    check_port(port)
    processes.run("migrate", "-m", "django", "migrate", quiet=True)
    if run_sandbox:
        check_port(sandbox_port)
        sandbox = ["-m", "django_docraptor.sandbox", f"--port={sandbox_port}", f"--delay={delay}"]
        url = processes.serve("sandbox", *sandbox, ready=r"listening on (http://\S+)")
        os.environ["DOCRAPTOR_BASE_URL"] = url
        say("sandbox", url)
    web = ["-m", "django", "runserver", "--noreload", f"127.0.0.1:{port}"]
    site = processes.serve("web", *web, ready=r"development server at (http://[\d.:]+)/\n")
    say("web", site)
    if run_sandbox:
        os.environ.setdefault("SITE_URL", site)
    worker = "-m celery -A mysite worker -B --concurrency=2 --loglevel=INFO"
    calm = "--without-gossip --without-mingle --without-heartbeat"
    say("worker", processes.serve("worker", *worker.split(), *calm.split(), ready=r"(\S+) ready\."))
    return site


def check_port(port: int) -> None:
    """Raise RunError if the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise RunError(
                f"Port {port} cannot be used ({error.strerror}): choose another."
            ) from None


def make_fresh() -> None:
    """Remove what an earlier run has made."""
    for path in (path for pattern in MADE for path in VAR.glob(pattern)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def say(what: str, text: str) -> None:
    """Print one line at once."""
    print(f"{what:8}  {text}", flush=True)


def main(action: Callable[[], None]) -> int:
    """Do it, with nobody else in the same directory. Returns the exit code."""
    VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (VAR / "lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
            action()
        except BlockingIOError:
            return _fail(f"{VAR} is in use by another run: stop it, or set EXAMPLE_VAR.", 1)
        except RunError as error:
            return _fail(str(error), error.code)
        except KeyboardInterrupt:
            return _fail("\nstopped", 130)
    return 0


def argument_parser(description: str, *, port: int) -> ArgumentParser:
    """The options that both commands have."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=port, help="of the web server; 0: any free one")
    parser.add_argument("--sandbox-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--delay", type=float, default=2.0, help="seconds a document takes")
    return parser


def _fail(reason: str, code: int) -> int:
    if reason:
        print(reason, file=sys.stderr, flush=True)
    return code


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)
