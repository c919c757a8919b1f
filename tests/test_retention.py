"""How long jobs are kept, and what becomes of their rows and files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.db import OperationalError, connection, models
from django.db.models.functions import Now

from django_docraptor import registry, retention, shortcuts
from django_docraptor.models import (
    DiscardedFile,
    RenderEvent,
    RenderInput,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.retention import PruneResult, RetentionLimit, count_prunable, prune, retention_limits
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, EventKind, State
from django_docraptor.storage import document_storage
from tests.lifecycle.test_crashes import crash, files
from tests.support.crash import PRUNING
from tests.support.jobs import drive, enqueue
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
AD_HOC = RetentionLimit(label="", jobs=30 * DAY, inputs=None)


def finished(age: timedelta = 60 * DAY, *, file: bool = True, **columns: Any) -> RenderJob:
    """A job that ended so long ago, with its input, a line of history and a stored file."""
    job = RenderJob.objects.create(
        **{"name": "old.pdf", "document_type": "pdf", "state": State.COMPLETED, **columns},
        finished_at=seconds_from_now(-age.total_seconds()),
    )
    RenderInput.objects.create(job=job, content="<h1>Old</h1>")
    RenderEvent.objects.create(job=job, kind=EventKind.COMPLETED, to_state=job.state)
    if file:
        saved = document_storage.save(f"docraptor/{job.pk.hex}.pdf", ContentFile(b"%PDF"))
        RenderJob.objects.filter(pk=job.pk).update(file=saved)
    return job


def run(*given: RetentionLimit, batch: int = 500) -> PruneResult:
    """A whole run."""
    return sum(prune(given or [AD_HOC], batch_size=batch), PruneResult())


@pytest.fixture
def recipe() -> Iterator[Callable[..., None]]:
    """Register documents that say for how long they are kept."""
    made = []

    def make(label: str, keep: timedelta | None) -> None:
        registry.register(label, type("Recipe", (), {"retention": keep})())
        made.append(label)

    yield make
    for label in made:
        registry.unregister(label)


# --- what is removed


def test_an_old_job_goes_with_all_that_is_its_own(documents: Path) -> None:
    """Row, events, input and file."""
    finished()
    removed = run()
    assert (removed.jobs, removed.files, removed.failed_files) == (1, 1, 0)
    for model in (RenderJob, RenderEvent, RenderInput, DiscardedFile):
        assert not model.objects.exists()
    assert files(documents) == []


def test_a_younger_job_stays(documents: Path) -> None:
    """What has not reached the age."""
    finished(29 * DAY)
    assert run() == PruneResult()
    assert RenderInput.objects.exists()
    assert len(files(documents)) == 1


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_unfinished_jobs_are_never_touched(state: State) -> None:
    """However old: not even one that a retry has taken up."""
    RenderJob.objects.create(
        name="a.pdf",
        document_type="pdf",
        state=state,
        due_at=Now(),
        finished_at=seconds_from_now(-9e6),
    )
    assert run().jobs == 0
    assert RenderJob.objects.exists()


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_every_final_state_goes(state: State) -> None:
    """Failed and cancelled jobs, too."""
    finished(state=state, file=False)
    assert run().jobs == 1


def test_what_a_failed_try_has_stored_goes(documents: Path) -> None:
    """A name that was reserved, and a file that was saved but never confirmed."""
    saved = document_storage.save("docraptor/reserved.pdf", ContentFile(b"%PDF"))
    finished(state=State.FAILED, file=False, reserved_name=saved)
    assert run().files == 1
    assert files(documents) == []


def spooled(settings: Any, tmp_path: Path) -> tuple[str, Path]:
    """A storage name, and a spool of the test's own with what its attempt has left, and more."""
    folder = tmp_path / "spool"
    folder.mkdir()
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SPOOL_DIR": folder}
    for name in ("one.pdf", "one.pdf.bad", "other.pdf"):
        (folder / name).write_bytes(b"%PDF")
    return "docraptor/2031/02/one.pdf", folder


def test_what_lies_in_the_spool_goes(settings: Any, documents: Path, tmp_path: Path) -> None:
    """A document that was never stored, and what came in its place."""
    name, folder = spooled(settings, tmp_path)
    finished(file=False, state=State.FAILED, reserved_name=name)
    assert run().jobs == 1
    assert [path.name for path in folder.iterdir()] == ["other.pdf"]


