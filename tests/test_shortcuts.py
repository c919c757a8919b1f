"""The front door: what it refuses, what it stores, and that one key makes one job."""

import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject

from django_docraptor import lifecycle, shortcuts
from django_docraptor.exceptions import CallError
from django_docraptor.models import RenderEvent, RenderInput, RenderJob, seconds_from_now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import JobSpec, cancel, enqueue, enqueue_many, render_now, retry
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, ErrorCode, EventKind, State
from tests.apps.shop.models import Invoice
from tests.support.jobs import HTML, drive, kinds
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db

GOOD: dict[str, Any] = {"name": "hello.pdf", "content": HTML}


def put(state: State, **columns: Any) -> RenderJob:
    """A job in any state, as some earlier process left it."""
    job = enqueue(**GOOD)
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    RenderJob.objects.filter(pk=job.pk).update(
        **{"state": state, "attempt": 1, "due_at": due_at, **columns}
    )
    return RenderJob.objects.get(pk=job.pk)


def row(job: RenderJob) -> dict[str, Any]:
    """The row as it is in the database."""
    return RenderJob.objects.filter(pk=job.pk).values().get()


# --- what is refused -------------------------------------------------------------------------


def test_enqueue_many_refuses_all() -> None:
    """One wrong order among good ones: nothing is stored."""
    with pytest.raises(ValidationError):
        enqueue_many([JobSpec(**GOOD), JobSpec(name="", content=HTML), JobSpec(**GOOD)])
    assert not RenderJob.objects.exists()


# --- what is stored --------------------------------------------------------------------------


def test_enqueue_stores() -> None:
    """Row, input and first line of history say what was asked for."""
    owner = get_user_model().objects.create(username="anna")
    invoice = Invoice.objects.create(number="17")
    job = enqueue(
        name="invoice.xlsx",
        content=HTML,
        document_type="xlsx",
        options={"javascript": True},
        params={"copy": 2},
        source=invoice,
        owner=owner,
        priority=7,
        idempotency_key="invoice-17",
        account="tenant",
    )
    stored = RenderJob.objects.select_related("input").get()
    assert stored.pk == job.pk
    assert (stored.name, stored.document_type, stored.priority) == ("invoice.xlsx", "xlsx", 7)
    assert (stored.account, stored.idempotency_key) == ("tenant", "invoice-17")
    assert (stored.owner, stored.source) == (owner, invoice)
    assert (stored.state, stored.attempt, stored.lease_token) == (State.PENDING, 0, "")
    assert stored.input.content == HTML
    assert (stored.input.options, stored.input.params) == ({"javascript": True}, {"copy": 2})
    assert kinds(stored) == ["enqueued"]


def test_enqueue_returns_a_whole_job() -> None:
    """The job that is returned tells when it is due, as the row does."""
    job = enqueue(**GOOD)
    stored = RenderJob.objects.get(pk=job.pk)
    assert job.due_at == stored.due_at
    assert job.created_at == stored.created_at
    assert RenderJob.objects.due().filter(pk=job.pk).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("test", [True, False])
def test_enqueue_test_flag_is_sent(sandbox: Sandbox, settings, test: bool) -> None:
    """The flag reaches DocRaptor, and decides about the bill, whatever the setting is by then."""
    enqueue(**GOOD, test=test)
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TEST_MODE": not test}
    lifecycle.submit()
    (entry,) = sandbox.ledger.accepted()
    assert entry.test is test
    assert len(sandbox.ledger.billed()) == (not test)


@pytest.mark.django_db(transaction=True)
def test_enqueue_rolls_back(sandbox: Sandbox) -> None:
    """A rollback of the caller leaves nothing, and nothing is ever sent."""
    with transaction.atomic():
        enqueue(**GOOD)
        transaction.set_rollback(True)
    lifecycle.run()
    assert not RenderJob.objects.exists()
    assert not RenderInput.objects.exists()
    assert sandbox.ledger.create_calls == 0


# --- one key, one job ------------------------------------------------------------------------


def test_idempotency_key_twice() -> None:
    """The second call gets the first one's job, and stores nothing."""
    first = enqueue(**GOOD, idempotency_key="invoice-17")
    second = enqueue(**GOOD | {"name": "other.pdf"}, idempotency_key="invoice-17")
    assert second.pk == first.pk
    assert second.name == "hello.pdf"
    assert RenderJob.objects.count() == RenderEvent.objects.count() == 1


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_idempotency_key_of_a_finished_job(state: State) -> None:
    """A key is spent for good, however its job ended."""
    job = put(state, idempotency_key="invoice-17")
    assert enqueue(**GOOD, idempotency_key="invoice-17").pk == job.pk


