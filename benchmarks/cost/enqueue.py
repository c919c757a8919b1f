"""Enqueue many documents: `enqueue_many` against a loop of `enqueue`, in documents per second."""

import argparse
import statistics
import time

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from django_docraptor.models import RenderInput, RenderJob, insert_jobs
from django_docraptor.models.clock import Now
from django_docraptor.shortcuts import JobSpec, enqueue, enqueue_many
from django_docraptor.states import State
from tests.support.documents import document_html, document_name

TARGET = 15
ROUNDS = 3


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
    """Create and insert only the rows, which is the upper bound; return documents per second."""
    names = list(map(document_name, range(count)))
    started = time.perf_counter()
    jobs = [RenderJob(name=name, document_type="pdf", state=State.PENDING) for name in names]
    for job in jobs:
        job.due_at = Now()
    insert_jobs(
        (job, RenderInput(job_id=job.pk, content=document_html(job.name), options={}, params={}))
        for job in jobs
    )
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
    loop, many, bound = map(statistics.harmonic_mean, zip(*rounds, strict=True))
    return [
        Metric(
            key="bulk_enqueue_ratio",
            description=f"enqueue_many({options.enqueue_many:,}) ÷ a loop of enqueue, documents/s",
            results=(
                Result(
                    value=many / loop,
                    target=TARGET,
                    higher_is_better=True,
                    upper_bound=bound / loop,
                    ours=f"{many:,.0f} documents/s",
                    baseline=f"{loop:,.0f} documents/s in a loop",
                ),
            ),
            notes=(
                "upper bound: Django's bulk_create of the same rows, without checks, calls or "
                f"signals: {bound:,.0f} documents/s",
            ),
        )
    ]
