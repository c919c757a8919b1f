"""Downloading and storing finished documents, under every fault of network, disk and storage."""

import re
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage
from django.db import DataError, OperationalError, connection

from django_docraptor import lifecycle, shortcuts, spool
from django_docraptor.client import Client
from django_docraptor.lifecycle.downloading import download_and_store, storage_name_for
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault
from django_docraptor.states import State
from tests.support.databases import rejecting, writes
from tests.support.documents import pdf_bytes
from tests.support.jobs import (
    WorkerKilled,
    downloadable_job,
    enqueue,
    event_kinds,
    files_below,
    read_file,
    run_until_finished,
    run_until_given_up,
    skip_time,
)
from tests.support.socket_server import SocketServer, head, send_bytes

pytestmark = pytest.mark.django_db(transaction=True)


class FailingStorage(FileSystemStorage):
    """A storage whose save() raises while its class attribute `failing` is set."""

    failing: Exception | None = None
    saves = 0

    def save(self, name, content, max_length=None):
        type(self).saves += 1
        if self.failing:
            raise self.failing
        return super().save(name, content, max_length)


class ClosingStorage(FileSystemStorage):
    """A storage that closes the file it is given, as boto3 does."""

    def save(self, name, content, max_length=None):
        saved = super().save(name, content, max_length)
        content.close()
        return saved


class RenamingStorage(FileSystemStorage):
    """A storage that chooses its own names."""

    def get_available_name(self, name, max_length=None):
        return f"renamed/{name}"


@pytest.fixture
def use_storage(settings, tmp_path):
    """Return a function that makes a class of this module the storage for documents."""

    def use(storage: type[FileSystemStorage]) -> Path:
        location = tmp_path / "documents"
        backend = {
            "BACKEND": f"{__name__}.{storage.__name__}",
            "OPTIONS": {"location": location},
        }
        settings.STORAGES = settings.STORAGES | {"docraptor": backend}
        return location

    FailingStorage.failing, FailingStorage.saves = None, 0
    return use


# --- D: downloads ----------------------------------------------------------------------------


@pytest.mark.fault("D1")
@pytest.mark.parametrize(
    ("limit", "state", "reason"), [(1, State.FAILED, "download_refused"), (2, State.COMPLETED, "")]
)
def test_cut_download_is_tried_again_if_docraptor_allows_it(
    sandbox, documents_dir, limit: int, state: State, reason: str
) -> None:
    """A cut download is repeated, and an account that allows only one download is recognised."""
    sandbox.change_settings(download_limit=limit)
    job = downloadable_job()
    sandbox.add_fault(Fault(on="download", action="cut", mode="length", times=1))
    job = run_until_finished(job, hours=0.5)
    assert (job.state, job.error_code) == (state, reason)
    assert not [path for path in files_below(spool.get_directory()) if ".part." in path.name]


@pytest.mark.fault("D3", "D4")
@pytest.mark.parametrize("mode", ["length", "chunked", "close"])
def test_truncated_download_is_never_stored(sandbox, documents_dir, mode: str) -> None:
    """A truncated body is detected in every transfer mode and never stored."""
    sandbox.add_fault(Fault(on="download", action="cut", mode=mode))
    job = run_until_given_up(enqueue())
    assert job.error_code in ("download_failed", "not_a_document")
    assert not files_below(documents_dir)


@pytest.mark.fault("D5")
def test_gzip_encoded_download_is_decoded(sandbox, documents_dir) -> None:
    """A body that is compressed without being asked for is decoded."""
    sandbox.add_fault(Fault(on="download", action="gzip"))
    job = run_until_finished(enqueue())
    assert job.state == State.COMPLETED
    assert read_file(job).startswith(b"%PDF-")


def test_history_says_how_long_rendering_and_storing_took(sandbox, documents_dir) -> None:
    """The worker measures what no event begins."""
    job = run_until_finished(enqueue())
    details = dict(job.events.values_list("kind", "detail"))
    assert 0 <= details["accepted"]["render_seconds"] < 60
    assert 0 <= details["completed"]["store_seconds"] < 60