def test_idempotency_keys_by_case() -> None:
    """Keys that differ in case alone: one job or two, as the database compares, and no error."""
    jobs = [enqueue(**GOOD, idempotency_key=key) for key in ("key", "KEY")]
    batch = enqueue_many([JobSpec(**GOOD, idempotency_key=key) for key in ("KEY", "Key", "key")])
    assert {batch[0].pk, batch[2].pk} == {job.pk for job in jobs}
    assert RenderJob.objects.count() == len({job.pk for job in [*jobs, *batch]})


def test_idempotency_keys_differ() -> None:
    """Different keys, and no keys, make different jobs."""
    keys = ["a", "b", None, None, "1", "0"]
    assert len({enqueue(**GOOD, idempotency_key=key).pk for key in keys}) == len(keys)


@pytest.mark.django_db(transaction=True)
def test_idempotency_key_race() -> None:
    """E5: four threads with the same key get the same job, and there is one."""
    jobs = at_once(4, lambda: enqueue(**GOOD, idempotency_key="invoice-17").pk)
    assert set(jobs) == set(RenderJob.objects.values_list("pk", flat=True))
    assert RenderJob.objects.count() == RenderInput.objects.count() == 1
    assert RenderEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_idempotency_key_race_of_batches() -> None:
    """Batches that overlap each get a job for every order; a key has one job."""

    def batch() -> list[uuid.UUID]:
        orders = [JobSpec(**GOOD, idempotency_key=f"key-{number}") for number in range(5)]
        return [job.pk for job in enqueue_many([*orders, JobSpec(**GOOD)])]

    first, second, third = at_once(3, batch)
    assert first[:5] == second[:5] == third[:5]
    assert len({first[5], second[5], third[5]}) == 3
    assert RenderJob.objects.count() == 8


@pytest.mark.django_db(transaction=True)
def test_idempotency_key_inside_a_transaction() -> None:
    """The caller's transaction stays usable when the key exists already."""
    enqueue(**GOOD, idempotency_key="invoice-17")
    with transaction.atomic():
        enqueue(**GOOD, idempotency_key="invoice-17")
        enqueue(**GOOD)
    assert RenderJob.objects.count() == 2


# --- many ------------------------------------------------------------------------------------


def test_enqueue_many_keeps_the_order() -> None:
    """A job for each order, in their order."""
    names = [f"{number}.pdf" for number in range(20)]
    jobs = enqueue_many(JobSpec(name=name, content=HTML) for name in names)
    assert [job.name for job in jobs] == names
    assert RenderJob.objects.count() == 20


def test_enqueue_many_duplicates_in_one_call() -> None:
    """Orders with the same key share a job; orders without share none, though they are equal."""
    order = JobSpec(**GOOD)
    keyed = [JobSpec(**GOOD, idempotency_key="a"), JobSpec(**GOOD, idempotency_key="a")]
    jobs = enqueue_many([*keyed, order, order])
    assert jobs[0].pk == jobs[1].pk
    assert len({job.pk for job in jobs}) == RenderJob.objects.count() == 3


def test_enqueue_many_known_and_new() -> None:
    """Known keys get their jobs, new ones are stored."""
    known = enqueue(**GOOD, idempotency_key="a")
    jobs = enqueue_many([JobSpec(**GOOD, idempotency_key=key) for key in "bab"])
    assert jobs[1].pk == known.pk
    assert jobs[0].pk == jobs[2].pk != known.pk


def test_enqueue_many_nothing() -> None:
    """No orders, no jobs."""
    assert enqueue_many([]) == []


def queries_for(count: int) -> int:
    """How many queries so many orders cost."""
    invoice = Invoice.objects.create(number="1")
    owner = get_user_model().objects.create(username=str(uuid.uuid4()))
    orders = [
        JobSpec(**GOOD, source=invoice, owner=owner, idempotency_key=str(uuid.uuid4()))
        for _ in range(count)
    ]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        enqueue_many(orders)
    return len(queries)


