"""Fetching and storing: rows D and F of the fault matrix."""

import shutil
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage
from django.db import OperationalError, connection

from django_docraptor import lifecycle, shortcuts, spool
from django_docraptor.client import Client
from django_docraptor.lifecycle.collection import collect_one, name_of
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault
from django_docraptor.states import State
from tests.support.jobs import Killed, drive, enqueue, kinds, read, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


def rendered(**order) -> RenderJob:
    """A job whose document is ready to be fetched."""
    return drive_to_download(enqueue(**order))


def drive_to_download(job: RenderJob) -> RenderJob:
    """Submit and poll, but do not collect."""
    for _ in range(20):
        lifecycle.submit()
        skip_time(2)
        lifecycle.poll()
        job.refresh_from_db()
        if job.state == State.DOWNLOADING:
            return job
    raise AssertionError(job.state)


def files(directory: Path) -> list[Path]:
    """Every file below a directory."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


class FailingStorage(FileSystemStorage):
    """A storage that does not take files, while its class says so."""

    failing: Exception | None = None
    saves = 0

    def save(self, name, content, max_length=None):
        type(self).saves += 1
        if self.failing:
            raise self.failing
        return super().save(name, content, max_length)


class ClosingStorage(FileSystemStorage):
    """A storage that closes what it is given, as boto3 does."""

    def save(self, name, content, max_length=None):
        saved = super().save(name, content, max_length)
        content.close()
        return saved


class RenamingStorage(FileSystemStorage):
    """A storage with names of its own."""

    def get_available_name(self, name, max_length=None):
        return f"renamed/{name}"


@pytest.fixture
def use_storage(settings, tmp_path):
    """Use a storage class of this module for documents."""

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


@pytest.mark.parametrize(
    ("limit", "state", "reason"), [(1, State.FAILED, "download_refused"), (2, State.COMPLETED, "")]
)
def test_D1_cut_download(sandbox, documents, limit: int, state: State, reason: str) -> None:
    """A second download is tried, and a service that allows only one is understood."""
    sandbox.change_settings(download_limit=limit)
    job = rendered()
    sandbox.add_fault(Fault(on="download", action="cut", mode="length", times=1))
    job = drive(job)
    assert (job.state, job.error_code) == (state, reason)
    assert not [path for path in files(spool.get_directory()) if ".part." in path.name]


@pytest.mark.parametrize("mode", ["length", "chunked", "close"])
def test_D3_D4_never_half_a_document(sandbox, documents, mode: str) -> None:
    """However a body is cut, it is seen, counted, and never stored."""
    sandbox.add_fault(Fault(on="download", action="cut", mode=mode))
    job = drive(enqueue())
    assert job.state == State.FAILED
    assert job.error_code in ("download_failed", "not_a_document")
    assert job.download_attempts == 3
    assert not files(documents)


def test_D5_gzip(sandbox, documents) -> None:
    """A body that is encoded although nobody asked is decoded."""
    sandbox.add_fault(Fault(on="download", action="gzip"))
    job = drive(enqueue())
    assert job.state == State.COMPLETED
    assert read(job).startswith(b"%PDF-")


@pytest.mark.parametrize("action", ["bomb", "endless"])
def test_D6_too_large(sandbox, documents, settings, action: str) -> None:
    """A body without end stops at the bound, and leaves nothing behind."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_DOCUMENT_BYTES": 1_000_000}
    sandbox.add_fault(Fault(on="download", action=action))
    job = drive(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "too_large")
    assert "1,000,000" in job.errors or "1000000" in job.errors
    assert not files(documents)
    assert not files(spool.get_directory())


def test_D6_drip(sandbox, documents) -> None:
    """A byte now and then does not keep a worker: the whole download has a deadline."""
    sandbox.add_fault(Fault(on="download", action="drip", seconds=0.2, times=1))
    job = drive(enqueue())
    assert job.state == State.COMPLETED
    assert kinds(job).count("try_failed") == 1


