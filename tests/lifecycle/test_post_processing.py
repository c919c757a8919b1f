"""``Document.post_process()``: between download and storing, without a second download or bill."""

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError

from django_docraptor import Document, lifecycle, registry
from django_docraptor.client import Client
from django_docraptor.conf import conf
from django_docraptor.documents.checks import check_documents
from django_docraptor.lifecycle import post_processing
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.shortcuts import retry
from django_docraptor.states import ErrorCode, State
from tests.apps.shop.models import Invoice
from tests.support.documents import pdf_bytes
from tests.support.jobs import (
    WorkerKilled,
    files_below,
    read_file,
    run_until_finished,
    skip_time,
)

pytestmark = pytest.mark.django_db(transaction=True)
Hook = Callable[[Any, BinaryIO], Any]


@pytest.fixture
def processed() -> Iterator[Any]:
    """A document class whose ``post_process()`` is the attribute ``hook``."""

    class Processed(Document[Invoice]):
        """Registered during the test."""

        template_name = "shop/invoice.html"
        hook: ClassVar[Hook]
        calls: ClassVar[list[str]] = []

        def post_process(self, file: BinaryIO) -> Any:
            self.calls.append(self.source.number)
            return type(self).hook(self, file)

    yield Processed
    registry.unregister(Processed.label)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The downloads that were asked for."""
    calls: list[str] = []
    original = Client.download

    def download(self: Client, download_id: str, target: BinaryIO) -> Any:
        calls.append(download_id)
        return original(self, download_id, target)

    monkeypatch.setattr(Client, "download", download)
    return calls


def enqueue(processed: Any, hook: Hook) -> RenderJob:
    """Return a job whose document is processed by a function."""
    processed.hook = staticmethod(hook)
    job: RenderJob = processed.enqueue(Invoice.objects.create(number="17"))
    return job


def with_note(document: Any, file: BinaryIO) -> BinaryIO:
    """Return the document with a comment in front, which readers ignore."""
    result = tempfile.TemporaryFile()  # noqa: SIM115 - the engine closes it
    result.write(b"%note " + document.source.number.encode() + b"\n" + file.read())
    return result


def closed_file() -> BinaryIO:
    """Return what a hook returns from within ``with``."""
    with io.BytesIO(pdf_bytes(2000)) as file:
        return file


def test_result_is_stored(sandbox: Sandbox, processed: Any) -> None:
    """File, size and hash are those of the result; the hook knows the source."""
    job = run_until_finished(enqueue(processed, with_note))
    content = read_file(job)
    assert job.state == State.COMPLETED
    assert content.startswith(b"%note 17\n%PDF-")
    assert job.file_size == len(content)
    assert job.sha256 == hashlib.sha256(content).hexdigest()
    assert files_below(conf.spool_path) == []


def test_file_itself_may_be_returned(sandbox: Sandbox, processed: Any) -> None:
    """A hook that only looks changes nothing, wherever it has read to."""

    def look(document: Any, file: BinaryIO) -> BinaryIO:
        assert file.read(5) == b"%PDF-"
        return file

    job = run_until_finished(enqueue(processed, look))
    assert read_file(job).startswith(b"%PDF-")


def test_path_is_read_and_stays(sandbox: Sandbox, processed: Any, tmp_path: Path) -> None:
    """It may be a file of the project."""
    path = tmp_path / "result.pdf"
    path.write_bytes(pdf_bytes(2000))
    job = run_until_finished(enqueue(processed, lambda document, file: path))
    assert read_file(job) == path.read_bytes()


@pytest.mark.fault("F16")
def test_passing_error_repeats_it_with_the_same_file(
    sandbox: Sandbox, processed: Any, downloads: list[str]
) -> None:
    """One download and one document on the bill, however often it fails."""

    def fail_twice(document: Any, file: BinaryIO) -> BinaryIO:
        if len(processed.calls) < 3:
            raise OperationalError("the connection is lost")
        return with_note(document, file)

    job = run_until_finished(enqueue(processed, fail_twice))
    assert job.state == State.COMPLETED
    assert len(processed.calls) == 3
    assert len(downloads) == len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("F16")
def test_other_error_fails_the_job_and_a_retry_resumes_it(
    sandbox: Sandbox, processed: Any, downloads: list[str]
) -> None:
    """The traceback is in the job; the retry calls the corrected hook with the same file."""

    def fail(document: Any, file: BinaryIO) -> BinaryIO:
        raise KeyError("tax_number")

    job = run_until_finished(enqueue(processed, fail))
    assert (job.state, job.error_code) == (State.FAILED, ErrorCode.POST_PROCESS_FAILED)
    assert "KeyError: 'tax_number'" in job.errors
    assert job.resume_state == State.DOWNLOADING
    processed.hook = staticmethod(with_note)
    assert retry(job)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(downloads) == len(sandbox.ledger.accepted()) == 1


@pytest.mark.fault("F16")
@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda: None, "post_process() returned NoneType"),
        (lambda: b"%PDF-1.7", "post_process() returned bytes"),
        (lambda: io.StringIO("%PDF-1.7"), "post_process() returned StringIO"),
        (lambda: closed_file(), "post_process() returned a closed BytesIO"),
        (lambda: io.BytesIO(b"<html>"), "post_process() did not return a complete PDF document"),
        (lambda: io.BytesIO(), "the file is empty"),
        (lambda: io.BytesIO(pdf_bytes(2000)[:-10]), "it was cut"),
        (lambda: io.BytesIO(bytes(3_000_000)), "larger than MAX_DOCUMENT_BYTES (2,000,000)"),
        (lambda: "/does/not/exist.pdf", "FileNotFoundError"),
    ],
)
def test_other_results_are_never_stored(
    sandbox: Sandbox, processed: Any, settings: Any, result: Callable[[], Any], message: str
) -> None:
    """The job fails with the reason; the downloaded file stays in the spool."""
    settings.DOCRAPTOR = {**settings.DOCRAPTOR, "MAX_DOCUMENT_BYTES": 2_000_000}
    job = run_until_finished(enqueue(processed, lambda document, file: result()))
    assert (job.state, job.error_code) == (State.FAILED, ErrorCode.POST_PROCESS_FAILED)
    assert message in job.errors
    assert job.file.name == ""
    assert len(files_below(conf.spool_path)) == 1


@pytest.mark.parametrize("is_raising", [False, True])
def test_changed_download_is_not_processed_again(
    sandbox: Sandbox, processed: Any, downloads: list[str], is_raising: bool
) -> None:
    """A hook that changes the file it was given fails; a retry downloads it again."""
    seen = []

    def append(document: Any, file: BinaryIO) -> BinaryIO:
        seen.append(file.read())
        if len(seen) == 1:
            with Path(file.name).open("ab") as same:
                same.write(b"%signed\n")
            if is_raising:
                raise ValueError
        return file

    job = run_until_finished(enqueue(processed, append))
    assert (job.state, job.error_code) == (State.FAILED, ErrorCode.POST_PROCESS_FAILED)
    assert "has changed the file" in job.errors
    assert retry(job)
    job = run_until_finished(job)
    assert (job.state, len(downloads)) == (State.COMPLETED, 2)
    assert seen[0] == seen[1] == read_file(job)


def test_other_formats_are_stored_if_the_class_says_so(sandbox: Sandbox, processed: Any) -> None:
    """Then only an empty file is refused."""
    processed.verify_post_processed = False
    job = run_until_finished(enqueue(processed, lambda document, file: io.BytesIO(b"sealed")))
    assert read_file(job) == b"sealed"
    job = run_until_finished(enqueue(processed, lambda document, file: io.BytesIO()))
    assert "empty file" in job.errors


def test_result_is_copied_in_parts(
    sandbox: Sandbox, processed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory does not depend on the size."""
    monkeypatch.setattr(post_processing, "CHUNK_BYTES", 100)
    sizes: list[int] = []

    class Recording(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            sizes.append(size or 0)
            return super().read(size)

    job = run_until_finished(
        enqueue(processed, lambda document, file: Recording(pdf_bytes(2000) + b"\n" * 500))
    )
    assert job.state == State.COMPLETED
    assert set(sizes) == {100}
    assert len(sizes) > 5


@pytest.mark.fault("F16")
def test_killed_worker_costs_no_second_download(
    sandbox: Sandbox, processed: Any, downloads: list[str]
) -> None:
    """Another worker calls it again."""

    def die_once(document: Any, file: BinaryIO) -> BinaryIO:
        if len(processed.calls) == 1:
            raise WorkerKilled
        return with_note(document, file)

    job = enqueue(processed, die_once)
    for _ in range(20):
        try:
            lifecycle.run_once()
        except WorkerKilled:
            break
        skip_time(2)
    skip_time(3600)
    assert run_until_finished(job).state == State.COMPLETED
    assert len(downloads) == len(sandbox.ledger.accepted()) == 1


def test_gone_source_fails_the_job(sandbox: Sandbox, processed: Any) -> None:
    """Without it nothing can be attached, and a raw document is never delivered."""
    processed.hook = staticmethod(with_note)
    job = processed.enqueue(Invoice.objects.create(number="17"), snapshot=True)
    Invoice.objects.all().delete()
    job = run_until_finished(job)
    assert job.error_code == ErrorCode.POST_PROCESS_FAILED
    assert "no longer exists" in job.errors


def test_synchronous_call_is_refused(processed: Any) -> None:
    """It would leave the step out."""
    with pytest.raises(ValidationError, match="would leave out post_process"):
        processed.render_now(Invoice.objects.create(number="17"))


def test_hosted_document_is_refused(processed: Any) -> None:
    """It would be public as DocRaptor made it."""
    with pytest.raises(ValidationError, match="would leave out post_process"):
        processed.enqueue(Invoice.objects.create(number="17"), hosted=True)
    processed.hosted = True
    messages = [message.msg for message in check_documents(None)]
    assert any("post_process() cannot be combined" in message for message in messages)
