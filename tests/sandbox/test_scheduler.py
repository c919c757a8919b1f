"""The scheduler: order, delay, survival of errors, stop."""

import logging
import threading
import time

import pytest

from django_docraptor.sandbox.scheduler import Scheduler
from tests.support.sandbox_client import wait_until


@pytest.fixture
def scheduler():
    """Two threads."""
    one = Scheduler("test", workers=2)
    one.start()
    yield one
    one.stop()


def test_jobs_run_when_they_are_due():
    """The sooner first, whatever the order of planning."""
    one, done = Scheduler("test", workers=1), []
    one.start()
    for seconds in (0.15, 0.05, 0.1):
        one.after(seconds, lambda seconds=seconds: done.append(seconds))
    wait_until(lambda: len(done) == 3)
    one.stop()
    assert done == [0.05, 0.1, 0.15]


def test_a_busy_thread_delays_no_job(scheduler):
    """While one thread is busy the other watches the clock."""
    busy, done = threading.Event(), threading.Event()
    scheduler.after(0.1, done.set)
    scheduler.after(0, lambda: busy.wait(5))
    assert done.wait(1)
    busy.set()


def test_an_error_ends_no_thread(scheduler, caplog):
    """Jobs that raise are logged, and others go on."""
    done = threading.Event()
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            scheduler.after(0, lambda: 1 / 0)
        scheduler.after(0.01, done.set)
        assert done.wait(2)
    assert len(caplog.records) == 5


def test_a_stop_drops_what_waits():
    """What is not due yet never runs."""
    one, done = Scheduler("test", workers=1), []
    one.start()
    one.after(0.1, lambda: done.append(1))
    one.stop()
    one.after(0, lambda: done.append(2))
    time.sleep(0.2)
    assert done == []
