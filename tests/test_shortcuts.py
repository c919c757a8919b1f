"""enqueue, enqueue_many, retry, cancel and render_now: validation, storage, idempotency."""

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
from django_docraptor.models import RenderEvent, RenderInput, RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import JobSpec, cancel, enqueue, enqueue_many, render_now, retry
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, ErrorCode, EventKind, State
from tests.apps.shop.models import Invoice
from tests.support.databases import rejecting
from tests.support.jobs import HTML, create_job, event_kinds, read_row, run_until_finished
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db

GOOD: dict[str, Any] = {"name": "hello.pdf", "content": HTML}


# --- validation ------------------------------------------------------------------------------


def test_enqueue_many_stores_nothing_if_one_spec_is_invalid() -> None:
    """One invalid spec among valid ones: no job is stored."""
    with pytest.raises(ValidationError):
        enqueue_many([JobSpec(**GOOD), JobSpec(name="", content=HTML), JobSpec(**GOOD)])
    assert not RenderJob.objects.exists()


# --- storage ---------------------------------------------------------------------------------


def test_source_that_was_read_from_a_replica_is_locked() -> None:
    """The row is locked in the primary database, so that parallel requests share one job."""
    if not connection.features.has_select_for_update:
        pytest.skip("this database has no row locks")
    invoice = Invoice.objects.create(number="17")
    invoice._state.db = "replica"
    with CaptureQueriesContext(connection) as queries:
        shortcuts.enqueue_or_update(JobSpec(**GOOD, source=invoice))
    assert [sql for query in queries if " FOR " in (sql := query["sql"]) and "shop_invoice" in sql]


def test_enqueue_stores_job_input_and_event() -> None:
    """The row, its input and its first event have the given values."""
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
    assert event_kinds(stored) == ["enqueued"]


def test_enqueue_returns_a_job_with_database_times() -> None:
    """The returned job has the times of its row."""
    job = enqueue(**GOOD)
    stored = RenderJob.objects.get(pk=job.pk)
    assert job.due_at == stored.due_at
    assert job.created_at == stored.created_at
    assert RenderJob.objects.due().filter(pk=job.pk).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("test", [True, False])
def test_enqueue_test_flag_is_sent(sandbox: Sandbox, settings, test: bool) -> None:
    """The test flag is sent to DocRaptor, whatever TEST_MODE is by then."""
    enqueue(**GOOD, test=test)
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TEST_MODE": not test}
    lifecycle.submit()
    (entry,) = sandbox.ledger.accepted()
    assert entry.test is test
    assert len(sandbox.ledger.billed()) == (not test)


@pytest.mark.fault("E1")
@pytest.mark.django_db(transaction=True)
def test_rolled_back_enqueue_sends_nothing(sandbox: Sandbox) -> None:
    """After a rollback nothing is stored and nothing is sent."""
    with transaction.atomic():
        enqueue(**GOOD)
        transaction.set_rollback(True)
    lifecycle.run_once()
    assert not RenderJob.objects.exists()
    assert not RenderInput.objects.exists()
    assert sandbox.ledger.create_calls == 0


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


# --- enqueue_many ----------------------------------------------------------------------------


def test_enqueue_many_keeps_the_order() -> None:
    """The jobs are returned in the order of their specs."""
    names = [f"{number}.pdf" for number in range(20)]
    jobs = enqueue_many(JobSpec(name=name, content=HTML) for name in names)
    assert [job.name for job in jobs] == names
    assert RenderJob.objects.count() == 20


def test_enqueue_many_joins_equal_keys_in_one_call() -> None:
    """Specs with the same key share a job; equal specs without a key do not."""
    spec = JobSpec(**GOOD)
    keyed = [JobSpec(**GOOD, idempotency_key="a"), JobSpec(**GOOD, idempotency_key="a")]
    jobs = enqueue_many([*keyed, spec, spec])
    assert jobs[0].pk == jobs[1].pk
    assert len({job.pk for job in jobs}) == RenderJob.objects.count() == 3


