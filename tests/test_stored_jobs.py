"""How jobs are stored: rows are locked, and jobs with the same idempotency key are one."""

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from django_docraptor import shortcuts, stored_jobs
from django_docraptor.models import RenderEvent, RenderInput, RenderJob
from django_docraptor.shortcuts import JobSpec, enqueue, enqueue_many, enqueue_or_update
from django_docraptor.states import FINAL_STATES, State
from tests.apps.shop.models import Invoice
from tests.support.databases import rejecting
from tests.support.jobs import HTML, create_job
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db

GOOD: dict[str, Any] = {"name": "hello.pdf", "content": HTML}


def test_source_that_was_read_from_a_replica_is_locked() -> None:
    """The row is locked in the primary database, so that parallel requests share one job."""
    if not connection.features.has_select_for_update:
        pytest.skip("this database has no row locks")
    invoice = Invoice.objects.create(number="17")
    invoice._state.db = "replica"
    with CaptureQueriesContext(connection) as queries:
        shortcuts.enqueue_or_update(JobSpec(**GOOD, source=invoice))
    assert [sql for query in queries if " FOR " in (sql := query["sql"]) and "shop_invoice" in sql]


# --- idempotency keys ------------------------------------------------------------------------


def test_second_enqueue_with_a_key_returns_the_first_job() -> None:
    """The second call with a key returns the first job and stores nothing."""
    first = enqueue(**GOOD, idempotency_key="invoice-17")
    second = enqueue(**GOOD | {"name": "other.pdf"}, idempotency_key="invoice-17")
    assert second.pk == first.pk
    assert second.name == "hello.pdf"
    assert RenderJob.objects.count() == RenderEvent.objects.count() == 1


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_idempotency_key_of_a_finished_job_is_not_reused(state: State) -> None:
    """A key keeps its job, whatever its final state."""
    job = create_job(state, idempotency_key="invoice-17")
    assert enqueue(**GOOD, idempotency_key="invoice-17").pk == job.pk


def test_idempotency_keys_that_differ_by_case_cause_no_error() -> None:
    """Keys that differ by case name one job or two, as the database compares them."""
    jobs = [enqueue(**GOOD, idempotency_key=key) for key in ("key", "KEY")]
    batch = enqueue_many([JobSpec(**GOOD, idempotency_key=key) for key in ("KEY", "Key", "key")])
    assert {batch[0].pk, batch[2].pk} == {job.pk for job in jobs}
    assert RenderJob.objects.count() == len({job.pk for job in [*jobs, *batch]})


def test_different_keys_give_different_jobs() -> None:
    """Different keys, and missing keys, give different jobs."""
    keys = ["a", "b", None, None, "1", "0"]
    assert len({enqueue(**GOOD, idempotency_key=key).pk for key in keys}) == len(keys)


@pytest.mark.fault("E5")
@pytest.mark.django_db(transaction=True)
def test_parallel_enqueues_with_a_key_store_one_job() -> None:
    """Four threads with the same key get the same job."""
    jobs = run_in_threads(4, lambda: enqueue(**GOOD, idempotency_key="invoice-17").pk)
    assert set(jobs) == set(RenderJob.objects.values_list("pk", flat=True))
    assert RenderJob.objects.count() == RenderInput.objects.count() == 1
    assert RenderEvent.objects.count() == 1


@pytest.mark.fault("E5")
@pytest.mark.django_db(transaction=True)
def test_parallel_batches_with_shared_keys_store_one_job_per_key() -> None:
    """Parallel batches with the same keys get the same job for each key."""

    def batch() -> list[uuid.UUID]:
        specs = [JobSpec(**GOOD, idempotency_key=f"key-{number}") for number in range(5)]
        return [job.pk for job in enqueue_many([*specs, JobSpec(**GOOD)])]

    first, second, third = run_in_threads(3, batch)
    assert first[:5] == second[:5] == third[:5]
    assert len({first[5], second[5], third[5]}) == 3
    assert RenderJob.objects.count() == 8


@pytest.mark.django_db(transaction=True)
def test_known_key_leaves_the_transaction_usable() -> None:
    """The caller's transaction stays usable if a key exists."""
    enqueue(**GOOD, idempotency_key="invoice-17")
    with transaction.atomic():
        enqueue(**GOOD, idempotency_key="invoice-17")
        enqueue(**GOOD)
    assert RenderJob.objects.count() == 2


@pytest.mark.parametrize("other", ["link-Ab3", "link-aB3 ", "link-äB3"])
def test_idempotency_keys_are_compared_exactly(sandbox, other: str) -> None:
    """Keys that MariaDB would take for equal by default name different jobs."""
    first = enqueue(name="alice.pdf", content=HTML, idempotency_key="link-aB3")
    second = enqueue(name="bob.pdf", content=HTML, idempotency_key=other)
    assert (second.name, second.pk == first.pk) == ("bob.pdf", False)


