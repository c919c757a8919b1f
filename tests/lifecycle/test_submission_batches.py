"""What one batch of create calls takes, leaves and sends."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_docraptor import lifecycle, registry, shortcuts
from django_docraptor.lifecycle import submission
from django_docraptor.lifecycle.submission import (
    ClaimedBatch,
    claim_for_slots,
    prepare_batch,
    send_batch,
)
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.support.jobs import current_state, enqueue, event_kinds, run_until_finished

pytestmark = pytest.mark.django_db(transaction=True)


def test_template_error_fails_the_job_before_sending(sandbox: Sandbox) -> None:
    """A template that raises fails the job before anything is sent; its history has the error."""
    job = run_until_finished(enqueue(document="shop.Broken", content=""))
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    assert "RuntimeError: no such total" in job.events.get(kind="failed").message
    assert sandbox.ledger.create_calls == 0


def test_prepare_refuses_to_run_in_a_transaction(sandbox: Sandbox) -> None:
    """An intent that could be rolled back is worthless, so it is refused inside a transaction."""
    from django.db import transaction

    enqueue()
    (job,) = claim_for_slots("default", 10).jobs
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        prepare_batch([job])


def test_prepare_skips_a_cancelled_job(sandbox: Sandbox) -> None:
    """Of three claimed jobs, the cancelled one is skipped and the others are sent."""
    for _ in range(3):
        enqueue()
    jobs = claim_for_slots("default", 10).jobs
    assert shortcuts.cancel(RenderJob.objects.get(pk=jobs[1].pk))
    assert {item.job.pk for item in prepare_batch(jobs)[0]} == {jobs[0].pk, jobs[2].pk}
    assert event_kinds(jobs[0]) == ["enqueued", "submitting"]
    assert event_kinds(jobs[1]) == ["enqueued", "cancelled"]


def test_prepare_returns_jobs_that_exceed_its_time_budget(sandbox: Sandbox, monkeypatch) -> None:
    """If templates are slow, composed jobs are sent and the others are made due again."""
    monkeypatch.setattr("django_docraptor.lifecycle.submission.RUN_SECONDS", -1.0)
    for _ in range(3):
        enqueue()
    assert len(prepare_batch(claim_for_slots("default", 10).jobs)[0]) == 1
    assert RenderJob.objects.not_started().due().count() == 2


class Report:
    """A document whose template renders a hundred thousand bytes."""

    retention = None
    template_name = "report.html"

    def render(self, job: RenderJob, stored: Any) -> str:
        return "é" * 50_000

    def deliver(self, job: RenderJob) -> None:
        """Nothing."""


@pytest.mark.parametrize("content", ["x" * 100_000, "é" * 50_000, ""])
def test_batch_is_bounded_by_bytes(sandbox: Sandbox, monkeypatch, content: str) -> None:
    """A batch holds so many bytes of HTML, stored or rendered; the next one follows at once."""
    monkeypatch.setattr(submission, "MAX_BATCH_BYTES", 400_000)
    registry.register("tests.Report", Report())
    batches: list[list[int]] = []

    def prepare(jobs: list[RenderJob]) -> Any:
        attempts, copies = prepare_batch(jobs)
        batches.append([len(attempt.request.content.encode()) for attempt in attempts])
        return attempts, copies

    monkeypatch.setattr(submission, "prepare_batch", prepare)
    document = {} if content else {"document": "tests.Report"}
    jobs = [enqueue(content=content, **document) for _ in range(10)]
    try:
        lifecycle.submit()
    finally:
        registry.unregister("tests.Report")
    assert batches == [[100_000] * 4, [100_000] * 4, [100_000] * 2]
    assert [current_state(job) for job in jobs] == [State.QUEUED] * 10
    assert len(sandbox.ledger.accepted()) == 10


@pytest.mark.parametrize("content", ["x" * 100_000, "€" * 100_000])
def test_claim_leaves_what_a_batch_cannot_hold(sandbox: Sandbox, monkeypatch, content: str) -> None:
    """No job is claimed to be given back at once: stored content is counted before the claim."""
    monkeypatch.setattr(submission, "MAX_BATCH_BYTES", 299_999)
    for _ in range(5):
        enqueue(content=content)
    claimed = claim_for_slots("default", 16)
    assert (len(claimed.jobs), claimed.has_more) == (2, True)


def test_large_document_is_claimed_after_small_ones(sandbox: Sandbox, monkeypatch) -> None:
    """A document too large for a batch that has begun is the first of the next one."""
    monkeypatch.setattr(submission, "MAX_BATCH_BYTES", 1000)
    sizes = (600, 5000, 10)
    jobs = [enqueue(content="x" * size, priority=int(size == 600)) for size in sizes]
    RenderJob.objects.filter(pk=jobs[2].pk).update(priority=-1)
    assert [job.pk for job in claim_for_slots("default", 16).jobs] == [jobs[0].pk]
    assert [job.pk for job in claim_for_slots("default", 16).jobs] == [jobs[1].pk]


def test_document_beyond_the_bytes_of_a_batch_is_sent_alone(sandbox: Sandbox, monkeypatch) -> None:
    """A document that is larger than a whole batch may be is sent all the same."""
    monkeypatch.setattr(submission, "MAX_BATCH_BYTES", 1000)
    jobs = [enqueue(content="x" * 5000) for _ in range(3)]
    lifecycle.submit()
    assert [current_state(job) for job in jobs] == [State.QUEUED] * 3


def test_claim_leaves_large_content_in_the_database(sandbox: Sandbox) -> None:
    """Small content is read together with its job, large content when its turn comes."""
    large, small = enqueue(content="x" * 100_000), enqueue(content="small")
    claimed = {job.pk: job for job in claim_for_slots("default", 16).jobs}
    assert claimed[large.pk].input.get_deferred_fields() == {"content"}
    with CaptureQueriesContext(connection) as queries:
        assert claimed[small.pk].input.content == "small"
    assert len(queries) == 0
    assert len(claimed[large.pk].input.content) == 100_000


def test_send_skips_a_cancelled_job(sandbox: Sandbox) -> None:
    """A claimed job that is cancelled before its create call is not sent."""
    job = enqueue()
    (claimed,) = claim_for_slots("default", 10).jobs
    assert shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
    send_batch(ClaimedBatch([claimed]))
    assert current_state(job) == State.CANCELLED
    assert sandbox.ledger.create_calls == 0


def test_rejected_job_does_not_affect_its_batch(sandbox: Sandbox) -> None:
    """If one document of a batch is rejected, the others are accepted."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, match="rejected"))
    good, bad = enqueue(name="good"), enqueue(name="rejected")
    lifecycle.submit()
    assert (current_state(good), current_state(bad)) == (State.QUEUED, State.FAILED)