@pytest.mark.fault("D6")
@pytest.mark.parametrize("action", ["bomb", "endless"])
def test_oversized_download_is_stopped_at_the_limit(
    sandbox, documents_dir, settings, action: str
) -> None:
    """A body without end is stopped at MAX_DOCUMENT_BYTES and leaves no file."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_DOCUMENT_BYTES": 1_000_000}
    sandbox.add_fault(Fault(on="download", action=action))
    job = run_until_finished(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "document_too_large")
    assert "1,000,000" in job.errors or "1000000" in job.errors
    assert not files_below(documents_dir)
    assert not files_below(spool.get_directory())


@pytest.mark.fault("D6")
@pytest.mark.usefixtures("short_timeouts")
def test_slow_download_is_stopped_at_its_total_timeout(sandbox, documents_dir) -> None:
    """A download that receives a byte now and then ends at the total timeout and is repeated."""
    sandbox.add_fault(Fault(on="download", action="drip", seconds=0.2, times=1))
    job = run_until_finished(enqueue())
    assert job.state == State.COMPLETED
    assert event_kinds(job).count("step_failed") == 1


@pytest.mark.fault("D7")
@pytest.mark.parametrize("action", ["html", "empty", "wrong_type"])
def test_response_that_is_not_a_document_is_kept_for_inspection(
    sandbox, documents_dir, action: str
) -> None:
    """A 200 response that is not a document fails the job, and its body is kept in the spool."""
    sandbox.add_fault(Fault(on="download", action=action))
    job = run_until_given_up(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "not_a_document")
    assert re.search("empty|begins with|is a ZIP archive", job.errors)
    assert [path.suffix for path in files_below(spool.get_directory())] == [".bad"]
    assert not files_below(documents_dir)


@pytest.mark.fault("D8")
def test_full_disk_is_noticed_before_downloading(sandbox, documents_dir, settings) -> None:
    """A download is not started unless the spool's disk has a little room."""
    job = downloadable_job()
    with free_bytes(spool.RESERVE_BYTES - 1):
        lifecycle.download()
    job.refresh_from_db()
    assert (job.state, job.download_attempts) == (State.DOWNLOADING, 0)
    assert "bytes free" in job.errors
    assert sandbox.ledger.download_calls == 0
    assert run_until_finished(job).state == State.COMPLETED