@pytest.mark.parametrize("other", ["b", "A", "a ", "ä"])
def test_accounts_share_no_idempotency_keys(sandbox, other: str) -> None:
    """Two accounts that use the same key get a job each, and each gets its own again."""
    jobs = {
        account: enqueue(name=f"{account}.pdf", content=HTML, idempotency_key="1", account=account)
        for account in ("a", other)
    }
    assert len({job.pk for job in jobs.values()}) == 2
    for account, job in jobs.items():
        again = enqueue(name="again.pdf", content=HTML, idempotency_key="1", account=account)
        assert (again.pk, again.account, again.name) == (job.pk, account, f"{account}.pdf")


def test_enqueue_many_keeps_the_keys_of_accounts_apart(sandbox) -> None:
    """A batch finds the jobs of its own accounts, though all pairs have known parts."""
    for account, key in (("a", "1"), ("b", "2")):
        enqueue(name=f"{account}-{key}.pdf", content=HTML, idempotency_key=key, account=account)
    pairs = [(account, key) for account in "ab" for key in "12"] * 2
    jobs = enqueue_many(
        JobSpec(name=f"{account}-{key}.pdf", content=HTML, idempotency_key=key, account=account)
        for account, key in pairs
    )
    assert [(job.account, job.idempotency_key) for job in jobs] == pairs
    assert [job.name for job in jobs] == [f"{account}-{key}.pdf" for account, key in pairs]
    assert RenderJob.objects.count() == 4


def test_key_stored_meanwhile_by_another_account_is_not_taken(sandbox, monkeypatch) -> None:
    """If two accounts store the same key at once, each has its own job."""
    enqueue(name="a.pdf", content=HTML, idempotency_key="1", account="a")
    theirs = enqueue(name="b.pdf", content=HTML, idempotency_key="1", account="b")
    monkeypatch.setattr(shortcuts, "find_existing_jobs", lambda specs: {})
    (job,) = enqueue_many([JobSpec(**GOOD, idempotency_key="1", account="b")])
    assert (job.pk, RenderJob.objects.count()) == (theirs.pk, 2)


@pytest.mark.django_db(transaction=True)
def test_enqueue_many_is_atomic(sandbox) -> None:
    """If one spec cannot be stored, none is."""
    enqueue(name="other.pdf", content=HTML, idempotency_key="0")
    good, bad = (
        JobSpec(name="a.pdf", content=HTML),
        JobSpec(name="b.pdf", content="<p>Refused</p>"),
    )
    # The database refuses the input, which has a table of its own.
    with rejecting("Refused", IntegrityError("refused")):
        for specs in ([good, bad], [bad]):
            with pytest.raises(IntegrityError, match="refused"):
                enqueue_many(specs)
    assert RenderJob.objects.count() == RenderInput.objects.count() == 1


def test_enqueue_many_survives_a_key_stored_meanwhile(sandbox, monkeypatch) -> None:
    """If another process stores a key first, its job is returned and the others are stored."""
    theirs = enqueue(name="a.pdf", content=HTML, idempotency_key="a")
    monkeypatch.setattr(shortcuts, "find_existing_jobs", lambda specs: {})
    specs = [JobSpec(name=f"{key}.pdf", content=HTML, idempotency_key=key) for key in "ab"]
    found, made = enqueue_many(specs)
    assert found.pk == theirs.pk
    assert RenderJob.objects.get(idempotency_key="b").pk == made.pk


@pytest.fixture
def deadlocks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the next transactions meet before they store anything, as MariaDB reports it."""
    found = ["Deadlock found when trying to get lock"] * 2
    lock = stored_jobs._lock_source

    def lock_or_refuse(source: Any) -> None:
        if found:
            raise OperationalError(1213, found.pop())
        lock(source)

    monkeypatch.setattr(stored_jobs, "_lock_source", lock_or_refuse)
    return found


@pytest.mark.django_db(transaction=True)
def test_deadlock_with_a_worker_is_repeated(deadlocks: list[str]) -> None:
    """Neither the caller nor the save of an object sees it, and one job is stored."""
    job = enqueue_or_update(JobSpec(name="a.pdf", content="<p>A</p>"))
    assert not deadlocks
    assert RenderJob.objects.get() == job


@pytest.mark.django_db(transaction=True)
def test_deadlock_in_a_transaction_is_the_callers(deadlocks: list[str]) -> None:
    """The database has undone all of the transaction, which only its owner can repeat."""
    with pytest.raises(OperationalError), transaction.atomic():
        enqueue_or_update(JobSpec(name="a.pdf", content="<p>A</p>"))
    assert len(deadlocks) == 1
    assert not RenderJob.objects.exists()
