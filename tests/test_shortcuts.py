"""enqueue, enqueue_many, retry, cancel and render_now: validation, and what is stored."""

import uuid
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject

from django_docraptor import lifecycle
from django_docraptor.exceptions import CallError
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import JobSpec, cancel, enqueue, enqueue_many, render_now, retry
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, ErrorCode, EventKind, State
from tests.apps.shop.models import Invoice
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


@pytest.mark.parametrize(
    "given", [None, 5, "abc", [JobSpec(**GOOD), "abc"], [GOOD], JobSpec(**GOOD)]
)
def test_enqueue_many_says_what_is_no_spec(given: Any) -> None:
    """Anything but specs is refused by a message that says what to pass."""
    with pytest.raises(ValidationError, match=r"'specs': \[.*JobSpec"):
        enqueue_many(given)
    assert not RenderJob.objects.exists()


# --- storage ---------------------------------------------------------------------------------


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