@pytest.mark.parametrize("action", ["html", "empty", "wrong_type"])
def test_D7_not_a_document(sandbox, documents, action: str) -> None:
    """A 200 that is no document is kept aside, and the job says what came."""
    sandbox.add_fault(Fault(on="download", action=action))
    job = drive(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "not_a_document")
    assert "empty" in job.errors or "It begins with" in job.errors
    assert [path.suffix for path in files(spool.get_directory())] == [".bad"]
    assert not files(documents)


def test_D8_no_room(sandbox, documents, settings) -> None:
    """A full disk is noticed before a download is spent."""
    free = shutil.disk_usage(documents.parent).free
    roomy = settings.DOCRAPTOR
    job = rendered()
    settings.DOCRAPTOR = roomy | {"MAX_DOCUMENT_BYTES": free * 2}
    lifecycle.collect()
    job.refresh_from_db()
    assert (job.state, job.download_attempts) == (State.DOWNLOADING, 0)
    assert "bytes free" in job.errors
    assert sandbox.ledger.download_calls == 0
    settings.DOCRAPTOR = roomy
    assert drive(job).state == State.COMPLETED


def test_D9_two_fetch_at_once(sandbox, documents) -> None:
    """A worker that lost its lease in the middle writes nothing that is seen."""
    from django_docraptor.lifecycle.collection import collect_one, take_one

    rendered()
    stalled, _ = take_one()
    skip_time(241)
    current, tried_before = take_one()
    assert tried_before
    collect_one(current, tried_before=tried_before)
    collect_one(stalled)
    job = RenderJob.objects.get(pk=current.pk)
    assert job.state == State.COMPLETED
    assert kinds(job).count("completed") == 1
    assert [path.name for path in files(documents)] == [Path(job.file.name).name]


def test_D_not_ready_yet(sandbox, documents) -> None:
    """A 400 on the first download may mean "not finished": it is tried again."""
    job = rendered()
    sandbox.add_fault(Fault(on="download", action="status", status_code=400, times=1))
    lifecycle.collect()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.DOWNLOADING, "")


# --- F: files --------------------------------------------------------------------------------


def test_F1_storage_down(sandbox, use_storage) -> None:
    """A storage that fails for a while costs no second download and no second render."""
    use_storage(FailingStorage)
    FailingStorage.failing = OSError("bucket is on fire")
    job = rendered()
    for _ in range(5):
        lifecycle.collect()
        skip_time(301)
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.DOWNLOADING, 5)
    assert "bucket is on fire" in job.errors
    FailingStorage.failing = None
    assert drive(job).state == State.COMPLETED
    assert sandbox.ledger.download_calls == 1
    assert len(sandbox.ledger.accepted()) == 1


def test_F1_storage_down_for_ever(sandbox, use_storage) -> None:
    """It fails in the end; a retry takes it up from the spool, without a second bill."""
    use_storage(FailingStorage)
    FailingStorage.failing = OSError("bucket is on fire")
    job = drive(enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "storage_error")
    assert job.resume_state == State.DOWNLOADING
    FailingStorage.failing = None
    assert shortcuts.retry(job)
    assert drive(job).state == State.COMPLETED
    assert len(sandbox.ledger.accepted()) == sandbox.ledger.download_calls == 1


def test_F1_hopeless(sandbox, use_storage) -> None:
    """A name that the storage will never take fails at once."""
    use_storage(FailingStorage)
    FailingStorage.failing = SuspiciousFileOperation("outside")
    job = drive(enqueue())
    assert (job.error_code, FailingStorage.saves) == ("storage_error", 1)


