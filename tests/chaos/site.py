"""A complete site for one run: database, broker, sandbox, web server, beat, workers."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

from django_docraptor.sandbox.faults import Fault
from django_docraptor.sandbox.remote import RemoteSandbox
from tests.chaos import SPEED, injected
from tests.chaos.accounts import API_KEY, LIMITED_KEY
from tests.chaos.fault_rates import SITE, outage_faults, sandbox_faults
from tests.support.breakable_brokers import BROKERS
from tests.support.databases import Database
from tests.support.private_postgresql import PrivatePostgresql, is_available
from tests.support.processes import ManagedProcess, free_port, python_module
from tests.support.socket_server import SocketServer, hang

# Children of a worker, by whether it runs the baseline: the baseline task occupies its process
# while it waits, so it gets more processes.
WORKER_CHILDREN = {False: 2, True: 6}
# Render time of a document, and DocRaptor's limit for it (600 s divided by SPEED).
RENDER_SECONDS, MAX_RENDER_SECONDS = 0.5, 600 / SPEED
QUIET_WORKER_OPTIONS = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
# Between DocRaptor and the database: none, a sloppy clock, a time zone mistaken.
CLOCK_OFFSETS = (0.0, 40.0, -40.0, 7200.0, -7200.0)
# The limited account's budget, as a share of its documents.
BUDGET_SHARE = 0.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of the command line."""

    jobs: int
    seconds: float
    seed: int
    broker: str
    database: str
    rates: Mapping[str, float]
    workers: int
    baseline: bool
    keep: bool
    accounts: bool = False


