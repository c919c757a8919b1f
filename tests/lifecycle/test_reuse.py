"""A document that would be the same again is copied: nothing is sent, and nothing is billed."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.db.models import F

from django_docraptor import cancel, enqueue, lifecycle, registry
from django_docraptor.documents import Document
from django_docraptor.lifecycle import reuse
from django_docraptor.lifecycle.submission import claim_for_slots, prepare_batch
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox import Sandbox
from django_docraptor.signals import document_completed
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import (
    event_kinds,
    files_below,
    read_file,
    run_until_finished,
    skip_time,
)
from tests.support.threads import background_worker

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def on_save() -> Iterator[None]:
    """Each save of an invoice asks for its document."""
    trigger = InvoicePDF.on_save()
    yield
    trigger.disconnect()


@pytest.fixture
def received() -> Iterator[list[RenderJob]]:
    """The jobs of which `document_completed` was sent; the receiver also saves the source."""
    jobs: list[RenderJob] = []

    def save_source(job: RenderJob, **kwargs: Any) -> None:
        jobs.append(job)
        if job.source:
            job.source.save()

    document_completed.connect(save_source)
    yield jobs
    document_completed.disconnect(save_source)


def run_rounds(count: int = 3) -> None:
    """Run the engine until nothing is unfinished, at least so many times."""
    for _ in range(count):
        # What is sent first: another may wait for it, and time passes for the one that is run.
        jobs = RenderJob.objects.active().order_by("created_at")
        for job in sorted(jobs, key=lambda job: job.state == State.PENDING):
            run_until_finished(job)


def finished(invoice: Invoice, **options: Any) -> RenderJob:
    """Return a finished job for an invoice."""
    return run_until_finished(InvoicePDF.enqueue(invoice, **options))


def invoice_17() -> Invoice:
    """Return an invoice."""
    return Invoice.objects.create(number="17")


# --- signals ---------------------------------------------------------------------------------


@pytest.mark.fault("E8")
def test_receiver_that_saves_the_source_is_billed_once(
    sandbox: Sandbox, on_save, received: list[RenderJob]
) -> None:
    """A receiver that saves the unchanged source ends after one document and one copy of it."""
    invoice = invoice_17()
    run_rounds(10)
    assert len(sandbox.ledger.accepted()) == sandbox.ledger.create_calls == 1
    made, copied = RenderJob.objects.order_by("created_at")
    assert [job.pk for job in received] == [made.pk]
    assert event_kinds(copied) == ["enqueued", "unchanged"]
    assert copied.source == invoice
    assert (copied.state, copied.attempt, copied.due_at) == (State.COMPLETED, 0, None)
    assert str(made.pk) in copied.events.last().message
    assert copied.events.last().detail["job"] == str(made.pk)
    for column in ("sha256", "file_size", "number_of_pages", "request_hash"):
        assert getattr(copied, column) == getattr(made, column) != ""
    assert copied.file.name != made.file.name
    assert read_file(copied) == read_file(made)


@pytest.mark.parametrize("rounds", [1, 5])
def test_unchanged_saves_are_not_billed(sandbox: Sandbox, on_save, rounds: int) -> None:
    """However often an object is saved without a change, its document is made once."""
    invoice = invoice_17()
    run_rounds(1)
    for _ in range(rounds):
        invoice.save()
        run_rounds(1)
    assert sandbox.ledger.create_calls == 1
    assert RenderJob.objects.filter(state=State.COMPLETED).count() == rounds + 1


def test_changed_save_is_made_again(sandbox: Sandbox, on_save) -> None:
    """A change makes a new document, and so does changing it back."""
    invoice = invoice_17()
    for number in ("17", "18", "17"):
        invoice.number = number
        invoice.save()
        run_rounds(1)
    assert sandbox.ledger.create_calls == 3


def test_several_triggers_of_an_object_are_billed_once_each(sandbox: Sandbox, received) -> None:
    """Documents with other parameters, or of another type, are compared with their like."""
    triggers = [
        InvoicePDF.on_save(params={"copy": 1}, options={"strict": "html"}),
        InvoicePDF.on_save(params={"copy": 2}, options={"strict": "none"}),
        InvoicePDF.on_save(document_type="xlsx"),
    ]
    try:
        invoice_17()
        run_rounds(6)
    finally:
        for trigger in triggers:
            trigger.disconnect()
    assert sandbox.ledger.create_calls == len(sandbox.ledger.accepted()) == 3
    assert not RenderJob.objects.active().exists()


def test_trigger_may_be_told_to_make_it_each_time(sandbox: Sandbox) -> None:
    """With `reuse=timedelta(0)`, a signal makes a new document each time."""
    trigger = InvoicePDF.on_save(reuse=timedelta(0))
    try:
        invoice = invoice_17()
        run_rounds(1)
        invoice.save()
        run_rounds(1)
    finally:
        trigger.disconnect()
    assert sandbox.ledger.create_calls == 2


def test_request_of_a_person_is_not_made_quiet_by_a_save(sandbox: Sandbox, on_save) -> None:
    """A save that updates a waiting job of other code leaves it a new document."""
    invoice = invoice_17()
    run_rounds(1)
    asked_for = InvoicePDF.enqueue(invoice)
    invoice.save()
    assert RenderJob.objects.count() == 2
    assert run_until_finished(asked_for).attempt == 1
    assert sandbox.ledger.create_calls == 2


def test_unchanged_document_is_delivered_again(sandbox: Sandbox) -> None:
    """A field that was cleared gets its file again, and the receiver causes no further job."""

    class Delivered(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"
        deliver_to = "pdf"

    trigger = Delivered.on_save()
    try:
        invoice = invoice_17()
        run_rounds(2)
        invoice.refresh_from_db()
        assert invoice.pdf
        invoice.pdf = ""
        invoice.save()
        run_rounds(2)
        invoice.refresh_from_db()
        with invoice.pdf.open("rb") as file:
            assert file.read().startswith(b"%PDF-")
    finally:
        trigger.disconnect()
        registry.unregister(Delivered.label)
    assert sandbox.ledger.create_calls == 1
    assert RenderJob.objects.count() == 2


# --- one after the other ---------------------------------------------------------------------


def test_second_trigger_waits_for_the_first(sandbox: Sandbox, on_save) -> None:
    """While a document is being made, a save without a change waits for it."""
    invoice = invoice_17()
    lifecycle.submit()
    invoice.save()
    lifecycle.submit()
    first, second = RenderJob.objects.order_by("created_at")
    assert (first.state, second.state) == (State.QUEUED, State.PENDING)
    assert (second.lease_token, second.failures) == ("", 0)
    run_rounds(2)
    assert sandbox.ledger.create_calls == 1
    assert not RenderJob.objects.exclude(state=State.COMPLETED).exists()


def test_two_jobs_of_one_batch_are_billed_once(sandbox: Sandbox) -> None:
    """Of two equal jobs that one worker claims together, the later one waits."""
    invoice = invoice_17()
    jobs = [InvoicePDF.enqueue(invoice, reuse=DAY) for _ in range(2)]
    RenderJob.objects.update(created_at=jobs[0].created_at)  # not even the time tells them apart
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 1
    run_rounds(2)
    assert sandbox.ledger.create_calls == 1
    assert {job.state for job in RenderJob.objects.all()} == {State.COMPLETED}


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=str)
def test_two_workers_bill_equal_jobs_once(sandbox: Sandbox, order: list[int]) -> None:
    """Of two equal jobs that two workers have claimed, one waits, whichever is composed first."""
    invoice = invoice_17()
    for _ in range(2):
        InvoicePDF.enqueue(invoice, reuse=DAY)
    claimed = [claim_for_slots("default", 1).jobs for _ in range(2)]
    prepared = [prepare_batch(claimed[number])[0] for number in order]
    assert [len(attempts) for attempts in prepared] == [0, 1]
    assert RenderJob.objects.not_started().count() == 1


@pytest.mark.fault("E8")
def test_saves_beside_busy_workers_are_billed_once(sandbox: Sandbox, on_save) -> None:
    """While several workers are busy all the time, unchanged saves make one document."""
    with background_worker(), background_worker():
        invoice = invoice_17()
        for _ in range(10):
            time.sleep(0.05)
            invoice.save()
    run_rounds(5)
    assert sandbox.ledger.create_calls == 1
    assert not RenderJob.objects.exclude(state=State.COMPLETED).exists()


def test_lapsed_claim_is_not_waited_for(sandbox: Sandbox, monkeypatch) -> None:
    """A worker that died while it rendered the same document holds up no other job."""
    monkeypatch.setattr("random.random", lambda: 0.999)  # it is not the turn of what has lapsed
    invoice = invoice_17()
    dead = InvoicePDF.enqueue(invoice, reuse=DAY)
    claim_for_slots("default", 1)
    RenderJob.objects.filter(pk=dead.pk).update(due_at=Now(), priority=-1)
    job = InvoicePDF.enqueue(invoice, reuse=DAY)
    claimed = claim_for_slots("default", 2).jobs
    assert [item.job.pk for item in prepare_batch(claimed)[0]] == [job.pk]


def test_failure_of_the_first_makes_the_second(sandbox: Sandbox) -> None:
    """If the document that was waited for fails, the waiting job makes its own."""
    invoice = invoice_17()
    first = InvoicePDF.enqueue(invoice, reuse=DAY)
    lifecycle.submit()
    second = InvoicePDF.enqueue(invoice, reuse=DAY)
    lifecycle.submit()
    RenderJob.objects.filter(pk=first.pk).update(state=State.FAILED, due_at=None)
    assert run_until_finished(second).state == State.COMPLETED
    assert sandbox.ledger.create_calls == 2


def test_job_that_was_never_claimed_is_not_waited_for(sandbox: Sandbox) -> None:
    """A job that no worker has claimed may wait for long; it reuses the later one's document."""
    invoice = invoice_17()
    waiting = InvoicePDF.enqueue(invoice, reuse=DAY)
    RenderJob.objects.update(due_at=F("due_at") + timedelta(hours=1))
    urgent = InvoicePDF.enqueue(invoice, reuse=DAY)
    assert run_until_finished(urgent).attempt == 1
    assert run_until_finished(waiting).state == State.COMPLETED
    assert sandbox.ledger.create_calls == 1


