"""How long jobs are kept, and how their rows and files are deleted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import OperationalError, connection, models

from django_docraptor import registry, retention, shortcuts
from django_docraptor.models import (
    DiscardedFile,
    RenderEvent,
    RenderInput,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.retention import (
    PruneResult,
    RetentionLimit,
    count_prunable,
    prune,
    retention_limits,
)
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ACTIVE_STATES, FINAL_STATES, State
from django_docraptor.storage import document_storage
from tests.support.crash import PRUNE_POINTS, run_until_killed
from tests.support.jobs import enqueue, files_below, run_until_finished
from tests.support.retention import DAY, finished_job, use_storage
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

AD_HOC = RetentionLimit(label="", jobs=30 * DAY, inputs=None)


def run(*given: RetentionLimit, batch: int = 500) -> PruneResult:
    """Prune everything and return the sum."""
    return sum(prune(given or [AD_HOC], batch_size=batch), PruneResult())


@pytest.fixture
def register_document() -> Iterator[Callable[..., None]]:
    """Return a function that registers a document with a retention."""
    made = []

    def make(label: str, keep: timedelta | None) -> None:
        registry.register(label, type("Stub", (), {"retention": keep})())
        made.append(label)

    yield make
    for label in made:
        registry.unregister(label)


# --- what is deleted


def test_prune_deletes_a_job_with_its_related_data(documents_dir: Path) -> None:
    """The row, its events, its input and its file are deleted."""
    finished_job()
    removed = run()
    assert (removed.jobs, removed.files, removed.failed_files) == (1, 1, 0)
    for model in (RenderJob, RenderEvent, RenderInput, DiscardedFile):
        assert not model.objects.exists()
    assert files_below(documents_dir) == []


def test_prune_keeps_a_younger_job(documents_dir: Path) -> None:
    """A job that has not reached the age is kept, with its input and file."""
    finished_job(29 * DAY)
    assert run() == PruneResult()
    assert RenderInput.objects.exists()
    assert len(files_below(documents_dir)) == 1


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES))
def test_prune_keeps_unfinished_jobs(state: State) -> None:
    """An unfinished job is kept, however old, even if a retry resumed it."""
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
def test_prune_deletes_every_final_state(state: State) -> None:
    """Failed and cancelled jobs are deleted, too."""
    finished_job(state=state, file=False)
    assert run().jobs == 1


def test_prune_deletes_a_reserved_file(documents_dir: Path) -> None:
    """A file that was saved under a reserved name but never confirmed is deleted."""
    saved = document_storage.save("docraptor/reserved.pdf", ContentFile(b"%PDF"))
    finished_job(state=State.FAILED, file=False, reserved_name=saved)
    assert run().files == 1
    assert files_below(documents_dir) == []


def spool_with_files(settings: Any, tmp_path: Path) -> tuple[str, Path]:
    """Return a storage name, and a spool that has its files and another one."""
    folder = tmp_path / "spool"
    folder.mkdir()
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SPOOL_DIR": folder}
    for name in ("one.pdf", "one.pdf.bad", "other.pdf"):
        (folder / name).write_bytes(b"%PDF")
    return "docraptor/2031/02/one.pdf", folder


def test_prune_deletes_spooled_files(settings: Any, documents_dir: Path, tmp_path: Path) -> None:
    """Spooled and rejected downloads of a deleted job are deleted, and no others."""
    name, folder = spool_with_files(settings, tmp_path)
    finished_job(file=False, state=State.FAILED, reserved_name=name)
    assert run().jobs == 1
    assert [path.name for path in folder.iterdir()] == ["other.pdf"]


def test_prune_survives_an_unusable_spool(
    settings: Any, documents_dir: Path, tmp_path: Path
) -> None:
    """A spool that cannot be cleaned does not stop the run, and a missing one is not created."""
    name, folder = spool_with_files(settings, tmp_path)
    (folder / "one.pdf").unlink()
    (folder / "one.pdf").mkdir()
    finished_job(file=False, state=State.FAILED, reserved_name=name)
    assert run().jobs == 1
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SPOOL_DIR": tmp_path / "none"}
    finished_job()
    assert run().jobs == 1
    assert not (tmp_path / "none").exists()


def test_prune_keeps_a_job_with_an_unsent_signal(documents_dir: Path) -> None:
    """A job is deleted only after its signal was sent."""
    job = finished_job()
    job.events.update(signal_due_at=Now())
    assert run().jobs == 0
    job.events.update(signal_due_at=None)
    assert run().jobs == 1


def test_prune_keeps_delivered_copies(documents_dir: Path, settings: Any) -> None:
    """A copy of the document in the source's own field is kept."""
    copy = document_storage.save("invoices/7.pdf", ContentFile(b"%PDF"))
    finished_job()
    run()
    assert document_storage.exists(copy)