def test_enqueue_many_queries() -> None:
    """E6: ten times as many jobs cost no ten times as many queries: they go in batches."""
    queries_for(1)
    few, many = queries_for(20), queries_for(200)
    assert few <= 8
    assert many - few <= 200 / 10


@pytest.mark.django_db(transaction=True)
def test_enqueue_many_thousands(settings) -> None:
    """E6: thousands of jobs in one transaction, all stored, all found by their keys."""
    orders = [JobSpec(**GOOD, idempotency_key=f"key-{number}") for number in range(3_000)]
    with transaction.atomic():
        first = enqueue_many(orders)
    assert RenderJob.objects.count() == 3_000
    assert [job.pk for job in enqueue_many(orders)] == [job.pk for job in first]


# --- retry and cancel ------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED}))
def test_retry_of_a_job_that_has_not_failed(state: State) -> None:
    """Only a failed job is retried: an attempt under way must never be sent a second time."""
    job = put(state)
    before = row(job)
    assert retry(job) is False
    assert row(job) == before
    assert kinds(job) == ["enqueued"]


def test_retry_starts_a_new_attempt() -> None:
    """Without anything to take up, the job is pending again, its history and error kept."""
    job = put(
        State.FAILED, error_code=ErrorCode.RENDER_FAILED, errors="broken", download_attempts=3
    )
    assert retry(job)
    stored = row(job)
    assert (stored["state"], stored["finished_at"], stored["download_attempts"]) == (
        "pending",
        None,
        0,
    )
    assert stored["errors"] == "broken"
    assert kinds(job) == ["enqueued", "retried"]
    assert RenderJob.objects.due().count() == 1


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({"error_code": ErrorCode.STORAGE_ERROR, "download_id": "d"}, State.DOWNLOADING),
        ({"error_code": ErrorCode.DOWNLOAD_FAILED, "download_id": "d"}, State.DOWNLOADING),
        ({"error_code": ErrorCode.STATUS_UNAVAILABLE, "status_id": "s"}, State.QUEUED),
        ({"error_code": ErrorCode.TIMED_OUT, "status_id": "s"}, State.PENDING),
    ],
)
def test_retry_takes_up_what_docraptor_has(columns: dict[str, str], state: State) -> None:
    """What DocRaptor still holds is fetched, not made and billed anew."""
    job = put(State.FAILED, **columns)
    assert retry(job)
    assert (row(job)["state"], row(job)["attempt"]) == (state, 1)


@pytest.mark.django_db(transaction=True)
def test_retry_completes(sandbox: Sandbox, documents) -> None:
    """A job whose document failed is completed by a second attempt."""
    sandbox.add_fault(Fault(on="render", action="fail", times=1))
    job = drive(enqueue(**GOOD))
    assert job.state == State.FAILED
    assert retry(job)
    job = drive(job)
    assert (job.state, job.attempt, job.error_code) == (State.COMPLETED, 2, "")


@pytest.mark.django_db(transaction=True)
def test_retry_race() -> None:
    """Two people press the button: one retry, one line of history."""
    job = put(State.FAILED, error_code=ErrorCode.RENDER_FAILED)
    seen = [RenderJob.objects.get(pk=job.pk) for _ in range(3)]
    assert sorted(at_once(3, lambda: retry(seen.pop()))) == [False, False, True]
    assert kinds(job) == ["enqueued", "retried"]


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_cancel_unfinished(state: State) -> None:
    """Every unfinished job can be given up."""
    job = put(state, lease_token="a worker's")
    assert cancel(job)
    assert (row(job)["state"], row(job)["due_at"]) == (State.CANCELLED, None)
    assert kinds(job) == ["enqueued", "cancelled"]


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_cancel_finished(state: State) -> None:
    """A finished job stays as it is."""
    job = put(state)
    before = row(job)
    assert cancel(job) is False
    assert row(job) == before


def test_cancel_of_a_job_that_has_moved_on() -> None:
    """An older view of the job still cancels it."""
    job = put(State.PENDING)
    RenderJob.objects.update(state=State.WORKING, attempt=4)
    assert cancel(job)
    assert row(job)["state"] == State.CANCELLED


def test_cancel_of_a_job_that_has_ended_meanwhile() -> None:
    """An older view of a completed job does not undo it."""
    job = put(State.DOWNLOADING)
    RenderJob.objects.update(state=State.COMPLETED, due_at=None)
    assert cancel(job) is False
    assert row(job)["state"] == State.COMPLETED


