"""A complete site: web server, workers and sandbox as processes, with a database and a broker.

with Site(database, broker, folder) as site:
    site.start_web_server()
    site.start_workers()
    jobs = site.enqueue(200)
    site.wait_for_all(60)
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from django_docraptor.sandbox.remote import RemoteSandbox
from tests.support.brokers import Broker
from tests.support.databases import Database
from tests.support.documents import is_intact
from tests.support.processes import ManagedProcess, python_module, wait_until

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.e2e.settings", "PYTHONUNBUFFERED": "1"}
RECEIVED = re.compile(r"Task django_docraptor\.(\w+)\[\S+\] received")
PROBE_TAG = "probe:"
# Shorter than in production, so that the tests are fast.
POLL = {"floor": 0.3, "ceiling": 2.0, "fraction": 0.2}
WORKER = [
    *("worker", "-P", "prefork", "-c", "2", "-l", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]


def run(*module: str, environment: Mapping[str, str], seconds: float = 60) -> str:
    """Run ``python -m`` to its end; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", *module],
        env=os.environ | SETTINGS | environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert not done.returncode, f"{module}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Site:
    """One site for one test; all of its processes end with it.

    Args:
        database: migrated and empty.
        broker: an isolated namespace.
        folder: for logs.
        delay: seconds that a document takes at the sandbox.
        renderer: the sandbox's.
        environment: more variables for the site's settings.
        engine: overrides the tests' ``DOCRAPTOR``.
    """

    celery_app = "tests.e2e.celery"

    def __init__(
        self,
        database: Database,
        broker: Broker,
        folder: Path,
        *,
        delay: float = 0.3,
        renderer: str = "canned",
        environment: Mapping[str, str] | None = None,
        **engine: Any,
    ) -> None:
        self.database = database
        self.broker = broker
        self.folder = folder
        self.engine = {"POLL": POLL, **engine}
        self.processes: list[ManagedProcess] = []
        self._delay = delay
        self._renderer = renderer
        self.variables = dict(environment or {})

    def __enter__(self) -> Self:
        command = ["django_docraptor.sandbox", "--port", "0", "--renderer", self._renderer]
        sandbox = self.start("sandbox", *command, "--delay", str(self._delay))
        self.engine["BASE_URL"] = sandbox.wait_for_output("listening on").split()[-1]
        self.control = RemoteSandbox(self.engine["BASE_URL"])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill_all()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the site's processes."""
        return {
            **SETTINGS,
            **self.database.environment,
            **self.broker.environment,
            "SITE_DOCRAPTOR": json.dumps(self.engine),
            **self.variables,
        }

    # Processes

    def start_web_server(self) -> str:
        """Start the web server, to which callbacks are sent; return its URL."""
        web = self.start("web", "tests.e2e.web_server")
        self.engine["CALLBACK_BASE_URL"] = web.wait_for_output("listening on").split()[-1]
        return str(self.engine["CALLBACK_BASE_URL"])

    def start_workers(self, count: int = 1, *, beat: bool = False) -> list[ManagedProcess]:
        """Start Celery workers with two children each; return them when they are ready."""
        workers = []
        command = ["celery", "-A", self.celery_app, *WORKER]
        for _ in range(count):
            name = f"worker{len(self.processes)}"
            extra = ["-B", "-s", str(self.folder / f"{name}.beat")] if beat else []
            host = f"{name}@{self.broker.queue}"
            workers.append(self.start(name, *command, "-Q", self.broker.queue, "-n", host, *extra))
        for worker in workers:
            worker.wait_for_output(" ready.", 60)
        return workers

    def tick(self, seconds: float = 90) -> str:
        """Run the engine without Celery until nothing is left; return its output."""
        options = ["--until-idle", "--interval", "0.2", "--timeout", str(seconds)]
        return self.run("django", "docraptor_tick", *options, seconds=seconds + 30)

    def run(self, *module: str, seconds: float = 60) -> str:
        """Run one process of the site to its end."""
        return run(*module, environment=self.environment, seconds=seconds)

    def start(self, name: str, *module: str) -> ManagedProcess:
        """Start a process of the site, with a log of that name."""
        process = ManagedProcess(name, python_module(*module), self.environment, self.folder)
        process.start()
        self.processes.append(process)
        return process

    # Documents

    def enqueue(self, count: int, *, at_once: bool = False) -> dict[str, str]:
        """Enqueue documents in a separate process; return the jobs' IDs and names."""
        jobs: dict[str, str] = self.enqueue_timed(count, at_once=at_once)["jobs"]
        return jobs

    def enqueue_timed(self, count: int, *, at_once: bool = False) -> dict[str, Any]:
        """Enqueue documents in a separate process; also return the ``seconds`` that it waited."""
        options = ["--at-once"] if at_once else []
        enqueued: dict[str, Any] = json.loads(self.run("tests.e2e.enqueue", str(count), *options))
        return enqueued

    def states(self) -> dict[str, int]:
        """Return the number of jobs in each state."""
        sql = "SELECT state, COUNT(*) FROM django_docraptor_renderjob GROUP BY state"
        return dict(self.database.query(sql))

    def unfinished(self) -> int:
        """Return the number of unfinished jobs."""
        sql = "SELECT COUNT(*) FROM django_docraptor_renderjob WHERE due_at IS NOT NULL"
        return int(self.database.query(sql)[0][0])

    def wait_for_all(self, seconds: float) -> None:
        """Wait until every job is finished."""
        try:
            wait_until("every job is final", lambda: not self.unfinished(), seconds, 0.25)
        except AssertionError as error:
            error.add_note(f"states: {self.states()}")
            raise

    # Results

    def assert_consistent(self, enqueued: Mapping[str, str], *, has_killed: bool = False) -> None:
        """Assert that each document is right, was accepted once, and that no other file exists.

        Args:
            enqueued: the jobs' IDs and names.
            has_killed: whether workers were killed. One that dies with its create call leaves a
                doubt, which a probe settles: the engine's own test document, which is free. One
                that dies with a download leaves a file in the spool, until it is stale: complete
                if it was stored but not yet removed.
        """
        jobs = {job["id"]: job for job in self.database.jobs()}
        assert {key: job["name"] for key, job in jobs.items()} == enqueued
        problems = [f"{job['state']}: {job['errors']}" for job in jobs.values() if job["errors"]]
        assert {job["state"] for job in jobs.values()} == {"completed"}, problems
        for job in jobs.values():
            self._check_file(job)
        self._check_accepted({key: job["attempt"] for key, job in jobs.items()}, has_killed)
        files = [path for path in self.documents.rglob("*") if path.is_file()]
        assert len(files) == len(enqueued)
        spooled = [path.name for path in (self.database.scratch / "spool").iterdir()]
        assert has_killed or spooled == []

    def _check_accepted(self, attempts: Mapping[str, int], has_killed: bool) -> None:
        entries = self.control.ledger.entries
        probes = [entry for entry in entries if entry.tag.startswith(PROBE_TAG)]
        assert has_killed or probes == []
        assert not any(entry.billed for entry in probes)
        tags = Counter(entry.tag for entry in entries if entry not in probes)
        assert tags == {f"{key}:{attempt}": 1 for key, attempt in attempts.items()}

    def _check_file(self, job: Mapping[str, Any]) -> None:
        data = (self.documents / job["file"]).read_bytes()
        assert is_intact(data, job["name"]), f"{job['name']} is incomplete or another document"
        assert (job["file_size"], job["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())

    @property
    def documents(self) -> Path:
        """The directory of the stored documents."""
        return self.database.scratch / "documents"

    def logs(self) -> dict[str, str]:
        """Return the tail of each process's log."""
        return {process.log.name: process.tail for process in self.processes}

    def messages(self) -> Counter[str]:
        """Return the number of messages of each task that the workers received."""
        texts = [process.output for process in self.processes if "worker" in process.log.name]
        return Counter(name for text in texts for name in RECEIVED.findall(text))

    def statistics(self) -> dict[str, Any]:
        """Return what the run needed: times, messages, calls."""
        jobs, ledger = self.database.jobs(), self.control.ledger
        finished = {entry.tag.partition(":")[0]: entry.finished_at for entry in ledger.entries}
        waits = [
            (_moment(job["finished_at"]) - rendered).total_seconds()
            for job in jobs
            if (rendered := finished.get(job["id"])) and job["finished_at"]
        ]
        began = min(_moment(job["created_at"]) for job in jobs)
        ended = max(_moment(job["finished_at"]) for job in jobs if job["finished_at"])
        messages = self.messages()
        return {
            "documents": len(jobs),
            "seconds": round((ended - began).total_seconds(), 1),
            "messages": dict(messages),
            "messages per document": round(messages.total() / len(jobs), 2),
            "status calls per document": round(ledger.status_calls / len(jobs), 2),
            "rendered to stored, median": round(median(waits), 2),
            "rendered to stored, longest": round(max(waits), 2),
            "callbacks": ledger.callback_calls,
            "peak": ledger.peak_concurrency,
        }


def reset(database: Database) -> None:
    """Empty the database and its directories."""
    database.empty()
    for name in ("documents", "spool"):
        shutil.rmtree(database.scratch / name, ignore_errors=True)


def _moment(value: datetime | str) -> datetime:
    """Return the time of a database's driver with its zone."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
