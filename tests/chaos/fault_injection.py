"""Inject random faults into the site's processes, broker and database, from one seed.

Once in a run, DocRaptor has an outage.
"""

import heapq
import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import count

import amqp
import psycopg
import pymysql
import redis

from django_docraptor.sandbox.remote import RemoteSandboxError
from tests.chaos.accounts import API_KEY
from tests.chaos.site import Site
from tests.support.breakable_brokers import restart
from tests.support.processes import ManagedProcess

# Between two faults, on average.
MEAN_INTERVAL_SECONDS = 1.2
# Relative frequency of each fault.
FAULT_WEIGHTS = {
    "child killed": 5.0,
    "child frozen": 3.0,
    "worker killed without children": 1.5,
    "worker killed with children": 1.5,
    "worker stopped (SIGTERM)": 2.0,
    "worker frozen": 2.0,
    "broker frozen": 2.0,
    "broker flushed": 1.5,
    "broker killed": 0.7,
    "database connections terminated": 3.0,
    "database restarted": 1.0,
    "web server killed": 1.0,
    "beat killed": 0.5,
    "DocRaptor frozen": 1.0,
    "API key rejected": 0.5,
}
KILL_FAULTS = [name for name in FAULT_WEIGHTS if "killed" in name or "SIGTERM" in name]
# Duration of a freeze. A long one exceeds the lease of a create call (9 s: `leases`, on the run's
# time scale), but not the confirmation window (30 s).
SHORT_FREEZE_SECONDS = (0.3, 3.0)
LONG_FREEZE_SECONDS = (11.0, 20.0)
# Number of queries for open connections, because tasks close theirs quickly.
CONNECTION_QUERIES = 10
# Seconds that a worker has to stop after SIGTERM.
STOP_TIMEOUT_SECONDS = 10.0
# When the outage begins, as shares of the time with faults.
OUTAGE_START_SHARES = (0.2, 0.5)
EXPECTED_ERRORS = (
    OSError,
    RemoteSandboxError,
    amqp.AMQPError,
    redis.RedisError,
    psycopg.Error,
    pymysql.Error,
)


