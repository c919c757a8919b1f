"""CPU that the Prometheus receiver adds to a document, with files that all processes share.

Documents are made in this process, without Celery, so the share is larger than a worker's. Rounds
with and without the receiver take turns; the least CPU of each is what the work itself costs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor import instrumentation, lifecycle
from django_docraptor.instrumentation import Event
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.shortcuts import JobSpec, enqueue_many
from django_docraptor.states import State
from tests.support.documents import document_html, document_name

TARGET = 0.02
DOCUMENTS = 40
ROUNDS = 9
# Times that the events of a round are received again, to measure the receiver alone.
REPEATS = 20


@contextmanager
def _subscribed(receiver: instrumentation.Receiver) -> Iterator[None]:
    instrumentation.subscribe(receiver)
    try:
        yield
    finally:
        instrumentation.unsubscribe(receiver)


def _documents_ms() -> float:
    """Make documents, and return the CPU of each in ms."""
    started = time.process_time()
    names = map(document_name, range(DOCUMENTS))
    enqueue_many([JobSpec(name=name, content=document_html(name)) for name in names])
    while RenderJob.objects.active().exists():
        lifecycle.run_once()
        RenderJob.objects.active().update(due_at=Now())  # without the wait between polls
    spent = time.process_time() - started
    if (count := RenderJob.objects.filter(state=State.COMPLETED).count()) != DOCUMENTS:
        raise RuntimeError(f"only {count} of {DOCUMENTS} documents were rendered")
    return 1000 * spent / DOCUMENTS


def _publishing_ms(events: list[Event]) -> float:
    """Return the CPU to create and publish the events of each document, in ms."""
    least = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        for event in events:
            instrumentation.publish(replace(event))
        least = min(least, time.process_time() - started)
    return 1000 * least / DOCUMENTS


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare documents with and without the receiver."""
    with tempfile.TemporaryDirectory(dir=site.scratch) as directory:
        # The package reads it when it is imported first.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        from django_docraptor.metrics import prometheus

        events: list[Event] = []
        with_it, without = float("inf"), float("inf")
        for number in range(ROUNDS + 1):
            site.reset()
            bare = _documents_ms()
            site.reset()
            with _subscribed(prometheus.receive):
                measured = _documents_ms()
            if number:  # the first round warms up
                with_it, without = min(with_it, measured), min(without, bare)
        site.reset()
        with _subscribed(events.append):
            _documents_ms()
        with _subscribed(prometheus.receive):
            alone = _publishing_ms(events)
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
    return [
        Metric(
            key="metrics_cpu_ratio",
            description="CPU that the Prometheus receiver adds to a document ÷ CPU of the document",
            results=(
                Result(
                    name="documents",
                    value=with_it / without - 1,
                    ours=f"{with_it:.2f} ms with it",
                    baseline=f"{without:.2f} ms without",
                ),
                Result(
                    name="events",
                    value=alone / without,
                    target=TARGET,
                    ours=f"{alone:.3f} ms for {len(events) / DOCUMENTS:.1f} events",
                    baseline=f"{without:.2f} ms for the document",
                ),
            ),
            notes=("the events are timed alone, too, because a document's CPU varies by more",),
        )
    ]