def test_worker_that_lost_its_claim_copies_nothing(sandbox: Sandbox, documents_dir: Path) -> None:
    """A worker whose lease was taken over before the copy makes none."""
    invoice = invoice_17()
    finished(invoice)
    InvoicePDF.enqueue(invoice, reuse=DAY)
    (job,) = claim_for_slots("default", 10).jobs
    RenderJob.objects.filter(pk=job.pk).update(lease_token="theirs")
    assert prepare_batch([job]) == ([], [])
    assert len(files_below(documents_dir)) == 1


def test_copy_of_a_worker_that_lost_its_claim_is_deleted(
    sandbox: Sandbox, documents_dir: Path
) -> None:
    """A copy whose job was cancelled meanwhile does not stay."""
    invoice = invoice_17()
    finished(invoice)
    job = InvoicePDF.enqueue(invoice, reuse=DAY)
    _attempts, copies = prepare_batch(claim_for_slots("default", 10).jobs)
    assert cancel(RenderJob.objects.get(pk=job.pk))
    reuse.make_copies(copies)
    assert len(files_below(documents_dir)) == 1


def test_copy_of_a_killed_worker_is_replaced(sandbox: Sandbox, documents_dir: Path) -> None:
    """A worker that dies after the copy leaves no second file."""
    invoice = invoice_17()
    made = finished(invoice)
    job = InvoicePDF.enqueue(invoice, reuse=DAY)
    _attempts, copies = prepare_batch(claim_for_slots("default", 10).jobs)
    with made.file.open("rb") as file:
        assert copies[0].job.file.storage.save(copies[0].job.reserved_name, file)
    skip_time(901)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(files_below(documents_dir)) == 2
    assert sandbox.ledger.create_calls == 1