def test_enqueue_many_mixes_known_and_new_keys() -> None:
    """Known keys get their jobs, and new ones are stored."""
    known = enqueue(**GOOD, idempotency_key="a")
    jobs = enqueue_many([JobSpec(**GOOD, idempotency_key=key) for key in "bab"])
    assert jobs[1].pk == known.pk
    assert jobs[0].pk == jobs[2].pk != known.pk


def test_enqueue_many_of_nothing_returns_nothing() -> None:
    """Without specs there are no jobs."""
    assert enqueue_many([]) == []


def count_queries(count: int) -> int:
    """Return the number of queries for so many specs."""
    invoice = Invoice.objects.create(number="1")
    owner = get_user_model().objects.create(username=str(uuid.uuid4()))
    specs = [
        JobSpec(**GOOD, source=invoice, owner=owner, idempotency_key=str(uuid.uuid4()))
        for _ in range(count)
    ]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        enqueue_many(specs)
    return len(queries)


@pytest.mark.fault("E6")
def test_enqueue_many_works_in_batches() -> None:
    """Ten times as many jobs need far fewer than ten times as many queries."""
    count_queries(1)
    few, many = count_queries(20), count_queries(200)
    assert few <= 8
    assert many - few <= 200 / 10


@pytest.mark.fault("E6")
@pytest.mark.django_db(transaction=True)
def test_enqueue_many_stores_thousands(settings) -> None:
    """Thousands of jobs are stored in one transaction, and found by their keys."""
    specs = [JobSpec(**GOOD, idempotency_key=f"key-{number}") for number in range(3_000)]
    with transaction.atomic():
        first = enqueue_many(specs)
    assert RenderJob.objects.count() == 3_000
    assert [job.pk for job in enqueue_many(specs)] == [job.pk for job in first]


# --- retry and cancel ------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED}))
def test_retry_refuses_a_job_that_has_not_failed(state: State) -> None:
    """Only a failed job is retried, since an attempt under way must not be sent twice."""
    job = create_job(state)
    before = read_row(job)
    assert retry(job) is False
    assert read_row(job) == before
    assert event_kinds(job) == ["enqueued"]


def test_retry_starts_a_new_attempt() -> None:
    """If nothing can be resumed, the job is pending again and keeps its events and error."""
    job = create_job(
        State.FAILED, error_code=ErrorCode.RENDER_FAILED, errors="broken", download_attempts=3
    )
    assert retry(job)
    stored = read_row(job)
    assert (stored["state"], stored["finished_at"], stored["download_attempts"]) == (
        "pending",
        None,
        0,
    )
    assert stored["errors"] == "broken"
    assert event_kinds(job) == ["enqueued", "retried"]
    assert RenderJob.objects.due().count() == 1


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({"error_code": ErrorCode.STORAGE_ERROR, "download_id": "d"}, State.DOWNLOADING),
        ({"error_code": ErrorCode.DOWNLOAD_FAILED, "download_id": "d"}, State.DOWNLOADING),
        ({"error_code": ErrorCode.STATUS_UNAVAILABLE, "status_id": "s"}, State.QUEUED),
        ({"error_code": ErrorCode.TIMED_OUT, "status_id": "s"}, State.QUEUED),
        ({"error_code": ErrorCode.DOWNLOAD_REFUSED, "status_id": "s"}, State.QUEUED),
        ({"error_code": ErrorCode.DOCUMENT_GONE, "status_id": "s"}, State.PENDING),
    ],
)
def test_retry_resumes_what_docraptor_has(columns: dict[str, str], state: State) -> None:
    """A document that DocRaptor still has is downloaded, not rendered and billed again."""
    job = create_job(State.FAILED, **columns)
    assert retry(job)
    assert (read_row(job)["state"], read_row(job)["attempt"]) == (state, 1)


@pytest.mark.django_db(transaction=True)
def test_retried_job_completes(sandbox: Sandbox, documents_dir) -> None:
    """A job whose document failed is completed by a second attempt."""
    sandbox.add_fault(Fault(on="render", action="fail", times=1))
    job = run_until_finished(enqueue(**GOOD))
    assert job.state == State.FAILED
    assert retry(job)
    job = run_until_finished(job)
    assert (job.state, job.attempt, job.error_code) == (State.COMPLETED, 2, "")


