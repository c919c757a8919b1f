"""Which jobs are taken, by whom, and which count."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from django_docraptor.models import Account, RenderJob, seconds_from_now
from django_docraptor.states import POLLED_STATES, State
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue, put, row, skip_time
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db


# --- claims ----------------------------------------------------------------------------------


def test_claim_by_priority(monkeypatch) -> None:
    """The more urgent go first; among equals, who has waited longer."""
    monkeypatch.setattr("random.random", lambda: 0.999)  # no place goes by waiting time
    for name, priority, seconds in [("c", 0, 9), ("b", 5, 1), ("a", 5, 2), ("d", 0, 8)]:
        job = enqueue(name=name, priority=priority)
        RenderJob.objects.filter(pk=job.pk).update(due_at=seconds_from_now(-seconds))
    order = [RenderJob.objects.all().claim(limit=1, lease=60)[0].name for _ in range(4)]
    assert order == ["a", "b", "c", "d"]


def test_claim_takes_what_is_due() -> None:
    """What is not due yet is nobody's to take."""
    put(State.QUEUED)
    due = put(State.QUEUED, due_at=seconds_from_now(-1))
    assert [job.pk for job in RenderJob.objects.all().claim(limit=9, lease=60)] == [due.pk]


def test_claim_leases() -> None:
    """A claimed job has a token, comes back at its end, and knows the database's time."""
    put(State.QUEUED, due_at=seconds_from_now(-1))
    (job,) = RenderJob.objects.all().claim(limit=9, lease=60)
    assert job.lease_token == row(job)["lease_token"] != ""
    assert timedelta(seconds=55) < job.due_at - job.claimed_at < timedelta(seconds=65)
    assert RenderJob.objects.all().claim(limit=9, lease=60) == []
    skip_time(61)
    (again,) = RenderJob.objects.all().claim(limit=9, lease=60)
    assert again.lease_token != job.lease_token


def test_claim_limit() -> None:
    """No more than asked for."""
    for _ in range(5):
        enqueue()
    assert len(RenderJob.objects.all().claim(limit=3, lease=60)) == 3
    assert len(RenderJob.objects.all().claim(limit=3, lease=60)) == 2


def test_claim_nothing() -> None:
    """An empty queue gives an empty list."""
    assert RenderJob.objects.all().claim(limit=3, lease=60) == []


@pytest.mark.django_db(transaction=True)
def test_claim_race() -> None:
    """Four claimers on four connections: each row has one owner."""
    jobs = [enqueue() for _ in range(30)]
    parts = at_once(4, lambda: RenderJob.objects.all().claim(limit=20, lease=60))
    owners = [(job.pk, job.lease_token) for part in parts for job in part]
    assert len({key for key, _ in owners}) == len(owners)
    in_rows = RenderJob.objects.exclude(lease_token="").values_list("pk", "lease_token")
    assert sorted(owners) == sorted(in_rows)
    assert {key for key, _ in owners} <= {job.pk for job in jobs}


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.WORKING},
        {"attempt": 2},
        {"lease_token": "another's"},
        {"callback_at": "2020-01-01T00:00Z"},
        {"due_at": seconds_from_now(60)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_take_leaves_a_row_that_was_touched(change: dict) -> None:
    """Between the look and the claim somebody may come: what was read is then no longer true."""
    put(State.QUEUED, due_at=Now())
    chosen = RenderJob.objects.filter(state__in=POLLED_STATES).most_urgent(1)
    RenderJob.objects.update(**change)
    assert RenderJob.objects.filter(state__in=POLLED_STATES).claim_jobs(chosen, lease=60) == []


def test_take_reads_several_again() -> None:
    """Of several jobs each is shown as the claim found it."""
    for _ in range(3):
        put(State.QUEUED, due_at=Now())
    chosen = RenderJob.objects.filter(state__in=POLLED_STATES).most_urgent(3)
    RenderJob.objects.filter(pk=chosen[0].pk).update(state=State.WORKING)
    taken = RenderJob.objects.filter(state__in=POLLED_STATES).claim_jobs(chosen, lease=60)
    assert {job.pk: job.state for job in taken}[chosen[0].pk] == State.WORKING
    assert len(taken) == 3


def test_claim_leaves_a_paused_account_alone() -> None:
    """Its jobs wait for the end of the pause; those of others are found beside them."""
    for _ in range(3):
        put(State.QUEUED, due_at=Now(), account="paused", priority=5)
    other = put(State.QUEUED, due_at=Now())
    Account.pause("paused", 600, "wrong key")
    (job,) = RenderJob.objects.all().claim(limit=2, lease=60)
    assert job.pk == other.pk
    assert not RenderJob.objects.filter(account="paused").due().exists()


# --- what counts as in flight ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "columns", "counts"),
    [
        (State.PENDING, {}, False),
        (State.PENDING, {"lease_token": "x"}, True),
        (State.PENDING, {"lease_token": "x", "due_at": seconds_from_now(-1)}, False),
        (State.SUBMITTING, {}, True),
        (State.QUEUED, {}, True),
        (State.WORKING, {"due_at": seconds_from_now(-1)}, True),
        (State.UNCONFIRMED, {"sent_at": seconds_from_now(-59)}, True),
        (State.UNCONFIRMED, {"sent_at": seconds_from_now(-61)}, False),
        (State.DOWNLOADING, {}, False),
        (State.COMPLETED, {}, False),
        (State.FAILED, {}, False),
        (State.CANCELLED, {}, False),
    ],
)
def test_in_flight(state: State, columns: dict[str, Any], counts: bool) -> None:
    """A slot is taken by what DocRaptor has, may have, or is about to get."""
    put(state, **columns)
    assert RenderJob.objects.count_in_flight("default") == counts
    assert RenderJob.objects.count_in_flight("other") == 0


def test_for_source() -> None:
    """Jobs are found by the object that they were made from."""
    one, two = Invoice.objects.create(number="1"), Invoice.objects.create(number="2")
    job = enqueue(source=one)
    enqueue(source=two)
    enqueue()
    assert list(RenderJob.objects.for_source(one)) == [job]
