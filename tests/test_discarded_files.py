"""Files of deleted jobs: none outlives its row unnoticed, and none is lost with a rollback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_docraptor import discarded_files, lifecycle, wakeups
from django_docraptor.health import health_problems
from django_docraptor.models import (
    DiscardedDocument,
    DiscardedFile,
    Heartbeat,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from django_docraptor.storage import document_storage
from tests.apps.shop.models import Subscription
from tests.management.test_docraptor_prune import prune
from tests.support.jobs import downloadable_job, files_below
from tests.support.retention import finished_job, use_storage
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db(transaction=True)


def subscription_of(user: Any) -> Subscription:
    """Return a user's subscription, whose jobs are deleted with it."""
    subscription = Subscription.objects.create(customer=user)
    RenderJob.objects.update(object_id=subscription.pk, content_type=subscription.content_type())
    return subscription


def delete_job() -> None:
    """Delete the object."""
    RenderJob.objects.get().delete()


def delete_stale_job() -> None:
    """Delete an object that was read before its document was stored."""
    job = RenderJob.objects.get()
    job.file, job.state = "", State.DOWNLOADING
    job.delete()


def delete_partly_loaded_job() -> None:
    """Delete an object without its columns."""
    RenderJob.objects.only("pk").get().delete()


def delete_with_user() -> None:
    """Delete the user, with a subscription and so with the subscription's jobs."""
    user = get_user_model().objects.create_user("anna")
    subscription_of(user)
    user.delete()


DELETIONS: list[Callable[[], object]] = [
    delete_job,
    delete_stale_job,
    delete_partly_loaded_job,
    delete_with_user,
    lambda: RenderJob.objects.all().delete(),
    lambda: RenderJob.objects.only("pk").delete(),
    lambda: subscription_of(get_user_model().objects.create_user("anna")).delete(),
    lambda: [
        subscription_of(get_user_model().objects.create_user("a")),
        Subscription.objects.all().delete(),
    ],
]


@pytest.mark.fault("F9")
@pytest.mark.parametrize("delete", DELETIONS)
def test_file_is_deleted_with_its_job(documents_dir: Path, delete: Callable[[], object]) -> None:
    """However a job is deleted, its file is deleted after the commit, and not before."""
    finished_job()
    with transaction.atomic():
        delete()
        assert len(files_below(documents_dir)) == 1
    assert not RenderJob.objects.exists()
    assert files_below(documents_dir) == []
    assert not DiscardedFile.objects.exists()


@pytest.mark.fault("F9")
def test_rolled_back_deletion_keeps_the_file(documents_dir: Path) -> None:
    """After a rollback, of the transaction or of a savepoint, the job has its file."""
    kept, gone = finished_job(), finished_job()
    with transaction.atomic():
        gone.delete()
        with transaction.atomic():
            RenderJob.objects.get(pk=kept.pk).delete()
            transaction.set_rollback(True)
    with transaction.atomic():
        RenderJob.objects.all().delete()
        transaction.set_rollback(True)
    job = RenderJob.objects.get()
    assert job.pk == kept.pk
    assert document_storage.exists(job.file.name)
    assert len(files_below(documents_dir)) == 1


@pytest.mark.fault("F9")
@pytest.mark.parametrize("worked_off_by", ["tick", "run_once", "prune"])
def test_crash_after_the_commit_leaves_the_file_listed(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch, worked_off_by: str
) -> None:
    """If the process dies after the commit, a tick, or a prune without a retention, goes on."""
    finished_job()
    with monkeypatch.context() as patch:
        patch.setattr(discarded_files._DeletionAfterCommit, "__call__", lambda self: None)
        RenderJob.objects.all().delete()
    assert len(files_below(documents_dir)) == DiscardedFile.objects.count() == 1
    work = {"tick": wakeups.tick, "run_once": lifecycle.run_once, "prune": prune}
    Heartbeat.record("ticked_at")
    work[worked_off_by]()
    assert files_below(documents_dir) == []
    assert not DiscardedFile.objects.exists()