def test_slow_copies_are_left_to_the_next_run(sandbox: Sandbox, monkeypatch) -> None:
    """A run that has copied for long releases the rest, which is due at once."""
    invoice = invoice_17()
    finished(invoice)
    jobs = [InvoicePDF.enqueue(invoice, reuse=DAY, params={}) for _ in range(2)]
    monkeypatch.setattr(reuse, "RUN_SECONDS", -1.0)
    _attempts, copies = prepare_batch(claim_for_slots("default", 10).jobs)
    reuse.make_copies(copies)
    monkeypatch.undo()
    assert RenderJob.objects.not_started().due().count() == len(copies) > 0
    assert [run_until_finished(job).state for job in jobs] == [State.COMPLETED] * 2
    assert sandbox.ledger.create_calls == 1


# --- any caller ------------------------------------------------------------------------------


def test_caller_may_reuse_a_recent_document(sandbox: Sandbox, received) -> None:
    """With `reuse`, a recent document of the same request is copied, and its signal is sent."""
    invoice = invoice_17()
    finished(invoice)
    again = finished(invoice, reuse=timedelta(hours=1))
    assert event_kinds(again) == ["enqueued", "reused"]
    assert again in received
    assert finished(invoice).attempt == 1
    assert sandbox.ledger.create_calls == 2


