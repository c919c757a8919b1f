"""Ordering many documents: `enqueue_many` against a loop of `enqueue`, documents a second."""

import argparse
import time

from benchmarks.bench.figures import Case, Figure
from benchmarks.bench.place import Place
from benchmarks.content import content_of, name_of
from django_docraptor.shortcuts import Order, enqueue, enqueue_many

LIMIT = 15


def at_once(count: int) -> float:
    """Documents a second, in one call."""
    orders = [Order(name=name, content=content_of(name)) for name in map(name_of, range(count))]
    began = time.perf_counter()
    enqueue_many(orders)
    return count / (time.perf_counter() - began)


def one_by_one(count: int) -> float:
    """Documents a second, each in a transaction of its own."""
    began = time.perf_counter()
    for name in map(name_of, range(count)):
        enqueue(name=name, content=content_of(name))
    return count / (time.perf_counter() - began)


def measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    """Both, warmed up."""
    place.clean()
    at_once(10)
    one_by_one(10)
    loop = one_by_one(options.enqueue_loop)
    many = at_once(options.enqueue_many)
    return [
        Figure(
            key="bulk_enqueue_ratio",
            what=f"enqueue_many({options.enqueue_many:,}) ÷ a loop of enqueue, documents/s",
            cases=(
                Case(
                    value=many / loop,
                    limit=LIMIT,
                    at_least=True,
                    ours=f"{many:,.0f} documents/s",
                    usual=f"{loop:,.0f} documents/s in a loop",
                ),
            ),
        )
    ]
