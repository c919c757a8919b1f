"""Ordering many documents: `enqueue_many` against a loop of `enqueue`, documents a second."""

import argparse
import statistics
import time

from django.db.models.functions import Now

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from django_docraptor.models import RenderInput, RenderJob, insert_jobs
from django_docraptor.shortcuts import JobSpec, enqueue, enqueue_many
from django_docraptor.states import State
from tests.support.documents import document_html, document_name

LIMIT = 15
ROUNDS = 3


def at_once(count: int) -> float:
    """Documents a second, in one call."""
    orders = [JobSpec(name=name, content=document_html(name)) for name in map(document_name, range(count))]
    began = time.perf_counter()
    enqueue_many(orders)
    return count / (time.perf_counter() - began)


def one_by_one(count: int) -> float:
    """Documents a second, each in a transaction of its own."""
    began = time.perf_counter()
    for name in map(document_name, range(count)):
        enqueue(name=name, content=document_html(name))
    return count / (time.perf_counter() - began)


def rows_only(count: int) -> float:
    """Documents a second if nothing but their rows were made and stored: what bounds the rest."""
    names = list(map(document_name, range(count)))
    began = time.perf_counter()
    jobs = [RenderJob(name=name, document_type="pdf", state=State.PENDING) for name in names]
    for job in jobs:
        job.due_at = Now()
    insert_jobs(
        (job, RenderInput(job_id=job.pk, content=document_html(job.name), options={}, params={}))
        for job in jobs
    )
    return count / (time.perf_counter() - began)


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """All three in turns, so that a machine's slow moments meet each of them."""
    place.clean()
    at_once(10)
    one_by_one(10)
    rounds = [
        (
            one_by_one(options.enqueue_loop // ROUNDS),
            at_once(options.enqueue_many),
            rows_only(options.enqueue_many),
        )
        for _ in range(ROUNDS)
    ]
    loop, many, bound = map(statistics.harmonic_mean, zip(*rounds, strict=True))
    return [
        Figure(
            key="bulk_enqueue_ratio",
            what=f"enqueue_many({options.enqueue_many:,}) ÷ a loop of enqueue, documents/s",
            cases=(
                Case(
                    value=many / loop,
                    limit=LIMIT,
                    at_least=True,
                    bound=bound / loop,
                    ours=f"{many:,.0f} documents/s",
                    usual=f"{loop:,.0f} documents/s in a loop",
                ),
            ),
            notes=(
                f"bound: Django's bulk_create of the same rows, without checks, calls or signals: "
                f"{bound:,.0f} documents/s",
            ),
        )
    ]