def test_a_spool_that_cannot_be_used(settings: Any, documents: Path, tmp_path: Path) -> None:
    """It stops no prune, and one that is not there is not made."""
    name, folder = spooled(settings, tmp_path)
    (folder / "one.pdf").unlink()
    (folder / "one.pdf").mkdir()
    finished(file=False, state=State.FAILED, reserved_name=name)
    assert run().jobs == 1
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SPOOL_DIR": tmp_path / "none"}
    finished()
    assert run().jobs == 1
    assert not (tmp_path / "none").exists()


def test_a_job_waits_for_its_signal(documents: Path) -> None:
    """A signal that was never seen to be sent is sent before its job goes."""
    job = finished()
    job.events.update(signal_due_at=Now())
    assert run().jobs == 0
    job.events.update(signal_due_at=None)
    assert run().jobs == 1


def test_a_delivered_copy_stays(documents: Path, settings: Any) -> None:
    """The source's own file is another one."""
    copy = document_storage.save("invoices/7.pdf", ContentFile(b"%PDF"))
    finished()
    run()
    assert document_storage.exists(copy)


def test_jobs_of_other_documents_stay(documents: Path) -> None:
    """A limit is for one document."""
    finished(document="shop.Report")
    assert run() == PruneResult()


def test_batches(documents: Path) -> None:
    """Each step has so many rows; equal times lose none."""
    for number in range(7):
        finished((60 + number % 2) * DAY)
    RenderJob.objects.update(finished_at="2020-01-01T00:00:00Z")
    steps = [removed.jobs for removed in prune([AD_HOC], batch_size=3)]
    assert steps == [3, 3, 1]
    assert not RenderJob.objects.exists()


def test_a_caller_may_stop(documents: Path) -> None:
    """After any step all is whole: what is gone is gone, with its file."""
    for _ in range(4):
        finished()
    next(prune([AD_HOC], batch_size=1))
    assert RenderJob.objects.count() == 3
    assert len(files(documents)) == 3
    assert not DiscardedFile.objects.exists()


def test_inputs_of_completed_jobs_go_sooner(documents: Path) -> None:
    """The job and its file stay; a failed one keeps its input, since it may be tried again."""
    finished()
    failed = finished(state=State.FAILED, file=False)
    young = finished(2 * DAY)
    removed = run(RetentionLimit(label="", jobs=None, inputs=7 * DAY))
    assert (removed.jobs, removed.inputs, removed.files) == (0, 1, 0)
    kept = set(RenderInput.objects.values_list("pk", flat=True))
    assert kept == {failed.pk, young.pk}
    assert RenderJob.objects.count() == 3


def test_count_tells_what_a_run_removes(documents: Path) -> None:
    """The same rows, which all stay."""
    finished()
    finished(2 * DAY)
    limit = RetentionLimit(label="", jobs=30 * DAY, inputs=DAY)
    assert count_prunable(limit) == PruneResult(jobs=1, inputs=2)
    assert RenderJob.objects.count() == 2
    assert count_prunable(RetentionLimit(label="", jobs=None, inputs=None)) == PruneResult()


def test_a_freed_key_orders_anew(documents: Path, sandbox: Sandbox) -> None:
    """The idempotency key of a removed job is free."""
    old = finished(idempotency_key="invoice-7")
    run()
    again = shortcuts.enqueue(name="a.pdf", content="<p>a</p>", idempotency_key="invoice-7")
    assert again.pk != old.pk


# --- how long


def test_limits_without_a_word() -> None:
    """By default everything is kept."""
    finished(file=False)
    assert list(retention_limits()) == [RetentionLimit(label="", jobs=None, inputs=None)]


def test_limits_of_settings_and_documents(settings: Any, recipe: Callable[..., None]) -> None:
    """A document's own word goes over the setting's; timedelta.max is for ever."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETENTION": {"jobs": 30 * DAY, "inputs": DAY}}
    recipe("shop.Long", 3650 * DAY)
    recipe("shop.Ever", timedelta.max)
    recipe("shop.Plain", None)
    for label in ("shop.Long", "shop.Ever", "shop.Plain", "shop.Gone", ""):
        finished(file=False, document=label)
        finished(file=False, document=label)
    assert {limit.label: limit.jobs for limit in retention_limits()} == {
        "": 30 * DAY,
        "shop.Ever": None,
        "shop.Gone": 30 * DAY,
        "shop.Long": 3650 * DAY,
        "shop.Plain": 30 * DAY,
    }
    assert {limit.inputs for limit in retention_limits()} == {DAY}


def test_limits_of_a_caller(settings: Any, recipe: Callable[..., None]) -> None:
    """An argument replaces the setting; a document's own word only where it is named."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETENTION": {"jobs": 30 * DAY}}
    recipe("shop.Long", 3650 * DAY)
    finished(file=False, document="shop.Long")
    finished(file=False)
    assert [limit.jobs for limit in retention_limits(jobs=DAY)] == [DAY, 3650 * DAY]
    assert [limit.jobs for limit in retention_limits(["shop.Long"], jobs=DAY)] == [DAY]
    assert [limit.jobs for limit in retention_limits(["shop.Long"])] == [3650 * DAY]