@pytest.mark.fault("D8")
def test_document_larger_than_the_disk_is_noticed_before_its_first_byte(
    sandbox, documents_dir
) -> None:
    """A document that does not fit is not received, and is downloaded once there is room."""
    sandbox.change_settings(canned_bytes=3_000_000)
    job = downloadable_job()
    with free_bytes(2_000_000):
        for _ in range(5):
            lifecycle.download()
            skip_time(301)
    job.refresh_from_db()
    assert (job.state, job.download_attempts) == (State.DOWNLOADING, 0)
    assert "needs 3,000,000" in job.errors
    assert files_below(spool.get_directory()) == []
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("D8")
def test_small_document_is_stored_from_a_small_disk(sandbox, documents_dir, settings) -> None:
    """A disk smaller than MAX_DOCUMENT_BYTES is enough for a small document."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_DOCUMENT_BYTES": 200 * 1024 * 1024}
    with free_bytes(150 * 1024 * 1024):
        assert run_until_finished(enqueue()).state == State.COMPLETED
    assert sandbox.ledger.download_calls == 1


@contextmanager
def free_bytes(free: int) -> Iterator[None]:
    """Pretend that every disk has this much space left."""
    usage = shutil.disk_usage("/")._replace(free=free)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: usage)
        yield


@pytest.mark.fault("D3")
@pytest.mark.parametrize("keep", [None, 1_000_000])
def test_partial_response_is_refused(sandbox, documents_dir, keep: int | None) -> None:
    """A 206 response is not the document, even if it has all of its bytes."""
    sandbox.add_fault(Fault(on="download", action="partial", keep_bytes=keep))
    job = run_until_given_up(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "download_failed")
    assert "only a part of the document" in job.errors
    assert not files_below(documents_dir)
    sandbox.clear_faults()
    assert shortcuts.retry(job)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("D7")
def test_document_with_the_content_type_of_a_page_is_refused(sandbox, documents_dir) -> None:
    """A response that calls itself a page is not stored, whatever its bytes are."""
    sandbox.add_fault(Fault(on="download", action="as_page"))
    job = run_until_given_up(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "not_a_document")
    assert "its content type is text/html" in job.errors
    assert not files_below(documents_dir)


@pytest.mark.fault("D3", "D4")
@pytest.mark.parametrize("difference", [-100, 100])
def test_length_that_differs_from_the_body_is_refused(
    sandbox, documents_dir, settings, difference: int
) -> None:
    """A body that is shorter or longer than its Content-Length is never stored."""
    body = pdf_bytes(5000)
    length = {"Content-Length": len(body) - difference, "Content-Type": "application/pdf"}
    job = downloadable_job()
    with SocketServer(*[send_bytes(head(200, length) + body)] * 3) as server:
        settings.DOCRAPTOR = settings.DOCRAPTOR | {"BASE_URL": server.url}
        job = run_until_given_up(job)
    assert job.error_code in ("download_failed", "not_a_document")
    assert not files_below(documents_dir)


@pytest.mark.fault("D9")
def test_worker_without_lease_does_not_overwrite_file(sandbox, documents_dir) -> None:
    """A worker that lost its lease during the download stores nothing."""
    from django_docraptor.lifecycle.downloading import claim_next_download, download_and_store

    downloadable_job()
    stalled, _ = claim_next_download()
    skip_time(241)
    current, may_have_file = claim_next_download()
    assert may_have_file
    download_and_store(current, may_have_file=may_have_file)
    download_and_store(stalled)
    job = RenderJob.objects.get(pk=current.pk)
    assert job.state == State.COMPLETED
    assert event_kinds(job).count("completed") == 1
    assert [path.name for path in files_below(documents_dir)] == [Path(job.file.name).name]


def test_400_on_download_is_retried(sandbox, documents_dir) -> None:
    """A 400 response to the first download may mean "not finished", so it is tried again."""
    job = downloadable_job()
    sandbox.add_fault(Fault(on="download", action="status", status_code=400, times=1))
    lifecycle.download()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.DOWNLOADING, "")


# --- F: files --------------------------------------------------------------------------------


@pytest.mark.fault("F1")
def test_storage_errors_cost_no_second_download(sandbox, use_storage) -> None:
    """A storage that fails for a while costs no second download and no second render."""
    use_storage(FailingStorage)
    FailingStorage.failing = OSError("bucket is on fire")
    job = downloadable_job()
    for _ in range(5):
        lifecycle.download()
        skip_time(301)
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.DOWNLOADING, 5)
    assert "bucket is on fire" in job.errors
    FailingStorage.failing = None
    assert run_until_finished(job).state == State.COMPLETED
    assert sandbox.ledger.download_calls == 1
    assert len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("F1")
def test_repeated_storage_errors_fail_the_job(sandbox, use_storage) -> None:
    """A job fails after three days of storage errors; a retry stores the spooled file unbilled."""
    use_storage(FailingStorage)
    FailingStorage.failing = OSError("bucket is on fire")
    job = run_until_given_up(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "storage_error")
    assert job.resume_state == State.DOWNLOADING
    FailingStorage.failing = None
    assert shortcuts.retry(job)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == sandbox.ledger.download_calls == 1


@pytest.mark.fault("F1")
def test_permanent_storage_error_fails_at_once(sandbox, use_storage) -> None:
    """A name that the storage always refuses fails the job after one attempt to save."""
    use_storage(FailingStorage)
    FailingStorage.failing = SuspiciousFileOperation("outside")
    job = run_until_finished(enqueue())
    assert (job.error_code, FailingStorage.saves) == ("storage_error", 1)


@pytest.mark.fault("F3")
def test_database_error_after_save_leaves_one_file(sandbox, documents_dir) -> None:
    """If the row cannot be updated after the save, a later run keeps one file and one download."""
    job = downloadable_job()

    def down(execute, sql, params, many, context):
        if writes(sql, "UPDATE") and State.COMPLETED in map(str, params):
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(down), pytest.raises(OperationalError):
        lifecycle.download()
    assert len(files_below(documents_dir)) == 1
    skip_time(901)
    job = run_until_finished(job)
    assert [path.relative_to(documents_dir).as_posix() for path in files_below(documents_dir)] == [
        job.file.name
    ]
    assert sandbox.ledger.download_calls == 1


@pytest.mark.fault("F4")
def test_file_of_a_row_deleted_while_saving_is_deleted(sandbox, use_storage, monkeypatch) -> None:
    """A row that is deleted during the save is not re-created, and its file is deleted."""
    location = use_storage(FailingStorage)
    job = downloadable_job()
    real = FileSystemStorage.save

    def save(storage, name, content, max_length=None):
        RenderJob.objects.all().delete()
        return real(storage, name, content, max_length)

    monkeypatch.setattr(FailingStorage, "save", save)
    lifecycle.download()
    assert not RenderJob.objects.filter(pk=job.pk).exists()
    assert not files_below(location)


@pytest.mark.fault("F5")
def test_cancelled_job_stores_nothing(sandbox, documents_dir) -> None:
    """The document of a cancelled job is neither stored nor saved on the row."""
    job = downloadable_job()
    assert shortcuts.cancel(job)
    lifecycle.run_once()
    job.refresh_from_db()
    assert (job.state, job.file.name) == (State.CANCELLED, "")
    assert not files_below(documents_dir)


@pytest.mark.fault("F5")
def test_file_of_a_job_cancelled_while_saving_is_deleted(sandbox, use_storage, monkeypatch) -> None:
    """If a job is cancelled during the save, its file is deleted again."""
    location = use_storage(FailingStorage)
    job = downloadable_job()
    real = FileSystemStorage.save

    def save(storage, name, content, max_length=None):
        assert shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
        return real(storage, name, content, max_length)

    monkeypatch.setattr(FailingStorage, "save", save)
    lifecycle.download()
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert not files_below(location)


@pytest.mark.fault("F6")
def test_storage_may_close_the_file_it_is_given(sandbox, use_storage) -> None:
    """A storage that closes the file causes no error; size and hash are right."""
    use_storage(ClosingStorage)
    job = run_until_finished(enqueue())
    assert job.state == State.COMPLETED
    assert job.file_size == len(read_file(job))


@pytest.mark.fault("F7")
def test_name_returned_by_the_storage_is_saved(sandbox, use_storage) -> None:
    """The row keeps the name that the storage returned."""
    use_storage(RenamingStorage)
    job = run_until_finished(enqueue())
    assert job.file.name.startswith("renamed/")
    assert read_file(job).startswith(b"%PDF-")


@pytest.fixture
def archive_dir(settings, tmp_path) -> Path:
    """The directory of a second storage with the alias "archive"."""
    location = tmp_path / "archive"
    backend = "tests.lifecycle.test_downloading.FailingStorage"
    settings.STORAGES = settings.STORAGES | {
        "archive": {"BACKEND": backend, "OPTIONS": {"location": location}}
    }
    FailingStorage.failing, FailingStorage.saves = None, 0
    return location


def test_job_uses_its_own_storage(sandbox, documents_dir, archive_dir) -> None:
    """A job's file is saved, read and deleted in the job's storage, or in the default one."""
    job, other = run_until_finished(enqueue(storage="archive")), run_until_finished(enqueue())
    assert [path.name for path in files_below(archive_dir)] == [Path(job.file.name).name]
    assert [path.name for path in files_below(documents_dir)] == [Path(other.file.name).name]
    assert read_file(job).startswith(b"%PDF-")
    assert Path(job.file.path).is_relative_to(archive_dir)
    job.file.delete(save=False)
    assert (files_below(archive_dir), len(files_below(documents_dir))) == ([], 1)


def test_file_of_a_cancelled_job_is_deleted_from_its_storage(
    sandbox, documents_dir, archive_dir, monkeypatch
) -> None:
    """The file of a job that was cancelled during the save is deleted from the job's storage."""
    job = downloadable_job(storage="archive")
    save = FailingStorage.save

    def cancelled_meanwhile(self, name, content, max_length=None):
        saved = save(self, name, content, max_length)
        shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
        return saved

    monkeypatch.setattr(FailingStorage, "save", cancelled_meanwhile)
    lifecycle.download()
    assert FailingStorage.saves == 1
    assert files_below(archive_dir) == []