@pytest.mark.django_db(transaction=True)
def test_parallel_retries_record_one_event() -> None:
    """Of three parallel retries, one succeeds and adds one event."""
    job = create_job(State.FAILED, error_code=ErrorCode.RENDER_FAILED)
    seen = [RenderJob.objects.get(pk=job.pk) for _ in range(3)]
    assert sorted(run_in_threads(3, lambda: retry(seen.pop()))) == [False, False, True]
    assert event_kinds(job) == ["enqueued", "retried"]


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_cancel_ends_an_unfinished_job(state: State) -> None:
    """Every unfinished job can be cancelled."""
    job = create_job(state, lease_token="a worker's")
    assert cancel(job)
    assert (read_row(job)["state"], read_row(job)["due_at"]) == (State.CANCELLED, None)
    assert event_kinds(job) == ["enqueued", "cancelled"]


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_cancel_leaves_a_finished_job(state: State) -> None:
    """A finished job is not changed."""
    job = create_job(state)
    before = read_row(job)
    assert cancel(job) is False
    assert read_row(job) == before


def test_cancel_accepts_an_outdated_instance() -> None:
    """An outdated instance of an unfinished job can be cancelled."""
    job = create_job(State.PENDING)
    RenderJob.objects.update(state=State.WORKING, attempt=4)
    assert cancel(job)
    assert read_row(job)["state"] == State.CANCELLED


def test_cancel_does_not_undo_a_completed_job() -> None:
    """An outdated instance does not cancel a completed job."""
    job = create_job(State.DOWNLOADING)
    RenderJob.objects.update(state=State.COMPLETED, due_at=None)
    assert cancel(job) is False
    assert read_row(job)["state"] == State.COMPLETED


@pytest.mark.parametrize(
    ("call", "kind"),
    [(retry, EventKind.RETRIED), (cancel, EventKind.CANCELLED)],
    ids=["retry", "cancel"],
)
def test_event_names_the_user(call: Callable[..., bool], kind: EventKind) -> None:
    """The event of a retry or cancellation names the user."""
    user = get_user_model().objects.create(username="anna")
    job = create_job(State.FAILED if call is retry else State.QUEUED)
    call(job, by=user)
    assert job.events.get(kind=kind).message == "by anna"


@pytest.mark.parametrize("by", [None, AnonymousUser(), SimpleLazyObject(AnonymousUser)])
def test_event_names_no_anonymous_user(by: Any) -> None:
    """An anonymous user is not named."""
    job = create_job(State.QUEUED)
    assert cancel(job, by=by)
    assert job.events.get(kind=EventKind.CANCELLED).message == ""


# --- render_now ------------------------------------------------------------------------------


def test_render_now_writes_a_document_without_a_job(sandbox: Sandbox) -> None:
    """One call renders a document, and no job is stored."""
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
def test_render_now_validates_its_arguments(sandbox: Sandbox, field: str, wrong: Any) -> None:
    """An invalid argument is reported under the field's name, and nothing is sent."""
    with pytest.raises(ValidationError) as caught:
        render_now(BytesIO(), **GOOD | {field: wrong})
    assert list(caught.value.message_dict) == [field]
    assert sandbox.calls == []


def test_render_now_refuses_hosted(sandbox: Sandbox) -> None:
    """A hosted document needs the call that says so."""
    with pytest.raises(ValidationError) as caught:
        render_now(BytesIO(), **GOOD, hosted=True)
    assert list(caught.value.message_dict) == ["hosted"]
    assert sandbox.calls == []


def test_render_now_raises_docraptors_error(sandbox: Sandbox) -> None:
    """An error response is raised as an exception."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422))
    with pytest.raises(CallError) as caught:
        render_now(BytesIO(), **GOOD)
    assert caught.value.status == 422


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
    monkeypatch.setattr(shortcuts, "_find_existing_jobs", lambda specs: {})
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
    monkeypatch.setattr(shortcuts, "_find_existing_jobs", lambda specs: {})
    specs = [JobSpec(name=f"{key}.pdf", content=HTML, idempotency_key=key) for key in "ab"]
    found, made = enqueue_many(specs)
    assert found.pk == theirs.pk
    assert RenderJob.objects.get(idempotency_key="b").pk == made.pk
