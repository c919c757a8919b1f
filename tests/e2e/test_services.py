"""Complete sites with real workers, brokers and databases, checked against the sandbox's ledger."""

import socket
import time

import pytest

from django_docraptor.sandbox.faults import Fault
from tests.e2e.site import Site
from tests.support.brokers import Broker
from tests.support.documents import document_name
from tests.support.processes import wait_until
from tests.support.socket_server import unused_port

redis_and_postgresql = pytest.mark.services("redis", "postgresql")
# Messages for a document on a busy site: submit, callback, poll, download, some wake-ups.
MESSAGES = 6


def assert_few_messages(site: Site, *, copies: int = 1) -> None:
    """Assert that messages did not multiply."""
    statistics = site.statistics()
    print(statistics)
    assert statistics["messages per document"] <= copies * MESSAGES


@pytest.mark.fault("W1")
@redis_and_postgresql
def test_documents_complete_with_callbacks(start_site):
    """With two workers, Redis and PostgreSQL, each of 100 documents is rendered once."""
    site = start_site("postgresql", "redis", POLL={"floor": 20, "ceiling": 60})
    site.start_web_server()
    site.start_workers(2)
    jobs = site.enqueue(100)
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    assert site.control.ledger.callback_calls == 100
    assert_few_messages(site)


@pytest.mark.fault("W8")
@redis_and_postgresql
def test_documents_complete_by_polling(start_site):
    """Without callbacks, a lone document on an idle site, then 100 at once, are rendered once."""
    site = start_site("postgresql", "redis")
    site.start_workers(2)
    jobs: dict[str, str] = {}
    for count in (1, 100):
        jobs |= site.enqueue(count)
        site.wait_for_all(180)
    site.assert_consistent(jobs)
    assert not site.control.ledger.callback_calls
    assert_few_messages(site)


@pytest.mark.services("postgresql")
def test_documents_complete_without_celery(start_site):
    """The tick command alone completes 40 documents."""
    site = start_site("postgresql", "files")
    jobs = site.enqueue(40, at_once=True)
    site.tick()
    site.assert_consistent(jobs)
    print(site.statistics())


@pytest.mark.fault("X4")
@pytest.mark.services("rabbitmq", "mariadb")
def test_documents_complete_on_rabbitmq_and_mariadb(start_site):
    """Two workers with callbacks complete 40 documents."""
    site = start_site("mariadb", "rabbitmq")
    site.start_web_server()
    site.start_workers(2)
    jobs = site.enqueue(40)
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    assert_few_messages(site)


@pytest.mark.once
@pytest.mark.fault("X3")
def test_documents_complete_on_files_and_sqlite(start_site):
    """With several processes and callbacks, SQLite is never locked."""
    site = start_site("sqlite", "files")
    site.start_web_server()
    site.start_workers()
    jobs = site.enqueue(50)
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    assert not [process.tail for process in site.processes if "is locked" in process.output]
    assert_few_messages(site)


@pytest.mark.fault("S11", "P1")
@redis_and_postgresql
def test_wakeups_alone_retry_refused_calls(start_site):
    """Without beat, wake-ups repeat a refused create call and a failed status call."""
    site = start_site("postgresql", "redis")
    busy = {"on": "create", "action": "status", "status_code": 403, "reason": "Too many documents."}
    site.control.add_fault(Fault(**busy, match=document_name(0), times=2))
    site.control.add_fault(Fault(on="status", action="status", match=document_name(1), times=1))
    site.start_workers()
    jobs = site.enqueue(3)
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    assert [fault["triggered"] for fault in site.control.faults] == [2, 1]
    print(site.statistics())


@redis_and_postgresql
def test_idle_site_sends_no_messages(start_site):
    """There is one wake-up for each poll, and no message after the last document."""
    site = start_site("postgresql", "redis", delay=4)
    site.start_workers(2)
    jobs = site.enqueue(5)
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    statistics = site.statistics()
    print(statistics)
    polls = statistics["status calls per document"] * len(jobs)
    assert statistics["messages"]["dispatch"] <= polls + 2
    time.sleep(1)  # messages on the way arrive
    before = site.messages()
    time.sleep(2)
    assert site.messages() == before


@pytest.mark.fault("E4")
@redis_and_postgresql
def test_duplicate_messages_render_each_document_once(start_site):
    """If each message is sent ten times, each document is rendered once."""
    site = start_site("postgresql", "redis", environment={"SITE_COPIES": "10"})
    site.start_web_server()
    site.start_workers(2)
    jobs = site.enqueue(15)
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    assert_few_messages(site, copies=10)


@pytest.mark.once
@pytest.mark.fault("E2")
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_refusing_broker_delays_enqueue_only_briefly(start_site, scheme):
    """Enqueueing returns soon, the job is stored, and the next tick completes it."""
    site = start_site("sqlite", "files")
    site.broker = Broker(kind="none", url=f"{scheme}://127.0.0.1:{unused_port()}", queue="none")
    enqueued = site.enqueue_timed(2)
    assert enqueued["seconds"] < 10
    assert site.states() == {"pending": 2}
    site.tick()
    site.assert_consistent(enqueued["jobs"])
    print(enqueued["seconds"])


@pytest.mark.once
@pytest.mark.fault("E3")
def test_silent_broker_delays_enqueue_only_briefly(start_site):
    """With the documented timeouts, a broker that never responds delays enqueueing only briefly."""
    site = start_site("sqlite", "files")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site.broker = Broker(
            kind="none",
            url=f"redis://127.0.0.1:{silent.getsockname()[1]}",
            queue="none",
            transport={"socket_timeout": 1, "socket_connect_timeout": 1},
        )
        enqueued = site.enqueue_timed(1)
    assert enqueued["seconds"] < 10
    assert site.states() == {"pending": 1}
    site.tick()
    site.assert_consistent(enqueued["jobs"])
    print(enqueued["seconds"])


@pytest.mark.fault("X2")
@redis_and_postgresql
def test_stopped_worker_finishes_its_create_calls(start_site):
    """After SIGTERM a worker finishes its create calls, and another worker goes on."""
    site = start_site("postgresql", "redis")
    site.control.add_fault(Fault(on="create", action="slow", seconds=1))
    [worker] = site.start_workers()
    jobs = site.enqueue(40)
    wait_until("creates on the wire", lambda: site.control.ledger.create_calls >= 5, 30)
    assert worker.terminate() == 0
    assert "unconfirmed" not in site.states()
    assert "submitting" not in site.states()
    left = site.unfinished()
    assert left
    site.control.clear_faults()
    site.start_workers()
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    print(left, site.statistics())


@pytest.mark.fault("P7")
@redis_and_postgresql
def test_emptied_broker_costs_one_tick(start_site):
    """If all messages are lost, beat finds the due jobs."""
    site = start_site("postgresql", "redis", delay=2)
    site.start_workers(beat=True)
    jobs = site.enqueue(20)
    wait_until("documents in the making", lambda: len(site.control.ledger.entries) >= 10, 30)
    site.broker.empty()
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    print(site.statistics())


@pytest.mark.fault("W1")
@redis_and_postgresql
def test_callback_is_handled_at_once(start_site):
    """On an idle site a document is stored soon after rendering, long before a poll."""
    site = start_site("postgresql", "redis", POLL={"floor": 30, "ceiling": 60})
    site.start_web_server()
    site.start_workers()
    jobs = {}
    for _ in range(3):
        jobs |= site.enqueue(1)
        site.wait_for_all(60)
    statistics = site.statistics()
    print(statistics)
    assert statistics["rendered to stored, longest"] < 15