def test_old_document_is_made_again(sandbox: Sandbox) -> None:
    """A document older than `reuse` is not reused."""
    invoice = invoice_17()
    finished(invoice)
    RenderJob.objects.update(finished_at=F("finished_at") - timedelta(minutes=61))
    assert finished(invoice, reuse=timedelta(hours=1)).attempt == 1
    assert finished(invoice, reuse=timedelta.max).attempt == 0


def test_class_may_declare_reuse(sandbox: Sandbox, monkeypatch) -> None:
    """`Document.reuse` applies to each job, and a keyword overrides it."""
    monkeypatch.setattr(InvoicePDF, "reuse", DAY)
    invoice = invoice_17()
    assert [finished(invoice).attempt for _ in range(2)] == [1, 0]
    assert finished(invoice, reuse=None).attempt == 1


def test_content_of_a_source_may_be_reused(sandbox: Sandbox) -> None:
    """Content without a document class is compared with that of the same source."""
    invoice, other = invoice_17(), invoice_17()
    options: Any = {"content": "<p>Hello</p>", "reuse": DAY}
    jobs = [
        run_until_finished(enqueue(name=name, source=source, **options))
        for name, source in (("a.pdf", invoice), ("b.pdf", invoice), ("a.pdf", other))
    ]
    assert [job.attempt for job in jobs] == [1, 0, 1]
    assert jobs[1].name == "b.pdf"


DIFFERENT: list[dict[str, Any]] = [
    {"account": "other"},
    {"test": False},
    {"options": {"prince_options": {"media": "screen"}}},
    {"document_type": "xlsx"},
    {"params": {"copy": 2}},
    {"hosted": True, "reuse": None},
]


@pytest.mark.parametrize("other", DIFFERENT, ids=str)
def test_different_request_is_made(sandbox: Sandbox, other: dict[str, Any]) -> None:
    """Another account, test flag, option, type or parameter makes a document of its own."""
    invoice = invoice_17()
    finished(invoice)
    assert finished(invoice, **{"reuse": DAY, **other}).attempt == 1
    assert finished(invoice, reuse=DAY).attempt == (1 if "options" in other else 0)


