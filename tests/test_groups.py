"""Groups of documents: one progress, one outcome, one file."""

import io
import os
import zipfile
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.files.storage import FileSystemStorage
from django.db import connection, models
from django.db.models import F, QuerySet
from django.test.utils import CaptureQueriesContext

from django_docraptor import (
    GroupState,
    JobSpec,
    RenderGroup,
    cancel,
    cancel_group,
    enqueue_group,
    enqueue_many,
    erase,
    group_completed,
    lifecycle,
    retry,
    retry_group,
)
from django_docraptor.lifecycle import grouping, merging
from django_docraptor.models import DiscardedFile, RenderJob, seconds_from_now
from django_docraptor.models.group_progress import GroupProgress
from django_docraptor.retention import RetentionLimit, prune
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import ErrorCode, State
from tests.support.jobs import (
    HTML,
    WorkerKilled,
    complete_job,
    create_job,
    files_below,
    read_file,
    skip_time,
)
from tests.support.retention import DAY
from tests.support.stored_files import PDF
from tests.support.threads import run_in_threads
from tests.test_retention import forget_model

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

CLEAR_REFS = Path("/proc/self/clear_refs")


def specs(count: int, **options: Any) -> list[JobSpec]:
    """Return requests for small documents."""
    return [
        JobSpec(**{"name": f"Invoice {number}", "content": HTML, **options})
        for number in range(1, count + 1)
    ]


def a_page(size: int = 10) -> bytes:
    """Return a PDF with one page, whose content has so many bytes."""
    buffer = io.BytesIO()
    with pikepdf.Pdf.new() as pdf:
        pdf.add_blank_page().Contents = pdf.make_stream(os.urandom(size))
        pdf.save(buffer)
    return buffer.getvalue()


def peak_memory() -> int:
    """Return the most memory that this process had, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def end_jobs(group: RenderGroup, *states: State, content: bytes = PDF) -> list[RenderJob]:
    """Let the jobs of a group end, in order, as the engine would, without DocRaptor."""
    jobs = list(group.jobs.order_by("group_position"))
    for job, state in zip(jobs, states or [State.COMPLETED] * len(jobs), strict=False):
        columns: dict[str, Any] = {"error_code": ErrorCode.RENDER_FAILED}
        if state == State.COMPLETED:
            name = job.file.storage.save(f"docraptor/{job.pk.hex}.pdf", io.BytesIO(content))
            columns = {"file": name, "file_size": len(content)}
        RenderJob.objects.filter(pk=job.pk).update(
            state=state, due_at=None, finished_at=seconds_from_now(0), **columns
        )
    RenderGroup.make_due_if_finished(group.pk)
    return jobs


def merge(group: RenderGroup) -> RenderGroup:
    """Let a worker do what is due for groups."""
    lifecycle.merge_groups()
    return RenderGroup.objects.get(pk=group.pk)


def make_due(group: RenderGroup) -> None:
    """Let the time until the next look pass."""
    RenderGroup.objects.filter(pk=group.pk).update(due_at=seconds_from_now(-1))


def run_group(group: RenderGroup, rounds: int = 20) -> RenderGroup:
    """Run the engine until the group has an outcome and was told."""
    for _ in range(rounds):
        lifecycle.run_once()
        group = RenderGroup.objects.get(pk=group.pk)
        if group.due_at is None:
            return group
        skip_time(5)
    raise AssertionError(f"still {group.state}: {group.errors}")


def names_in(group: RenderGroup) -> list[str]:
    """Return the names of the files in a group's ZIP."""
    with zipfile.ZipFile(io.BytesIO(read_file(group))) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def group_files(directory: Path) -> list[str]:
    """Return the names of the stored files of groups."""
    groups = {group.pk.hex for group in RenderGroup.objects.all()}
    names = (path.name for path in files_below(directory))
    return [name for name in names if name.endswith(".zip") or name[:32] in groups]


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The states with which the signal was sent."""
    states: list[str] = []

    def receiver(group: RenderGroup, **kwargs: Any) -> None:
        states.append(group.state)

    group_completed.connect(receiver)
    yield states
    group_completed.disconnect(receiver)


# --- From the request to the file ----------------------------------------------------------------


def test_zip_has_every_document(sandbox: Sandbox, documents_dir: Path, told: list[str]) -> None:
    """A group is completed with its last document, and its ZIP has all of them, named apart."""
    group = run_group(enqueue_group(specs(3, name="A/B"), name="Invoices", merge="zip"))
    assert group.state == GroupState.COMPLETED
    assert group.progress() == GroupProgress(total=3, completed=3)
    assert names_in(group) == ["A-B.pdf", "A-B-2.pdf", "A-B-3.pdf"]
    assert group.file_size == len(read_file(group))
    assert told == [GroupState.COMPLETED]


def test_pdf_has_all_pages_in_order(documents_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages of all documents are in one PDF, with a bookmark for each document."""
    monkeypatch.setattr(merging, "BATCH_SIZE", 2)  # reads the jobs in three queries
    group = enqueue_group(specs(5), name="Invoices", merge="pdf")
    end_jobs(group, content=a_page())
    group = merge(group)
    assert group.state == GroupState.COMPLETED, group.errors
    with pikepdf.Pdf.open(io.BytesIO(read_file(group))) as pdf, pdf.open_outline() as outline:
        assert len(pdf.pages) == 5
        assert [item.title for item in outline.root] == [f"Invoice {n}" for n in range(1, 6)]
        targets = [item.destination[0].objgen for item in outline.root]  # type: ignore[index]
        assert targets == [page.obj.objgen for page in pdf.pages]