# --- when something goes wrong


class Refusing(FileSystemStorage):
    """A storage whose files cannot be deleted."""

    def delete(self, name: str) -> None:
        raise OSError("read-only")


class Complaining(InMemoryStorage):
    """A storage that complains about a file that is not there, as some do."""

    def delete(self, name: str) -> None:
        if not self.exists(name):
            raise FileNotFoundError(name)
        super().delete(name)


def use(settings: Any, backend: str, **options: Any) -> None:
    """Make a class the storage."""
    storage = {"BACKEND": backend, "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"docraptor": storage}


def test_a_storage_that_fails(settings: Any, documents: Path, caplog: Any) -> None:
    """The file stays on the list; the next run deletes it."""
    well = settings.STORAGES
    use(settings, f"{__name__}.Refusing", location=documents)
    job = finished()
    assert run().failed_files == 1
    assert not RenderJob.objects.exists()
    assert [file.name for file in DiscardedFile.objects.all()] == [f"docraptor/{job.pk.hex}.pdf"]
    assert "read-only" in caplog.text
    assert run().failed_files == 1
    settings.STORAGES = well
    assert run().files == 1
    assert files(documents) == []
    assert not DiscardedFile.objects.exists()


def test_a_storage_that_is_away_ends_the_run(
    settings: Any, documents: Path, monkeypatch: Any
) -> None:
    """No more rows are deleted than the storage keeps up with."""
    monkeypatch.setattr(retention, "MAX_FAILED_FILES", 2)
    use(settings, f"{__name__}.Refusing", location=documents)
    for _ in range(6):
        finished()
    assert run(batch=1).jobs == 2
    assert RenderJob.objects.count() == 4


def test_a_file_that_is_not_there_is_gone(settings: Any) -> None:
    """Though its storage complains."""
    use(settings, f"{__name__}.Complaining")
    finished(file=False, state=State.FAILED, reserved_name="docraptor/never.pdf")
    removed = run()
    assert (removed.jobs, removed.files, removed.failed_files) == (1, 1, 0)
    assert not DiscardedFile.objects.exists()


@pytest.mark.parametrize("point", PRUNING)
def test_killed(point: str, sandbox: Sandbox, documents: Path, settings: Any) -> None:
    """Wherever it dies: a row has its file, a file has a row or is on the list."""
    jobs = [drive(enqueue(name=f"{number}.pdf")) for number in range(2)]
    RenderJob.objects.update(finished_at=seconds_from_now(-9e6))
    crash(point, settings, documents)
    there = {str(path.relative_to(documents)) for path in files(documents)}
    rows = {job.file.name for job in RenderJob.objects.all()}
    listed = {file.name for file in DiscardedFile.objects.all()}
    assert rows <= there <= rows | listed
    assert len(rows) == (2 if point == "before_delete" else 0)
    assert len(there) < 2 if point == "after_file" else len(there) == 2
    run()
    assert RenderJob.objects.filter(pk__in=[job.pk for job in jobs]).count() == 0
    assert files(documents) == []
    assert not DiscardedFile.objects.exists()


def test_two_runs_at_once(documents: Path) -> None:
    """Each job is removed once, each file is gone, and neither run fails."""
    for _ in range(60):
        finished()
    first, second = at_once(2, lambda: run(batch=7))
    assert first.jobs + second.jobs == 60
    assert first.failed_files == second.failed_files == 0
    assert not RenderJob.objects.exists()
    assert not RenderEvent.objects.exists()
    assert not DiscardedFile.objects.exists()
    assert files(documents) == []


@pytest.mark.parametrize("inputs", [True, False])
def test_a_deadlock_is_tried_again(documents: Path, inputs: bool) -> None:
    """The database undid the whole transaction, so nothing of it happened."""
    for _ in range(4):
        finished()
    table = RenderInput._meta.db_table if inputs else RenderJob._meta.db_table
    with undone(table, times=retention.MAX_TRIES - 1):
        removed = run(RetentionLimit(label="", jobs=None, inputs=DAY) if inputs else AD_HOC)
    assert (removed.jobs, removed.inputs) == ((0, 4) if inputs else (4, 0))
    assert not RenderInput.objects.exists()


def test_a_database_that_always_refuses_is_told(documents: Path) -> None:
    """Nothing is lost: the job has its row, its history and its file."""
    job = finished()
    with undone(RenderJob._meta.db_table, times=retention.MAX_TRIES), pytest.raises(OperationalError):
        run()
    job.refresh_from_db()
    assert job.events.exists()
    assert document_storage.exists(job.file.name)


@contextmanager
def undone(table: str, *, times: int) -> Iterator[None]:
    """The first deletions from a table end as a deadlock, as seen by MariaDB's client."""
    left = times

    def refuse(execute: Any, sql: str, *arguments: Any) -> Any:
        nonlocal left
        if left and sql.startswith("DELETE") and table in sql:
            left -= 1
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        return execute(sql, *arguments)

    with connection.execute_wrapper(refuse):
        yield
    assert left == 0


def test_a_job_that_is_retried_meanwhile_stays(documents: Path, monkeypatch: Any) -> None:
    """The row is looked at again in the transaction that deletes it."""
    job = finished(state=State.FAILED, file=False)
    batches = retention._key_batches

    def slow(*arguments: Any) -> Iterator[list[Any]]:
        for keys in batches(*arguments):
            shortcuts.retry(RenderJob.objects.get(pk=job.pk))
            yield keys

    monkeypatch.setattr(retention, "_batches", slow)
    assert run().jobs == 0
    assert RenderJob.objects.get().state == State.PENDING


def test_a_protected_job_stays(documents: Path, caplog: Any) -> None:
    """A project's own PROTECT holds, and holds up no other job."""
    kept, *_others = [finished() for _ in range(3)]

    class Contract(models.Model):  # noqa: DJ008
        job = models.ForeignKey(RenderJob, on_delete=models.PROTECT)

        class Meta:
            app_label = "shop"

    try:
        with connection.schema_editor() as editor:
            editor.create_model(Contract)
        Contract.objects.create(job=kept)
        removed = run()
        assert (removed.jobs, removed.files, removed.protected) == (2, 2, 1)
        assert RenderJob.objects.get().pk == kept.pk
        assert document_storage.exists(RenderJob.objects.get().file.name)
        assert str(kept.pk) in caplog.text
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Contract)
        forget(Contract)