def test_other_labels_of_a_request_do_not_matter(sandbox: Sandbox) -> None:
    """The file's name and the tag do not change the document."""
    invoice = invoice_17()
    finished(invoice)
    options = InvoicePDF.options | {"tag": "march"}
    again = finished(invoice, name="other.pdf", options=options, reuse=DAY)
    assert (again.attempt, again.name) == (0, "other.pdf")


def test_hosted_document_is_made_each_time(sandbox: Sandbox) -> None:
    """A hosted document is never shared: expiring one would take the other's."""
    trigger = InvoicePDF.on_save(hosted=True)
    try:
        invoice = invoice_17()
        run_rounds(1)
        invoice.save()
        run_rounds(1)
    finally:
        trigger.disconnect()
    urls = RenderJob.objects.values_list("public_url", flat=True)
    assert len(set(urls)) == sandbox.ledger.create_calls == 2


def test_failed_job_is_not_reused(sandbox: Sandbox) -> None:
    """A failed or cancelled job has no document; the one before it has."""
    invoice = invoice_17()
    finished(invoice)
    for state in (State.FAILED, State.CANCELLED):
        job = finished(invoice)
        RenderJob.objects.filter(pk=job.pk).update(state=state)
    assert finished(invoice, reuse=DAY).attempt == 0


def test_retried_job_is_never_a_copy(sandbox: Sandbox) -> None:
    """A job of which something was sent is sent again, as the person was told who retried it."""
    invoice = invoice_17()
    finished(invoice)
    job = InvoicePDF.enqueue(invoice, reuse=DAY)
    RenderJob.objects.filter(pk=job.pk).update(attempt=1)
    assert run_until_finished(job).attempt == 2


# --- files -----------------------------------------------------------------------------------


def test_each_job_has_its_own_file(sandbox: Sandbox, documents_dir: Path) -> None:
    """Deleting one job, with its file, leaves the other's."""
    invoice = invoice_17()
    made = finished(invoice)
    copied = finished(invoice, reuse=DAY)
    content = read_file(made)
    made.file.delete(save=False)
    made.delete()
    assert read_file(copied) == content
    assert len(files_below(documents_dir)) == 1
    assert finished(invoice, reuse=DAY).attempt == 0


def test_copy_goes_to_the_jobs_own_storage(sandbox: Sandbox, documents_dir, settings) -> None:
    """The file may be in another storage than its copy."""
    invoice = invoice_17()
    made = finished(invoice)
    copied = finished(invoice, reuse=DAY, storage="default")
    assert (copied.attempt, copied.storage) == (0, "default")
    assert len(files_below(documents_dir)) == 1
    assert read_file(copied) == read_file(made)


def lose_file(job: RenderJob) -> None:
    """Delete the file behind the job's back."""
    Path(job.file.path).unlink()


def damage_file(job: RenderJob) -> None:
    """Replace the file by another."""
    Path(job.file.path).write_bytes(b"%PDF-1.7 cut")


def forget_file(job: RenderJob) -> None:
    """Leave the job without a file."""
    RenderJob.objects.filter(pk=job.pk).update(file="")


def delete_row(job: RenderJob) -> None:
    """Delete the job."""
    job.delete()


def lose_storage(job: RenderJob) -> None:
    """Leave the job with a storage that is no longer configured."""
    RenderJob.objects.filter(pk=job.pk).update(storage="of old")


@pytest.mark.parametrize("spoil", [lose_file, damage_file, forget_file, delete_row, lose_storage])
def test_document_without_an_intact_file_is_made_again(
    sandbox: Sandbox, documents_dir: Path, spoil: Any
) -> None:
    """If the earlier file is gone or damaged, the document is made."""
    invoice = invoice_17()
    spoil(finished(invoice))
    again = finished(invoice, reuse=DAY)
    assert (again.state, again.attempt) == (State.COMPLETED, 1)
    assert read_file(again).startswith(b"%PDF-")
    assert sandbox.ledger.create_calls == 2


