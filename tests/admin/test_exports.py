"""Downloads of the selected jobs: a ZIP of their files, a CSV of their columns."""

import csv
import zipfile
from io import BytesIO, StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.test import Client

from django_docraptor.admin import exports
from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, EventKind, State
from tests.apps.shop.documents import InvoicePDF
from tests.support.admin_jobs import (
    LIST,
    RETRY,
    create_admin_job,
    failed_job,
    get_text,
    staff_client,
)

pytestmark = pytest.mark.django_db
FILES = "django.core.files.storage.FileSystemStorage"


@pytest.fixture(autouse=True)
def _files(settings: Any, tmp_path: Any) -> None:
    """Files are stored in a directory of the test."""
    location = {"BACKEND": FILES, "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = settings.STORAGES | {"docraptor": location}


def stored(name: str, content: bytes = b"%PDF-1.7", **options: Any) -> RenderJob:
    """Return a completed job with a stored file."""
    job: RenderJob = create_admin_job(State.COMPLETED, {"name": name, **options})
    job.file.save("x.pdf", ContentFile(content), save=False)
    RenderJob.objects.filter(pk=job.pk).update(file=job.file.name, file_size=len(content))
    return job


def run(client: Client, action: str, jobs: list[RenderJob], **data: Any) -> Any:
    """Run an action on selected jobs."""
    keys = [str(job.pk) for job in jobs]
    return client.post(LIST, {"action": action, ACTION_CHECKBOX_NAME: keys, **data})


def unzip(response: Any) -> dict[str, bytes]:
    """Return the files of a response."""
    with zipfile.ZipFile(BytesIO(response.getvalue())) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def rows_of(response: Any) -> list[dict[str, str]]:
    """Return the rows of a response."""
    return list(csv.DictReader(StringIO(response.getvalue().decode("utf-8-sig"), newline="")))


# ZIP


def test_zip_has_the_files(client: Client) -> None:
    """The files are downloaded under the documents' names, privately."""
    response = run(
        client, "download_selected", [stored("a.pdf", b"%PDF a"), stored("b", b"%PDF b")]
    )
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="documents-')
    assert "no-store" in response.headers["Cache-Control"]
    assert unzip(response) == {"a.pdf": b"%PDF a", "b.pdf": b"%PDF b"}


def test_names_in_a_zip_are_unique_and_harmless(client: Client) -> None:
    """Equal names get numbers, in any case of letters; none leads out of the directory."""
    jobs = [
        stored("invoice.pdf"),
        stored("invoice.pdf"),
        stored("INVOICE.PDF"),
        stored("invoice-2.pdf"),
        stored("../../etc/passwd"),
    ]
    names = list(unzip(run(client, "download_selected", jobs)))
    assert len({name.casefold() for name in names}) == 5
    assert "invoice.pdf" in [name.casefold() for name in names]
    assert not [name for name in names if "/" in name or "\\" in name or name.startswith(".")]


def test_zip_respects_the_documents_rule(client: Client) -> None:
    """What the user may not download is named, not contained; without anything there is no ZIP."""
    mine, other = stored("mine.pdf"), stored("other.pdf", document=InvoicePDF.label)
    rule = classmethod(lambda cls, user, job: False)
    with patch.object(InvoicePDF, "may_download", rule):
        files = unzip(run(client, "download_selected", [mine, other]))
        nothing = run(client, "download_selected", [other])
    assert files.keys() == {"mine.pdf", "MISSING.txt"}
    assert b"other.pdf: You may not download it." in files["MISSING.txt"]
    assert nothing.status_code == 302
    assert "None of the selected jobs has a file that you may download." in get_text(client, LIST)


def test_zip_names_what_is_missing(client: Client, caplog: Any) -> None:
    """A file that the storage has lost, and a job without a file, do not spoil the others."""
    good, lost, failed = stored("good.pdf"), stored("lost.pdf"), failed_job()
    lost.file.storage.delete(lost.file.name)
    files = unzip(run(client, "download_selected", [good, lost, failed]))
    assert files["good.pdf"] == b"%PDF-1.7"
    lines = files["MISSING.txt"].decode()
    assert "lost.pdf: Its file could not be read." in lines
    assert f"{failed.name}: It has no file." in lines
    assert str(lost.pk) in caplog.text


def test_zip_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """More files than the limit are refused before any is read."""
    monkeypatch.setattr("django_docraptor.admin.job_list.MAX_FILES", 1)
    jobs = [stored("a.pdf"), stored("b.pdf")]
    assert run(client, "download_selected", jobs).status_code == 302
    assert "You can download at most 1 files at a time." in get_text(client, LIST)


def test_zip_is_streamed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is sent as it is read: the whole ZIP is never in memory."""
    monkeypatch.setattr(exports, "BLOCK_SIZE", 1000)
    reads: list[int | None] = []

    class CountingFile(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reads.append(size)
            return super().read(size)

    job = stored("a.pdf")
    content = bytes(range(256)) * 400
    with patch.object(type(job.file), "open", lambda self, mode: CountingFile(content)):
        blocks = exports.zip_blocks([job])
        first = next(blocks)
        assert reads == [1000]
        rest = list(blocks)
    assert set(reads) == {1000}
    with zipfile.ZipFile(BytesIO(b"".join([first, *rest]))) as archive:
        assert archive.read("a.pdf") == content


def test_broken_file_ends_the_response() -> None:
    """A storage that fails in the middle of a file must not give a ZIP that looks complete."""

    class BrokenFile(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("gone")

    job = stored("a.pdf")
    with (
        patch.object(type(job.file), "open", lambda self, mode: BrokenFile()),
        pytest.raises(OSError, match="gone"),
    ):
        list(exports.zip_blocks([job]))


# CSV


def test_csv_has_a_row_for_each_job(client: Client) -> None:
    """The columns tell what the list tells, in a form for programs."""
    owner, source = User.objects.create_user("ines"), Group.objects.create(name="x")
    options = {"name": "Größe.pdf", "owner": owner, "source": source, "document": "shop.InvoicePDF"}
    job = create_admin_job(
        State.FAILED, options, error_code=ErrorCode.STORAGE_ERROR, attempt=2, number_of_pages=3
    )
    response = run(client, "export_selected", [job])
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    (row,) = rows_of(response)
    assert row["id"] == str(job.pk)
    assert (row["name"], row["owner"], row["state"]) == ("Größe.pdf", "ines", "failed")
    assert (row["source"], row["pages"], row["test"]) == (f"auth.group {source.pk}", "3", "live")
    assert row["reason"] == job.explanation.title
    assert row["created_at"].startswith(f"{job.created_at:%Y-%m-%dT%H:%M:%S}")
    assert row["submitted_at"] == ""
    assert float(row["seconds"]) >= 0


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(client: Client, start: str) -> None:
    """A spreadsheet runs nothing that a customer has typed."""
    name = f"{start}HYPERLINK(1)"
    owner = User.objects.create_user(name)
    job = create_admin_job(options={"name": "x", "owner": owner})
    RenderJob.objects.update(name=name, account=name)
    (row,) = rows_of(run(client, "export_selected", [job]))
    for column in ("name", "owner", "account"):
        assert row[column].startswith(f"'{start}")


@pytest.mark.parametrize("text", ["a=1", "1-2", "O'Hara", "", "a\nb", '"quoted"'])
def test_other_cells_stay_as_they_are(client: Client, text: str) -> None:
    """What is no formula is exported unchanged."""
    job = create_admin_job()
    RenderJob.objects.update(account=text)
    (row,) = rows_of(run(client, "export_selected", [job]))
    assert row["account"] == text


def test_csv_of_all_pages_is_in_the_lists_order(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows of the filtered list are exported, in batches, the newest first."""
    monkeypatch.setattr(exports, "BATCH_SIZE", 2)
    jobs = [create_admin_job(options={"name": f"{number}"}) for number in range(5)]
    failed = failed_job()
    data = {"select_across": "1", "index": "0"}
    rows = rows_of(run(client, "export_selected", jobs[:1], **data))
    assert len(rows) == 6
    assert [row["created_at"] for row in rows] == sorted(
        (row["created_at"] for row in rows), reverse=True
    )
    url = f"{LIST}?state__exact=failed"
    response = client.post(
        url, {"action": "export_selected", ACTION_CHECKBOX_NAME: [str(failed.pk)], **data}
    )
    assert [row["id"] for row in rows_of(response)] == [str(failed.pk)]


def test_csv_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than the limit are refused."""
    monkeypatch.setattr(exports, "MAX_ROWS", 1)
    jobs = [create_admin_job(), create_admin_job()]
    assert run(client, "export_selected", jobs).status_code == 302
    assert "You can export at most" in get_text(client, LIST)


def test_downloads_need_the_view_permission() -> None:
    """Who may not view jobs downloads nothing."""
    job = stored("a.pdf")
    for action in ("download_selected", "export_selected"):
        assert run(staff_client(RETRY, f"add_{action[:6]}"), action, [job]).status_code == 403


def test_zip_is_recorded_as_a_download(client: Client) -> None:
    """The history of each document in it says who downloaded it; nothing else changes."""
    job, other = stored("a.pdf"), failed_job()
    before = RenderJob.objects.values().get(pk=job.pk)
    run(client, "download_selected", [job, other])
    after = RenderJob.objects.values().get(pk=job.pk)
    assert after == before | {"downloads": 1}
    (event,) = job.events.filter(kind=EventKind.DOWNLOADED)
    assert "staff-" in event.message
    assert not other.events.filter(kind=EventKind.DOWNLOADED).exists()


def test_csv_changes_nothing(client: Client) -> None:
    """An export moves no job and bills nothing."""
    job = stored("a.pdf")
    before = RenderJob.objects.values().get()
    assert run(client, "export_selected", [job]).getvalue()
    assert RenderJob.objects.values().get() == before


def test_actions_tell_their_limits(client: Client) -> None:
    """The names of the actions say how many jobs they take: no page asks before a download."""
    failed_job()
    text = get_text(client, LIST)
    assert "Download the files as ZIP (at most 200)</option>" in text
    assert "Export as CSV (at most 50,000 jobs)</option>" in text