def forget(model: type[models.Model]) -> None:
    """Take a test's model out of the registry."""
    from django.apps import apps

    del apps.all_models["shop"][model._meta.model_name]
    apps.clear_cache()


# --- documents that are elsewhere ------------------------------------------------------------


def test_a_storage_of_its_own(settings, tmp_path) -> None:
    """A file is deleted from the storage that its job names."""
    vault = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": tmp_path / "vault"},
    }
    settings.STORAGES = settings.STORAGES | {"vault": vault}
    job = finished(file=False, storage="vault")
    saved = job.file.storage.save("docraptor/vaulted.pdf", ContentFile(b"%PDF"))
    RenderJob.objects.filter(pk=job.pk).update(file=saved)
    assert (tmp_path / "vault" / saved).exists()
    assert run().files == 1
    assert not (tmp_path / "vault" / saved).exists()


def test_a_storage_that_is_gone(caplog) -> None:
    """Its files stay on the list, and the log says why; the next run tries again."""
    finished(file=False, storage="gone", reserved_name="docraptor/lost.pdf")
    removed = run()
    assert (removed.jobs, removed.failed_files) == (1, 1)
    assert "gone" in caplog.text
    assert run().failed_files == 1


@pytest.mark.parametrize(
    ("columns", "jobs"),
    [
        ({"public_url": "https://example.com/x"}, 0),
        ({"public_url": "https://example.com/x", "hosted_expires_at": seconds_from_now(60)}, 0),
        ({"public_url": "https://example.com/x", "hosted_expires_at": seconds_from_now(-60)}, 1),
        ({"public_url": ""}, 1),
    ],
    ids=["for ever", "still", "no more", "ended"],
)
def test_a_public_document(columns: dict, jobs: int) -> None:
    """A hosted document that is public keeps its row: without it nobody could end it."""
    finished(file=False, hosted=True, **columns)
    assert run().jobs == jobs
