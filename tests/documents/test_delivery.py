"""Finished documents in a file field of their source: once, in order, without saving it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db.models.signals import post_save

from django_docraptor import lifecycle, registry
from django_docraptor.documents import (
    Document,
    attach_latest_documents,
    delivery,
    latest_document,
)
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.signals import delivery_due, document_completed
from django_docraptor.states import EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import run_until_finished, event_kinds, skip_time
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db

Finish = Callable[[], RenderJob]


@pytest.fixture
def invoice() -> Invoice:
    """A source without a file."""
    return Invoice.objects.create(number="17", total=5)


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    """Where the field's own storage keeps its files."""
    location = tmp_path / "media"
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": location},
        }
    }
    return location


@pytest.fixture
def delivered(documents_dir: Path, media: Path) -> Iterator[type[Document[Invoice]]]:
    """A document that goes into ``Invoice.pdf``."""

    class Delivered(Document[Invoice]):
        """Of the time of a test."""

        model = Invoice
        template_name = "shop/invoice.html"
        deliver_to = "pdf"

        def get_name(self) -> str:
            return "invoice.pdf"

    yield Delivered
    registry.unregister(Delivered.label)
    for signal in (document_completed, delivery_due):
        signal.disconnect(dispatch_uid="django_docraptor.delivery")


@pytest.fixture
def finish(delivered, documents_dir: Path, invoice: Invoice) -> Finish:
    """Make a job of the invoice that is finished, but whose signal was not sent."""

    def make() -> RenderJob:
        job = delivered.enqueue(invoice)
        name = f"{job.pk.hex}.pdf"
        documents_dir.mkdir(exist_ok=True)
        (documents_dir / name).write_bytes(b"%PDF " + job.pk.hex.encode())
        RenderJob.objects.filter(pk=job.pk).update(
            state=State.COMPLETED, due_at=None, file=name, finished_at=seconds_from_now(0)
        )
        return RenderJob.objects.get(pk=job.pk)

    return make


def files(media: Path) -> set[str]:
    """What is in the field's storage."""
    return {path.name for path in media.rglob("*") if path.is_file()}


def _fresh(job: RenderJob) -> RenderJob:
    """The job as another process would read it."""
    return RenderJob.objects.get(pk=job.pk)


def content(invoice: Invoice) -> bytes:
    """What is in the field."""
    invoice.refresh_from_db()
    with invoice.pdf.open("rb") as file:
        return bytes(file.read())


# --- the way ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_document_is_delivered(sandbox: Sandbox, delivered, invoice: Invoice, media: Path) -> None:
    """The finished document is in the field, under upload_to, besides the job's own file."""
    job = run_until_finished(delivered.enqueue(invoice))
    assert content(invoice).startswith(b"%PDF-")
    assert invoice.pdf.name == f"invoices/invoice-{job.pk.hex[:12]}.pdf"
    assert (media / invoice.pdf.name).is_file()
    assert job.file.storage.exists(job.file.name)
    assert event_kinds(job)[-1] == "delivered"


def test_only_the_column_changes(finish: Finish, delivered, invoice: Invoice) -> None:
    """The source is not saved: no signal, and nothing of a concurrent change is undone."""
    job = finish()
    saved: list[object] = []

    def note(**kwargs: object) -> None:
        saved.append(kwargs)

    post_save.connect(note, sender=Invoice)
    Invoice.objects.update(number="changed")
    assert delivered.deliver(job)
    post_save.disconnect(note, sender=Invoice)
    invoice.refresh_from_db()
    assert (invoice.number, bool(invoice.pdf), saved) == ("changed", True, [])


def test_deliver_twice(finish: Finish, delivered, invoice: Invoice, media: Path) -> None:
    """A second delivery of the same document does nothing."""
    job = finish()
    assert delivered.deliver(job)
    before = files(media)
    assert not delivered.deliver(job)
    assert files(media) == before
    assert event_kinds(job).count("delivered") == 1