class Site:
    """The site, as a context manager that always cleans up."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.scratch = Path(tempfile.mkdtemp(prefix="docraptor-chaos-"))
        self.postgresql = (
            PrivatePostgresql(self.scratch)
            if options.database == "postgresql" and is_available()
            else None
        )
        port = self.postgresql.port if self.postgresql else None
        self.database = Database(options.database, self.scratch, port)
        self.broker = BROKERS[options.broker](self.scratch)
        self.triggered: dict[str, int] = {}
        # The kind of each planned fault, by its fields.
        self._kinds: dict[str, str] = {}
        self.workers: list[ManagedProcess] = []
        self.processes: list[ManagedProcess] = []
        # Processes that are restarted, and when their death was noticed.
        self._dead_since: dict[ManagedProcess, float] = {}
        self._opener = build_opener(ProxyHandler({}))
        # Of the account with a budget, and of the one whose server hangs.
        self.budget = max(1, round(options.jobs * BUDGET_SHARE))
        self.hanging = SocketServer(hang) if options.accounts else None

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
        if self.postgresql:
            self.postgresql.start()
        self.database.create()
        self.broker.start()
        self.sandbox, self.control = self._start_sandbox("sandbox", API_KEY)
        if self.hanging:
            self.hanging.__enter__()
            _process, self.limited_control = self._start_sandbox("limited-sandbox", LIMITED_KEY)
        self.port = free_port()
        self.migrate()
        self._start_site()

    def _start_sandbox(self, name: str, api_key: str) -> tuple[ManagedProcess, RemoteSandbox]:
        process = self._process(name, self._sandbox_command())
        process.start()
        control = RemoteSandbox(process.wait_for_output("listening on").split()[-1])
        control.change_settings(
            list_unfinished=False,
            asynchronous_limit=MAX_RENDER_SECONDS,
            api_key=api_key,
            clock_offset=self.clock_offset,
        )
        return process, control

    @property
    def _accounts(self) -> dict[str, Any]:
        """The arguments of ``several_accounts``, once the servers run."""
        if not (self.hanging and hasattr(self, "limited_control")):
            return {}
        urls = {"limited_url": self.limited_control.url, "hanging_url": self.hanging.url}
        return urls | {"budget": self.budget}

    @property
    def clock_offset(self) -> float:
        """Seconds by which DocRaptor's clock is ahead of the database's, by the run's seed."""
        return CLOCK_OFFSETS[self.options.seed % len(CLOCK_OFFSETS)]

    def _sandbox_command(self) -> list[str]:
        options = ["--port", "0", "--renderer", "canned", "--delay", str(RENDER_SECONDS)]
        return python_module("tests.chaos.seeded_sandbox", str(self.options.seed), *options)

    def _start_site(self) -> None:
        app = ("celery", "-A", "tests.chaos.celery")
        schedule = ("-s", str(self.scratch / "beat.schedule"), "--pidfile=")
        self.web = self._process("web", python_module("tests.chaos.web_server", str(self.port)))
        self.beat = self._process("beat", python_module(*app, "beat", *schedule))
        children = str(WORKER_CHILDREN[self.options.baseline])
        for number in range(self.options.workers):
            options = ("-P", "prefork", "-c", children, "-l", "INFO", *QUIET_WORKER_OPTIONS)
            options = (*options, "-n", f"chaos{number}@%h", "-Q", self.broker.queue)
            command = python_module(*app, "worker", *options)
            self.workers.append(self._process(f"worker{number}", command))
        self._dead_since = dict.fromkeys([self.web, self.beat, *self.workers], 0.0)
        for process in self._dead_since:
            process.start()
        for worker in self.workers:
            worker.wait_for_output(" ready.")
        self.web.wait_for_output("listening on")

    def _process(self, name: str, command: list[str]) -> ManagedProcess:
        process = ManagedProcess(name, command, self.environment, self.scratch)
        self.processes.append(process)
        return process

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that the site's settings read."""
        url = f"http://127.0.0.1:{self.port}" if hasattr(self, "port") else ""
        rates = self.options.rates
        return {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "PYTHONUNBUFFERED": "1",
            # Temporary files of killed processes are deleted with the run.
            "TMPDIR": str(self.scratch),
            **self.database.environment,
            "TEST_BROKER": self.broker.url,
            "CHAOS_QUEUE": self.broker.queue,
            "CHAOS_SANDBOX_URL": self.control.url if hasattr(self, "control") else "",
            "CHAOS_SITE_URL": url,
            "CHAOS_ACCOUNTS": json.dumps(self._accounts),
            "CHAOS_BASELINE": "1" if self.options.baseline else "",
            "CHAOS_DATABASE_PORT": str(self.database.port or ""),
        } | {
            f"CHAOS_{part.upper()}_FAILURE_RATES": json.dumps(
                {kind: rate for kind, rate in rates.items() if kind.startswith(f"{part}.")}
            )
            for part in SITE
        }

    def migrate(self) -> None:
        """Create the tables, without the faults that are meant for the engine."""
        subprocess.run(
            python_module("django", "migrate", "-v", "0", "--run-syncdb"),
            env=os.environ | self.environment | {"CHAOS_DATABASE_FAILURE_RATES": "{}"},
            check=True,
            timeout=120,
        )

    # Faults

    def start_faults(self) -> None:
        """Plan the sandbox's faults."""
        planned = sandbox_faults(self.options.rates, self.control.url)
        self._plan(planned)
        if self.hanging:
            others = sandbox_faults(self.options.rates, self.limited_control.url)
            self.limited_control.add_fault(*(fault for _, fault in others))

    def _plan(self, planned: list[tuple[str, Fault]]) -> None:
        self._kinds |= {_key(fault.as_json()): kind for kind, fault in planned}
        self.control.add_fault(*(fault for _, fault in planned))

    def start_outage(self) -> None:
        """Let DocRaptor fail every call for some hours, on the run's time scale."""
        self._plan(outage_faults())

    def stop_faults(self) -> None:
        """Stop all faults in the sandbox and the storage, and count those that were triggered."""
        for fault in self.control.faults:
            kind = self._kinds[_key(fault)]
            self.triggered[kind] = self.triggered.get(kind, 0) + int(str(fault["triggered"]))
        self.control.clear_faults()
        if self.hanging:
            self.limited_control.clear_faults()
        self.control.change_settings(api_key=API_KEY)
        (self.scratch / injected.NO_MORE_FAULTS).touch()
        log = self.scratch / injected.LOG
        for kind in log.read_text().splitlines() if log.exists() else []:
            self.triggered[kind] = self.triggered.get(kind, 0) + 1

    # Processes

    def keep_alive(self) -> int:
        """Restart dead processes after a short delay.

        Returns:
            How many were started.
        """
        now, started = time.monotonic(), 0
        for process, since in self._dead_since.items():
            if process.is_alive:
                self._dead_since[process] = 0.0
            elif not since:
                self._dead_since[process] = now
            elif now - since > 0.5:
                process.start()
                started += 1
        return started

    def resume(self) -> None:
        """Resume every process, and start the broker if it is dead."""
        for process in [*self.processes, self.broker.process]:
            process.resume()
        if not self.broker.process.is_alive:
            self.broker.process.start()

    # Web requests

    def post(self, path: str, data: Any = None, timeout: float = 15) -> Any:
        """Send a web request as a simulated user does, and return the JSON response.

        Raises:
            OSError: The web server did not respond, or with an error status.
        """
        body = json.dumps(data).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", body)
        with self._opener.open(request, timeout=timeout) as response:
            return json.load(response)

    # The end

    def close(self) -> None:
        """End all processes and delete all data, ignoring SIGINT and SIGTERM."""
        previous = [signal.signal(number, signal.SIG_IGN) for number in _SIGNALS]
        with contextlib.ExitStack() as stack:
            if not self.options.keep:
                stack.callback(shutil.rmtree, self.scratch, ignore_errors=True)
            if self.postgresql:
                stack.callback(self.postgresql.stop)
            else:
                stack.callback(self.database.drop)
            stack.callback(self.broker.stop)
            if self.hanging:
                stack.callback(self.hanging.__exit__, None, None, None)
            for process in self.processes:
                stack.callback(process.kill_all)
        for number, handler in zip(_SIGNALS, previous, strict=True):
            signal.signal(number, handler)


def _key(fault: Mapping[str, Any]) -> str:
    """Return what identifies a planned fault among those that the sandbox reports."""
    counts = {"matched", "triggered"}
    return json.dumps({name: fault[name] for name in sorted(fault) if name not in counts})
