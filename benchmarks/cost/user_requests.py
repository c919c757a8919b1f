"""What a user's own request pays: CPU to enqueue, beside other queues, and round trips of saves.

Everything runs in one process against PostgreSQL and Redis. The floor of the ratio is a message to
Celery and one INSERT of a job's row alone: no document can be enqueued with less.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from benchmarks.cost.database_queues import database_queues
from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.asynchronous import aenqueue
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.shortcuts import enqueue
from django_docraptor.states import State
from tests.apps.baseline.tasks import render_document
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.documents import document_html

RATIO_TARGET = 2.6
ROUND_TRIPS_TARGET = 22
SAVES = 10
# Rounds that take turns; the least CPU of them is what the work itself costs.
ROUNDS = 7
Call = Callable[[], object]


def _insert_job() -> None:
    """Insert a job's row alone."""
    RenderJob(name="bare.pdf", document_type="pdf", state=State.PENDING, due_at=Now()).save(
        force_insert=True
    )


def _floor() -> None:
    _insert_job()
    render_document.delay(1)


@contextmanager
def _trigger() -> Iterator[Invoice]:
    """Yield a saved invoice whose saves enqueue a document."""
    invoice = Invoice.objects.create(number="1")
    trigger = InvoicePDF.on_save()
    try:
        yield invoice
    finally:
        trigger.disconnect()


def _save_new() -> None:
    Invoice(number="1").save()


def _save_ten() -> None:
    """Save an invoice ten times in one transaction."""
    with transaction.atomic():
        invoice = Invoice(number="1")
        for total in range(SAVES):
            invoice.total = total
            invoice.save()


def _cpu_ms(calls: dict[str, Call], count: int) -> dict[str, float]:
    """Return the least CPU of each call, in ms; the calls take turns."""
    least: dict[str, float] = {}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            started = time.process_time()
            for _ in range(count):
                call()
            spent = 1000 * (time.process_time() - started) / count
            if number:  # the first round warms up
                least[name] = min(spent, least.get(name, spent))
    return least


def _round_trips(call: Call) -> int:
    with CaptureQueriesContext(connection) as queries:
        call()
    return len(queries)


def _ratios(count: int) -> Metric:
    html = document_html("request.pdf")
    invoice = Invoice.objects.create(number="1")
    loop = asyncio.new_event_loop()
    calls: dict[str, Call] = {
        "celery": lambda: render_document.delay(1),
        "floor": _floor,
        "enqueue": lambda: enqueue(name="a.pdf", content=html),
        "Document.enqueue": lambda: InvoicePDF.enqueue(invoice),
        "aenqueue": lambda: loop.run_until_complete(aenqueue(name="a.pdf", content=html)),
    }
    with database_queues() as others:
        spent = _cpu_ms(calls | others, count)
    loop.close()
    with _trigger() as watched:
        spent |= _cpu_ms({"on_save renewed": watched.save, "on_save new": _save_new}, count)
    celery, floor = spent.pop("celery"), spent.pop("floor")
    return Metric(
        key="enqueue_cpu_ratio",
        description="CPU to enqueue a document ÷ of Celery's `.delay()`",
        results=tuple(
            Result(
                name=name,
                value=value / celery,
                target=RATIO_TARGET if name == "enqueue" else None,
                floor=floor / celery if name == "enqueue" else None,
                ours=f"{value:.2f} ms",
                baseline=f"{celery:.2f} ms for `.delay()`",
            )
            for name, value in spent.items()
        ),
        notes=(f"floor: `.delay()` and one INSERT of a bare row: {floor:.2f} ms",),
    )


def _ten_saves() -> Metric:
    alone = _round_trips(_save_ten)
    with _trigger():
        together = _round_trips(_save_ten)
    return Metric(
        key="on_save_ten_round_trips",
        description="statements that documents add to ten saves in one transaction",
        results=(
            Result(
                value=together - alone,
                target=ROUND_TRIPS_TARGET,
                ours=f"{together} in all",
                baseline=f"{alone} without documents",
            ),
        ),
    )


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Measure the CPU of each call in turn, and count the statements of ten saves."""
    site.reset()
    return [_ratios(max(1, options.enqueue_loop // (4 * ROUNDS))), _ten_saves()]