def test_missing_storage_alias_fails_the_job_resumably(
    sandbox, documents_dir, archive_dir, settings
) -> None:
    """A removed storage alias fails the job, and its retry stores the spooled file."""
    job = downloadable_job(storage="archive")
    there = settings.STORAGES
    settings.STORAGES = {name: there[name] for name in there if name != "archive"}
    job = run_until_finished(job)
    assert (job.state, job.error_code) == (State.FAILED, "storage_error")
    assert "archive" in job.errors
    settings.STORAGES = there
    assert shortcuts.retry(job)
    job = run_until_finished(job)
    assert (job.state, len(files_below(archive_dir))) == (State.COMPLETED, 1)
    assert len(sandbox.ledger.accepted()) == 1


def test_spool_is_empty_after_storing(sandbox, documents_dir) -> None:
    """After the file is stored, the spool is empty."""
    run_until_finished(enqueue())
    assert files_below(spool.get_directory()) == []


def test_stored_name_has_job_id_and_no_user_text(sandbox, documents_dir) -> None:
    """The stored name has the job ID and the attempt, and no text from a user."""
    job = run_until_finished(enqueue(name="../../etc/passwd"))
    assert job.file.name.startswith("docraptor/20")
    assert job.file.name.endswith(f"{job.pk.hex}-1.pdf")