def test_group_without_a_file(documents_dir: Path, told: list[str]) -> None:
    """Without ``merge``, there is an outcome and no file."""
    group = enqueue_group(specs(2), name="Invoices")
    end_jobs(group)
    group = merge(group)
    assert (group.state, group.file.name, told) == ("completed", "", ["completed"])


def test_group_of_500(documents_dir: Path) -> None:
    """500 documents with one name are one ZIP with 500 names, in order."""
    group = enqueue_group(specs(500, name="x"), name="Invoices", merge="zip")
    end_jobs(group, content=b"%PDF-")
    names = names_in(merge(group))
    assert names[:2] == ["x.pdf", "x-2.pdf"]
    assert len(set(names)) == 500


def test_enqueueing_a_group_costs_one_row_more() -> None:
    """A group of 50 takes the statements of ``enqueue_many``, and inserts one row more."""
    enqueue_many(specs(2))  # what a process reads once
    with CaptureQueriesContext(connection) as alone:
        enqueue_many(specs(50))
    with CaptureQueriesContext(connection) as grouped:
        enqueue_group(specs(50), name="Invoices")
    assert len(grouped) == len(alone) + 1


def test_lone_job_asks_for_no_group(documents_dir: Path) -> None:
    """The end of a job without a group costs no query about groups."""
    job = create_job(State.DOWNLOADING)
    with CaptureQueriesContext(connection) as queries:
        complete_job(job)
    assert not [query for query in queries if "rendergroup" in query["sql"]]


def test_owner_of_the_group_owns_its_documents() -> None:
    """A document without an owner gets the group's; another keeps its own."""
    anna, ben = (get_user_model().objects.create_user(name) for name in ("anna", "ben"))
    requests = [*specs(1), *specs(1, owner=ben)]
    group = enqueue_group(requests, name="Invoices", owner=anna)
    assert [job.owner for job in group.jobs.order_by("group_position")] == [anna, ben]


