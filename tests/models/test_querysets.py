"""Which jobs are claimed, and which count as in flight."""

from datetime import timedelta
from typing import Any

import pytest

from django_docraptor.lifecycle.accounts import claim
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.claims import read_urgent
from django_docraptor.models.clock import Now
from django_docraptor.states import ACTIVE_STATES, POLLED_STATES, State
from tests.apps.shop.models import Invoice
from tests.support.jobs import create_job, enqueue, pause_account, read_row, skip_time
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


# --- claims ----------------------------------------------------------------------------------


def test_claim_orders_by_priority_then_waiting_time(monkeypatch) -> None:
    """Jobs with a higher priority are claimed first; among equals, those that waited longer."""
    monkeypatch.setattr("random.random", lambda: 0.999)  # no place is given by age
    for name, priority, seconds in [("c", 0, 9), ("b", 5, 1), ("a", 5, 2), ("d", 0, 8)]:
        job = enqueue(name=name, priority=priority)
        RenderJob.objects.filter(pk=job.pk).update(due_at=seconds_from_now(-seconds))
    names = [claim(ACTIVE_STATES, limit=1, lease=60)[0].name for _ in range(4)]
    assert names == ["a", "b", "c", "d"]


def test_claim_takes_only_due_jobs() -> None:
    """A job that is not due is not claimed."""
    create_job(State.QUEUED)
    due = create_job(State.QUEUED, due_at=seconds_from_now(-1))
    assert [job.pk for job in claim(ACTIVE_STATES, limit=9, lease=60)] == [due.pk]


def test_claim_sets_a_lease() -> None:
    """A claimed job has a token, is due when its lease ends, and has the database's time."""
    create_job(State.QUEUED, due_at=seconds_from_now(-1))
    (job,) = claim(ACTIVE_STATES, limit=9, lease=60)
    assert job.lease_token == read_row(job)["lease_token"] != ""
    assert timedelta(seconds=55) < job.due_at - job.claimed_at < timedelta(seconds=65)
    assert claim(ACTIVE_STATES, limit=9, lease=60) == []
    skip_time(61)
    (again,) = claim(ACTIVE_STATES, limit=9, lease=60)
    assert again.lease_token != job.lease_token


def test_claim_respects_the_limit() -> None:
    """A claim returns at most as many jobs as asked for."""
    for _ in range(5):
        enqueue()
    assert len(claim(ACTIVE_STATES, limit=3, lease=60)) == 3
    assert len(claim(ACTIVE_STATES, limit=3, lease=60)) == 2


def test_claim_of_an_empty_queue_is_empty() -> None:
    """An empty queue gives an empty list."""
    assert claim(ACTIVE_STATES, limit=3, lease=60) == []


@pytest.mark.django_db(transaction=True)
def test_parallel_claims_give_each_row_one_owner() -> None:
    """Of four parallel claims, one gets each row."""
    jobs = [enqueue() for _ in range(30)]
    parts = run_in_threads(4, lambda: claim(ACTIVE_STATES, limit=20, lease=60))
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
def test_claim_skips_a_row_changed_since_it_was_read(change: dict) -> None:
    """A row that another process changed between the SELECT and the claim is skipped."""
    create_job(State.QUEUED, due_at=Now())
    chosen = read_urgent(POLLED_STATES, limit=1)
    RenderJob.objects.update(**change)
    assert RenderJob.objects.filter(state__in=POLLED_STATES).claim_jobs(chosen, lease=60) == []


def test_claim_returns_rows_as_they_are_now() -> None:
    """Claimed jobs have the columns that the claim found, not those of the SELECT before."""
    for _ in range(3):
        create_job(State.QUEUED, due_at=Now())
    chosen = read_urgent(POLLED_STATES, limit=3)
    RenderJob.objects.filter(pk=chosen[0].pk).update(state=State.WORKING)
    taken = RenderJob.objects.filter(state__in=POLLED_STATES).claim_jobs(chosen, lease=60)
    assert {job.pk: job.state for job in taken}[chosen[0].pk] == State.WORKING
    assert len(taken) == 3


def test_claim_skips_paused_accounts() -> None:
    """Jobs of a paused account stay as they are, and those of others are claimed."""
    for _ in range(3):
        create_job(State.QUEUED, due_at=Now(), account="paused", priority=5)
    other = create_job(State.QUEUED, due_at=Now())
    pause_account("paused", "wrong key")
    (job,) = claim(POLLED_STATES, limit=2, lease=60)
    assert job.pk == other.pk
    waiting = RenderJob.objects.filter(account="paused")
    assert set(waiting.values_list("lease_token", flat=True)) == {""}
    assert waiting.due().count() == 3


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
def test_count_in_flight_by_state(state: State, columns: dict[str, Any], counts: bool) -> None:
    """A job is in flight if DocRaptor has its document, may have it, or is about to get it."""
    create_job(state, **columns)
    assert RenderJob.objects.count_in_flight("default") == counts
    assert RenderJob.objects.count_in_flight("other") == 0


def test_for_source_finds_jobs_by_object() -> None:
    """Jobs are found by the object that they were enqueued for."""
    one, two = Invoice.objects.create(number="1"), Invoice.objects.create(number="2")
    job = enqueue(source=one)
    enqueue(source=two)
    enqueue()
    assert list(RenderJob.objects.for_source(one)) == [job]


def test_keys_are_found_by_their_beginning() -> None:
    """The beginning is compared exactly, and its wildcards are no wildcards."""
    for key in ("response:a_1:0", "response:a_1:1", "response:A_1:2", "response:ab1:3"):
        enqueue(idempotency_key=key)
    found = RenderJob.objects.with_key_prefix("response:a_1")
    assert sorted(found.values_list("idempotency_key", flat=True)) == [
        "response:a_1:0",
        "response:a_1:1",
    ]
