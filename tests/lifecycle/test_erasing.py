"""What is at work on a job while it is erased brings nothing back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import FileSystemStorage
from django.test import Client
from django.urls import reverse

from django_docraptor import JobSpec, enqueue_group, erase, lifecycle, spool
from django_docraptor.callback_urls import make_token
from django_docraptor.client import Client as DocRaptorClient
from django_docraptor.documents import Document, delivery
from django_docraptor.lifecycle import erasing, submission, transitions
from django_docraptor.models import (
    DiscardedDocument,
    DiscardedFile,
    ErasedJob,
    Heartbeat,
    RenderEvent,
    RenderGroup,
    RenderJob,
)
from django_docraptor.models.conflicts import RowsChangedError
from django_docraptor.models.querysets import SMALL_CONTENT
from django_docraptor.responses.download_records import record_download, record_downloads
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import EventKind, State
from tests.apps.shop.models import Invoice
from tests.support.jobs import (
    WorkerKilled,
    downloadable_job,
    enqueue,
    event_kinds,
    files_below,
    read_row,
    run_until_finished,
    skip_time,
)
from tests.support.person import (
    CANARY,
    create_person,
    job_in,
    options_of,
    person_document,
    traces,
)
from tests.support.processes import wait_until
from tests.support.stored_files import completed_job
from tests.support.threads import run_in_threads
from tests.test_erasure import finish_erasure, invoice, media_dir  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = "2020-01-01T00:00Z"


def erase_all() -> None:
    """Erase every owner's jobs, as another process does in the middle of a step."""
    for owner in set(RenderJob.objects.exclude(owner=None).values_list("owner_id", flat=True)):
        erase(owner=owner)


