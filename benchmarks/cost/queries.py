"""Database queries in the whole life of a document with a callback, in an idle system.

Counted by Django's own query log, in one process: the order, the worker's steps in the order in
which a broker would bring them, the callback view. A list stands in for the broker.
"""

import argparse
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from celery.signals import before_task_publish
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client, override_settings
from django.urls import reverse

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from django_docraptor import tasks
from django_docraptor.callback_urls import make_token
from django_docraptor.models import RenderJob
from django_docraptor.sandbox.ledger import Ledger
from django_docraptor.shortcuts import JobSpec, enqueue_many
from django_docraptor.states import State
from tests.support.documents import document_html, document_name
from tests.support.processes import wait_until

LIMIT = 24
BATCHES = (100, 300)
# What frames a transaction, apart from its statements.
FRAMES = ("BEGIN", "COMMIT", "ROLLBACK")
# Seconds in which a document of an idle sandbox is surely finished.
PATIENCE = 30.0
# Where the sandbox's own callback goes: nobody listens, since ours are made here.
NOWHERE = "http://127.0.0.1:9"


class HasLedger(Protocol):
    """A sandbox, in this process or in another."""

    @property
    def ledger(self) -> Ledger:
        """What has been accepted."""


@dataclass
class Tally:
    """Statements and transactions, by who made them."""

    statements: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    sql: list[tuple[str, str]] = field(default_factory=list)

    def take(self, who: str, connection: BaseDatabaseWrapper) -> None:
        """Count what a step has left in the query log."""
        self.runs[who] += 1
        for entry in connection.queries_log:
            sql = entry["sql"] or ""
            is_frame = sql.lstrip().upper().startswith(FRAMES) and " TO " not in sql
            (self.frames if is_frame else self.statements)[who] += 1
            self.sql.append((who, sql))
        connection.queries_log.clear()

    def table(self, count: int) -> str:
        """In words: step, runs, statements and BEGIN or COMMIT, for a document."""
        return ", ".join(
            f"{who} {self.runs[who] / count:.3g} x ({self.statements[who] / count:.3g} + "
            f"{self.frames[who] / count:.3g})"
            for who in self.runs
        )


@contextmanager
def broker() -> Iterator[deque[tuple[str, bool]]]:
    """A list of what is handed to the broker: the task's name, and whether it is to wait."""
    queue: deque[tuple[str, bool]] = deque()

    def note(sender: str, headers: dict[str, Any], **_: Any) -> None:
        queue.append((sender, headers.get("eta") is not None))

    before_task_publish.connect(note)
    try:
        yield queue
    finally:
        before_task_publish.disconnect(note)


class Life:
    """The documents' life, a step at a time."""

    def __init__(self, sandbox: HasLedger, queue: deque[tuple[str, bool]]) -> None:
        self.sandbox = sandbox
        self.queue = queue
        self.alarms: list[str] = []
        self.tally = Tally()
        self.connection = connections[router.db_for_write(RenderJob)]
        self.client = Client()

    def play(self, count: int) -> Tally:
        """Order, submit, call back, and run every message; returns what was asked of the database.

        Callbacks and messages take turns, as where one worker keeps up with DocRaptor.
        """
        self.connection.ensure_connection()
        self.connection.queries_log.clear()
        orders = [
            JobSpec(name=name, content=document_html(name)) for name in map(document_name, range(count))
        ]
        self._counted("enqueue", lambda: enqueue_many(orders))
        self._drain()
        wait_until("all are rendered", self._are_rendered, PATIENCE, 0.02)
        for job in self._jobs():
            self._counted("callback", lambda job=job: self._call_back(job))
            self._message()
        self._drain()
        self._settle()
        return self.tally

    def _settle(self) -> None:
        """Alarms ring at last; there should be nothing left for them to do."""
        stop = time.monotonic() + PATIENCE
        while self.alarms or self.queue:
            if self.alarms and not self.queue:
                self.queue.append((self.alarms.pop(0), False))
            self._drain()
            if time.monotonic() > stop:
                raise TimeoutError("messages breed")
        left = [job for job in self._jobs() if job.state != State.COMPLETED]
        if left:
            raise RuntimeError(f"{len(left)} documents were not made: {left[0].state}")

    def _drain(self) -> None:
        while self._message():
            pass

    def _message(self) -> bool:
        """Run the next message, if there is one; those that are to wait are laid aside."""
        while self.queue:
            name, waits = self.queue.popleft()
            if waits:
                self.alarms.append(name)
                continue
            step = name.removeprefix("django_docraptor.")
            self._counted(step, getattr(tasks, step))
            return True
        return False

    def _counted(self, who: str, step: Any) -> None:
        step()
        self.tally.take(who, self.connection)

    def _jobs(self) -> list[RenderJob]:
        jobs = list(RenderJob.objects.order_by("created_at", "pk"))
        self.connection.queries_log.clear()
        return jobs

    def _are_rendered(self) -> bool:
        return all(entry.finished_at for entry in self.sandbox.ledger.entries)

    def _call_back(self, job: RenderJob) -> None:
        token = make_token(job.pk, job.attempt)
        response = self.client.post(reverse("django_docraptor:callback", args=[token]))
        if response.status_code != 204:
            raise RuntimeError(f"the callback view answered {response.status_code}")


def of(sandbox: HasLedger, count: int) -> Tally:
    """Queries of so many documents ordered at once. Needs empty tables and an idle sandbox."""
    connection = connections[router.db_for_write(RenderJob)]
    forced, connection.force_debug_cursor = connection.force_debug_cursor, True
    try:
        with broker() as queue, override_settings(DOCRAPTOR=_called_back()):
            return Life(sandbox, queue).play(count)
    finally:
        connection.force_debug_cursor = forced


def _called_back() -> dict[str, Any]:
    from django.conf import settings

    return settings.DOCRAPTOR | {"CALLBACK_BASE_URL": NOWHERE, "RING_ON_COMMIT": True}


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """One document alone, then many at once."""
    tallies = {}
    for count in (1, *BATCHES):
        place.clean(delay=0.0)
        of(place.control, 1)  # what is asked once in a process or a database: content types, pulse
        _forget(place)
        tallies["lone" if count == 1 else f"of_{count}"] = (count, of(place.control, count))
    return [
        _figure("queries_per_document", "statements, without BEGIN and COMMIT", tallies, LIMIT),
        _figure("transactions_per_document", "BEGIN and COMMIT", tallies, None),
    ]


def _forget(place: Place) -> None:
    RenderJob.objects.all().delete()
    place.control.reset()


def _figure(
    key: str, what: str, tallies: dict[str, tuple[int, Tally]], limit: float | None
) -> Figure:
    cases = []
    for name, (count, tally) in tallies.items():
        counted = (tally.statements if limit else tally.frames).total()
        cases.append(Case(name=name, value=counted / count, limit=limit, ours=f"{counted} in all"))
    notes = tuple(f"{name}: {tally.table(count)}" for name, (count, tally) in tallies.items())
    return Figure(key=key, what=what, cases=tuple(cases), notes=notes if limit else ())
