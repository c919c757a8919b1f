"""Whole sites: real workers, brokers and databases, and a sandbox that counts what it accepted."""

import socket
import time

import pytest

from django_docraptor.sandbox.faults import Fault
from tests.e2e.site import Site
from tests.support.brokers import Broker
from tests.support.processes import wait_until
from tests.support.socket_server import unused_port

redis_and_postgresql = pytest.mark.services("redis", "postgresql")
# A document's messages on a busy site: order, callback, poll, collect, and its share of alarms.
MESSAGES = 6


def check_calm(site: Site, *, copies: int = 1) -> None:
    """Messages did not breed messages."""
    figures = site.figures()
    print(figures)
    assert figures["messages per document"] <= copies * MESSAGES


@redis_and_postgresql
def test_two_hundred_documents_with_callbacks(start_site):
    """Two workers, Redis and PostgreSQL: each document once, soon after it was rendered."""
    site = start_site("postgresql", "redis", POLL={"floor": 20, "ceiling": 60})
    site.serve()
    site.work(2)
    jobs = site.order(200)
    site.wait_for_all(90)
    site.check(jobs)
    assert site.control.ledger.callback_calls == 200
    check_calm(site)


@redis_and_postgresql
def test_two_hundred_documents_by_polling(start_site):
    """The same without callbacks."""
    site = start_site("postgresql", "redis")
    site.work(2)
    jobs = site.order(200)
    site.wait_for_all(90)
    site.check(jobs)
    assert not site.control.ledger.callback_calls
    check_calm(site)


@pytest.mark.services("postgresql")
def test_two_hundred_documents_without_celery(start_site):
    """The command alone does everything; nobody listens at the broker."""
    site = start_site("postgresql", "files")
    jobs = site.order(200, at_once=True)
    site.tick()
    site.check(jobs)
    print(site.figures())


@pytest.mark.services("rabbitmq", "mariadb")
def test_rabbitmq_and_mariadb(start_site):
    """Two workers and callbacks."""
    site = start_site("mariadb", "rabbitmq")
    site.serve()
    site.work(2)
    jobs = site.order(100)
    site.wait_for_all(90)
    site.check(jobs)
    check_calm(site)


def test_files_and_sqlite(start_site):
    """X3: messages in files and SQLite, with callbacks: no database is ever locked."""
    site = start_site("sqlite", "files")
    site.serve()
    site.work()
    jobs = site.order(50)
    site.wait_for_all(90)
    site.check(jobs)
    assert not [process.tail for process in site.processes if "is locked" in process.output]
    check_calm(site)


@redis_and_postgresql
def test_a_worker_without_beat_finishes_what_was_refused(start_site):
    """Alarms alone bring back a create that was refused twice and a status that was not told."""
    site = start_site("postgresql", "redis")
    busy = {"on": "create", "action": "status", "status_code": 403, "reason": "Too many documents."}
    site.control.add_fault(Fault(**busy, match="document-0000", times=2))
    site.control.add_fault(Fault(on="status", action="status", match="document-0001", times=1))
    site.work()
    jobs = site.order(3)
    site.wait_for_all(60)
    site.check(jobs)
    assert [fault["triggered"] for fault in site.control.faults] == [2, 1]
    print(site.figures())


@redis_and_postgresql
def test_an_idle_site_is_silent_and_alarms_do_not_multiply(start_site):
    """While a document takes its time, one alarm a poll; after the last document, no message."""
    site = start_site("postgresql", "redis", delay=4)
    site.work(2)
    jobs = site.order(5)
    site.wait_for_all(60)
    site.check(jobs)
    figures = site.figures()
    print(figures)
    polls = figures["status calls per document"] * len(jobs)
    assert figures["messages"]["wake"] <= polls + 2
    time.sleep(1)  # what is still under way arrives
    before = site.messages()
    time.sleep(2)
    assert site.messages() == before


@redis_and_postgresql
def test_every_message_sent_ten_times(start_site):
    """Doorbells and alarms are duplicated: each document is still made once."""
    site = start_site("postgresql", "redis", environment={"SITE_COPIES": "10"})
    site.serve()
    site.work(2)
    jobs = site.order(15)
    site.wait_for_all(90)
    site.check(jobs)
    check_calm(site, copies=10)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_refuses_costs_a_moment(start_site, scheme):
    """Enqueueing returns soon, the job is stored, and the next tick makes the document."""
    site = start_site("sqlite", "files")
    site.broker = Broker(kind="none", url=f"{scheme}://127.0.0.1:{unused_port()}", queue="none")
    ordered = site.order_timed(2)
    assert ordered["seconds"] < 10
    assert site.states() == {"pending": 2}
    site.tick()
    site.check(ordered["jobs"])
    print(ordered["seconds"])


def test_a_broker_that_never_answers_costs_a_moment(start_site):
    """The same where the connection is taken and nothing is said, with the documented timeouts."""
    site = start_site("sqlite", "files")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site.broker = Broker(
            kind="none",
            url=f"redis://127.0.0.1:{silent.getsockname()[1]}",
            queue="none",
            transport={"socket_timeout": 1, "socket_connect_timeout": 1},
        )
        ordered = site.order_timed(1)
    assert ordered["seconds"] < 10
    assert site.states() == {"pending": 1}
    site.tick()
    site.check(ordered["jobs"])
    print(ordered["seconds"])


@redis_and_postgresql
def test_a_worker_that_is_stopped_during_creates_loses_nothing(start_site):
    """X2: SIGTERM lets the creates on the wire come home; another worker goes on."""
    site = start_site("postgresql", "redis")
    site.control.add_fault(Fault(on="create", action="slow", seconds=1))
    [worker] = site.work()
    jobs = site.order(40)
    wait_until("creates on the wire", lambda: site.control.ledger.create_calls >= 5, 30)
    assert worker.terminate() == 0
    assert "unconfirmed" not in site.states()
    assert "submitting" not in site.states()
    left = site.unfinished()
    assert left
    site.control.clear_faults()
    site.work()
    site.wait_for_all(60)
    site.check(jobs)
    print(left, site.figures())


@redis_and_postgresql
def test_a_broker_that_lost_everything_costs_a_tick(start_site):
    """P7: doorbells and alarms are gone; beat finds the rows."""
    site = start_site("postgresql", "redis", delay=2)
    site.work(beat=True)
    jobs = site.order(20)
    wait_until("documents in the making", lambda: len(site.control.ledger.entries) >= 10, 30)
    site.broker.empty()
    site.wait_for_all(60)
    site.check(jobs)
    print(site.figures())


@redis_and_postgresql
def test_a_callback_is_followed_at_once(start_site):
    """On an idle site a document is stored moments after it was rendered, long before a poll."""
    site = start_site("postgresql", "redis", POLL={"floor": 30, "ceiling": 60})
    site.serve()
    site.work()
    jobs = {}
    for _ in range(3):
        jobs |= site.order(1)
        site.wait_for_all(20)
    figures = site.figures()
    print(figures)
    assert figures["rendered to stored, longest"] < 5