@pytest.mark.parametrize(
    ("call", "kind"),
    [(retry, EventKind.RETRIED), (cancel, EventKind.CANCELLED)],
    ids=["retry", "cancel"],
)
def test_history_names_who_did_it(call: Callable[..., bool], kind: EventKind) -> None:
    """The timeline says who retried or cancelled."""
    user = get_user_model().objects.create(username="anna")
    job = put(State.FAILED if call is retry else State.QUEUED)
    call(job, by=user)
    assert job.events.get(kind=kind).message == "by anna"


@pytest.mark.parametrize("by", [None, AnonymousUser(), SimpleLazyObject(AnonymousUser)])
def test_history_names_nobody(by: Any) -> None:
    """A visitor who is not logged in has no name to write down."""
    job = put(State.QUEUED)
    assert cancel(job, by=by)
    assert job.events.get(kind=EventKind.CANCELLED).message == ""


# --- at once ---------------------------------------------------------------------------------


def test_render_now(sandbox: Sandbox) -> None:
    """A whole document in one call, without a job."""
    target = BytesIO()
    download = render_now(target, **GOOD)
    data = target.getvalue()
    assert data.startswith(b"%PDF-")
    assert download.size == len(data)
    (entry,) = sandbox.ledger.accepted()
    assert (entry.asynchronous, entry.test) == (False, True)
    assert not RenderJob.objects.exists()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("content", '<img src="/logo.png">'),
        ("options", None),
        ("params", [1]),
        ("account", ""),
        ("hosted", "yes"),
    ],
)
def test_render_now_refuses(sandbox: Sandbox, field: str, wrong: Any) -> None:
    """A wrong order is refused under the field's name; nothing is sent."""
    with pytest.raises(ValidationError) as caught:
        render_now(BytesIO(), **GOOD | {field: wrong})
    assert list(caught.value.message_dict) == [field]
    assert sandbox.calls == []


def test_render_now_hosted(sandbox: Sandbox) -> None:
    """What is public is never made by a call that says nothing of it."""
    with pytest.raises(ValidationError) as caught:
        render_now(BytesIO(), **GOOD, hosted=True)
    assert list(caught.value.message_dict) == ["hosted"]
    assert sandbox.calls == []


def test_render_now_fails(sandbox: Sandbox) -> None:
    """What DocRaptor refuses is an error that says so."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422))
    with pytest.raises(CallError) as caught:
        render_now(BytesIO(), **GOOD)
    assert caught.value.status == 422


@pytest.mark.parametrize("other", ["link-Ab3", "link-aB3 ", "link-äB3"])
def test_keys_are_compared_exactly(sandbox, other: str) -> None:
    """What MariaDB takes for one text by default: a stranger's document."""
    first = enqueue(name="alice.pdf", content=HTML, idempotency_key="link-aB3")
    second = enqueue(name="bob.pdf", content=HTML, idempotency_key=other)
    assert (second.name, second.pk == first.pk) == ("bob.pdf", False)


@pytest.mark.django_db(transaction=True)
def test_many_are_stored_whole_or_not_at_all(sandbox, django_user_model) -> None:
    """An owner who was deleted meanwhile: the one good order is not left behind."""
    gone = django_user_model.objects.create_user("gone")
    stale = django_user_model.objects.get(pk=gone.pk)
    gone.delete()
    enqueue(name="other.pdf", content=HTML, idempotency_key="0")
    good, bad = (
        JobSpec(name="a.pdf", content=HTML),
        JobSpec(name="b.pdf", content=HTML, owner=stale),
    )
    for orders in ([good, bad], [bad]):
        with pytest.raises(IntegrityError):
            enqueue_many(orders)
    assert RenderJob.objects.count() == 1


def test_orders_go_on_where_one_key_is_known_meanwhile(sandbox, monkeypatch) -> None:
    """Another process was faster with a key: its job counts, and the others are stored."""
    theirs = enqueue(name="a.pdf", content=HTML, idempotency_key="a")
    monkeypatch.setattr(shortcuts, "_known_keys", lambda orders: {})
    orders = [JobSpec(name=f"{key}.pdf", content=HTML, idempotency_key=key) for key in "ab"]
    found, made = enqueue_many(orders)
    assert found.pk == theirs.pk
    assert RenderJob.objects.get(idempotency_key="b").pk == made.pk
