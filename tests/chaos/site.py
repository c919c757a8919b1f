"""One whole site for one run: database, broker, sandbox, web server, beat, workers."""

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

from benchmarks.brokers import KINDS
from benchmarks.roles import Role, free_port, module
from django_docraptor.sandbox.remote import RemoteSandbox
from tests.chaos import SPEED
from tests.chaos.fault_rates import faults
from tests.support.databases import Database

# A task that waits for its document holds its process: it gets more of them.
CHILDREN = {False: 2, True: 6}
API_KEY = "chaos"
# Seconds that a document takes, and after which DocRaptor gives it up (600 s, faster).
DELAY, LIMIT = 0.5, 600 / SPEED
QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asked for."""

    jobs: int
    seconds: float
    seed: int
    broker: str
    database: str
    rates: Mapping[str, float]
    workers: int
    naive: bool
    keep: bool


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Place:
    """The site; as a context manager it leaves nothing behind, however it is left."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.scratch = Path(tempfile.mkdtemp(prefix="docraptor-chaos-"))
        self.database = Database(options.database, self.scratch)
        self.broker = KINDS[options.broker](self.scratch)
        self.played: dict[str, int] = {}
        self.kinds: list[str] = []
        self.workers: list[Role] = []
        self.roles: list[Role] = []
        # Roles that are kept alive, and when a dead one starts again.
        self._rest: dict[Role, float] = {}
        self._opener = build_opener(ProxyHandler({}))

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
        self.sandbox = self._role("sandbox", self._sandbox_command())
        self.sandbox.start()
        self.control = RemoteSandbox(self.sandbox.says("listening on").split()[-1])
        self.control.change_settings(
            list_unfinished=False, asynchronous_limit=LIMIT, api_key=API_KEY
        )
        self.port = free_port()
        self.migrate()
        self._start_site()

    def _sandbox_command(self) -> list[str]:
        options = ["--port", "0", "--renderer", "canned", "--delay", str(DELAY)]
        return module("tests.chaos.seeded_sandbox", str(self.options.seed), *options)

    def _start_site(self) -> None:
        app = ("celery", "-A", "tests.chaos.celery")
        schedule = ("-s", str(self.scratch / "beat.schedule"), "--pidfile=")
        self.web = self._role("web", module("tests.chaos.web_server", str(self.port)))
        self.beat = self._role("beat", module(*app, "beat", *schedule))
        for number in range(self.options.workers):
            size = ("-P", "prefork", "-c", str(CHILDREN[self.options.naive]), "-l", "INFO")
            words = (*app, "worker", *size, *QUIET, "-n", f"chaos{number}@%h")
            role = self._role(f"worker{number}", module(*words, "-Q", self.broker.queue))
            self.workers.append(role)
        self._rest = dict.fromkeys([self.web, self.beat, *self.workers], 0.0)
        for role in self._rest:
            role.start()
        for role in self.workers:
            role.says(" ready.")
        self.web.says("listening on")

    def _role(self, name: str, command: list[str]) -> Role:
        role = Role(name, command, self.environment, self.scratch)
        self.roles.append(role)
        return role

    @property
    def environment(self) -> dict[str, str]:
        """What the site's settings read."""
        web = f"http://127.0.0.1:{self.port}" if hasattr(self, "port") else ""
        rates = self.options.rates
        return {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "PYTHONUNBUFFERED": "1",
            # What a killed process leaves in files goes with the run.
            "TMPDIR": str(self.scratch),
            **self.database.environment,
            "TEST_BROKER": self.broker.url,
            "CHAOS_QUEUE": self.broker.queue,
            "CHAOS_SANDBOX": self.control.url if hasattr(self, "control") else "",
            "CHAOS_WEB": web,
            "CHAOS_NAIVE": "1" if self.options.naive else "",
            "CHAOS_STORAGE": json.dumps(
                {kind: rate for kind, rate in rates.items() if kind.startswith("storage.")}
            ),
        }

    def migrate(self) -> None:
        """Make the tables."""
        subprocess.run(
            module("django", "migrate", "-v", "0", "--run-syncdb"),
            env=os.environ | self.environment,
            check=True,
            timeout=120,
        )

    # Faults

    def misbehave(self) -> None:
        """Plan the sandbox's faults."""
        planned = faults(self.options.rates, self.control.url)
        self.kinds = [kind for kind, _ in planned]
        self.control.add_fault(*(fault for _, fault in planned))

    def behave(self) -> None:
        """No more faults, at the sandbox or in the storage; count what was played."""
        counts = [int(str(fault["triggered"])) for fault in self.control.faults]
        self.played = dict(zip(self.kinds, counts, strict=True))
        self.control.clear_faults()
        self.control.change_settings(api_key=API_KEY)
        (self.scratch / "calm").touch()
        log = self.scratch / "storage.log"
        for kind in log.read_text().splitlines() if log.exists() else []:
            self.played[kind] = self.played.get(kind, 0) + 1

    # Processes

    def keep_alive(self) -> int:
        """Start again what has ended, a moment later. Returns how many were started."""
        now, started = time.monotonic(), 0
        for role, since in self._rest.items():
            if role.is_alive:
                self._rest[role] = 0.0
            elif not since:
                self._rest[role] = now
            elif now - since > 0.5:
                role.start()
                started += 1
        return started

    def thaw(self) -> None:
        """Let every process go on."""
        for role in [*self.roles, self.broker.role]:
            role.thaw()
        if not self.broker.role.is_alive:
            self.broker.role.start()

    # Web requests

    def post(self, path: str, data: Any = None, seconds: float = 15) -> Any:
        """Send a web request as a customer or a person does; raises OSError."""
        body = json.dumps(data).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", body)
        with self._opener.open(request, timeout=seconds) as response:
            return json.load(response)

    # The end

    def close(self) -> None:
        """End every process, and remove what was made: nothing stops this."""
        previous = [signal.signal(number, signal.SIG_IGN) for number in _SIGNALS]
        with contextlib.ExitStack() as stack:
            if not self.options.keep:
                stack.callback(shutil.rmtree, self.scratch, ignore_errors=True)
            stack.callback(self.database.drop)
            stack.callback(self.broker.end)
            for role in self.roles:
                stack.callback(role.end)
        for number, handler in zip(_SIGNALS, previous, strict=True):
            signal.signal(number, handler)