def test_limit_applies_to_one_document_only(documents_dir: Path) -> None:
    """Jobs of other documents are kept."""
    finished_job(document="shop.Report")
    assert run() == PruneResult()


def test_prune_deletes_in_batches(documents_dir: Path) -> None:
    """Each step deletes one batch, and jobs with equal times are not skipped."""
    for number in range(7):
        finished_job((60 + number % 2) * DAY)
    RenderJob.objects.update(finished_at="2020-01-01T00:00:00Z")
    steps = [removed.jobs for removed in prune([AD_HOC], batch_size=3)]
    assert steps == [3, 3, 1]
    assert not RenderJob.objects.exists()


def test_caller_may_stop_after_any_step(documents_dir: Path) -> None:
    """After each step, every deleted job is deleted with its file."""
    for _ in range(4):
        finished_job()
    next(prune([AD_HOC], batch_size=1))
    assert RenderJob.objects.count() == 3
    assert len(files_below(documents_dir)) == 3
    assert not DiscardedFile.objects.exists()


def test_inputs_of_completed_jobs_can_be_deleted_earlier(documents_dir: Path) -> None:
    """The job and its file are kept; a failed job keeps its input, since it may be retried."""
    finished_job()
    failed = finished_job(state=State.FAILED, file=False)
    young = finished_job(2 * DAY)
    removed = run(RetentionLimit(label="", jobs=None, inputs=7 * DAY))
    assert (removed.jobs, removed.inputs, removed.files) == (0, 1, 0)
    kept = set(RenderInput.objects.values_list("pk", flat=True))
    assert kept == {failed.pk, young.pk}
    assert RenderJob.objects.count() == 3


def test_count_prunable_deletes_nothing(documents_dir: Path) -> None:
    """The count says what a run would delete."""
    finished_job()
    finished_job(2 * DAY)
    limit = RetentionLimit(label="", jobs=30 * DAY, inputs=DAY)
    assert count_prunable(limit) == PruneResult(jobs=1, inputs=2)
    assert RenderJob.objects.count() == 2
    assert count_prunable(RetentionLimit(label="", jobs=None, inputs=None)) == PruneResult()


def test_idempotency_key_of_a_deleted_job_is_free(documents_dir: Path, sandbox: Sandbox) -> None:
    """An idempotency key can be used again after its job was deleted."""
    old = finished_job(idempotency_key="invoice-7")
    run()
    again = shortcuts.enqueue(name="a.pdf", content="<p>a</p>", idempotency_key="invoice-7")
    assert again.pk != old.pk


# --- how long


def test_default_retention_keeps_everything() -> None:
    """Without a setting or a document's retention, nothing is deleted."""
    finished_job(file=False)
    assert list(retention_limits()) == [RetentionLimit(label="", jobs=None, inputs=None)]


def test_document_retention_overrides_the_setting(
    settings: Any, register_document: Callable[..., None]
) -> None:
    """A document's own retention overrides RETENTION; `timedelta.max` keeps its jobs for ever."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETENTION": {"jobs": 30 * DAY, "inputs": DAY}}
    register_document("shop.Long", 3650 * DAY)
    register_document("shop.Ever", timedelta.max)
    register_document("shop.Plain", None)
    for label in ("shop.Long", "shop.Ever", "shop.Plain", "shop.Gone", ""):
        finished_job(file=False, document=label)
        finished_job(file=False, document=label)
    assert {limit.label: limit.jobs for limit in retention_limits()} == {
        "": 30 * DAY,
        "shop.Ever": None,
        "shop.Gone": 30 * DAY,
        "shop.Long": 3650 * DAY,
        "shop.Plain": 30 * DAY,
    }
    assert {limit.inputs for limit in retention_limits()} == {DAY}


def test_argument_overrides_the_setting(
    settings: Any, register_document: Callable[..., None]
) -> None:
    """An argument overrides RETENTION, and a document's own retention only if it is named."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETENTION": {"jobs": 30 * DAY}}
    register_document("shop.Long", 3650 * DAY)
    finished_job(file=False, document="shop.Long")
    finished_job(file=False)
    assert [limit.jobs for limit in retention_limits(jobs=DAY)] == [DAY, 3650 * DAY]
    assert [limit.jobs for limit in retention_limits(["shop.Long"], jobs=DAY)] == [DAY]
    assert [limit.jobs for limit in retention_limits(["shop.Long"])] == [3650 * DAY]


