"""Database queries from enqueueing a document to its file, with a callback, in an idle system.

Counted by Django's own query log, in one process: enqueueing, the worker's steps in the order in
which a broker would deliver their messages, and the callback view. A list replaces the broker.
"""

import argparse
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from celery.signals import before_task_publish
from django.conf import settings
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client, override_settings
from django.urls import reverse

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor import tasks
from django_docraptor.callback_urls import make_token
from django_docraptor.lifecycle import submission
from django_docraptor.models import Heartbeat, RenderEvent, RenderJob
from django_docraptor.sandbox.ledger import Ledger
from django_docraptor.shortcuts import JobSpec, enqueue_many
from django_docraptor.states import EventKind, State
from tests.support.documents import document_html, document_name
from tests.support.processes import wait_until

TARGET = 24
BATCHES = (100, 300)
LONE_TARGET, BATCH_TARGET = 20, 9
# Entries of the history that are written for each document by itself; the others are shared by
# those that are enqueued or sent together.
SINGLE_KINDS = (EventKind.ACCEPTED, EventKind.CALLBACK, EventKind.RENDERED, EventKind.COMPLETED)
# Counted apart from a transaction's other statements.
TRANSACTION_STATEMENTS = ("BEGIN", "COMMIT", "ROLLBACK")
TIMEOUT_SECONDS = 30.0
# The URL of the sandbox's own callbacks: unused port, since the callbacks are sent here.
UNUSED_URL = "http://127.0.0.1:9"
# A message for the broker: the task's name, and whether it is delayed.
Message = tuple[str, bool]


class HasLedger(Protocol):
    """A sandbox, in this process or in another."""

    @property
    def ledger(self) -> Ledger:
        """The accepted documents."""


@dataclass
class Tally:
    """Statements and transactions, by the step that executed them.

    Args:
        floor: the fewest round trips per document, see :func:`least_round_trips`.
    """

    statements: Counter[str] = field(default_factory=Counter)
    transaction_statements: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    floor: float = 0.0
    sql: list[tuple[str, str]] = field(default_factory=list)

    def add_queries(self, step: str, connection: BaseDatabaseWrapper) -> None:
        """Count the queries in the query log as those of a step, and clear the log."""
        self.runs[step] += 1
        for entry in connection.queries_log:
            sql = entry["sql"] or ""
            starts = sql.lstrip().upper().startswith(TRANSACTION_STATEMENTS)
            is_savepoint = " TO " in sql  # ROLLBACK TO SAVEPOINT
            counter = self.statements
            if starts and not is_savepoint:
                counter = self.transaction_statements
            counter[step] += 1
            self.sql.append((step, sql))
        connection.queries_log.clear()

    def round_trips(self, count: int) -> float:
        """Return statements, BEGIN and COMMIT together, per document."""
        return (self.statements.total() + self.transaction_statements.total()) / count

    def table(self, count: int) -> str:
        """Return in words, per document: step, runs, statements, and BEGIN or COMMIT."""
        return ", ".join(
            f"{step} {self.runs[step] / count:.3g} x ({self.statements[step] / count:.3g} + "
            f"{self.transaction_statements[step] / count:.3g})"
            for step in self.runs
        )


@contextmanager
def captured_messages() -> Iterator[deque[Message]]:
    """Yield the list of messages that are handed to the broker."""
    queue: deque[Message] = deque()

    def capture(sender: str, headers: dict[str, Any], **_: Any) -> None:
        queue.append((sender, headers.get("eta") is not None))

    before_task_publish.connect(capture)
    try:
        yield queue
    finally:
        before_task_publish.disconnect(capture)