def test_pruned_input_does_not_prevent_reuse(sandbox: Sandbox) -> None:
    """The stored input of the earlier job is not needed."""
    invoice = invoice_17()
    finished(invoice)
    RenderInput.objects.all().delete()
    assert finished(invoice, reuse=DAY).attempt == 0


@pytest.mark.parametrize(("failing", "attempt"), [(2, 0), (99, 1)])
def test_storage_that_fails_is_tried_again(
    sandbox: Sandbox, documents_dir, monkeypatch, failing: int, attempt: int
) -> None:
    """A storage that is down for a while costs nothing; if it stays down, the document is made."""
    invoice = invoice_17()
    finished(invoice)
    reads = []

    def read(storage: FileSystemStorage, name: str, mode: str = "rb") -> Any:
        reads.append(name)
        if len(reads) <= failing:
            raise ConnectionError("the bucket is down")
        return open_file(storage, name, mode)

    open_file = FileSystemStorage._open
    monkeypatch.setattr(FileSystemStorage, "_open", read)
    job = finished(invoice, reuse=DAY)
    assert (job.state, job.attempt) == (State.COMPLETED, attempt)
    assert len(reads) == (3 if attempt == 0 else reuse.MAX_COPY_FAILURES)
    assert "step_failed" in event_kinds(job)
    assert sandbox.ledger.create_calls == 1 + attempt


@pytest.mark.parametrize("name", [None, "x" * 300, "../outside.pdf", "/srv/outside.pdf"])
def test_unusable_name_of_a_copy_makes_the_document(
    sandbox: Sandbox, documents_dir, monkeypatch, name: Any
) -> None:
    """A storage that returns an unusable name for the copy leads to a new document."""
    invoice = invoice_17()
    finished(invoice)
    job = InvoicePDF.enqueue(invoice, reuse=DAY)
    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "save", lambda *args, **kwargs: name)
        lifecycle.submit()
    assert run_until_finished(job).attempt == 1


# --- the hash --------------------------------------------------------------------------------


def hash_of(**values: Any) -> str:
    """Return the hash of a request with these values."""
    request = {"name": "a.pdf", "content": "<p>é</p>", "options": {}, **values}
    return reuse.request_hash(DocumentRequest.from_options(**request))


@pytest.mark.parametrize(
    "values",
    [
        {"content": "<p>e</p>"},
        {"test": False},
        {"document_type": "xls"},
        {"options": {"javascript": True}},
        {"options": {"pipeline": "10.1"}},
        {"options": {"unknown": [1]}},
        {"options": {"prince_options": {"media": "print"}}},
        {"content": "", "url": "https://shop.example/17"},
    ],
    ids=str,
)
def test_hash_tells_requests_apart(values: dict[str, Any]) -> None:
    """Whatever changes the document changes the hash."""
    assert hash_of(**values) != hash_of()


def test_hash_does_not_depend_on_order_or_labels() -> None:
    """The order of options, the name and the tag do not matter; the hash is SHA-256."""
    one = {
        "javascript": True,
        "strict": "html",
        "prince_options": {"media": "print", "page_size": "A4"},
    }
    two = {
        "prince_options": {"page_size": "A4", "media": "print"},
        "strict": "html",
        "javascript": True,
    }
    assert hash_of(options=one) == hash_of(options=two | {"tag": "t"}, name="b.pdf")
    assert len(hash_of()) == 64


def test_hash_is_saved_with_the_intent(sandbox: Sandbox) -> None:
    """Each job of a batch has the hash of its own request, written with the intent to send."""
    jobs = [enqueue(name="a.pdf", content=f"<p>{number}</p>") for number in range(3)]
    lifecycle.submit()
    hashes = [RenderJob.objects.get(pk=job.pk).request_hash for job in jobs]
    assert len(set(hashes)) == 3
    assert {len(value) for value in hashes} == {64}