def test_create_tag_has_job_id_attempt_and_project_tag(sandbox: Sandbox, settings) -> None:
    """Each attempt has its own tag, followed by the project's tag."""
    job = enqueue(options={"tag": "march"})
    lifecycle.submit()
    assert sandbox.ledger.accepted()[0].tag == f"{job.pk.hex}:1 march"


def test_longest_tag_is_sent_whole_with_the_highest_attempt(sandbox: Sandbox) -> None:
    """A tag that was accepted is never cut, whatever the number of the attempt."""
    job = enqueue(options={"tag": "t" * 161})
    RenderJob.objects.update(attempt=32766)
    lifecycle.submit()
    (entry,) = sandbox.ledger.accepted()
    assert entry.tag == f"{job.pk.hex}:32767 {'t' * 161}"
    assert len(entry.tag) == 200


@pytest.mark.parametrize(
    "options", [{"tag": "t" * 190}, {"callback_url": "https://shop.example/ready"}], ids=list
)
def test_stored_option_of_the_engine_fails_its_job_only(sandbox: Sandbox, options) -> None:
    """A row that was not validated fails, and the others of its batch are sent."""
    wrong, right = enqueue(), enqueue()
    RenderInput.objects.filter(pk=wrong.pk).update(options=options)
    lifecycle.submit()
    wrong.refresh_from_db()
    assert (wrong.state, wrong.error_code) == (State.FAILED, "invalid_request")
    (entry,) = sandbox.ledger.accepted()
    assert entry.tag.startswith(right.pk.hex)
