"""Copies of finished documents in a file field of their source."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db.models import F
from django.db.models.signals import post_save

from django_docraptor import lifecycle
from django_docraptor.documents import delivery, follow_ups
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import MakeJob, event_kinds, run_until_finished, skip_time
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db


def field_files(media_dir: Path) -> set[str]:
    """Return the names of the files in the field's storage."""
    return {path.name for path in media_dir.rglob("*") if path.is_file()}


def _reload(job: RenderJob) -> RenderJob:
    """Return the job as another process would read it."""
    return RenderJob.objects.get(pk=job.pk)


def field_content(invoice: Invoice) -> bytes:
    """Return the content of the field's file."""
    invoice.refresh_from_db()
    with invoice.pdf.open("rb") as file:
        return bytes(file.read())


# --- delivery --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_document_is_copied_to_the_field(
    sandbox: Sandbox, delivered_document, invoice: Invoice, media_dir: Path
) -> None:
    """The document is copied to the field under upload_to, and the job keeps its own file."""
    job = run_until_finished(delivered_document.enqueue(invoice))
    assert field_content(invoice).startswith(b"%PDF-")
    assert invoice.pdf.name == f"invoices/{job.pk.hex}-invoice.pdf"
    assert (media_dir / invoice.pdf.name).is_file()
    assert job.file.storage.exists(job.file.name)
    assert event_kinds(job)[-1] == "delivered"


def test_delivery_updates_only_the_column(
    make_completed_job: MakeJob, delivered_document, invoice: Invoice
) -> None:
    """The source is not saved: no signal is sent, and a concurrent change is kept."""
    job = make_completed_job()
    saved: list[object] = []

    def note(**kwargs: object) -> None:
        saved.append(kwargs)

    post_save.connect(note, sender=Invoice)
    Invoice.objects.update(number="changed")
    assert delivered_document.deliver(job)
    post_save.disconnect(note, sender=Invoice)
    invoice.refresh_from_db()
    assert (invoice.number, bool(invoice.pdf), saved) == ("changed", True, [])


def test_second_delivery_does_nothing(
    make_completed_job: MakeJob, delivered_document, invoice: Invoice, media_dir: Path
) -> None:
    """A second delivery of the same document does nothing."""
    job = make_completed_job()
    assert delivered_document.deliver(job)
    before = field_files(media_dir)
    assert not delivered_document.deliver(job)
    assert field_files(media_dir) == before
    assert event_kinds(job).count("delivered") == 1


