"""One site for one run: database, broker, sandbox; web server and worker while a figure needs them.

The driver's own process is a part of the site, too: it orders the documents and reads the rows.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import django
from django.core.management import call_command

from django_docraptor.sandbox.remote import RemoteSandbox
from tests.support.breakable_brokers import Redis
from tests.support.databases import TABLES, Database
from tests.support.processes import ManagedProcess, free_port, python_module

QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
# More than ever are in the making at once: the limit is lifted for both sides.
UNLIMITED = 1_000_000
TAIL = 2000


class Place:
    """The site; as a context manager it leaves nothing behind, however it is left."""

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="docraptor-bench-"))
        self.database = Database("postgresql", self.scratch)
        self.broker = Redis(self.scratch)
        self.roles: list[ManagedProcess] = []
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
        limit = ("--max-concurrent", str(UNLIMITED))
        command = python_module("django_docraptor.sandbox", "--port", "0", "--renderer", "canned", *limit)
        self.sandbox = self.role("sandbox", command)
        self.control = RemoteSandbox(self.sandbox.wait_for_output("listening on").split()[-1])
        os.environ |= self.environment
        django.setup()
        call_command("migrate", verbosity=0, run_syncdb=True)

    @property
    def environment(self) -> dict[str, str]:
        """What the site's settings read."""
        return {
            "DJANGO_SETTINGS_MODULE": "benchmarks.cost.settings",
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.scratch),
            **self.database.environment,
            "TEST_BROKER": self.broker.url,
            "BENCH_SANDBOX": self.control.url,
        }

    def role(self, name: str, command: list[str], **environment: str) -> ManagedProcess:
        """Start a process of the site; it ends with the place."""
        role = ManagedProcess(name, command, environment, self.scratch)
        self.roles.append(role)
        role.start()
        return role

    # Between figures

    def clean(self, *, delay: float = 0.0, **settings: Any) -> None:
        """No rows, messages, documents; the sandbox takes ``delay`` seconds for a document."""
        self.broker.flush()
        self.control.reset()
        self.control.change_settings(delay=delay, **settings)
        tables = ", ".join((*(f"django_docraptor_{name}" for name in TABLES), "baseline_document"))
        # Not DELETE and VACUUM: PostgreSQL then remembers that the tables are empty, and checks
        # foreign keys of the many rows to come by reading all of them.
        self.database.query(f"TRUNCATE {tables} CASCADE")
        shutil.rmtree(self.scratch / "documents", ignore_errors=True)
        for file in self.scratch.glob("busy.*"):
            file.unlink()

    # Processes

    def web(self) -> str:
        """The address of the web server, which then runs till the end."""
        if self._web is None:
            self._web = self.role("web", python_module("benchmarks.cost.web_server", str(self._port)))
            self._web.wait_for_output("listening on")
        return f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def worker(self, *, callbacks: bool, slots: int = 2, **environment: str) -> Iterator[ManagedProcess]:
        """One Celery worker with so many children, for a while."""
        environment |= {"BENCH_BUSY": str(self.scratch / "busy")}
        environment |= {"BENCH_WEB": self.web()} if callbacks else {}
        app = ("celery", "-A", "benchmarks.cost.celery", "worker", "-P", "prefork")
        command = python_module(*app, "-c", str(slots), "-l", "INFO", *QUIET)
        role = self.role(f"worker{len(self.roles)}", command, **environment)
        try:
            role.wait_for_output(" ready.")
            yield role
        finally:
            role.kill_all()
            self.roles.remove(role)

    @property
    def web_pid(self) -> int:
        """The web server's process; 0 while there is none."""
        return self._web.pid if self._web else 0

    def busy(self) -> list[tuple[str, float, float]]:
        """What tasks the workers ran since `clean`: name, seconds, seconds of CPU."""
        lines = [
            line.split()
            for file in self.scratch.glob("busy.*")
            for line in file.read_text().splitlines()
        ]
        return [(name, float(wall), float(cpu)) for name, wall, cpu in lines]

    def show_logs(self) -> None:
        """Print the end of what the processes have said."""
        for path in sorted(self.scratch.glob("*.log")):
            sys.stderr.write(f"--- {path.name}\n{path.read_text(errors='replace')[-TAIL:]}\n")

    def close(self) -> None:
        """End every process, and remove what was made."""
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.scratch, ignore_errors=True)
            stack.callback(self.database.drop)
            stack.callback(self.broker.stop)
            for role in self.roles:
                stack.callback(role.kill_all)
