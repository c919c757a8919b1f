"""A few threads that do things at given times.

A thousand delayed documents wait in one heap, not in a thousand sleeping threads.
Knows nothing of documents.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("django_docraptor.sandbox")

Job = tuple[float, int, Callable[[], None]]


class Scheduler:
    """Runs functions after a number of seconds, in `workers` daemon threads."""

    def __init__(self, name: str, workers: int) -> None:
        self._jobs: list[Job] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """DropError what is still waiting and join the threads, at most `timeout` seconds."""
        with self._changed:
            self._stopped = True
            self._jobs.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def after(self, seconds: float, function: Callable[[], None]) -> None:
        """Run `function` in `seconds` seconds, or never if the scheduler stops before."""
        with self._changed:
            if not self._stopped:
                job = (time.monotonic() + seconds, next(self._numbers), function)
                heapq.heappush(self._jobs, job)
                self._changed.notify()

    def _work(self) -> None:
        while (function := self._next()) is not None:
            try:
                function()
            except Exception:
                # One document's surprise must not end the making of all others.
                logger.exception("A sandbox job failed")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                wait = self._jobs[0][0] - time.monotonic() if self._jobs else None
                if wait is not None and wait <= 0:
                    job = heapq.heappop(self._jobs)
                    # The thread that watched the heap is busy now: another must watch it.
                    self._changed.notify()
                    return job[2]
                self._changed.wait(wait)
        return None
