"""Erasing a person's documents: nothing is found afterwards, and nothing comes back."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.core.files.storage import FileSystemStorage
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from django_docraptor import (
    JobSpec,
    enqueue_group,
    erase,
    expire,
    lifecycle,
    retry_group,
    share,
)
from django_docraptor.bulk_retry import count_retries, retry_in_batches
from django_docraptor.models import (
    DiscardedDocument,
    DiscardedFile,
    ErasedJob,
    RenderEvent,
    RenderInput,
    RenderJob,
    ShareLink,
)
from django_docraptor.retention import RetentionLimit, prune
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import retry
from django_docraptor.states import FINAL_STATES, EventKind, State
from tests.apps.shop.models import DayReport, Invoice, ShopDayReport
from tests.support.jobs import HTML, enqueue, event_kinds, files_below, run_until_finished
from tests.support.person import (
    CANARY,
    create_person,
    everything,
    job_in,
    log_entry,
    options_of,
    person_document,
    traces,
)
from tests.support.retention import DAY, use_storage
from tests.support.stored_files import completed_job
from tests.test_groups import end_jobs, merge
from tests.test_hosted import fetch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def media_dir(settings: Any, tmp_path: Path) -> Path:
    """The directory of the storage of the sources' fields."""
    backend = "django.core.files.storage.FileSystemStorage"
    default = {"BACKEND": backend, "OPTIONS": {"location": tmp_path / "media"}}
    settings.STORAGES = settings.STORAGES | {"default": default}
    return tmp_path / "media"


@pytest.fixture
def invoice() -> Invoice:
    """The source of a document."""
    return Invoice.objects.create(number="17", total=5)


def finish_erasure() -> None:
    """Let the time pass after which what was written meanwhile is erased, and run it."""
    ErasedJob.objects.update(due_at="2020-01-01T00:00Z")
    DiscardedFile.objects.update(due_at="2020-01-01T00:00Z")
    lifecycle.run_once()


def make_due() -> None:
    """Let the time until the next try pass."""
    DiscardedFile.objects.update(due_at="2020-01-01T00:00Z")
    DiscardedDocument.objects.update(due_at="2020-01-01T00:00Z")