def test_newer_document_replaces_an_older_one(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    media_dir: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """A newer document replaces the older one, whose file is deleted after the commit."""
    older, newer = make_completed_job(), make_completed_job()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered_document.deliver(older)
    with django_capture_on_commit_callbacks() as hooks:
        delivered_document.deliver(newer)
    assert len(field_files(media_dir)) == 2
    for hook in hooks:
        hook()
    assert field_files(media_dir) == {f"{newer.pk.hex}-invoice.pdf"}
    assert field_content(invoice).endswith(newer.pk.hex.encode())


@pytest.mark.parametrize("user", ["another invoice", "the job itself"])
def test_replaced_file_is_kept_if_another_row_uses_it(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    media_dir: Path,
    django_capture_on_commit_callbacks: Any,
    user: str,
) -> None:
    """A copied invoice, or a job in the same storage, may use the file that is replaced."""
    older, newer = make_completed_job(), make_completed_job()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered_document.deliver(older)
    invoice.refresh_from_db()
    if user == "another invoice":
        Invoice.objects.create(number="18", pdf=invoice.pdf.name)
    else:
        RenderJob.objects.filter(pk=older.pk).update(file=invoice.pdf.name)
    with django_capture_on_commit_callbacks(execute=True):
        delivered_document.deliver(newer)
    assert len(field_files(media_dir)) == 2


def test_older_document_does_not_replace_a_newer_one(
    make_completed_job: MakeJob, delivered_document, invoice: Invoice, media_dir: Path
) -> None:
    """A late delivery of an older document leaves the newer one's file."""
    older, newer = make_completed_job(), make_completed_job()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered_document.deliver(newer)
    assert not delivered_document.deliver(RenderJob.objects.get(pk=older.pk))
    assert field_content(invoice).endswith(newer.pk.hex.encode())
    assert len(field_files(media_dir)) == 1


def test_delivery_without_a_source_leaves_no_file(
    make_completed_job: MakeJob, delivered_document, media_dir: Path, invoice: Invoice
) -> None:
    """If the source was deleted, nothing is delivered and no file is left."""
    job = make_completed_job()
    invoice.delete()
    assert not delivered_document.deliver(job)
    assert field_files(media_dir) == set()


def test_document_without_a_field_is_not_delivered(invoice: Invoice) -> None:
    """A document without ``deliver_to`` is not delivered."""
    assert not InvoicePDF.deliver(InvoicePDF.enqueue(invoice))


def test_older_document_spares_a_newer_file_when_overwriting(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    media_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a storage that overwrites, as S3 does, an older document leaves a newer one's file."""
    field = Invoice._meta.get_field("pdf")
    monkeypatch.setattr(field, "storage", FileSystemStorage(media_dir, allow_overwrite=True))
    older, newer = make_completed_job(), make_completed_job()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered_document.deliver(newer)
    assert not delivery._update_field(
        older, invoice, field, delivery._store_copy(older, invoice, field)
    )
    assert field_content(invoice).endswith(newer.pk.hex.encode())


@pytest.mark.parametrize("ending", ["17", "18"])
@pytest.mark.parametrize("upload_to", ["invoices", lambda invoice, name: "archive/invoice.pdf"])
@pytest.mark.fault("F10")
def test_copies_of_two_documents_are_two_files(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    media_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    upload_to: Any,
) -> None:
    """A storage that overwrites and cuts names has a file for each row, also of one name."""
    field = Invoice._meta.get_field("pdf")
    monkeypatch.setattr(field, "storage", FileSystemStorage(media_dir, allow_overwrite=True))
    monkeypatch.setattr(field, "upload_to", upload_to)
    first, second = make_completed_job(), make_completed_job()
    other = Invoice.objects.create(number="18")
    for job, source, end in ((first, invoice, "17"), (second, other, ending)):
        RenderJob.objects.filter(pk=job.pk).update(name="x" * 180 + end, object_id=source.pk)
        assert delivered_document.deliver(RenderJob.objects.get(pk=job.pk))
    assert len(field_files(media_dir)) == 2
    assert field_content(invoice).endswith(first.pk.hex.encode())
    assert field_content(other).endswith(second.pk.hex.encode())


def test_copy_keeps_the_whole_name(
    make_completed_job: MakeJob, delivered_document, invoice: Invoice
) -> None:
    """A slash in the name is no directory."""
    job = make_completed_job()
    job.name = "FV 17/11/2026.pdf"
    assert delivered_document.deliver(job)
    invoice.refresh_from_db()
    assert invoice.pdf.name == f"invoices/{job.pk.hex}-FV_17-11-2026.pdf"


@pytest.mark.parametrize("name", [None, "", "../outside.pdf", "/srv/outside.pdf"])
def test_unusable_name_of_a_copy_is_told(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    media_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
) -> None:
    """The field never refers to a copy that cannot be read; the history has the reason."""
    job, save = make_completed_job(), FileSystemStorage.save

    def save_oddly(storage: FileSystemStorage, *args: Any, **options: Any) -> str | None:
        save(storage, *args, **options)
        return name

    monkeypatch.setattr(FileSystemStorage, "save", save_oddly)
    follow_ups.handle_delivery(job=job)
    invoice.refresh_from_db()
    assert invoice.pdf.name == ""
    event = job.events.last()
    assert event
    assert event.kind == EventKind.DELIVERY_FAILED
    assert "The storage returned" in event.message
    assert not field_files(media_dir)


def test_field_without_room_for_a_unique_name_is_told(
    make_completed_job: MakeJob,
    delivered_document,
    media_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file is saved under a name that is not unique; the history has the remedy."""
    monkeypatch.setattr(Invoice._meta.get_field("pdf"), "max_length", 30)
    job = make_completed_job()
    follow_ups.handle_delivery(job=job)
    assert "Raise the field's max_length" in job.events.get(kind="delivery_failed").message
    assert field_files(media_dir) == set()


def test_replaced_file_that_a_copied_row_uses_is_kept(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    media_dir: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """A row that was copied refers to the same file, which a re-issue does not delete."""
    first = make_completed_job()
    assert delivered_document.deliver(first)
    invoice.refresh_from_db()
    copied = Invoice.objects.create(number="copy", pdf=invoice.pdf.name)
    second = make_completed_job()
    RenderJob.objects.filter(pk=first.pk).update(created_at=seconds_from_now(-9))
    with django_capture_on_commit_callbacks(execute=True):
        assert delivered_document.deliver(second)
    assert field_content(copied).endswith(first.pk.hex.encode())
    assert field_content(invoice).endswith(second.pk.hex.encode())


def test_replaced_file_of_a_job_is_kept(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    documents_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """A project may have put a job's own file into the field."""
    field = Invoice._meta.get_field("pdf")
    monkeypatch.setattr(field, "storage", FileSystemStorage(documents_dir))
    older, newer = make_completed_job(), make_completed_job()
    name = f"docraptor/2026/11/{older.pk.hex}-1.pdf"
    older.file.storage.save(name, ContentFile(b"%PDF"))
    RenderJob.objects.filter(pk=older.pk).update(file=name, created_at=seconds_from_now(-9))
    Invoice.objects.update(pdf=name)
    with django_capture_on_commit_callbacks(execute=True):
        assert delivered_document.deliver(newer)
    assert (documents_dir / name).read_bytes() == b"%PDF"


# --- failures and races ----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_failed_delivery_is_retried(
    sandbox: Sandbox, delivered_document, invoice: Invoice, media_dir: Path
) -> None:
    """A storage error is recorded and retried, and costs no second document."""
    media_dir.write_text("a file where the directory should be")
    job = run_until_finished(delivered_document.enqueue(invoice))
    assert job.state == State.COMPLETED
    failure = job.events.get(kind="delivery_failed")
    assert "NotADirectoryError" in failure.message
    assert failure.signal_due_at is not None
    media_dir.unlink()
    lifecycle.recover()
    assert event_kinds(job)[-1] == "delivery_failed"
    skip_time(3600)
    lifecycle.recover()
    assert event_kinds(job)[-1] == "delivered"
    assert field_content(invoice).startswith(b"%PDF-")
    assert sandbox.ledger.create_calls == 1


def test_delivery_of_a_dead_worker_is_made_by_a_sweep(
    make_completed_job: MakeJob, invoice: Invoice
) -> None:
    """If a worker dies after completion, a later sweep delivers the document."""
    job = make_completed_job()
    job.record_event(EventKind.COMPLETED)
    lifecycle.recover()
    assert "delivered" not in event_kinds(job)
    skip_time(3600)
    lifecycle.recover()
    assert field_content(invoice).endswith(job.pk.hex.encode())


def test_previous_file_that_cannot_be_deleted_is_logged(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    media_dir: Path,
    django_capture_on_commit_callbacks: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A previous file that cannot be deleted is logged, and the delivery succeeds."""
    (media_dir / "directory").mkdir(parents=True)
    (media_dir / "directory" / "file").touch()
    Invoice.objects.update(pdf="directory")
    job = make_completed_job()
    with django_capture_on_commit_callbacks(execute=True):
        assert delivered_document.deliver(job)
    assert "could not delete the replaced file" in caplog.text
    assert field_content(invoice).endswith(job.pk.hex.encode())


def test_discarding_a_copy_spares_the_fields_file(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    monkeypatch: pytest.MonkeyPatch,
    media_dir: Path,
) -> None:
    """In a storage that overwrites, discarding a copy does not delete the field's own file."""
    field = Invoice._meta.get_field("pdf")
    monkeypatch.setattr(field, "storage", FileSystemStorage(media_dir, allow_overwrite=True))
    job = make_completed_job()
    assert delivered_document.deliver(job)
    delivery._delete_unused(invoice, field, delivery._store_copy(job, invoice, field))
    assert field_content(invoice).endswith(job.pk.hex.encode())


def test_source_of_a_removed_model_is_none(make_completed_job: MakeJob) -> None:
    """A job of a removed app has no source."""
    job = make_completed_job()
    job.content_type = ContentType.objects.create(app_label="gone", model="thing")
    assert delivery.load_source(job) is None


def test_failed_deliveries_are_bounded_in_time(
    make_completed_job: MakeJob, media_dir: Path
) -> None:
    """After RETRY_FOR of failures no further delivery is scheduled, however many there were."""
    job = make_completed_job()
    media_dir.write_text("a file where the directory should be")
    failures = job.events.filter(kind="delivery_failed")
    for _ in range(30):
        follow_ups.handle_delivery(job=job)
    failures.update(at=F("at") - timedelta(hours=71))
    follow_ups.handle_delivery(job=job)
    assert not failures.filter(signal_due_at=None).exists()
    failures.update(at=F("at") - timedelta(hours=2))
    follow_ups.handle_delivery(job=job)
    assert list(failures.filter(signal_due_at=None)) == [failures.latest("pk")]


def test_receiver_ignores_jobs_without_a_document(
    make_completed_job: MakeJob, invoice: Invoice
) -> None:
    """Jobs without a document class are ignored."""
    job = make_completed_job()
    RenderJob.objects.filter(pk=job.pk).update(document="")
    follow_ups.handle_delivery(job=RenderJob.objects.get(pk=job.pk))
    invoice.refresh_from_db()
    assert not invoice.pdf


@pytest.mark.django_db(transaction=True)
def test_parallel_deliveries_of_one_document_leave_one_file(
    make_completed_job: MakeJob, delivered_document, invoice: Invoice, media_dir: Path
) -> None:
    """Two workers that deliver the same document leave one file and one event."""
    job = make_completed_job()
    assert sorted(run_in_threads(2, lambda: delivered_document.deliver(_reload(job)))) == [
        False,
        True,
    ]
    invoice.refresh_from_db()
    assert field_files(media_dir) == {Path(invoice.pdf.name).name}
    assert event_kinds(job).count("delivered") == 1


@pytest.mark.django_db(transaction=True)
def test_parallel_deliveries_keep_the_newer_document(
    make_completed_job: MakeJob, delivered_document, invoice: Invoice, media_dir: Path
) -> None:
    """Of two documents delivered at once, the newer one's file is kept, and no other."""
    older, newer = make_completed_job(), make_completed_job()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    jobs = [RenderJob.objects.get(pk=older.pk), newer]
    run_in_threads(2, lambda: delivered_document.deliver(jobs.pop()))
    assert field_content(invoice).endswith(newer.pk.hex.encode())
    assert field_files(media_dir) == {Path(invoice.pdf.name).name}


def test_delivery_replaces_an_uploaded_file(
    make_completed_job: MakeJob, delivered_document, invoice: Invoice, media_dir: Path
) -> None:
    """A field that had another file gets the document."""
    invoice.pdf.save("draft.pdf", ContentFile(b"draft"))
    job = make_completed_job()
    assert delivered_document.deliver(job)
    assert field_content(invoice).endswith(job.pk.hex.encode())


@pytest.mark.django_db(transaction=True)
def test_hosted_document_is_not_delivered(
    sandbox: Sandbox, delivered_document, documents_dir: Path, media_dir: Path, invoice: Invoice
) -> None:
    """A hosted document has no file, so nothing is delivered and nothing fails."""
    job = run_until_finished(delivered_document.enqueue(invoice, hosted=True))
    assert job.state == State.COMPLETED
    assert field_files(media_dir) == set()
    assert not job.events.filter(kind=EventKind.DELIVERY_FAILED).exists()
