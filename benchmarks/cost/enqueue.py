"""Enqueue many documents: `enqueue_many` against `bulk_create` of the same rows."""

import argparse
import statistics
import time

from django.db import transaction

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.models import RenderEvent, RenderInput, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.shortcuts import JobSpec, enqueue, enqueue_many
from django_docraptor.states import EventKind, State
from tests.support.documents import document_html, document_name

TARGET = 0.9
ROUNDS = 3
# As `enqueue_many` inserts them.
BATCH_SIZE = 1000


def enqueue_many_rate(count: int) -> float:
    """Enqueue documents in one call; return documents per second."""
    names = map(document_name, range(count))
    specs = [JobSpec(name=name, content=document_html(name)) for name in names]
    started = time.perf_counter()
    enqueue_many(specs)
    return count / (time.perf_counter() - started)


def enqueue_loop_rate(count: int) -> float:
    """Enqueue documents, each in its own transaction; return documents per second."""
    started = time.perf_counter()
    for name in map(document_name, range(count)):
        enqueue(name=name, content=document_html(name))
    return count / (time.perf_counter() - started)


def bulk_create_rate(count: int) -> float:
    """Create and insert only the rows, as Django does it; return documents per second."""
    names = list(map(document_name, range(count)))
    started = time.perf_counter()
    jobs = [
        RenderJob(name=name, document_type="pdf", state=State.PENDING, due_at=Now())
        for name in names
    ]
    inputs = [
        RenderInput(job_id=job.pk, content=document_html(job.name), options={}, params={})
        for job in jobs
    ]
    kind = EventKind.ENQUEUED
    events = [RenderEvent(job_id=job.pk, kind=kind, to_state=job.state) for job in jobs]
    with transaction.atomic():
        RenderJob.objects.bulk_create(jobs, batch_size=BATCH_SIZE)
        RenderInput.objects.bulk_create(inputs, batch_size=BATCH_SIZE)
        RenderEvent.objects.bulk_create(events, batch_size=BATCH_SIZE)
    return count / (time.perf_counter() - started)


def measure(site: Site, options: argparse.Namespace) -> list[Metric]:
    """Measure all three alternately, so that other load on the machine affects all of them."""
    site.reset()
    enqueue_many_rate(10)
    enqueue_loop_rate(10)
    rounds = [
        (
            enqueue_loop_rate(options.enqueue_loop // ROUNDS),
            enqueue_many_rate(options.enqueue_many),
            bulk_create_rate(options.enqueue_many),
        )
        for _ in range(ROUNDS)
    ]
    loop, many, bare = map(statistics.harmonic_mean, zip(*rounds, strict=True))
    return [
        Metric(
            key="bulk_enqueue_ratio",
            description=f"enqueue_many({options.enqueue_many:,}) ÷ bulk_create of the same rows",
            results=(
                Result(
                    value=many / bare,
                    target=TARGET,
                    higher_is_better=True,
                    ours=f"{many:,.0f} documents/s",
                    baseline=f"{bare:,.0f} documents/s",
                ),
            ),
            notes=(
                "bulk_create inserts the same rows, without checks, notifications or signals; "
                f"a loop of enqueue: {loop:,.0f} documents/s",
            ),
        )
    ]
