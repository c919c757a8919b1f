"""What happens to the site's processes, broker and database: at random, from one seed."""

import heapq
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

from benchmarks.brokers import restart
from benchmarks.roles import Role
from django_docraptor.sandbox.remote import RemoteSandboxError
from django_docraptor.states import LEASE_SECONDS, State
from tests.chaos import SPEED
from tests.chaos.site import API_KEY, Place

# Seconds between two events, on average.
PACE = 1.2
# How often each event happens, relative to the others.
WEIGHTS = {
    "child killed": 5.0,
    "child frozen": 3.0,
    "worker killed, children left": 1.5,
    "worker killed with children": 1.5,
    "worker stopped (SIGTERM)": 2.0,
    "worker frozen": 2.0,
    "broker frozen": 2.0,
    "broker flushed": 1.5,
    "broker killed": 0.7,
    "database connections cut": 3.0,
    "web server killed": 1.0,
    "beat killed": 0.5,
    "DocRaptor frozen": 1.0,
    "API key refused": 0.5,
}
KILLS = [name for name in WEIGHTS if "killed" in name or "SIGTERM" in name]
# Seconds of a freeze; a long one outlasts a create's lease, but not the window in which an
# unconfirmed create is looked for.
SHORT = (0.3, 3.0)
LONG = (
    1.2 * LEASE_SECONDS[State.SUBMITTING] / SPEED,
    2.4 * LEASE_SECONDS[State.SUBMITTING] / SPEED,
)
# Looks for open connections, which tasks close after moments, before there are none to cut.
LOOKS = 10
# A worker that was asked to stop gets so many seconds.
STOP_PATIENCE = 10.0
FAILURES = (
    OSError,
    RemoteSandboxError,
    amqp.AMQPError,
    redis.RedisError,
    psycopg.Error,
    pymysql.Error,
)


class Mayhem:
    """One event after the other, each undone in time; `step` is to be called often."""

    def __init__(self, place: Place, rng: random.Random) -> None:
        self.place = place
        self.rng = rng
        self.events: Counter[str] = Counter()
        self.restarts = 0
        self._frozen: set[Role] = set()
        self._undo: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._next = time.monotonic() + PACE
        self._deeds: dict[str, Callable[[], bool]] = {
            "child killed": self._kill_child,
            "child frozen": self._freeze_child,
            "worker killed, children left": lambda: self._kill(self._worker()),
            "worker killed with children": self._kill_worker_with_children,
            "worker stopped (SIGTERM)": self._stop_worker,
            "worker frozen": lambda: self._freeze(self._worker(), self._duration()),
            "broker frozen": lambda: self._freeze(place.broker.role, self.rng.uniform(0.5, 5)),
            "broker flushed": self._flush,
            "broker killed": self._restart_broker,
            "database connections cut": self._cut_connections,
            "web server killed": lambda: self._kill(place.web),
            "beat killed": lambda: self._kill(place.beat),
            "DocRaptor frozen": lambda: self._freeze(place.sandbox, self.rng.uniform(0.5, 3)),
            "API key refused": self._refuse_key,
        }

    def step(self) -> None:
        """Do what is to be undone by now, and break the next thing if it is time."""
        now = time.monotonic()
        while self._undo and self._undo[0][0] <= now:
            self._try(heapq.heappop(self._undo)[2])
        self.restarts += self.place.keep_alive()
        if now >= self._next:
            self._next = now + self.rng.expovariate(1 / PACE)
            self._break_something()

    def calm(self) -> None:
        """Undo everything at once; from now on nothing breaks any more."""
        while self._undo:
            self._try(heapq.heappop(self._undo)[2])
        self.place.thaw()

    @property
    def kills(self) -> int:
        """Processes that were killed or told to stop."""
        return sum(self.events[name] for name in KILLS)

    def _break_something(self) -> None:
        name = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if self._try(self._deeds[name]):
            self.events[name] += 1

    def _try(self, deed: Callable[[], object]) -> bool:
        """Whether it worked: what is to be broken may be broken already."""
        try:
            return deed() is not False
        except FAILURES:
            return False

    def _later(self, seconds: float, deed: Callable[[], None]) -> None:
        heapq.heappush(self._undo, (time.monotonic() + seconds, next(self._number), deed))

    def _worker(self) -> Role:
        return self.rng.choice(self.place.workers)

    def _duration(self) -> float:
        return self.rng.uniform(*(LONG if self.rng.random() < 0.3 else SHORT))

    def _child(self) -> int | None:
        worker = self._worker()
        children = worker.children if worker.is_alive else []
        return self.rng.choice(children) if children else None

    # Deeds: each says whether it was done

    def _kill_child(self) -> bool:
        child = self._child()
        return child is not None and _send(child, signal.SIGKILL)

    def _freeze_child(self) -> bool:
        child = self._child()
        if child is None or not _send(child, signal.SIGSTOP):
            return False
        self._thaw_later(self._duration(), lambda: _send_on(child))
        return True

    def _kill(self, role: Role) -> bool:
        if role.is_alive:
            role.signal(signal.SIGKILL)
        return role.is_alive

    def _kill_worker_with_children(self) -> bool:
        worker = self._worker()
        worker.signal_all(signal.SIGKILL)
        return True

    def _stop_worker(self) -> bool:
        worker = self._worker()
        if not worker.is_alive:
            return False
        process = worker.process
        worker.signal(signal.SIGTERM)

        def lose_patience() -> None:
            if worker.process is process and worker.is_alive:
                self.events["stopped too slowly, killed"] += 1
                worker.signal_all(signal.SIGKILL)

        self._later(STOP_PATIENCE, lose_patience)
        return True

    def _freeze(self, role: Role, seconds: float) -> bool:
        if not role.is_alive:
            return False
        role.signal_all(signal.SIGSTOP)
        self._frozen.add(role)

        def thaw() -> None:
            self._frozen.discard(role)
            role.thaw()

        self._thaw_later(seconds, thaw)
        return True

    def _thaw_later(self, seconds: float, thaw: Callable[[], None]) -> None:
        self.events["frozen for longer than a lease"] += seconds >= LONG[0]
        self._later(seconds, thaw)

    def _flush(self) -> bool:
        if self.place.broker.role in self._frozen:
            return False
        self.place.broker.flush()
        return True

    def _restart_broker(self) -> bool:
        restart(self.place.broker)
        return True

    def _cut_connections(self) -> bool:
        database = self.place.database
        sql = {
            "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = '{}' ORDER BY pid",
            "mariadb": "SELECT id FROM information_schema.processlist "
            "WHERE id <> CONNECTION_ID() AND db = '{}' ORDER BY id",
        }[database.kind].format(database.name)
        kill = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}
        found: list[int] = []
        for _ in range(LOOKS):
            found = found or [row[0] for row in database.query(sql)]
        chosen = found if self.rng.random() < 0.5 else found[::2]
        for number in chosen:
            self._try(lambda number=number: database.query(kill[database.kind].format(number)))
        return bool(chosen)

    def _refuse_key(self) -> bool:
        if self.place.sandbox in self._frozen:
            return False
        self.place.control.change_settings(api_key="another")
        self._later(2.0, self._take_key)
        return True

    def _take_key(self) -> None:
        self.place.sandbox.thaw()
        self.place.control.change_settings(api_key=API_KEY)


def _send(pid: int, number: int) -> bool:
    os.kill(pid, number)
    return True


def _send_on(pid: int) -> None:
    _send(pid, signal.SIGCONT)