@pytest.mark.fault("F9")
def test_storage_that_does_not_delete_is_tried_less_and_less_often(
    documents_dir: Path, settings: Any
) -> None:
    """Deleting the row works, the file is tried again with back-off, and health tells it."""
    well = settings.STORAGES
    use_storage(settings, "tests.support.retention.ReadOnlyStorage", location=documents_dir)
    finished_job().delete()
    assert not RenderJob.objects.exists()
    assert health_problems() == []
    for failures in (1, 2, 3):
        wakeups.tick()  # not due
        assert DiscardedFile.objects.get().failures == failures
        DiscardedFile.objects.update(due_at=seconds_from_now(-1))
        discarded_files.delete_due_files()
    DiscardedFile.objects.update(discarded_at=seconds_from_now(-90000))
    assert "1 file of a deleted job could not be removed" in health_problems()[0]
    settings.STORAGES = well
    prune()
    assert files_below(documents_dir) == []
    assert health_problems() == []


def test_file_that_was_only_reserved_is_not_deleted_if_missing(
    settings: Any, documents_dir: Path
) -> None:
    """A name under which nothing was stored is looked up first: a bucket may record deletions."""
    use_storage(settings, "tests.support.retention.StrictStorage")
    finished_job(file=False, state=State.FAILED, reserved_name="docraptor/never.pdf").delete()
    assert not DiscardedFile.objects.exists()


@pytest.mark.fault("F9")
def test_file_that_a_worker_is_storing_is_deleted_later(
    sandbox: Sandbox, documents_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the worker saves the file after the deletion and dies, the entry is still there."""
    job = downloadable_job()
    monkeypatch.setattr(lifecycle.downloading, "confirm_stored", lambda *arguments: None)
    save = document_storage.save

    def save_late(*arguments: Any, **options: Any) -> str:
        RenderJob.objects.get(pk=job.pk).delete()
        return str(save(*arguments, **options))

    monkeypatch.setattr(document_storage._wrapped, "save", save_late, raising=False)
    lifecycle.download()
    assert len(files_below(documents_dir)) == DiscardedFile.objects.count() == 1
    DiscardedFile.objects.update(due_at=seconds_from_now(-1))
    wakeups.tick()
    assert files_below(documents_dir) == []


def test_parallel_deletions_delete_each_file_once(documents_dir: Path) -> None:
    """Two requests that delete the same jobs leave neither file nor entry."""
    for _ in range(10):
        finished_job()
    run_in_threads(2, lambda: [job.delete() for job in RenderJob.objects.all()])
    assert files_below(documents_dir) == []
    assert not DiscardedFile.objects.exists()


def test_files_of_a_tenant_are_deleted_in_its_thread(
    documents_dir: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storage of tenants asks the connection for the schema; another thread has another one."""
    use_storage(settings, "tests.support.retention.ThreadStorage", location=documents_dir)
    monkeypatch.setattr(connection, "schema_name", "acme", raising=False)
    for _job in range(3):
        finished_job()
    assert len(files_below(documents_dir)) == 3
    RenderJob.objects.all().delete()
    assert files_below(documents_dir) == []


def test_one_hook_deletes_the_files_of_a_transaction(documents_dir: Path) -> None:
    """However many jobs a transaction deletes, one hook is registered."""
    for _ in range(3):
        finished_job()
    with transaction.atomic():
        RenderJob.objects.all().delete()
        hooks = [hook for _, hook, *_ in connection.run_on_commit]
        assert hooks == [discarded_files._DeletionAfterCommit()]
    assert files_below(documents_dir) == []


def test_error_after_the_commit_does_not_reach_the_caller(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The row is deleted, so its caller sees no error of the deletion of the file."""

    def fail(**options: Any) -> int:
        raise RuntimeError("no database")

    monkeypatch.setattr(discarded_files, "delete_due_files", fail)
    finished_job().delete()
    assert "the next tick tries again" in caplog.text
    assert DiscardedFile.objects.count() == 1


def test_file_without_a_row_costs_an_idle_tick_no_query(documents_dir: Path) -> None:
    """A tick with nothing to do is still one query, also while a refused file waits."""
    Heartbeat.record("ticked_at")
    DiscardedFile.objects.create(name="a.pdf", due_at=seconds_from_now(60), failures=1)
    DiscardedDocument.objects.create(download_id="a", due_at=seconds_from_now(60), failures=1)
    with CaptureQueriesContext(connection) as queries:
        wakeups.tick()
    statements = [query["sql"] for query in queries if "docraptor" in query["sql"]]
    assert len(statements) == 1