def test_nothing_is_found_after_an_erasure(
    sandbox: Sandbox,
    documents_dir: Path,
    media_dir: Path,
    tmp_path: Path,
    invoice: Invoice,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No table, storage, spool or log has a canary of the person; what is hosted is expired."""
    caplog.set_level(logging.DEBUG, logger="django_docraptor")
    person = create_person()
    jobs = everything(person, invoice)
    spool_dir = tmp_path / "spool"
    spool_dir.mkdir(exist_ok=True)
    for end in ("pdf", "pdf.bad", "pdf.part.x"):
        (spool_dir / f"{jobs[0].pk.hex}-1.{end}").write_text(CANARY)
    urls = [job.public_url for job in jobs if job.public_url]
    assert list(traces(documents_dir, media_dir, spool_dir))
    assert [fetch(url)[0] for url in urls] == [200]

    report = erase(owner=person)

    assert list(traces(documents_dir, media_dir, spool_dir)) == []
    assert [fetch(url)[0] for url in urls] == [404]
    assert files_below(documents_dir) == files_below(media_dir) == files_below(spool_dir) == []
    assert CANARY not in caplog.text
    assert report.is_complete
    assert report.second_look == len(jobs)
    finish_erasure()
    assert CANARY not in caplog.text
    assert not ErasedJob.objects.exists()
    assert not DiscardedFile.objects.exists()


def test_line_for_the_bill_stays(
    sandbox: Sandbox, documents_dir: Path, media_dir: Path, invoice: Invoice
) -> None:
    """The row keeps what was billed and how it ended, and its history without texts."""
    job = run_until_finished(person_document().enqueue(invoice, owner=create_person(), test=False))
    kinds = [kind for kind in event_kinds(job) if kind != EventKind.DELIVERED]
    erase(owner=job.owner_id)
    erased = RenderJob.objects.get(pk=job.pk)
    for name in (
        *("account", "document", "document_type", "test", "state", "attempt", "number_of_pages"),
        *("file_size", "created_at", "submitted_at", "finished_at", "status_id"),
    ):
        assert getattr(erased, name) == getattr(job, name), name
    assert (erased.name, erased.owner, erased.source) == (job.reference, None, None)
    assert erased.erased_at is not None
    assert event_kinds(erased) == kinds
    accepted = erased.events.get(kind=EventKind.ACCEPTED)
    assert accepted.detail["status_id"] == job.status_id


def test_unfinished_jobs_are_cancelled(sandbox: Sandbox, documents_dir: Path) -> None:
    """Every unfinished job is cancelled; nothing is sent; a finished one keeps its state."""
    person = create_person()
    jobs = [job_in(state, person) for state in State]
    report = erase(owner=person)
    for job in jobs:
        expected = job.state if job.state in FINAL_STATES else State.CANCELLED
        assert RenderJob.objects.get(pk=job.pk).state == expected
    assert report.erased["cancelled"] == 6
    assert report.erased["sending"] == 2
    lifecycle.run_once()
    assert sandbox.ledger.accepted() == []


def test_other_peoples_jobs_are_left_alone(documents_dir: Path) -> None:
    """Only the owner's jobs are erased."""
    other = completed_job(name="other.pdf")
    erase(owner=create_person())
    other.refresh_from_db()
    assert (other.name, other.erased_at) == ("other.pdf", None)
    assert other.file.storage.exists(other.file.name)


def test_source_of_any_owner_is_erased(
    sandbox: Sandbox, documents_dir: Path, media_dir: Path, invoice: Invoice
) -> None:
    """All jobs of a source are erased, also if the source was deleted before."""
    document = person_document()
    run_until_finished(document.enqueue(invoice, owner=create_person()))
    Invoice.objects.filter(pk=invoice.pk).delete()
    report = erase(source=Invoice(pk=invoice.pk))
    assert (report.erased["jobs"], report.erased["copies"]) == (1, 1)
    assert files_below(media_dir) == files_below(documents_dir) == []
    assert not list(traces())


def test_files_are_deleted_at_once_by_a_host_with_a_late_clock(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an erasure lists is due by the database's clock, whatever this process's shows."""
    completed_job(owner=(person := create_person()))
    monkeypatch.setattr(timezone, "now", lambda: datetime.now(UTC) - timedelta(hours=1))
    assert erase(owner=person).is_complete
    assert files_below(documents_dir) == []


def test_field_with_another_file_is_left_alone(
    sandbox: Sandbox, documents_dir: Path, media_dir: Path, invoice: Invoice
) -> None:
    """A file that the project has put into the field stays."""
    run_until_finished(person_document().enqueue(invoice, owner=(person := create_person())))
    Invoice.objects.update(pdf="own.pdf")
    (media_dir / "own.pdf").write_text("own")
    erase(owner=person)
    invoice.refresh_from_db()
    assert invoice.pdf.name == "own.pdf"
    assert [path.name for path in files_below(media_dir)] == ["own.pdf"]


def test_mentions_as_the_acting_user_are_erased(documents_dir: Path) -> None:
    """Other people's jobs no longer say that the person did something; what was done stays."""
    person, job = create_person(), completed_job()
    link = share(job, by=person)
    job.record_event(EventKind.RETRIED, note="by someone else")
    report = erase(owner=person)
    assert report.erased["mentions"] == 2
    link.refresh_from_db()
    assert link.created_by is None
    assert [event.message for event in job.events.all()][-2:] == ["", "by someone else"]


# --- What cannot be reached ------------------------------------------------------------------


class BrokenStorage(FileSystemStorage):
    """A storage that is down, and names the file in its error."""

    def delete(self, name: str) -> None:
        raise OSError(f"cannot delete {name}")


def test_what_the_storage_refuses_is_told_and_tried_again(
    documents_dir: Path, settings: Any
) -> None:
    """The report names it, a second call tells it again, and the tick goes on until it is gone."""
    person = create_person()
    job = completed_job(owner=person, name=CANARY)
    path = f"{__name__}.BrokenStorage"
    use_storage(settings, path, location=documents_dir)
    report = erase(owner=person)
    assert not report.is_complete
    assert report.erased["files"] == 0
    assert [(item.kind, item.count) for item in report.remaining] == [("files", 1)]
    again = erase(owner=person)
    assert again.erased.get("jobs", 0) == 0
    assert [(item.kind, item.count) for item in again.remaining] == [("files", 1)]
    assert files_below(documents_dir)
    use_storage(settings, "django.core.files.storage.FileSystemStorage", location=documents_dir)
    make_due()
    lifecycle.run_once()
    assert files_below(documents_dir) == []
    assert erase(owner=person).is_complete
    assert not RenderJob.objects.get(pk=job.pk).file


def test_copy_that_is_refused_is_not_named_in_the_log(
    sandbox: Sandbox,
    documents_dir: Path,
    media_dir: Path,
    invoice: Invoice,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The name of a copy may be a person's; the log has the entry and the kind of error."""
    person = create_person()
    run_until_finished(person_document().enqueue(invoice, owner=person))
    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "delete", BrokenStorage.delete)
        report = erase(owner=person)
    assert {item.kind for item in report.remaining} == {"files", "copies"}
    assert "shop.invoice.pdf, entry" in caplog.text
    assert CANARY not in caplog.text
    invoice.refresh_from_db()
    assert not invoice.pdf
    make_due()
    lifecycle.run_once()
    assert files_below(media_dir) == []
    assert not list(traces())


def test_docraptor_unreachable_is_told_and_tried_again(
    sandbox: Sandbox, documents_dir: Path
) -> None:
    """A hosted document that DocRaptor does not expire is listed until it does."""
    person = create_person()
    job = run_until_finished(enqueue(**options_of(person), hosted=True))
    sandbox.add_fault(Fault(on="expire", action="status", status_code=503))
    report = erase(owner=person)
    assert [(item.kind, item.count) for item in report.remaining] == [("hosted", 1)]
    assert fetch(job.public_url)[0] == 200
    sandbox.clear_faults()
    assert erase(owner=person).is_complete
    assert fetch(job.public_url)[0] == 404
    assert not DiscardedDocument.objects.exists()


def test_unknown_field_of_a_copy_is_told(
    sandbox: Sandbox, documents_dir: Path, media_dir: Path, invoice: Invoice
) -> None:
    """If the field no longer exists, its storage is unknown: the copy remains, and is told."""
    person = create_person()
    job = run_until_finished(person_document().enqueue(invoice, owner=person))
    job.events.filter(kind=EventKind.DELIVERED).update(
        detail={"field": "gone", "file": invoice.pdf.name or "x.pdf"}
    )
    report = erase(owner=person)
    assert [item.kind for item in report.remaining] == ["copies"]


def test_second_call_finds_what_an_earlier_secret_key_left(
    documents_dir: Path, settings: Any
) -> None:
    """A rotation of SECRET_KEY hides nothing that is left, while the former key is a fallback."""
    person = create_person()
    completed_job(owner=person)
    use_storage(settings, f"{__name__}.BrokenStorage", location=documents_dir)
    erase(owner=person)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["tests"]):
        assert not erase(owner=person).is_complete
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        assert erase(owner=person).is_complete


def test_file_that_was_discarded_before_is_told(documents_dir: Path, settings: Any) -> None:
    """A retry has dropped a group's file, and the storage kept it: the erasure is not complete."""
    person = create_person()
    requests = [JobSpec(name="a.pdf", content=HTML, owner=person) for _ in range(2)]
    group = enqueue_group(requests, name="Group", merge="zip", on_failure="partial")
    end_jobs(group, State.COMPLETED, State.FAILED)
    merge(group)
    use_storage(settings, f"{__name__}.BrokenStorage", location=documents_dir)
    retry_group(group)
    report = erase(owner=person)
    assert [(item.kind, item.count) for item in report.remaining] == [("files", 2)]
    use_storage(settings, "django.core.files.storage.FileSystemStorage", location=documents_dir)
    assert erase(owner=person).is_complete
    assert files_below(documents_dir) == []


def test_nothing_that_is_left_names_the_person(documents_dir: Path, settings: Any) -> None:
    """The entries of what is left have a keyed hash of the owner instead of the key."""
    person = create_person()
    completed_job(owner=person, name=CANARY)
    use_storage(settings, f"{__name__}.BrokenStorage", location=documents_dir)
    erase(owner=person)
    subjects = {*DiscardedFile.objects.values_list("subject", flat=True)}
    assert len(subjects) == 1
    assert len(subjects.pop()) == 32
    assert not list(traces())


# --- Afterwards ------------------------------------------------------------------------------


def test_erased_job_is_not_retried(documents_dir: Path) -> None:
    """A failed job that was erased cannot go on, alone, together, or as it was read before."""
    person = create_person()
    before = job_in(State.FAILED, person)
    erase(owner=person)
    job = RenderJob.objects.get(pk=before.pk)
    assert not retry(job)
    assert not retry(before)
    assert not RenderJob.objects.resumable().exists()
    assert count_retries(RenderJob.objects.all()).total == 0
    assert list(retry_in_batches(RenderJob.objects.all())) == []
    assert RenderJob.objects.get(pk=job.pk).state == State.FAILED


def test_erased_job_cannot_be_shared_or_expired(sandbox: Sandbox, documents_dir: Path) -> None:
    """What was read before the erasure gives no link, and writes nothing of a person."""
    person = create_person()
    stored = completed_job(owner=person)
    hosted = run_until_finished(enqueue(hosted=True, owner=person))
    erase(owner=person)
    with pytest.raises(ValidationError, match="no file to share"):
        share(stored, by=person)
    assert not expire(hosted, by=person)
    assert not ShareLink.objects.exists()
    assert not list(traces())


def test_erased_jobs_are_pruned(documents_dir: Path) -> None:
    """The line for the bill ends with the retention, also while a file is still there."""
    person = create_person()
    job = completed_job(owner=person)
    erase(owner=person)
    RenderJob.objects.update(finished_at="2020-01-01T00:00Z")
    (result,) = prune([RetentionLimit(label="", jobs=DAY, inputs=None)])
    assert (result.jobs, result.failed_files) == (1, 0)
    finish_erasure()
    assert not RenderJob.objects.filter(pk=job.pk).exists()
    assert not ErasedJob.objects.exists()


def test_entry_of_the_admins_log_that_comes_late_is_erased(documents_dir: Path) -> None:
    """An operation in the admin that ends after the erasure leaves an entry; the tick erases it."""
    person = create_person()
    job = completed_job(owner=person, name=CANARY)
    erase(owner=person)
    log_entry(job, person)
    assert list(traces())
    finish_erasure()
    assert not list(traces())
    assert not LogEntry.objects.exists()


def test_second_call_changes_nothing(sandbox: Sandbox, documents_dir: Path) -> None:
    """A repeated erasure finds no job, and leaves the rows as they are."""
    person = create_person()
    job_in(State.QUEUED, person)
    erase(owner=person)
    before = list(RenderJob.objects.values()) + list(RenderEvent.objects.values())
    report = erase(owner=person)
    assert list(RenderJob.objects.values()) + list(RenderEvent.objects.values()) == before
    assert sum(report.erased.values()) == 0


def test_pages_of_an_erased_job(
    sandbox: Sandbox, documents_dir: Path, media_dir: Path, invoice: Invoice, client: Client
) -> None:
    """The admin says when it was erased, and offers neither the file nor a retry."""
    person = create_person()
    jobs = everything(person, invoice)
    erase(owner=person)
    client.force_login(get_user_model().objects.create_superuser("staff"))
    listing = client.get("/admin/django_docraptor/renderjob/").content.decode()
    assert "/download/" not in listing
    for job in jobs:
        page = client.get(f"/admin/django_docraptor/renderjob/{job.pk}/change/").content.decode()
        assert "Erased at" in page
        assert f"{job.pk}/retry/" not in page
        assert f"{job.pk}/download/" not in page
        assert client.get(job.get_absolute_url()).status_code in (302, 404)  # to its status page
        status = client.get(reverse("django_docraptor:status", args=[job.pk]))
        assert status.status_code == 200
        assert "is ready" not in status.content.decode()
        assert CANARY not in page + listing + status.content.decode()


# --- Calls -----------------------------------------------------------------------------------


def test_dry_run_only_counts(
    sandbox: Sandbox, documents_dir: Path, media_dir: Path, invoice: Invoice
) -> None:
    """A dry run says what would be erased, and changes nothing."""
    person = create_person()
    jobs = everything(person, invoice)
    before = list(RenderJob.objects.values())
    counted = erase(owner=person, dry_run=True)
    assert list(RenderJob.objects.values()) == before
    assert counted.dry_run
    assert not counted.is_complete
    assert counted.remaining == ()
    erased = erase(owner=person).erased
    assert counted.erased["jobs"] == len(jobs)
    kinds = ("cancelled", "inputs", "files", "copies", "share_links", "downloads", "texts")
    for kind in (*kinds, "log_entries"):
        assert counted.erased[kind] == erased[kind], kind


def test_rollback_erases_nothing(documents_dir: Path) -> None:
    """Within a transaction, files are deleted after its commit; a rollback keeps everything."""
    person = create_person()
    job = completed_job(owner=person, name=CANARY)
    with transaction.atomic():
        report = erase(owner=person)
        assert [item.kind for item in report.remaining] == ["files"]
        transaction.set_rollback(True)
    job.refresh_from_db()
    assert (job.name, job.erased_at) == (CANARY, None)
    assert len(files_below(documents_dir)) == 1
    with transaction.atomic():
        erase(owner=person)
        assert len(files_below(documents_dir)) == 1
    assert files_below(documents_dir) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "an owner or a source, and not both"),
        ({"owner": 1, "source": Invoice(pk=1)}, "an owner or a source, and not both"),
        ({"owner": AnonymousUser()}, "owner has no primary key"),
        ({"owner": "anna"}, "'anna' is no primary key of auth.User"),
        ({"owner": Invoice(pk=1)}, "is no auth.User. Pass a user or a primary key"),
        ({"source": Invoice()}, "must be an object with a primary key"),
        ({"source": Invoice(pk="x")}, "has the key 'x', which is none of shop.Invoice"),
        ({"source": "shop.Invoice:1"}, "must be an object with a primary key"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """The error names the argument and the remedy."""
    with pytest.raises(ValidationError, match=message):
        erase(**arguments)


@pytest.mark.parametrize("as_other_key", [lambda key: key + 0.9, lambda key: str(key).encode()])
def test_key_of_another_kind_erases_no_other_person(documents_dir: Path, as_other_key: Any) -> None:
    """2.9 or b"2" is no key of a user, although Python makes a number of it."""
    person = create_person()
    completed_job(owner=person)
    for arguments in ({"owner": as_other_key(person.pk)}, {"source": Invoice(as_other_key(2))}):
        with pytest.raises(ValidationError, match=r"no primary key of|is none of"):
            erase(**arguments)
    assert not RenderJob.objects.filter(erased_at__isnull=False).exists()


def test_true_is_no_key() -> None:
    """True is not the user 1."""
    with pytest.raises(ValidationError, match=r"owner True is no primary key of auth\.User"):
        erase(owner=True)


@pytest.mark.parametrize("model", [DayReport, ShopDayReport])
def test_inherited_model_is_one_object_with_its_parent(
    documents_dir: Path, model: type[DayReport]
) -> None:
    """The jobs of the parent are erased with the child's, and the other way round."""
    child = ShopDayReport.objects.create(day="2026-01-01", shop=CANARY)
    other = enqueue(source=DayReport.objects.create(day="2026-01-02"))
    jobs = [enqueue(source=child), enqueue(source=DayReport.objects.get(pk=child.pk))]
    report = erase(source=model(pk=child.pk))
    assert (report.subject, report.erased["jobs"]) == ("source shop.DayReport 2026-01-01", 2)
    assert all(RenderJob.objects.get(pk=job.pk).erased_at for job in jobs)
    assert RenderJob.objects.get(pk=other.pk).erased_at is None


def test_key_without_a_user_is_told(documents_dir: Path) -> None:
    """A mistyped key, or that of a deleted user, looks like an erasure that found nothing."""
    person = create_person()
    assert "There is no user" not in str(erase(owner=person))
    key = person.pk
    person.delete()
    assert "There is no user with this primary key" in str(erase(owner=key))


def test_stored_password_is_erased(documents_dir: Path) -> None:
    """An encrypted password goes with the input, whatever key it was encrypted with."""
    person = create_person()
    job = enqueue(**options_of(person))
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        erase(owner=person)
    assert not RenderInput.objects.filter(pk=job.pk).exists()