class FaultInjector:
    """Inject one fault after another and undo each after a while. Call `step` often."""

    def __init__(self, site: Site, rng: random.Random, seconds: float) -> None:
        self.site = site
        self.rng = rng
        # One outage, so that there is time for the documents before and after it.
        self._outage = time.monotonic() + rng.uniform(*OUTAGE_START_SHARES) * seconds
        self.events: Counter[str] = Counter()
        self.restarts = 0
        self._frozen: set[ManagedProcess] = set()
        self._scheduled_undos: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._next = time.monotonic() + MEAN_INTERVAL_SECONDS
        self._faults: dict[str, Callable[[], bool]] = {
            "child killed": self._kill_child,
            "child frozen": self._freeze_child,
            "worker killed without children": lambda: self._kill(self._worker()),
            "worker killed with children": self._kill_worker_with_children,
            "worker stopped (SIGTERM)": self._stop_worker,
            "worker frozen": lambda: self._freeze(self._worker(), self._duration()),
            "broker frozen": lambda: self._freeze(site.broker.process, self.rng.uniform(0.5, 5)),
            "broker flushed": self._flush,
            "broker killed": self._restart_broker,
            "database connections terminated": self._terminate_connections,
            "database restarted": self._restart_database,
            "web server killed": lambda: self._kill(site.web),
            "beat killed": lambda: self._kill(site.beat),
            "DocRaptor frozen": lambda: self._freeze(site.sandbox, self.rng.uniform(0.5, 3)),
            "API key rejected": self._reject_api_key,
        }

    def step(self) -> None:
        """Undo faults that have lasted long enough, and inject the next one if it is due."""
        now = time.monotonic()
        while self._scheduled_undos and self._scheduled_undos[0][0] <= now:
            self._attempt(heapq.heappop(self._scheduled_undos)[2])
        self.restarts += self.site.keep_alive()
        if now >= self._outage and self._attempt(self._begin_outage):
            self.events["outage of ten hours"] += 1
            self._outage = math.inf
        if now >= self._next:
            self._next = now + self.rng.expovariate(1 / MEAN_INTERVAL_SECONDS)
            self._inject_random_fault()

    def stop(self) -> None:
        """Undo all faults and inject no more."""
        while self._scheduled_undos:
            self._attempt(heapq.heappop(self._scheduled_undos)[2])
        self.site.resume()

    @property
    def kill_count(self) -> int:
        """The number of processes that were killed or told to stop."""
        return sum(self.events[name] for name in KILL_FAULTS)

    def _inject_random_fault(self) -> None:
        name = self.rng.choices(list(FAULT_WEIGHTS), list(FAULT_WEIGHTS.values()))[0]
        if self._attempt(self._faults[name]):
            self.events[name] += 1

    def _attempt(self, action: Callable[[], object]) -> bool:
        """Return whether the action succeeded: its target may already be down."""
        try:
            return action() is not False
        except EXPECTED_ERRORS:
            return False

    def _schedule_undo(self, seconds: float, action: Callable[[], None]) -> None:
        entry = (time.monotonic() + seconds, next(self._number), action)
        heapq.heappush(self._scheduled_undos, entry)

    def _worker(self) -> ManagedProcess:
        return self.rng.choice(self.site.workers)

    def _duration(self) -> float:
        is_long = self.rng.random() < 0.3
        return self.rng.uniform(*(LONG_FREEZE_SECONDS if is_long else SHORT_FREEZE_SECONDS))

    def _child(self) -> int | None:
        worker = self._worker()
        children = worker.children if worker.is_alive else []
        return self.rng.choice(children) if children else None

    # Faults: each returns whether it was injected

    def _kill_child(self) -> bool:
        child = self._child()
        return child is not None and _send(child, signal.SIGKILL)

    def _freeze_child(self) -> bool:
        child = self._child()
        if child is None or not _send(child, signal.SIGSTOP):
            return False
        self._resume_later(self._duration(), lambda: _resume_process(child))
        return True

    def _kill(self, process: ManagedProcess) -> bool:
        if process.is_alive:
            process.signal(signal.SIGKILL)
        return process.is_alive

    def _kill_worker_with_children(self) -> bool:
        worker = self._worker()
        worker.signal_group(signal.SIGKILL)
        return True

    def _stop_worker(self) -> bool:
        worker = self._worker()
        if not worker.is_alive:
            return False
        popen = worker.popen
        worker.signal(signal.SIGTERM)

        def kill_if_still_running() -> None:
            if worker.popen is popen and worker.is_alive:
                self.events["killed after stop timeout"] += 1
                worker.signal_group(signal.SIGKILL)

        self._schedule_undo(STOP_TIMEOUT_SECONDS, kill_if_still_running)
        return True

    def _freeze(self, process: ManagedProcess, seconds: float) -> bool:
        if not process.is_alive:
            return False
        process.signal_group(signal.SIGSTOP)
        self._frozen.add(process)

        def resume() -> None:
            self._frozen.discard(process)
            process.resume()

        self._resume_later(seconds, resume)
        return True

    def _resume_later(self, seconds: float, resume: Callable[[], None]) -> None:
        self.events["frozen longer than a lease"] += seconds >= LONG_FREEZE_SECONDS[0]
        self._schedule_undo(seconds, resume)

    def _flush(self) -> bool:
        if self.site.broker.process in self._frozen:
            return False
        self.site.broker.flush()
        return True

    def _restart_broker(self) -> bool:
        restart(self.site.broker)
        return True

    def _begin_outage(self) -> bool:
        if self.site.sandbox in self._frozen:
            return False
        self.site.start_outage()
        return True

    def _restart_database(self) -> bool:
        if self.site.postgresql is None:
            return False
        self.site.postgresql.restart()
        return True

    def _terminate_connections(self) -> bool:
        database = self.site.database
        sql = {
            "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = '{}' ORDER BY pid",
            "mariadb": "SELECT id FROM information_schema.processlist "
            "WHERE id <> CONNECTION_ID() AND db = '{}' ORDER BY id",
        }[database.kind].format(database.name)
        kill = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}
        found: list[int] = []
        for _ in range(CONNECTION_QUERIES):
            found = found or [row[0] for row in database.query(sql)]
        chosen = found if self.rng.random() < 0.5 else found[::2]
        for number in chosen:
            self._attempt(lambda number=number: database.query(kill[database.kind].format(number)))
        return bool(chosen)

    def _reject_api_key(self) -> bool:
        if self.site.sandbox in self._frozen:
            return False
        self.site.control.change_settings(api_key="another")
        self._schedule_undo(2.0, self._restore_api_key)
        return True

    def _restore_api_key(self) -> None:
        self.site.sandbox.resume()
        self.site.control.change_settings(api_key=API_KEY)


def _send(pid: int, number: int) -> bool:
    os.kill(pid, number)
    return True


def _resume_process(pid: int) -> None:
    _send(pid, signal.SIGCONT)
