"""The queue is measured by ticks, by a bounded number of look-ups, and only for receivers."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from django_docraptor import queue_measurements, wakeups
from django_docraptor.instrumentation import QueueMeasured
from django_docraptor.models import Account, RenderJob
from django_docraptor.queue_measurements import measure
from tests.support.jobs import enqueue, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _not_measured_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_measurements, "_last_measured_at", -queue_measurements.INTERVAL)


def measured() -> dict[tuple[str, str], QueueMeasured]:
    """Return the measurements by account and state."""
    return {(event.account, event.state): event for event in measure()}


def test_depth_and_lag_of_each_account() -> None:
    """Each known account has its own depth and lag, and "" has those of all."""
    for name in ("acme", "default"):
        Account.objects.get_or_create(name=name)
    enqueue()
    enqueue(account="acme")
    enqueue(account="acme")
    skip_time(90)
    found = measured()
    assert found["", "pending"].depth == 3
    assert found["acme", "pending"].depth == 2
    assert found["default", "pending"].depth == 1
    assert found["acme", "pending"].lag_seconds == pytest.approx(90, abs=60)
    assert found["acme", "queued"] == QueueMeasured(
        account="acme", state="queued", depth=0, lag_seconds=0.0
    )


def test_job_that_is_not_due_has_no_lag() -> None:
    """What is to be looked at later does not wait."""
    enqueue()
    skip_time(-3600)
    assert measured()["", "pending"].depth == 1
    assert measured()["", "pending"].lag_seconds == 0


def test_tick_measures(events: list[Any], settings: Any) -> None:
    """A tick publishes the queue, an idle one zeros; the next one within seconds does not."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    enqueue()
    del events[:]
    wakeups.tick()
    assert {event.state: event.depth for event in events}["pending"] == 1
    del events[:]
    wakeups.tick()
    assert events == []


def test_idle_tick_publishes_zeros(
    events: list[Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all is done, gauges go back to zero."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    Account.objects.get_or_create(name="acme")
    wakeups.tick()  # creates the heartbeat
    del events[:]
    monkeypatch.setattr(queue_measurements, "_last_measured_at", -queue_measurements.INTERVAL)
    wakeups.tick()
    assert {event.account for event in events} == {"", "acme"}
    assert {event.depth for event in events} == {0}


def test_nothing_is_read_without_a_receiver(django_assert_num_queries: Any) -> None:
    """Without a receiver, a tick makes no query for metrics."""
    with django_assert_num_queries(0):
        queue_measurements.publish()


def test_queries_do_not_grow_with_accounts() -> None:
    """However many accounts there are, three queries measure a limited number of them."""
    Account.objects.bulk_create(Account(name=f"tenant-{number:03}") for number in range(200))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = measured()
    assert len(queries) == 3
    accounts = {account for account, _state in found}
    assert len(accounts) == queue_measurements.MAX_ACCOUNTS + 1
    assert RenderJob.objects.count() == 0


def test_command_measures_too(events: list[Any], sandbox: Any) -> None:
    """A site without a queue, whose engine is the command, is measured as well."""
    enqueue(idempotency_key="a")
    RenderJob.objects.update(due_at=F("due_at") + timedelta(hours=1))
    del events[:]
    call_command("docraptor_tick")
    assert {event.state: event.depth for event in events}["pending"] == 1


def test_command_that_ends_leaves_no_old_value(
    events: list[Any], sandbox: Any, documents_dir: Any
) -> None:
    """When the command has finished all jobs, what it has measured last is nothing."""
    enqueue()
    call_command("docraptor_tick", until_idle=True, interval=0.1, timeout=60)
    measured = [event for event in events if isinstance(event, QueueMeasured)]
    assert any(event.depth for event in measured)
    last = measured[-len(queue_measurements.STATES) :]
    assert {event.depth for event in last} == {0}


def test_error_of_a_measurement_ends_no_tick(
    events: list[Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the queue cannot be measured, the tick goes on."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}

    def fail(**options: object) -> None:
        raise OperationalError("no measurement")

    monkeypatch.setattr(queue_measurements, "database_now", fail)
    enqueue()
    del events[:]
    wakeups.tick()
    assert events == []