def erase_during(
    monkeypatch: pytest.MonkeyPatch, target: Any, name: str, *, after: bool = True
) -> None:
    """Erase before or after a function of the worker's runs, once."""
    original: Callable[..., Any] = getattr(target, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(target, name, original)
        if not after:
            erase_all()
        result = original(*args, **kwargs)
        if after:
            erase_all()
        return result

    monkeypatch.setattr(target, name, run)


def assert_erased(job: RenderJob, *directories: Path) -> RenderJob:
    """Check that the job says nothing, now and after the second look, and return its row."""
    for _ in range(3):
        skip_time(3600)
        lifecycle.run_once()
    finish_erasure()
    job = RenderJob.objects.get(pk=job.pk)
    assert job.erased_at is not None
    assert (job.state, job.name) == (State.CANCELLED, job.reference)
    assert not list(traces(*directories))
    assert [path for directory in directories for path in files_below(directory)] == []
    return job


@pytest.mark.fault("F14")
@pytest.mark.parametrize("method", ["create_async_doc", "get_status", "download"])
@pytest.mark.parametrize("after", [False, True])
def test_erasure_during_a_call(
    sandbox: Sandbox,
    documents_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    after: bool,
) -> None:
    """A create, a poll and a download that end after the erasure change nothing."""
    job = enqueue(**options_of(create_person()))
    erase_during(monkeypatch, DocRaptorClient, method, after=after)
    for _ in range(10):
        lifecycle.run_once()
        skip_time(5)
    assert_erased(job, documents_dir, tmp_path / "spool")


@pytest.mark.fault("F14")
@pytest.mark.parametrize("after", [False, True])
def test_erasure_while_the_file_is_stored(
    sandbox: Sandbox,
    documents_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
) -> None:
    """A file that is stored after the erasure is deleted, from the storage and the spool."""
    job = downloadable_job(**options_of(create_person()))
    erase_during(monkeypatch, FileSystemStorage, "save", after=after)
    lifecycle.download()
    assert files_below(documents_dir) == []
    assert_erased(job, documents_dir, tmp_path / "spool")


@pytest.mark.fault("F14")
def test_worker_dies_after_it_has_stored_the_file(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reserved name is looked at again when no worker can be storing the file any more."""
    job = downloadable_job(**options_of(create_person()))
    original = FileSystemStorage.save

    def save(self: Any, *args: Any, **kwargs: Any) -> str:
        erase_all()
        original(self, *args, **kwargs)
        raise WorkerKilled

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "save", save)
        with pytest.raises(WorkerKilled):
            lifecycle.download()
    assert len(files_below(documents_dir)) == 1
    assert DiscardedFile.objects.get().may_be_missing
    assert_erased(job, documents_dir, tmp_path / "spool")


@pytest.mark.fault("F14")
def test_storage_that_refuses_to_delete_a_late_file(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late file under a name that the storage has chosen is listed until it is deleted."""
    job = downloadable_job(**options_of(create_person()))
    original = FileSystemStorage.save

    def save(self: Any, name: str, *args: Any, **kwargs: Any) -> str:
        erase_all()
        return str(original(self, f"{name}-other", *args, **kwargs))

    def refuse(self: Any, name: str) -> None:
        raise OSError("read-only")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "save", save)
        patch.setattr(FileSystemStorage, "delete", refuse)
        lifecycle.download()
    assert len(files_below(documents_dir)) == 1
    assert_erased(job, documents_dir, tmp_path / "spool")


@pytest.mark.fault("F14")
def test_late_callback_changes_nothing(sandbox: Sandbox, documents_dir: Path) -> None:
    """A callback for an erased job is recorded without any text, and makes nothing due."""
    job = job_in(State.QUEUED, create_person())
    erase_all()
    response = Client().post(reverse("django_docraptor:callback", args=[make_token(job.pk, 1)]))
    assert response.status_code == 204
    assert RenderJob.objects.get(pk=job.pk).due_at is None
    assert_erased(job)


@pytest.mark.fault("F14")
@pytest.mark.parametrize("state", [State.QUEUED, State.WORKING])
def test_hosted_document_in_the_making_is_expired(
    sandbox: Sandbox, documents_dir: Path, state: State
) -> None:
    """A hosted document that DocRaptor makes is expired as soon as its status says so."""
    person = create_person()
    sandbox.change_settings(delay=1)
    job = enqueue(**options_of(person), hosted=True)
    lifecycle.submit()
    RenderJob.objects.update(state=state)
    report = erase(owner=person)
    assert [item.kind for item in report.remaining] == ["hosted"]
    assert "still making" in str(report)
    _wait_until_expired(sandbox)
    assert erase(owner=person).is_complete
    assert_erased(job)


def _wait_until_expired(sandbox: Sandbox) -> None:
    def is_expired() -> bool:
        DiscardedDocument.objects.update(due_at=LONG_AGO)
        lifecycle.expire_discarded()
        return not DiscardedDocument.objects.exists()

    wait_until("the document is expired", is_expired, 30, 0.1)
    assert all(document.expired for document in sandbox._application.store.latest_first())


@pytest.mark.fault("F14")
def test_hosted_document_whose_response_comes_late(
    sandbox: Sandbox, documents_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response to a create that was under way lists the document, which is then expired."""
    job = enqueue(**options_of(create_person()), hosted=True)
    erase_during(monkeypatch, DocRaptorClient, "create_hosted_async_doc")
    lifecycle.submit()
    entry = DiscardedDocument.objects.get()
    assert entry.status_id
    assert entry.subject == ErasedJob.objects.get().subject
    _wait_until_expired(sandbox)
    assert EventKind.LATE_RESPONSE in event_kinds(job)
    assert_erased(job)


def test_hosted_document_of_unknown_outcome_is_told(sandbox: Sandbox, documents_dir: Path) -> None:
    """What may become public at an unknown URL is said."""
    person = create_person()
    job = job_in(State.UNCONFIRMED, person, hosted=True, status_id="")
    report = erase(owner=person)
    assert report.erased["unreachable"] == 1
    assert "may become public" in str(report)
    assert_erased(job)


@pytest.mark.parametrize("outcome", ["failed", "gone"])
def test_hosted_document_that_is_never_made(
    sandbox: Sandbox, documents_dir: Path, outcome: str
) -> None:
    """If DocRaptor could not make it, or no longer has it, nothing is left to expire."""
    person = create_person()
    job = enqueue(**options_of(person), hosted=True)
    if outcome == "failed":
        sandbox.add_fault(Fault(on="render", action="fail"))
    lifecycle.submit()
    if outcome == "gone":
        sandbox.add_fault(Fault(on="status", action="status", status_code=404))
    erase(owner=person)
    skip_time(5)
    DiscardedDocument.objects.update(due_at=LONG_AGO)
    lifecycle.expire_discarded()
    assert not DiscardedDocument.objects.exists()
    assert_erased(job)


# --- What follows a completed document -------------------------------------------------------


@pytest.mark.fault("F14")
def test_erasure_while_a_copy_is_delivered(
    sandbox: Sandbox,
    documents_dir: Path,
    media_dir: Path,  # noqa: F811
    invoice: Invoice,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A copy that was saved before the erasure is not written to the field after it."""
    job = person_document().enqueue(invoice, owner=create_person())
    erase_during(monkeypatch, delivery, "_store_copy")
    run_until_finished(job)
    invoice.refresh_from_db()
    assert not invoice.pdf
    assert files_below(media_dir) == files_below(documents_dir) == []
    assert EventKind.DELIVERED not in event_kinds(job)
    finish_erasure()
    assert not list(traces())


@pytest.mark.fault("F14")
def test_copy_that_is_delivered_just_before_the_erasure(
    sandbox: Sandbox,
    documents_dir: Path,
    media_dir: Path,  # noqa: F811
    invoice: Invoice,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its field is emptied, too, also if the erasure has looked for copies before."""
    person = create_person()
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "_should_deliver", lambda job: False)
        job = run_until_finished(person_document().enqueue(invoice, owner=person))
    erase_row = erasing._erase_row

    def deliver_first(*arguments: Any) -> Any:
        monkeypatch.setattr(erasing, "_erase_row", erase_row)
        assert delivery.deliver(job, "pdf")
        return erase_row(*arguments)

    monkeypatch.setattr(erasing, "_erase_row", deliver_first)
    assert erase(owner=person).erased["copies"] == 1
    invoice.refresh_from_db()
    assert not invoice.pdf
    assert files_below(media_dir) == files_below(documents_dir) == []


def test_copies_that_are_delivered_all_the_time(
    sandbox: Sandbox, documents_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure ends, and names the document that is still there."""
    person = create_person()
    job = run_until_finished(enqueue(**options_of(person)))
    with monkeypatch.context() as patch:
        patch.setattr(
            erasing, "copies_of", lambda job: {erasing.Copy("shop.Invoice.pdf", str(uuid4()))}
        )
        with pytest.raises(RowsChangedError, match=str(job.pk)):
            erase(owner=person)
    job.refresh_from_db()
    assert job.erased_at is None
    assert erase(owner=person).erased["jobs"] == 1


@pytest.mark.fault("F14")
def test_failed_delivery_is_recorded_after_the_erasure(
    sandbox: Sandbox,
    documents_dir: Path,
    media_dir: Path,  # noqa: F811
    invoice: Invoice,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A traceback that comes late is erased by the second look, and is not tried again."""

    def fail(*args: Any) -> None:
        erase_all()
        raise RuntimeError(CANARY)

    job = person_document().enqueue(invoice, owner=create_person())
    monkeypatch.setattr(delivery, "_store_copy", fail)
    run_until_finished(job)
    assert EventKind.DELIVERY_FAILED in event_kinds(job)
    finish_erasure()
    assert not list(traces())
    assert not RenderEvent.objects.filter(signal_due_at__isnull=False).exists()


@pytest.mark.fault("F14")
def test_hook_is_not_called_for_an_erased_job(sandbox: Sandbox, documents_dir: Path) -> None:
    """A signal that was not sent yet is not sent any more."""
    called: list[object] = []

    class HookPDF(Document[Any]):
        """Registered during the test."""

        def render(self) -> str:
            return "<p>Hello</p>"

        def on_completed(self, job: RenderJob) -> None:
            called.append(job)

    job = job_in(State.COMPLETED, create_person(), document=HookPDF.label)
    event = job.record_event(EventKind.COMPLETED)
    RenderEvent.objects.filter(pk=event.pk).update(signal_due_at=LONG_AGO)
    erase_all()
    lifecycle.recover()
    assert called == []


def test_late_download_is_not_recorded(documents_dir: Path) -> None:
    """A request that had read the job before writes nothing about who downloads it."""
    job = completed_job(owner=create_person())
    erase_all()
    record_download(job, by=f"by {CANARY}")
    record_downloads([job], by=f"by {CANARY}")
    assert read_row(job)["downloads"] == 0
    assert not list(traces())


def test_late_step_writes_nothing(sandbox: Sandbox, documents_dir: Path) -> None:
    """No arrow moves a job as it was read before the erasure, in any unfinished state."""
    job = job_in(State.DOWNLOADING, create_person(), lease_token="lease")
    erase_all()
    before = read_row(job)
    assert not transitions.mark_completed(job, file=CANARY, size=1, sha256=CANARY)
    job.state = State.DOWNLOADING
    assert not job.update_leased(errors=CANARY)
    assert read_row(job) == before


@pytest.mark.fault("F14")
@pytest.mark.parametrize("size", [10, 3 * SMALL_CONTENT])
def test_erasure_before_the_content_is_read(
    sandbox: Sandbox, documents_dir: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A worker that has claimed the job, and reads its input afterwards, sends nothing of it."""
    job = enqueue(**options_of(create_person()) | {"content": f"<p>{CANARY}</p>" * size})
    other = enqueue()
    original = submission.claim_for_slots

    def claim(*args: Any, **kwargs: Any) -> Any:
        claimed = original(*args, **kwargs)
        erase_all()
        return claimed

    with monkeypatch.context() as patch:
        patch.setattr(submission, "claim_for_slots", claim)
        lifecycle.submit()
    run_until_finished(other)
    assert [entry.tag for entry in sandbox.ledger.accepted()] == [
        RenderJob.objects.get(pk=other.pk).tag
    ]
    assert_erased(job)


ERASED = {*erasing.ERASED_COLUMNS, "name"}
# For the bill, or of the engine. A new column must be in one of the two.
KEPT = {
    *("id", "account", "document", "document_type", "test", "priority", "state", "erased_at"),
    *("due_at", "lapsed_claims", "deadline_at", "failures", "failing_since", "refused_since"),
    *(
        "held_at",
        "held_for",
        "revision",
        "attempt",
        "sent_at",
        "status_id",
        "callback_at",
        "storage",
    ),
    *("download_attempts", "error_code", "number_of_pages", "file_size", "hosted"),
    *("hosted_expires_at", "expired_at", "created_at", "submitted_at", "rendered_at"),
    *("finished_at", "moved_at", "again_of", "not_before", "warnings", "has_secrets"),
}


def test_each_column_is_erased_or_kept_on_purpose() -> None:
    """Whether a column of a job says something about a person is decided for each."""
    columns = {field.name for field in RenderJob._meta.concrete_fields}
    assert columns == ERASED | KEPT
    assert not ERASED & KEPT


def test_two_erasures_at_once(documents_dir: Path) -> None:
    """Two processes erase each job once, and both end."""
    person = create_person()
    for _ in range(4):
        job_in(State.PENDING, person)
    reports = run_in_threads(2, lambda: erase(owner=person.pk))
    assert sum(report.erased.get("jobs", 0) for report in reports) == 4
    assert RenderEvent.objects.filter(kind=EventKind.CANCELLED).count() == 4
    assert not list(traces())


# --- The second look -------------------------------------------------------------------------


def test_tick_that_has_nothing_else_to_do_looks_again(documents_dir: Path) -> None:
    """An erased job that is due wakes the tick, although no job is unfinished."""
    completed_job(owner=create_person())
    erase_all()
    Heartbeat.record("ticked_at")
    assert Heartbeat.record_if_idle("ticked_at")
    ErasedJob.objects.update(due_at=LONG_AGO)
    assert not Heartbeat.record_if_idle("ticked_at")


def test_spool_of_another_machine_is_cleaned_at_its_next_download(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker removes files of erased jobs, and of groups that no worker has, and of no others."""
    idle, busy = (
        enqueue_group([JobSpec(name="a.pdf", content="<p>")], name="Group") for _ in range(2)
    )
    RenderGroup.objects.filter(pk=busy.pk).update(lease_token="x")
    erased, kept = job_in(State.FAILED, create_person()), job_in(State.FAILED, None)
    erase_all()
    directory = tmp_path / "spool"
    directory.mkdir(exist_ok=True)
    kept_names = {f"{kept.pk.hex}-1.pdf", "notes.txt", f"{busy.pk.hex}-1.zip.part.x"}
    for name in (f"{erased.pk.hex}-1.pdf.part.x", f"{idle.pk.hex}-2000000000.pdf.part.x"):
        (directory / name).write_text("x")
    for name in kept_names:
        (directory / name).write_text("x")
    monkeypatch.setattr(spool, "_last_cleanup", {})
    run_until_finished(enqueue())
    assert {path.name for path in files_below(directory)} == kept_names
