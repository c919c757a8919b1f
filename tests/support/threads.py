"""Run something in several threads at once, each with a database connection of its own."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from django.db import connections

from django_docraptor import lifecycle

T = TypeVar("T")


def run_in_threads(count: int, work: Callable[[], T]) -> list[T]:
    """Call ``work`` in so many threads, started together; return what each returned."""
    barrier = threading.Barrier(count)

    def run(_number: int) -> T:
        barrier.wait(10)
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@contextmanager
def background_worker() -> Iterator[None]:
    """A worker in another thread, which runs the engine again and again until the block ends."""
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