def test_downloads_are_bounded_even_if_workers_die(sandbox, documents_dir, monkeypatch) -> None:
    """At most five downloads are started in a row, even if every worker dies."""
    job, begun = downloadable_job(), []

    def die(client: Client, download_id: str, target: BinaryIO) -> None:
        begun.append(download_id)
        raise WorkerKilled

    monkeypatch.setattr(Client, "download", die)
    for _ in range(8):
        skip_time(1000)
        with suppress(WorkerKilled):
            lifecycle.download()
    job.refresh_from_db()
    assert len(begun) == 5
    assert (job.state, job.error_code) == (State.FAILED, "killed_its_worker")


def test_unexpected_client_error_counts_as_a_failure(sandbox, documents_dir, monkeypatch) -> None:
    """An unexpected exception of a custom client counts as a failure and leaves no file."""
    job = downloadable_job()

    def fail(client: Client, download_id: str, target: BinaryIO) -> None:
        target.write(b"half")
        raise LookupError("of the client's own")

    monkeypatch.setattr(Client, "download", fail)
    job = run_until_given_up(job)
    assert job.error_code == "download_failed"
    assert "LookupError: of the client's own" in job.errors
    assert files_below(spool.get_directory()) == []


def test_multi_disk_zip_is_not_a_workbook(sandbox, documents_dir, monkeypatch) -> None:
    """A ZIP archive in several parts, on which some versions of Python raise, is not a workbook."""
    job = downloadable_job(
        name="a.xlsx", document_type="xlsx", content="<table><tr><td>1</td></tr></table>"
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 1, 0, 2)
    data = b"PK" + bytes(100) + locator + b"PK\x05\x06" + bytes(18)
    monkeypatch.setattr(Client, "download", lambda _client, _id, target: target.write(data))
    assert run_until_given_up(job).error_code == "not_a_document"


def test_slow_delete_of_a_reserved_name_spares_a_newer_file(
    sandbox, documents_dir, monkeypatch
) -> None:
    """A worker that hangs while deleting a reserved name does not delete another worker's file."""
    job = downloadable_job()
    RenderJob.objects.update(reserved_name=storage_name_for(job))  # as after a worker's death
    real, hung = FileSystemStorage.delete, []

    def delete(storage: FileSystemStorage, name: str) -> None:
        if not hung:
            hung.append(name)
            skip_time(1000)
            lifecycle.download()
        real(storage, name)

    monkeypatch.setattr(FileSystemStorage, "delete", delete)
    skip_time(1000)
    lifecycle.download()
    job.refresh_from_db()
    assert hung
    assert job.state == State.COMPLETED
    assert read_file(job).startswith(b"%PDF")


def test_row_deleted_while_storing_leaves_no_file(sandbox, documents_dir, monkeypatch) -> None:
    """If the row is deleted while its file is stored, the file and the spooled copy are deleted."""
    job = enqueue()
    lifecycle.submit()
    skip_time(100)
    kept = lifecycle.poll(keep_rendered=True).rendered_job
    assert kept is not None
    real = FileSystemStorage._save

    def save(storage: FileSystemStorage, name: str, content: Any) -> str:
        saved = real(storage, name, content)
        RenderJob.objects.filter(pk=job.pk).delete()
        return saved

    monkeypatch.setattr(FileSystemStorage, "_save", save)
    download_and_store(kept)
    assert files_below(documents_dir) == files_below(spool.get_directory()) == []