def test_retention_of_an_account(settings: Any, register_document: Callable[..., None]) -> None:
    """An account's RETENTION is for its own jobs; that of a document class is stronger."""
    own = {"acme": {"RETENTION": {"jobs": 5 * DAY}}, "plain": {}}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETENTION": {"jobs": 30 * DAY}, "ACCOUNTS": own}
    register_document("shop.Long", 3650 * DAY)
    for label in ("", "shop.Long"):
        for account in ("acme", "plain"):
            for age in (10 * DAY, 40 * DAY):
                finished_job(age=age, file=False, document=label, account=account)
    list(prune(retention_limits()))
    left = list(RenderJob.objects.values_list("document", "account"))
    long = [("shop.Long", name) for name in ("acme", "acme", "plain", "plain")]
    assert sorted(left) == [("", "plain"), *long]
    list(prune(retention_limits(jobs=DAY)))
    assert sorted(RenderJob.objects.values_list("document", "account")) == long


# --- errors


def test_file_that_cannot_be_deleted_is_tried_again(
    settings: Any, documents_dir: Path, caplog: Any
) -> None:
    """A file that the storage does not delete is listed, and the next run deletes it."""
    well = settings.STORAGES
    use_storage(settings, "tests.support.retention.ReadOnlyStorage", location=documents_dir)
    job = finished_job()
    assert run().failed_files == 1
    assert not RenderJob.objects.exists()
    assert [file.name for file in DiscardedFile.objects.all()] == [f"docraptor/{job.pk.hex}.pdf"]
    assert "read-only" in caplog.text
    assert run().failed_files == 1
    settings.STORAGES = well
    assert run().files == 1
    assert files_below(documents_dir) == []
    assert not DiscardedFile.objects.exists()


def test_repeated_storage_errors_end_the_run(
    settings: Any, documents_dir: Path, monkeypatch: Any
) -> None:
    """After MAX_FAILED_FILES no more rows are deleted."""
    monkeypatch.setattr(retention, "MAX_FAILED_FILES", 2)
    use_storage(settings, "tests.support.retention.ReadOnlyStorage", location=documents_dir)
    for _ in range(6):
        finished_job()
    assert run(batch=1).jobs == 2
    assert RenderJob.objects.count() == 4


def test_missing_file_counts_as_deleted(settings: Any) -> None:
    """A missing file counts as deleted, even if its storage raises."""
    use_storage(settings, "tests.support.retention.StrictStorage")
    finished_job(file=False, state=State.FAILED, reserved_name="docraptor/never.pdf")
    removed = run()
    assert (removed.jobs, removed.files, removed.failed_files) == (1, 1, 0)
    assert not DiscardedFile.objects.exists()


@pytest.mark.parametrize("point", PRUNE_POINTS)
def test_killed_prune_loses_no_file(
    point: str, sandbox: Sandbox, documents_dir: Path, settings: Any
) -> None:
    """Wherever a run is killed, each row has its file, and each file has a row or is listed."""
    jobs = [run_until_finished(enqueue(name=f"{number}.pdf")) for number in range(2)]
    RenderJob.objects.update(finished_at=seconds_from_now(-9e6))
    run_until_killed(point, settings)
    there = {str(path.relative_to(documents_dir)) for path in files_below(documents_dir)}
    rows = {job.file.name for job in RenderJob.objects.all()}
    listed = {file.name for file in DiscardedFile.objects.all()}
    assert rows <= there <= rows | listed
    assert len(rows) == (2 if point == "before_delete" else 0)
    assert len(there) < 2 if point == "after_file" else len(there) == 2
    run()
    assert RenderJob.objects.filter(pk__in=[job.pk for job in jobs]).count() == 0
    assert files_below(documents_dir) == []
    assert not DiscardedFile.objects.exists()