class EngineRun:
    """Documents from enqueueing to their files, one step after the other.

    Args:
        sandbox: idle, without documents.
        queue: receives the messages that the steps publish.
    """

    def __init__(self, sandbox: HasLedger, queue: deque[Message]) -> None:
        self.sandbox = sandbox
        self.queue = queue
        self.delayed_messages: list[str] = []
        self.tally = Tally()
        self.connection = connections[router.db_for_write(RenderJob)]
        self.client = Client()

    def run(self, count: int) -> Tally:
        """Enqueue, submit, call back, and run every message; return the queries.

        Callbacks and messages alternate, as if one worker keeps up with DocRaptor.
        """
        self.connection.ensure_connection()
        self.connection.queries_log.clear()
        names = map(document_name, range(count))
        specs = [JobSpec(name=name, content=document_html(name)) for name in names]
        self._run_step("enqueue", lambda: enqueue_many(specs))
        self._run_messages()
        wait_until("all documents are rendered", self._are_rendered, TIMEOUT_SECONDS, 0.02)
        for job in self._jobs():
            self._run_step("callback", lambda job=job: self._call_back(job))
            self._run_next_message()
        self._run_messages()
        self._run_delayed_messages()
        return self.tally

    def _run_delayed_messages(self) -> None:
        """Run the delayed wake-ups, which should find nothing to do."""
        stop = time.monotonic() + TIMEOUT_SECONDS
        while self.delayed_messages or self.queue:
            if self.delayed_messages and not self.queue:
                self.queue.append((self.delayed_messages.pop(0), False))
            self._run_messages()
            if time.monotonic() > stop:
                raise TimeoutError("messages multiply without end")
        unfinished = [job for job in self._jobs() if job.state != State.COMPLETED]
        if unfinished:
            raise RuntimeError(
                f"{len(unfinished)} documents were not rendered: {unfinished[0].state}"
            )

    def _run_messages(self) -> None:
        while self._run_next_message():
            pass

    def _run_next_message(self) -> bool:
        """Run the next message, if any; set delayed ones aside."""
        while self.queue:
            name, is_delayed = self.queue.popleft()
            if is_delayed:
                self.delayed_messages.append(name)
                continue
            step = name.removeprefix("django_docraptor.")
            self._run_step(step, getattr(tasks, step))
            return True
        return False

    def _run_step(self, name: str, step: Callable[[], object]) -> None:
        step()
        self.tally.add_queries(name, self.connection)

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
            raise RuntimeError(f"the callback view responded with {response.status_code}")


def count_queries(sandbox: HasLedger, count: int) -> Tally:
    """Return the queries of documents that are enqueued at once.

    The tables must be empty and the sandbox idle.
    """
    connection = connections[router.db_for_write(RenderJob)]
    forced, connection.force_debug_cursor = connection.force_debug_cursor, True
    try:
        engine = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": UNUSED_URL, "RUNNER": "celery"}
        with captured_messages() as queue, override_settings(DOCRAPTOR=engine):
            return EngineRun(sandbox, queue).run(count)
    finally:
        connection.force_debug_cursor = forced


def count_steady_queries(site: Site, count: int) -> Tally:
    """Return the same in an empty site whose processes have run before."""
    site.reset(delay=0.0)
    count_queries(site.control, 1)  # queries that run once: content types, heartbeat
    RenderJob.objects.all().delete()
    # No wake-up of the earlier document may come in time for the next one: jitter would decide.
    Heartbeat.objects.update(wakeup_at=None)
    site.control.reset()
    return count_queries(site.control, count)


def least_round_trips(count: int) -> float:
    """Return the fewest round trips per document, by the history of the documents in the table.

    What must be committed before the next call takes one statement: each entry of the history, the
    claim before each poll, and for each batch of creates its claim and its intents.
    """
    single = RenderEvent.objects.filter(kind__in=SINGLE_KINDS).count()
    polls = RenderEvent.objects.filter(kind=EventKind.RENDERED).count()
    batches = math.ceil(count / submission.BATCH_SIZE)
    return (single + polls + 2 * batches + 1) / count


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Count the queries of a single document, then of many at once."""
    tallies = {}
    for count in (1, *BATCHES):
        name = "single" if count == 1 else f"batch_of_{count}"
        tallies[name] = (count, count_steady_queries(site, count))
        tallies[name][1].floor = least_round_trips(count)
    statements = {name: tally.statements for name, (_, tally) in tallies.items()}
    transactions = {name: tally.transaction_statements for name, (_, tally) in tallies.items()}
    counts = {name: count for name, (count, _) in tallies.items()}
    return [
        Metric(
            key="queries_per_document",
            description="statements, without BEGIN and COMMIT",
            results=_results(statements, counts, TARGET),
            notes=tuple(
                f"{name}: {tally.table(count)}" for name, (count, tally) in tallies.items()
            ),
        ),
        Metric(
            key="transactions_per_document",
            description="BEGIN and COMMIT",
            results=_results(transactions, counts, None),
        ),
        _round_trips("round_trips_lone", tallies["single"], LONE_TARGET),
        _round_trips("round_trips_batch", tallies[f"batch_of_{BATCHES[0]}"], BATCH_TARGET),
    ]


def _round_trips(key: str, counted: tuple[int, Tally], target: float) -> Metric:
    count, tally = counted
    value = tally.round_trips(count)
    return Metric(
        key=key,
        description=f"statements, BEGIN and COMMIT per document, {count} at once",
        results=(
            Result(
                value=value,
                target=target,
                floor=tally.floor,
                ours=f"{value * count:.0f} in total",
            ),
        ),
        notes=(f"floor: one statement for what must be committed by itself: {tally.floor:.3g}",),
    )


def _results(
    totals: dict[str, Counter[str]], counts: dict[str, int], target: float | None
) -> tuple[Result, ...]:
    return tuple(
        Result(
            name=name,
            value=counter.total() / counts[name],
            target=target,
            ours=f"{counter.total()} in total",
        )
        for name, counter in totals.items()
    )
