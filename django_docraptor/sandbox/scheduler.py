"""A few threads that call functions at given times.

A thousand delayed documents wait in one heap instead of a thousand sleeping threads. Knows nothing
about documents.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

# Time, a number that keeps the order of calls at the same time, function.
ScheduledCall = tuple[float, int, Callable[[], None]]


class Scheduler:
    """Call functions after a delay, in `workers` daemon threads."""

    def __init__(self, name: str, workers: int) -> None:
        """Prepare the threads; their names begin with `name`."""
        self._calls: list[ScheduledCall] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._running = 0
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Discard pending calls and join the threads, waiting at most `timeout` seconds."""
        with self._changed:
            self._stopped = True
            self._calls.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call `function` after `seconds`, unless the scheduler is stopped before."""
        with self._changed:
            if not self._stopped:
                call = (time.monotonic() + seconds, next(self._numbers), function)
                heapq.heappush(self._calls, call)
                self._changed.notify()

    @property
    def is_busy(self) -> bool:
        """Whether a call is running or due: one that begins later does not count."""
        with self._changed:
            is_due = bool(self._calls) and self._calls[0][0] <= time.monotonic()
            return is_due or self._running > 0

    def _run(self) -> None:
        while (function := self._wait_for_next()) is not None:
            try:
                function()
            except Exception:
                # An unexpected error in one document must not stop the others.
                logger.exception("A scheduled call failed")
            finally:
                with self._changed:
                    self._running -= 1

    def _wait_for_next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                wait = self._calls[0][0] - time.monotonic() if self._calls else None
                if wait is not None and wait <= 0:
                    call = heapq.heappop(self._calls)
                    self._running += 1
                    # This thread was watching the heap and is busy now: wake another to watch it.
                    self._changed.notify()
                    return call[2]
                self._changed.wait(wait)
        return None