def test_key_returns_the_same_group() -> None:
    """A second call with the same key stores nothing, also at the same time."""

    def call() -> RenderGroup:
        return enqueue_group(specs(2), name="Invoices", idempotency_key="2026-11")

    assert len({group.pk for group in run_in_threads(3, call)}) == 1
    assert RenderJob.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 201}),
        ("merge", {"merge": "rar"}),
        ("on_failure", {"on_failure": "ignore"}),
        ("storage", {"storage": "nowhere"}),
        ("owner", {"owner": "anna"}),
        ("idempotency_key", {"idempotency_key": " "}),
        ("requests", {"requests": []}),
        ("requests", {"requests": None}),
        ("requests", {"requests": "invoices"}),
        ("requests", {"requests": [*specs(1), {"name": "a.pdf"}]}),
        *(
            ("requests", {"requests": specs(1, options={"prince_options": given}), "merge": "pdf"})
            for given in ({"encrypt": True}, {"user_password": "p"}, {"owner_password": "p"})
        ),
        ("requests", {"requests": specs(1, idempotency_key="k")}),
        ("requests", {"requests": specs(1, hosted=True), "merge": "zip"}),
        ("requests", {"requests": specs(1, document_type="xlsx"), "merge": "pdf"}),
        ("document_type", {"requests": specs(1, document_type="doc")}),
    ],
)
def test_invalid_group_is_refused(field: str, options: dict[str, Any]) -> None:
    """An error names the field, and nothing is stored."""
    values = {"requests": specs(1), "name": "Invoices", **options}
    with pytest.raises(ValidationError) as caught:
        enqueue_group(values.pop("requests"), **values)
    assert list(caught.value.message_dict) == [field]
    assert not RenderGroup.objects.exists()
    assert not RenderJob.objects.exists()


def test_too_many_documents_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group has at most so many documents."""
    monkeypatch.setattr("django_docraptor.groups.MAX_DOCUMENTS", 2)
    with pytest.raises(ValidationError, match="There are more than 2"):
        enqueue_group(specs(3), name="Invoices")


def test_endless_requests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the limit is read."""
    monkeypatch.setattr("django_docraptor.groups.MAX_DOCUMENTS", 2)
    (spec,) = specs(1)
    with pytest.raises(ValidationError, match="more than 2"):
        enqueue_group(repeat(spec), name="Invoices")


def test_encryption_by_the_settings_is_refused(settings: Any) -> None:
    """DEFAULTS count, too; a ZIP may have encrypted documents."""
    defaults = {"prince_options": {"encrypt": True}}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DEFAULTS": defaults}
    with pytest.raises(ValidationError, match=r"requests\[0\] \('Invoice 1'\): encrypt"):
        enqueue_group(specs(1), name="Invoices", merge="pdf")
    assert enqueue_group(specs(1), name="Invoices", merge="zip").total == 1