def test_parallel_prunes_delete_each_job_once(documents_dir: Path) -> None:
    """Two runs at once delete each job and each file once, without an error.

    Each skips what the other has locked: on MariaDB a row that it only read on its way, too.
    """
    for _ in range(60):
        finished_job()
    both = run_in_threads(2, lambda: run(batch=7))
    if connection.vendor != "mysql":
        assert sum(result.jobs for result in both) == 60
    results = [*both, run()]
    assert sum(result.jobs for result in results) == 60
    assert [result.failed_files for result in results] == [0, 0, 0]
    assert not RenderJob.objects.exists()
    assert not RenderEvent.objects.exists()
    assert not DiscardedFile.objects.exists()
    assert files_below(documents_dir) == []


@pytest.mark.parametrize("inputs", [True, False])
def test_deadlock_is_retried(documents_dir: Path, inputs: bool) -> None:
    """A transaction that was rolled back by a deadlock is repeated."""
    for _ in range(4):
        finished_job()
    table = RenderInput._meta.db_table if inputs else RenderJob._meta.db_table
    with deadlocks(table, times=retention.MAX_TRIES - 1):
        removed = run(RetentionLimit(label="", jobs=None, inputs=DAY) if inputs else AD_HOC)
    assert (removed.jobs, removed.inputs) == ((0, 4) if inputs else (4, 0))
    assert not RenderInput.objects.exists()


def test_repeated_deadlock_raises_and_deletes_nothing(documents_dir: Path) -> None:
    """After MAX_TRIES deadlocks the error is raised, and the job keeps its events and file."""
    job = finished_job()
    with (
        deadlocks(RenderJob._meta.db_table, times=retention.MAX_TRIES),
        pytest.raises(OperationalError),
    ):
        run()
    job.refresh_from_db()
    assert job.events.exists()
    assert document_storage.exists(job.file.name)


@contextmanager
def deadlocks(table: str, *, times: int) -> Iterator[None]:
    """Let the first deletions from a table end in a deadlock, as MariaDB's client reports it."""
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


def test_prune_keeps_a_job_retried_meanwhile(documents_dir: Path, monkeypatch: Any) -> None:
    """The row is checked again in the transaction that deletes it."""
    job = finished_job(state=State.FAILED, file=False)
    batches = retention._key_batches

    def slow(*arguments: Any) -> Iterator[list[Any]]:
        for keys in batches(*arguments):
            shortcuts.retry(RenderJob.objects.get(pk=job.pk))
            yield keys

    monkeypatch.setattr(retention, "_key_batches", slow)
    assert run().jobs == 0
    assert RenderJob.objects.get().state == State.PENDING


def test_prune_keeps_protected_jobs(documents_dir: Path, caplog: Any) -> None:
    """A job that a project's model protects is kept and logged, and the others are deleted."""
    kept, *_others = [finished_job() for _ in range(3)]

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
        forget_model(Contract)


def forget_model(model: type[models.Model]) -> None:
    """Remove a test's model from the app registry."""
    from django.apps import apps

    del apps.all_models["shop"][model._meta.model_name]
    apps.clear_cache()


# --- other storages --------------------------------------------------------------------------


def test_prune_deletes_from_the_jobs_own_storage(settings, tmp_path) -> None:
    """A file is deleted from the storage that its job names."""
    vault = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": tmp_path / "vault"},
    }
    settings.STORAGES = settings.STORAGES | {"vault": vault}
    job = finished_job(file=False, storage="vault")
    saved = job.file.storage.save("docraptor/vaulted.pdf", ContentFile(b"%PDF"))
    RenderJob.objects.filter(pk=job.pk).update(file=saved)
    assert (tmp_path / "vault" / saved).exists()
    assert run().files == 1
    assert not (tmp_path / "vault" / saved).exists()


def test_file_in_a_missing_storage_is_tried_again(caplog) -> None:
    """If a job's storage alias was removed, its file is listed and logged, and tried again."""
    finished_job(file=False, storage="gone", reserved_name="docraptor/lost.pdf")
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
    ids=["no expiry time", "not expired", "past its time", "expired"],
)
def test_prune_keeps_a_public_document(columns: dict, jobs: int) -> None:
    """A hosted document that is public keeps its row, without which it could not be expired."""
    finished_job(file=False, hosted=True, **columns)
    assert run().jobs == jobs