def test_F3_database_gone_between_save_and_confirm(sandbox, documents) -> None:
    """The file is saved, the row cannot say so: taken up later, still one file and one download."""
    job = rendered()

    def down(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and State.COMPLETED in map(str, params):
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(down), pytest.raises(OperationalError):
        lifecycle.collect()
    assert len(files(documents)) == 1
    skip_time(901)
    job = drive(job)
    assert [path.relative_to(documents).as_posix() for path in files(documents)] == [job.file.name]
    assert sandbox.ledger.download_calls == 1


def test_F4_row_deleted_while_saving(sandbox, use_storage, monkeypatch) -> None:
    """A row that was deleted stays deleted, and its file goes too."""
    location = use_storage(FailingStorage)
    job = rendered()
    real = FileSystemStorage.save

    def save(storage, name, content, max_length=None):
        RenderJob.objects.all().delete()
        return real(storage, name, content, max_length)

    monkeypatch.setattr(FailingStorage, "save", save)
    lifecycle.collect()
    assert not RenderJob.objects.filter(pk=job.pk).exists()
    assert not files(location)


def test_F5_cancelled_while_working(sandbox, documents) -> None:
    """The result of a cancelled job is dropped."""
    job = rendered()
    assert shortcuts.cancel(job)
    lifecycle.run()
    job.refresh_from_db()
    assert (job.state, job.file.name) == (State.CANCELLED, "")
    assert not files(documents)


def test_F5_cancelled_while_saving(sandbox, use_storage, monkeypatch) -> None:
    """Cancelled in the very moment of saving: the file is removed again."""
    location = use_storage(FailingStorage)
    job = rendered()
    real = FileSystemStorage.save

    def save(storage, name, content, max_length=None):
        assert shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
        return real(storage, name, content, max_length)

    monkeypatch.setattr(FailingStorage, "save", save)
    lifecycle.collect()
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert not files(location)


def test_F6_storage_closes_the_file(sandbox, use_storage) -> None:
    """A storage that closes the file it is given harms nothing; size and hash are right."""
    use_storage(ClosingStorage)
    job = drive(enqueue())
    assert job.state == State.COMPLETED
    assert job.file_size == len(read(job))


def test_F7_storage_renames(sandbox, use_storage) -> None:
    """The name that the storage gave is the name that is kept."""
    use_storage(RenamingStorage)
    job = drive(enqueue())
    assert job.file.name.startswith("renamed/")
    assert read(job).startswith(b"%PDF-")


@pytest.fixture
def archive(settings, tmp_path) -> Path:
    """Another storage beside the one for documents; yields its directory."""
    location = tmp_path / "archive"
    backend = "tests.lifecycle.test_collection.FailingStorage"
    settings.STORAGES = settings.STORAGES | {
        "archive": {"BACKEND": backend, "OPTIONS": {"location": location}}
    }
    FailingStorage.failing, FailingStorage.saves = None, 0
    return location


def test_storage_of_a_job(sandbox, documents, archive) -> None:
    """It is written, read and deleted in its own storage; one without an alias in the usual one."""
    job, other = drive(enqueue(storage="archive")), drive(enqueue())
    assert [path.name for path in files(archive)] == [Path(job.file.name).name]
    assert [path.name for path in files(documents)] == [Path(other.file.name).name]
    assert read(job).startswith(b"%PDF-")
    assert Path(job.file.path).is_relative_to(archive)
    job.file.delete(save=False)
    assert (files(archive), len(files(documents))) == ([], 1)


def test_storage_of_a_job_that_moved_on(sandbox, documents, archive, monkeypatch) -> None:
    """What a cancelled job no longer wants is removed from where it was written."""
    job = rendered(storage="archive")
    save = FailingStorage.save

    def cancelled_meanwhile(self, name, content, max_length=None):
        saved = save(self, name, content, max_length)
        shortcuts.cancel(RenderJob.objects.get(pk=job.pk))
        return saved

    monkeypatch.setattr(FailingStorage, "save", cancelled_meanwhile)
    lifecycle.collect()
    assert FailingStorage.saves == 1
    assert files(archive) == []


def test_storage_that_is_gone(sandbox, documents, archive, settings) -> None:
    """An alias that was taken out fails the job; a retry stores what is in the spool."""
    job = rendered(storage="archive")
    there = settings.STORAGES
    settings.STORAGES = {name: there[name] for name in there if name != "archive"}
    job = drive(job)
    assert (job.state, job.error_code) == (State.FAILED, "storage_error")
    assert "archive" in job.errors
    settings.STORAGES = there
    assert shortcuts.retry(job)
    job = drive(job)
    assert (job.state, len(files(archive))) == (State.COMPLETED, 1)
    assert len(sandbox.ledger.accepted()) == 1


def test_collect_leaves_no_spool_file(sandbox, documents) -> None:
    """After the file is stored, the spool is empty."""
    drive(enqueue())
    assert files(spool.get_directory()) == []


def test_collect_names_are_unguessable_and_without_user_text(sandbox, documents) -> None:
    """The stored name holds the key and the attempt, nothing that a user wrote."""
    job = drive(enqueue(name="../../etc/passwd"))
    assert job.file.name.startswith("docraptor/20")
    assert job.file.name.endswith(f"{job.pk.hex}-1.pdf")


def test_workers_that_die_while_they_download(sandbox, documents, monkeypatch) -> None:
    """Three downloads at most are begun, whether anybody lives to count them or not."""
    job, begun = rendered(), []

    def die(client: Client, download_id: str, target: BinaryIO) -> None:
        begun.append(download_id)
        raise Killed

    monkeypatch.setattr(Client, "download", die)
    for _ in range(6):
        skip_time(1000)
        with suppress(Killed):
            lifecycle.collect()
    job.refresh_from_db()
    assert len(begun) == 3
    assert (job.state, job.error_code) == (State.FAILED, "download_failed")


def test_an_error_that_nobody_expects(sandbox, documents, monkeypatch) -> None:
    """A custom client may raise anything: that counts as a try, and leaves nothing behind."""
    job = rendered()

    def fail(client: Client, download_id: str, target: BinaryIO) -> None:
        target.write(b"half")
        raise LookupError("of the client's own")

    monkeypatch.setattr(Client, "download", fail)
    assert drive(job).error_code == "download_failed"
    assert files(spool.get_directory()) == []


def test_a_workbook_of_two_disks_is_none(sandbox, documents, monkeypatch) -> None:
    """Some versions of Python raise where they are asked whether it is a ZIP archive."""
    job = rendered(
        name="a.xlsx", document_type="xlsx", content="<table><tr><td>1</td></tr></table>"
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 1, 0, 2)
    data = b"PK" + bytes(100) + locator + b"PK\x05\x06" + bytes(18)
    monkeypatch.setattr(Client, "download", lambda _client, _id, target: target.write(data))
    assert drive(job).error_code == "not_a_document"


def test_a_slow_delete_takes_no_file(sandbox, documents, monkeypatch) -> None:
    """One worker hangs in clearing a reserved name while another one stores and confirms."""
    job = rendered()
    RenderJob.objects.update(reserved_name=name_of(job))  # as after a worker's death
    real, hung = FileSystemStorage.delete, []

    def delete(storage: FileSystemStorage, name: str) -> None:
        if not hung:
            hung.append(name)
            skip_time(1000)
            lifecycle.collect()
        real(storage, name)

    monkeypatch.setattr(FileSystemStorage, "delete", delete)
    skip_time(1000)
    lifecycle.collect()
    job.refresh_from_db()
    assert hung
    assert job.state == State.COMPLETED
    assert read(job).startswith(b"%PDF")


def test_a_row_that_goes_while_its_file_is_stored(sandbox, documents, monkeypatch) -> None:
    """The file goes, too, and so does what is spooled."""
    job = enqueue()
    lifecycle.submit()
    kept = None
    for _ in range(20):
        skip_time(100)
        if kept := lifecycle.poll(keep_one=True).kept:
            break
        time.sleep(0.05)
    assert kept is not None
    real = FileSystemStorage._save

    def save(storage: FileSystemStorage, name: str, content: Any) -> str:
        saved = real(storage, name, content)
        RenderJob.objects.filter(pk=job.pk).delete()
        return saved

    monkeypatch.setattr(FileSystemStorage, "_save", save)
    collect_one(kept)
    assert files(documents) == files(spool.get_directory()) == []