class OddNameStorage(FileSystemStorage):
    """A storage that saves a file and returns `returned`, or the result of calling it."""

    returned: Any = None

    def save(self, name, content, max_length=None):
        saved = super().save(name, content, max_length)
        returned = type(self).returned
        return returned(self, saved) if callable(returned) else returned


def long_name(storage: FileSystemStorage, saved: str) -> str:
    """Move the file to a name of 300 characters, and return it."""
    name = f"{'x' * 148}/{'y' * 151}"
    target = Path(storage.path(name))
    target.parent.mkdir(parents=True, exist_ok=True)
    Path(storage.path(saved)).rename(target)
    return name


@pytest.mark.fault("F8")
@pytest.mark.parametrize(
    ("returned", "quoted"),
    [
        (None, "None"),
        ("", "''"),
        (42, "42"),
        (b"docraptor/a.pdf", "b'docraptor/a.pdf'"),
        (Path("docraptor/a.pdf"), "PosixPath"),
        (long_name, "a name of 300 characters"),
        ("../outside.pdf", "outside of its directory"),
        ("docraptor/../../outside.pdf", "outside of its directory"),
        ("/srv/outside.pdf", "outside of its directory"),
        ("docraptor\\..\\..\\outside.pdf", "outside of its directory"),
        ("docraptor/", "outside of its directory"),
        ("half \ud83d a pair.pdf", "cannot store"),
        ("a \x00 NUL.pdf", "cannot store"),
    ],
)
def test_name_that_the_row_cannot_have_fails_the_job(
    sandbox, use_storage, monkeypatch, returned: object, quoted: str
) -> None:
    """A storage's unusable name fails that job with the reason, and the step goes on."""
    location = use_storage(OddNameStorage)
    monkeypatch.setattr(OddNameStorage, "returned", returned)
    jobs = [downloadable_job() for _ in range(3)]
    assert lifecycle.download() == 3
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.error_code, job.file.name) == (State.FAILED, "storage_error", "")
        assert "The storage returned" in job.errors
        assert quoted in job.errors
        assert len(job.errors) < 1000
    if returned in (None, long_name) or "outside" in str(returned):
        assert not files_below(location)
    monkeypatch.setattr(OddNameStorage, "returned", lambda _storage, saved: saved)
    for job in jobs:
        assert shortcuts.retry(job)
        assert run_until_finished(job).state == State.COMPLETED
    assert sandbox.ledger.download_calls == len(sandbox.ledger.accepted()) == 3


@pytest.mark.fault("F8")
def test_name_that_the_database_rejects_fails_the_job(sandbox, use_storage, monkeypatch) -> None:
    """A name with a character that the database lacks fails the job, and its file is deleted."""
    location = use_storage(OddNameStorage)

    def odd_name(storage: FileSystemStorage, saved: str) -> str:
        Path(storage.path(saved)).rename(storage.path("\U0001f600.pdf"))
        return "\U0001f600.pdf"

    monkeypatch.setattr(OddNameStorage, "returned", odd_name)
    job = downloadable_job()
    with rejecting("\U0001f600", DataError(1366, "Incorrect string value")):
        lifecycle.download()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "storage_error")
    assert r"\U0001f600" in job.errors
    assert not files_below(location)


@pytest.mark.fault("F8")
def test_unusable_name_of_a_file_that_cannot_be_deleted_fails_the_job(
    sandbox, use_storage, monkeypatch
) -> None:
    """A storage that cannot delete the file either does not stop the step."""
    use_storage(OddNameStorage)
    monkeypatch.setattr(OddNameStorage, "returned", None)

    def delete(storage: FileSystemStorage, name: str) -> None:
        raise PermissionError("no DeleteObject")

    monkeypatch.setattr(OddNameStorage, "delete", delete)
    downloadable_job()
    assert lifecycle.download() == 1
    assert RenderJob.objects.get().error_code == "storage_error"
