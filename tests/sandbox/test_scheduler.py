"""The scheduler: order, delay, errors and stopping."""

import logging
import threading
import time

import pytest

from django_docraptor.sandbox.scheduler import Scheduler
from tests.support.sandbox_client import wait_until


@pytest.fixture
def scheduler():
    """A scheduler with two threads."""
    scheduler = Scheduler("test", workers=2)
    scheduler.start()
    yield scheduler
    scheduler.stop()


def test_calls_run_in_the_order_of_their_times():
    """The order in which they were scheduled does not matter."""
    scheduler, done = Scheduler("test", workers=1), []
    scheduler.start()
    for seconds in (0.15, 0.05, 0.1):
        scheduler.call_later(seconds, lambda seconds=seconds: done.append(seconds))
    wait_until(lambda: len(done) == 3)
    scheduler.stop()
    assert done == [0.05, 0.1, 0.15]


def test_busy_thread_does_not_delay_other_calls(scheduler):
    """Another thread watches the heap while one is busy."""
    busy, done = threading.Event(), threading.Event()
    scheduler.call_later(0.1, done.set)
    scheduler.call_later(0, lambda: busy.wait(60))
    assert done.wait(30)
    busy.set()


def test_scheduler_is_busy_while_a_call_is_due_or_runs():
    """A call that begins later does not make it busy, and one that follows another does at once."""
    scheduler, ended, seen = Scheduler("test", workers=1), threading.Event(), []
    scheduler.call_later(60, lambda: None)
    assert not scheduler.is_busy
    scheduler.call_later(0, lambda: scheduler.call_later(0, lambda: ended.wait(60)))
    assert scheduler.is_busy
    scheduler.start()
    for _ in range(100):
        seen.append(scheduler.is_busy)
    ended.set()
    wait_until(lambda: not scheduler.is_busy, 60)
    scheduler.stop()
    assert all(seen)


def test_error_does_not_end_a_thread(scheduler, caplog):
    """An exception is logged, and other calls run."""
    done = threading.Event()
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            scheduler.call_later(0, lambda: 1 / 0)
        scheduler.call_later(0.01, done.set)
        assert done.wait(30)
        wait_until(lambda: len(caplog.records) == 5, 30)
    assert len(caplog.records) == 5


def test_stop_discards_pending_calls():
    """A call that is not due when the scheduler stops never runs."""
    scheduler, done = Scheduler("test", workers=1), []
    scheduler.start()
    scheduler.call_later(0.1, lambda: done.append(1))
    scheduler.stop()
    scheduler.call_later(0, lambda: done.append(2))
    time.sleep(0.2)
    assert done == []
