"""A site for one run: database, broker, sandbox; web server and worker only while needed.

The driver's own process is a part of the site: it enqueues the documents and reads the rows.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import django
from django.core.management import call_command

from django_docraptor.sandbox.remote import RemoteSandbox
from tests.support.breakable_brokers import Redis
from tests.support.databases import Database, app_tables
from tests.support.processes import ManagedProcess, free_port, python_module

QUIET_WORKER_OPTIONS = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
# No limit on documents in progress, for both sides.
UNLIMITED = 1_000_000
LOG_TAIL_CHARACTERS = 2000


class Site:
    """The site, as a context manager that always cleans up."""

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="docraptor-bench-"))
        self.database = Database("postgresql", self.scratch)
        self.broker = Redis(self.scratch)
        self.processes: list[ManagedProcess] = []
        # A number per worker: the log of an earlier one already says that it is ready.
        self._worker_numbers = count()
        self._web: ManagedProcess | None = None
        self._port = free_port()

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _build(self) -> None:
        self.database.create()
        self.broker.start()
        options = ("--port", "0", "--renderer", "canned", "--max-concurrent", str(UNLIMITED))
        command = python_module("django_docraptor.sandbox", *options)
        self.sandbox = self.start_process("sandbox", command)
        self.control = RemoteSandbox(self.sandbox.wait_for_output("listening on").split()[-1])
        os.environ |= self.environment
        django.setup()
        call_command("migrate", verbosity=0, run_syncdb=True)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that the site's settings read."""
        return {
            "DJANGO_SETTINGS_MODULE": "benchmarks.cost.settings",
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.scratch),
            **self.database.environment,
            "TEST_BROKER": self.broker.url,
            "BENCH_SANDBOX_URL": self.control.url,
        }

    def start_process(self, name: str, command: list[str], **environment: str) -> ManagedProcess:
        """Start a process of the site; it ends with the site."""
        process = ManagedProcess(name, command, environment, self.scratch)
        self.processes.append(process)
        process.start()
        return process

    # Between benchmarks

    def reset(self, *, delay: float = 0.0, **settings: Any) -> None:
        """Delete all rows, messages and documents.

        Args:
            delay: the sandbox's render time from now on, in seconds.
            settings: other settings of the sandbox.
        """
        self.broker.flush()
        self.control.reset()
        self.control.change_settings(delay=delay, **settings)
        tables = [*app_tables(), "baseline_document"]
        # Use TRUNCATE: after DELETE and VACUUM, PostgreSQL's statistics say that the tables are
        # empty, and foreign key checks scan them.
        self.database.query(f"TRUNCATE {', '.join(tables)} CASCADE")
        shutil.rmtree(self.scratch / "documents", ignore_errors=True)
        for file in self.scratch.glob("timings.*"):
            file.unlink()

    # Processes

    def start_web(self) -> str:
        """Start the web server, which then runs until the end; return its URL."""
        if self._web is None:
            command = python_module("benchmarks.cost.web_server", str(self._port))
            self._web = self.start_process("web", command)
            self._web.wait_for_output("listening on")
        return f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def worker(
        self, *, callbacks: bool, slots: int = 2, **environment: str
    ) -> Iterator[ManagedProcess]:
        """Run a Celery worker.

        Args:
            callbacks: whether DocRaptor calls the web server back.
            slots: the number of the worker's children.
            environment: more variables for the worker.
        """
        environment |= {"BENCH_TASK_TIMINGS_FILE": str(self.scratch / "timings")}
        environment |= {"BENCH_SITE_URL": self.start_web()} if callbacks else {}
        app = ("celery", "-A", "benchmarks.cost.celery", "worker", "-P", "prefork")
        command = python_module(*app, "-c", str(slots), "-l", "INFO", *QUIET_WORKER_OPTIONS)
        worker = self.start_process(f"worker{next(self._worker_numbers)}", command, **environment)
        try:
            worker.wait_for_output(" ready.")
            yield worker
        finally:
            worker.kill_all()
            self.processes.remove(worker)

    @property
    def web_pid(self) -> int:
        """The process ID of the web server; 0 if it is not running."""
        return self._web.pid if self._web else 0

    def task_timings(self) -> list[tuple[str, float, float]]:
        """Return the tasks that workers ran since `reset`: name, seconds, seconds of CPU."""
        lines = [
            line.split()
            for file in self.scratch.glob("timings.*")
            for line in file.read_text().splitlines()
        ]
        return [(name, float(wall), float(cpu)) for name, wall, cpu in lines]

    def print_logs(self) -> None:
        """Print the end of each process's log."""
        for path in sorted(self.scratch.glob("*.log")):
            tail = path.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
            sys.stderr.write(f"--- {path.name}\n{tail}\n")

    def close(self) -> None:
        """End all processes and delete all data."""
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.scratch, ignore_errors=True)
            stack.callback(self.database.drop)
            stack.callback(self.broker.stop)
            for process in self.processes:
                stack.callback(process.kill_all)
