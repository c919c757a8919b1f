"""Run functions in threads, each with a separate database connection."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from django.db import connections

from django_docraptor import lifecycle

T = TypeVar("T")


def run_in_threads(count: int, function: Callable[[], T]) -> list[T]:
    """Call ``function`` in so many threads, started together; return the results."""
    barrier = threading.Barrier(count)

    def run(_number: int) -> T:
        barrier.wait(60)
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@contextmanager
def background_worker() -> Iterator[None]:
    """Run the engine again and again in another thread until the block ends."""
    stop = threading.Event()

    def run() -> None:
        try:
            while not stop.wait(0.05):
                lifecycle.run_once()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(run)
        try:
            yield
        finally:
            stop.set()
    ended.result()