def test_newer_replaces_older(
    finish: Finish,
    delivered,
    invoice: Invoice,
    media: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """A newer document replaces the older; the older's file goes only after the commit."""
    older, newer = finish(), finish()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered.deliver(older)
    with django_capture_on_commit_callbacks() as hooks:
        delivered.deliver(newer)
    assert len(files(media)) == 2
    for hook in hooks:
        hook()
    assert files(media) == {f"invoice-{newer.pk.hex[:12]}.pdf"}
    assert content(invoice).endswith(newer.pk.hex.encode())


def test_older_does_not_replace_newer(
    finish: Finish, delivered, invoice: Invoice, media: Path
) -> None:
    """A document that is late leaves the newer one's file where it is."""
    older, newer = finish(), finish()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered.deliver(newer)
    assert not delivered.deliver(RenderJob.objects.get(pk=older.pk))
    assert content(invoice).endswith(newer.pk.hex.encode())
    assert len(files(media)) == 1


def test_deliver_without_a_source(finish: Finish, delivered, media: Path, invoice: Invoice) -> None:
    """A source that is gone gets nothing, and leaves no file behind."""
    job = finish()
    invoice.delete()
    assert not delivered.deliver(job)
    assert files(media) == set()


def test_deliver_names_no_field(invoice: Invoice) -> None:
    """A document without ``deliver_to`` delivers nothing."""
    assert not InvoicePDF.deliver(InvoicePDF.enqueue(invoice))


def test_overwriting_storage(
    finish: Finish, delivered, invoice: Invoice, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a storage that overwrites, as S3 does, an older document leaves a newer's file alone."""
    field = Invoice._meta.get_field("pdf")
    monkeypatch.setattr(field, "storage", FileSystemStorage(media, allow_overwrite=True))
    older, newer = finish(), finish()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered.deliver(newer)
    assert not delivery._point(older, invoice, field, delivery._copy(older, invoice, field))
    assert content(invoice).endswith(newer.pk.hex.encode())


# --- failure and races -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_failed_delivery_is_tried_again(
    sandbox: Sandbox, delivered, invoice: Invoice, media: Path
) -> None:
    """A storage that fails costs no document: the failure is in the history, and is due again."""
    media.write_text("a file where the directory should be")
    job = run_until_finished(delivered.enqueue(invoice))
    assert job.state == State.COMPLETED
    failure = job.events.get(kind="not_delivered")
    assert "NotADirectoryError" in failure.message
    assert failure.signal_due_at is not None
    media.unlink()
    lifecycle.recover()
    assert event_kinds(job)[-1] == "not_delivered"
    skip_time(3600)
    lifecycle.recover()
    assert event_kinds(job)[-1] == "delivered"
    assert content(invoice).startswith(b"%PDF-")
    assert sandbox.ledger.create_calls == 1


def test_delivery_left_by_a_dead_worker(finish: Finish, invoice: Invoice) -> None:
    """A worker that dies after the job's completion leaves the delivery to the next tick."""
    job = finish()
    job.record_event(EventKind.COMPLETED)
    lifecycle.recover()
    assert "delivered" not in event_kinds(job)
    skip_time(3600)
    lifecycle.recover()
    assert content(invoice).endswith(job.pk.hex.encode())


def test_previous_file_that_cannot_be_removed(
    finish: Finish,
    delivered,
    invoice: Invoice,
    media: Path,
    django_capture_on_commit_callbacks: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A previous file that cannot be removed is logged; the delivery counts."""
    (media / "directory").mkdir(parents=True)
    (media / "directory" / "file").touch()
    Invoice.objects.update(pdf="directory")
    job = finish()
    with django_capture_on_commit_callbacks(execute=True):
        assert delivered.deliver(job)
    assert "stays in the storage" in caplog.text
    assert content(invoice).endswith(job.pk.hex.encode())


def test_copy_that_the_field_has_stays(
    finish: Finish, delivered, invoice: Invoice, monkeypatch: pytest.MonkeyPatch, media: Path
) -> None:
    """Where a storage overwrites, who loses against itself does not remove the winner's file."""
    field = Invoice._meta.get_field("pdf")
    monkeypatch.setattr(field, "storage", FileSystemStorage(media, allow_overwrite=True))
    job = finish()
    assert delivered.deliver(job)
    delivery._discard(invoice, field, delivery._copy(job, invoice, field))
    assert content(invoice).endswith(job.pk.hex.encode())


def test_source_of_a_model_that_is_gone(finish: Finish) -> None:
    """A job of an app that was removed has no source any more."""
    job = finish()
    job.content_type = ContentType.objects.create(app_label="gone", model="thing")
    assert delivery.load_source(job) is None


def test_failures_are_bounded(finish: Finish, media: Path) -> None:
    """After the last try nothing is due any more: a person must look."""
    job = finish()
    media.write_text("a file where the directory should be")
    for _ in range(delivery.MAX_DELIVERIES):
        delivery.receive(job=job)
    due = list(job.events.filter(kind="not_delivered").values_list("signal_due_at", flat=True))
    assert len(due) == delivery.MAX_DELIVERIES
    assert [at is None for at in due] == [False] * (len(due) - 1) + [True]


def test_receiver_ignores_other_jobs(finish: Finish, invoice: Invoice) -> None:
    """Jobs without a recipe, ad-hoc ones, are none of the receiver's business."""
    job = finish()
    RenderJob.objects.filter(pk=job.pk).update(document="")
    delivery.receive(job=RenderJob.objects.get(pk=job.pk))
    invoice.refresh_from_db()
    assert not invoice.pdf


@pytest.mark.django_db(transaction=True)
def test_same_delivery_at_once(finish: Finish, delivered, invoice: Invoice, media: Path) -> None:
    """Two workers that deliver the same document leave one file and one line of history."""
    job = finish()
    assert sorted(run_in_threads(2, lambda: delivered.deliver(_fresh(job)))) == [False, True]
    invoice.refresh_from_db()
    assert files(media) == {Path(invoice.pdf.name).name}
    assert event_kinds(job).count("delivered") == 1


@pytest.mark.django_db(transaction=True)
def test_two_deliveries_at_once(finish: Finish, delivered, invoice: Invoice, media: Path) -> None:
    """Of two documents delivered at once the newer one's file stays, and no other."""
    older, newer = finish(), finish()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    jobs = [RenderJob.objects.get(pk=older.pk), newer]
    run_in_threads(2, lambda: delivered.deliver(jobs.pop()))
    assert content(invoice).endswith(newer.pk.hex.encode())
    assert files(media) == {Path(invoice.pdf.name).name}


# --- the latest ------------------------------------------------------------------------------


def test_latest_document(finish: Finish, delivered, invoice: Invoice) -> None:
    """The finished job that was ordered last, of that class and that object."""
    assert latest_document(invoice, delivered) is None
    older, newer = finish(), finish()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered.enqueue(invoice)
    assert latest_document(invoice, delivered) == newer
    assert latest_document(invoice, InvoicePDF) is None
    assert latest_document(Invoice.objects.create(number="18"), delivered) is None


def test_attach_latest_documents(
    finish: Finish, delivered, invoice: Invoice, django_assert_max_num_queries: Any
) -> None:
    """Each object gets its newest job, or none, by two queries for all of them."""
    older, newer = finish(), finish()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    for number in range(20):
        Invoice.objects.create(number=str(number))
    invoices = Invoice.objects.order_by("pk")
    with django_assert_max_num_queries(2):
        attached = attach_latest_documents(invoices, delivered)
    with django_assert_max_num_queries(0):
        assert [one.latest_document for one in invoices] == [newer] + [None] * 20
    assert attached == list(invoices)


def test_attach_latest_documents_of_none(delivered, django_assert_max_num_queries: Any) -> None:
    """Without objects there is nothing to ask."""
    with django_assert_max_num_queries(0):
        assert attach_latest_documents([], delivered) == []


def test_delivered_file_replaces_an_uploaded_one(
    finish: Finish, delivered, invoice: Invoice, media: Path
) -> None:
    """A field that had another file before gets the document."""
    invoice.pdf.save("draft.pdf", ContentFile(b"draft"))
    job = finish()
    assert delivered.deliver(job)
    assert content(invoice).endswith(job.pk.hex.encode())


@pytest.mark.django_db(transaction=True)
def test_hosted_document_is_not_delivered(
    sandbox: Sandbox, delivered, documents_dir: Path, media: Path, invoice: Invoice
) -> None:
    """What DocRaptor keeps has no file to deliver; nothing is tried, nothing fails."""
    job = run_until_finished(delivered.enqueue(invoice, hosted=True))
    assert job.state == State.COMPLETED
    assert files(media) == set()
    assert not job.events.filter(kind=EventKind.DELIVERY_FAILED).exists()