def test_merging_without_pikepdf_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra, before anything is billed."""
    monkeypatch.setattr("django_docraptor.groups.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r"django-docraptor\[merge\]"):
        enqueue_group(specs(1), name="Invoices", merge="pdf")


# --- The outcome ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        ({"completed": 2, "unfinished": 1}, "working"),
        ({"failed": 2, "unfinished": 1}, "working"),
        ({"completed": 3}, "completed"),
        ({"completed": 2, "failed": 1}, "partial"),
        ({"completed": 2, "cancelled": 1}, "partial"),
        ({"completed": 2}, "partial"),
        ({"failed": 2, "cancelled": 1}, "failed"),
        ({"cancelled": 3}, "cancelled"),
        ({}, "cancelled"),
    ],
)
def test_outcome_follows_from_the_counts(counts: dict[str, int], outcome: str) -> None:
    """One rule decides, and a missing document is never hidden."""
    assert GroupProgress(total=3, **counts).outcome == outcome


@pytest.mark.fault("G5")
def test_failed_document_leaves_no_file(documents_dir: Path, told: list[str]) -> None:
    """By default, a group with a failed document is partial and has no file."""
    group = enqueue_group(specs(2), name="Invoices", merge="zip")
    end_jobs(group, State.COMPLETED, State.FAILED)
    group = merge(group)
    assert (group.state, group.file.name) == ("partial", "")
    assert told == ["partial"]


@pytest.mark.fault("G5")
def test_partial_file_names_what_is_missing(documents_dir: Path) -> None:
    """If it was asked for, the file has the others, and names the missing ones."""
    group = enqueue_group(specs(4), name="Invoices", merge="zip", on_failure="partial")
    jobs = end_jobs(group, State.COMPLETED, State.FAILED, State.CANCELLED, State.COMPLETED)
    jobs[3].delete()
    group = merge(group)
    assert group.state == "partial"
    assert names_in(group) == ["Invoice 1.pdf", "MISSING.txt"]
    with zipfile.ZipFile(io.BytesIO(read_file(group))) as archive:
        lines = archive.read("MISSING.txt").decode().splitlines()
    assert lines == [
        f"“Invoice 2” ({jobs[1].reference}): failed",
        f"“Invoice 3” ({jobs[2].reference}): cancelled",
        "1: deleted",
    ]


@pytest.mark.fault("G3")
def test_retry_opens_the_group_again(
    sandbox: Sandbox, documents_dir: Path, told: list[str]
) -> None:
    """A retried document makes the file anew, with a name of its own, and the old one is gone."""
    group = enqueue_group(specs(2), name="Invoices", merge="zip", on_failure="partial")
    end_jobs(group, State.COMPLETED, State.FAILED)
    group = merge(group)
    earlier = group.file.name
    assert retry_group(group) == 1
    assert (group.state, group.file.name) == ("working", "")
    group = run_group(group)
    assert (group.state, told) == ("completed", ["partial", "completed"])
    assert names_in(group) == ["Invoice 1.pdf", "Invoice 2.pdf"]
    assert group.file.name != earlier
    assert len(group_files(documents_dir)) == 1


@pytest.mark.fault("G3")
def test_single_retry_opens_the_group_again(documents_dir: Path) -> None:
    """So does the retry of one document by itself, in the same transaction."""
    group = enqueue_group(specs(2), name="Invoices", merge="zip")
    _first, failed = end_jobs(group, State.COMPLETED, State.FAILED)
    merge(group)
    failed.refresh_from_db()
    assert retry(failed)
    assert RenderGroup.objects.get().state == "working"


def test_cancelled_group(documents_dir: Path, told: list[str]) -> None:
    """Cancelling a group cancels what is unfinished; the group is due at once."""
    group = enqueue_group(specs(3), name="Invoices", merge="zip")
    assert cancel_group(group) == 3
    assert merge(group).state == "cancelled"
    assert told == ["cancelled"]
    assert cancel_group(group) == 0


def test_cancelled_document_is_missing(documents_dir: Path) -> None:
    """A document that a person cancelled makes the group partial."""
    group = enqueue_group(specs(2), name="Invoices")
    end_jobs(group, State.COMPLETED)
    cancel(group.jobs.get(group_position=1))
    assert merge(group).state == "partial"


def test_deleted_document_is_missing(documents_dir: Path) -> None:
    """If the last unfinished document is deleted, the group ends, and says that it is partial."""
    group = enqueue_group(specs(2), name="Invoices")
    end_jobs(group, State.COMPLETED)
    group.jobs.get(group_position=1).delete()
    assert merge(group).state == "partial"


# --- Races and deaths ----------------------------------------------------------------------------


@pytest.mark.fault("G1")
def test_two_last_documents_make_one_file(documents_dir: Path, told: list[str]) -> None:
    """If the two last documents end at once, and many workers look, there is one file."""
    group = enqueue_group(specs(4), name="Invoices", merge="zip")
    jobs = end_jobs(group, State.COMPLETED, State.COMPLETED)
    for job in jobs[2:]:
        name = job.file.storage.save(f"docraptor/{job.pk.hex}.pdf", io.BytesIO(PDF))
        RenderJob.objects.filter(pk=job.pk).update(state=State.DOWNLOADING, file=name)
    last = list(RenderJob.objects.filter(pk__in=[job.pk for job in jobs[2:]]))

    def end() -> None:
        complete_job(last.pop())
        lifecycle.merge_groups()

    run_in_threads(2, end)
    group = merge(group)
    assert group.state == "completed"
    assert len(names_in(group)) == 4
    assert told == ["completed"]
    assert len(group_files(documents_dir)) == 1


@pytest.mark.fault("G1")
def test_group_is_claimed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two workers that have read the same due group, one claims it."""
    group = enqueue_group(specs(1), name="Invoices")
    make_due(group)
    read = QuerySet.first

    def read_and_lose(rows: Any) -> Any:
        found = read(rows)
        with monkeypatch.context() as patch:
            patch.setattr(QuerySet, "first", read)
            claimed.append(RenderGroup.claim_next(lease=60))
        return found

    claimed: list[RenderGroup | None] = []
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "first", read_and_lose)
        claimed.append(RenderGroup.claim_next(lease=60))
    assert [found for found in claimed if found] == [group]


@pytest.mark.fault("G1")
def test_document_that_ends_while_it_is_counted(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that was counted just before its last document's end is due at once."""
    group = enqueue_group(specs(1), name="Invoices")
    make_due(group)
    count = RenderGroup.progress

    def count_then_end(self: RenderGroup) -> GroupProgress:
        progress = count(self)
        end_jobs(group)
        return progress

    with monkeypatch.context() as patch:
        patch.setattr(RenderGroup, "progress", count_then_end)
        claimed = RenderGroup.claim_next(lease=60)
        assert claimed is not None
        grouping.work_on(claimed)
    assert merge(group).state == "completed"


@pytest.mark.fault("G2")
@pytest.mark.parametrize("last_call", ["save", "update_leased"])
def test_worker_killed_while_it_stores(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch, last_call: str, told: list[str]
) -> None:
    """If a worker dies between the file and the row, another makes the file, and one is there."""
    group = enqueue_group(specs(2), name="Invoices", merge="zip")
    end_jobs(group)

    def die(*args: Any, **kwargs: Any) -> None:
        raise WorkerKilled

    save = FileSystemStorage.save

    def save_and_die(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        raise WorkerKilled

    with monkeypatch.context() as patch:
        if last_call == "save":
            patch.setattr(FileSystemStorage, "save", save_and_die)
        else:
            patch.setattr(grouping, "settle", die)
        with pytest.raises(WorkerKilled):
            lifecycle.merge_groups()
    make_due(group)
    group = merge(group)
    assert (group.state, group.lapsed_claims, told) == ("completed", 0, ["completed"])
    assert len(group_files(documents_dir)) == 1


@pytest.mark.fault("G2")
def test_worker_killed_before_the_signal(documents_dir: Path, told: list[str]) -> None:
    """A signal that is not known to have been sent is sent by the next worker."""
    group = enqueue_group(specs(1), name="Invoices")

    def die(**kwargs: Any) -> None:
        raise WorkerKilled

    group_completed.connect(die)
    end_jobs(group)
    with pytest.raises(WorkerKilled):
        lifecycle.merge_groups()
    group_completed.disconnect(die)
    make_due(group)
    assert merge(group).due_at is None
    assert told[-1:] == ["completed"]


def test_receiver_without_a_name_that_raises(documents_dir: Path, told: list[str]) -> None:
    """Django's own logging raises then; the group is told all the same, and not again and again."""
    group = enqueue_group(specs(1), name="Invoices")

    def fail(_text: str, **kwargs: Any) -> None:
        raise RuntimeError("no mail")

    nameless = partial(fail, "")
    group_completed.connect(nameless, weak=False)
    end_jobs(group)
    try:
        assert merge(group).due_at is None
    finally:
        group_completed.disconnect(nameless)
    assert told == ["completed"]


@pytest.mark.fault("G2")
def test_group_that_kills_its_workers_fails(documents_dir: Path) -> None:
    """After five dead workers in a row, a person decides."""
    group = enqueue_group(specs(1), name="Invoices", merge="zip")
    end_jobs(group)
    for _ in range(6):
        RenderGroup.claim_next(lease=60)
        make_due(group)
    group = merge(group)
    assert group.state == "failed"
    assert "5 workers" in group.errors or "6 workers" in group.errors


@pytest.mark.fault("G2")
def test_worker_that_lost_its_claim_stores_nothing(documents_dir: Path) -> None:
    """A worker that was frozen leaves neither a file nor an outcome."""
    group = enqueue_group(specs(1), name="Invoices", merge="zip")
    end_jobs(group)
    frozen = RenderGroup.claim_next(lease=60)
    assert frozen is not None
    make_due(group)
    group = merge(group)
    grouping.work_on(frozen)
    assert len(group_files(documents_dir)) == 1
    assert RenderGroup.objects.get().file == group.file


@pytest.mark.fault("G3")
def test_document_retried_while_the_file_is_made(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is outdated before it is stored is deleted, and the group waits."""
    group = enqueue_group(specs(2), name="Invoices", merge="zip", on_failure="partial")
    _first, failed = end_jobs(group, State.COMPLETED, State.FAILED)
    failed.refresh_from_db()
    save = FileSystemStorage.save

    def save_and_retry(*args: Any, **kwargs: Any) -> Any:
        name = save(*args, **kwargs)
        assert retry(failed)
        return name

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "save", save_and_retry)
        group = merge(group)
    assert (group.state, group.file.name) == ("working", "")
    DiscardedFile.objects.update(due_at=seconds_from_now(-1))
    lifecycle.merge_groups()
    assert group_files(documents_dir) == []


@pytest.mark.fault("G2")
def test_file_of_a_group_that_was_given_up_is_deleted(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is stored after another worker has given the group up does not stay."""
    group = enqueue_group(specs(1), name="Invoices", merge="zip")
    end_jobs(group)
    save = FileSystemStorage.save

    def save_late(*args: Any, **kwargs: Any) -> Any:
        other = RenderGroup.objects.get()
        assert other.reserved_name
        grouping.give_up(other, "Workers died.")
        return save(*args, **kwargs)

    monkeypatch.setattr(FileSystemStorage, "save", save_late)
    assert merge(group).state == "failed"
    assert group_files(documents_dir) == []


@pytest.mark.fault("G1")
def test_group_is_found_without_a_hint(documents_dir: Path) -> None:
    """If a worker dies just after the end of the last document, the next look finds it."""
    group = enqueue_group(specs(1), name="Invoices")
    group.jobs.update(state=State.FAILED, due_at=None)
    assert merge(group).state == "working"
    make_due(group)
    assert merge(group).state == "failed"


def test_looks_become_rarer(documents_dir: Path) -> None:
    """A group that waits for long is looked at every quarter of its age, within bounds."""
    group = enqueue_group(specs(1), name="Invoices")
    for age, seconds in ((0, 60), (1200, 300), (10**6, 3600)):
        RenderGroup.objects.update(created_at=seconds_from_now(-age), due_at=seconds_from_now(-1))
        lifecycle.merge_groups()
        row = RenderGroup.objects.annotate(left=F("due_at")).get(pk=group.pk)
        soon = RenderGroup.objects.filter(due_at__lte=seconds_from_now(seconds + 1))
        late = RenderGroup.objects.filter(due_at__gt=seconds_from_now(seconds - 30))
        assert soon.exists(), row.due_at
        assert late.exists(), row.due_at


# --- What cannot be merged or stored -------------------------------------------------------------


@pytest.mark.fault("G4")
def test_storage_that_fails_is_tried_again(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """An error of the storage postpones the group; the next try succeeds."""
    group = enqueue_group(specs(1), name="Invoices", merge="zip")
    end_jobs(group)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "save", fail)
        group = merge(group)
    assert (group.state, group.failures) == ("working", 1)
    assert "disk is full" in group.errors
    assert f"OSError in {__file__}, line " in caplog.text
    assert "disk is full" not in caplog.text
    make_due(group)
    group = merge(group)
    assert (group.state, group.failures, group.errors) == ("completed", 0, "")


@pytest.mark.fault("G4")
def test_storage_that_cannot_delete(documents_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed worker may have left stays, and the file is stored under another name."""
    group = enqueue_group(specs(1), name="Invoices", merge="zip")
    end_jobs(group)
    RenderGroup.objects.update(reserved_name="docraptor/earlier.zip")

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(FileSystemStorage, "delete", refuse)
    assert merge(group).state == "completed"


@pytest.mark.fault("G4")
def test_storage_that_fails_for_long_is_given_up(
    documents_dir: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    """After ``RETRY_FOR``, the group fails; a retry makes the file, and no document."""
    group = enqueue_group(specs(1), name="Invoices", merge="zip")
    end_jobs(group)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "save", fail)
        merge(group)
        RenderGroup.objects.update(failing_since=seconds_from_now(-4 * 86400))
        make_due(group)
        group = merge(group)
    assert (group.state, told) == ("failed", ["failed"])
    assert retry_group(group) == 0
    assert group.state == "working"
    make_due(group)
    assert merge(group).state == "completed"


@pytest.mark.fault("G5")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"user": "secret", "owner": "secret"}, "needs a password"),
        ({"user": "", "owner": "secret"}, "is encrypted"),
        (None, "cannot be read as a PDF"),
    ],
)
def test_pdf_that_cannot_be_merged_is_named(
    documents_dir: Path, options: dict[str, str] | None, says: str, caplog: Any
) -> None:
    """An encrypted or broken PDF fails the group for good, and the error names it, and no path."""
    group = enqueue_group(specs(2), name="Invoices", merge="pdf")
    jobs = end_jobs(group, content=a_page())
    if options is None:
        content = b"%PDF-1.7 broken"
    else:
        buffer = io.BytesIO()
        with pikepdf.Pdf.open(io.BytesIO(a_page())) as pdf:
            pdf.save(buffer, encryption=pikepdf.Encryption(**options))
        content = buffer.getvalue()
    name = RenderJob.objects.get(pk=jobs[1].pk).file.path
    Path(name).write_bytes(content)
    group = merge(group)
    assert group.state == "failed"
    assert f"“Invoice 2” ({jobs[1].reference}) {says}" in group.errors
    assert "/" not in group.errors
    assert "Invoice 2" not in caplog.text  # it may name a customer
    assert group_files(documents_dir) == []


@pytest.mark.skipif(not CLEAR_REFS.exists(), reason="Needs Linux.")
def test_memory_does_not_grow_with_the_documents(documents_dir: Path, tmp_path: Path) -> None:
    """The contents of all documents are never in memory together."""
    group = enqueue_group(specs(40), name="Invoices", merge="pdf")
    end_jobs(group, content=a_page(size=2_000_000))
    claimed = RenderGroup.claim_next(lease=60)
    assert claimed is not None
    keys = list(claimed.jobs.order_by("group_position").values_list("pk", flat=True))
    merging.write_pdf(claimed, keys[:1], tmp_path / "one.pdf", lambda: None)  # imports
    CLEAR_REFS.write_text("5")  # the peak is the present
    before = peak_memory()
    merging.write_pdf(claimed, keys, tmp_path / "merged.pdf", lambda: None)
    assert (tmp_path / "merged.pdf").stat().st_size > 80_000_000
    assert peak_memory() - before < 40_000


def test_nothing_is_left_in_the_spool(documents_dir: Path, settings: Any, tmp_path: Path) -> None:
    """After success and after a failure, the spool directory is empty."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SPOOL_DIR": tmp_path / "spool"}
    for content in (a_page(), b"broken"):
        group = enqueue_group(specs(3), name="Invoices", merge="pdf")
        end_jobs(group, content=content)
        merge(group)
    assert files_below(tmp_path / "spool") == []


# --- Retention and erasure -----------------------------------------------------------------------


def settled_group(**options: Any) -> RenderGroup:
    """Return a completed group with a ZIP of two documents."""
    group = enqueue_group(specs(2), **{"name": "Invoices", "merge": "zip", **options})
    end_jobs(group)
    return merge(group)


@pytest.mark.fault("G3")
def test_file_goes_with_the_first_deleted_document(documents_dir: Path) -> None:
    """A file that has a deleted document is deleted, too, and the group says so."""
    group = settled_group()
    assert len(group_files(documents_dir)) == 1
    group.jobs.get(group_position=0).delete()
    group.refresh_from_db()
    assert (group.state, group.file.name) == ("partial", "")
    assert group_files(documents_dir) == []


def test_prune_deletes_groups(documents_dir: Path) -> None:
    """Retention deletes the documents, the group's file, and the group."""
    group = settled_group()
    kept = settled_group()
    RenderJob.objects.filter(group=group).update(finished_at=seconds_from_now(-10 * 86400))
    list(prune([RetentionLimit(label="", jobs=5 * DAY, inputs=None)]))
    assert list(RenderGroup.objects.all()) == [kept]
    assert len(group_files(documents_dir)) == 1


def test_deleted_group_leaves_its_documents(documents_dir: Path) -> None:
    """Deleting a group deletes its file, and no document."""
    settled_group().delete()
    assert RenderJob.objects.filter(group=None, state=State.COMPLETED).count() == 2
    assert not any(path.suffix == ".zip" for path in files_below(documents_dir))


@pytest.fixture
def batch_model() -> Iterator[type[models.Model]]:
    """A model of the project that protects its groups."""

    class Batch(models.Model):  # noqa: DJ008
        group = models.ForeignKey(RenderGroup, on_delete=models.PROTECT)

        class Meta:
            app_label = "shop"

    with connection.schema_editor() as editor:
        editor.create_model(Batch)
    yield Batch
    with connection.schema_editor() as editor:
        editor.delete_model(Batch)
    forget_model(Batch)


def test_prune_deletes_groups_in_batches(documents_dir: Path) -> None:
    """A run may be stopped between two short transactions, also among the groups."""
    for _ in range(3):
        settled_group()
    RenderJob.objects.update(finished_at=seconds_from_now(-10 * 86400))
    left = []
    for _result in prune([RetentionLimit(label="", jobs=5 * DAY, inputs=None)], batch_size=2):
        left.append(RenderGroup.objects.count())
    assert left[-2:] == [1, 0]


def test_prune_keeps_protected_groups(documents_dir: Path, batch_model: Any) -> None:
    """A group that a project's model protects is kept; the others are deleted."""
    kept, _other = settled_group(), settled_group()
    batch_model.objects.create(group=kept)
    RenderJob.objects.update(finished_at=seconds_from_now(-10 * 86400))
    list(prune([RetentionLimit(label="", jobs=5 * DAY, inputs=None)]))
    assert list(RenderGroup.objects.all()) == [kept]
    assert group_files(documents_dir) == []


def test_protected_group_is_erased(documents_dir: Path, batch_model: Any) -> None:
    """It stays for the project's row, and says nothing about the person any more."""
    anna = get_user_model().objects.create_user("anna")
    group = settled_group(owner=anna, name="Anna's invoices", idempotency_key="anna-2026-11")
    batch_model.objects.create(group=group)
    assert erase(owner=anna).is_complete
    group.refresh_from_db()
    assert (group.owner, group.idempotency_key, group.file.name) == (None, None, "")
    assert "Anna" not in group.name
    assert files_below(documents_dir) == []
    assert erase(owner=anna).erased.get("groups", 0) == 0


def test_erasure_of_the_owner_deletes_the_group(documents_dir: Path) -> None:
    """Erasing an owner deletes the owner's groups with their files."""
    anna = get_user_model().objects.create_user("anna")
    settled_group(owner=anna, name="Anna's invoices")
    report = erase(owner=anna)
    assert report.erased["groups"] == 1
    assert not RenderGroup.objects.exists()
    assert files_below(documents_dir) == []


def test_errors_that_name_an_erased_document_go_with_it(
    documents_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the row nor the log names it afterwards; the other's errors are found by a retry."""
    anna = get_user_model().objects.create_user("anna")
    requests = [*specs(1, name="Anna's invoice", owner=anna), *specs(1)]
    group = enqueue_group(requests, name="Invoices", merge="pdf")
    end_jobs(group, content=b"broken")
    group = merge(group)
    assert "Anna" in group.errors
    erase(owner=anna)
    group.refresh_from_db()
    assert group.state == GroupState.FAILED
    assert "Anna" not in group.errors + caplog.text
    assert "retry_group()" in group.errors
    retry_group(group)
    assert (merge(group).state, merge(group).errors) == (GroupState.PARTIAL, "")


@pytest.mark.fault("G3")
def test_erasure_of_one_document_deletes_the_file(documents_dir: Path) -> None:
    """Erasing a person who has one document in the group of another deletes the group's file."""
    anna, ben = (get_user_model().objects.create_user(name) for name in ("anna", "ben"))
    group = enqueue_group(
        [*specs(1, owner=anna), *specs(1)], name="Invoices", merge="zip", owner=ben
    )
    end_jobs(group)
    merge(group)
    erase(owner=anna)
    group.refresh_from_db()
    assert (group.state, group.file.name) == ("partial", "")
    assert group_files(documents_dir) == []
