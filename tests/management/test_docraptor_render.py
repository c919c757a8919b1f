"""`manage.py docraptor_render` enqueues documents, waits for them and copies their files."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_docraptor.documents import Document
from django_docraptor.explanations import CODES
from django_docraptor.management.commands.docraptor_render import Command, copy_file, failure_line
from django_docraptor.models import RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.states import State
from tests.apps.shop.admin import InvoiceList
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue, read_file, run_until_finished

pytestmark = pytest.mark.django_db(transaction=True)

LABEL = "shop.InvoicePDF"


class Leaflet(Document[None]):
    """A document without a model."""

    template_name = "shop/invoices.html"


class Terminal(StringIO):
    """An output that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def render(*arguments: Any, err: StringIO | None = None) -> str:
    """Run the command and return its output."""
    out = StringIO()
    texts = [str(argument) for argument in arguments]
    call_command("docraptor_render", *texts, stdout=out, stderr=err or StringIO())
    return out.getvalue()


def create_invoices(*numbers: str) -> list[Any]:
    """Create invoices with these numbers; return their primary keys."""
    return [Invoice.objects.create(number=number).pk for number in numbers]


def test_render_enqueues_and_lists_the_jobs(sandbox: Sandbox) -> None:
    """Without options the command enqueues, prints the jobs, and does not wait."""
    keys = create_invoices("1", "2")
    told = render(LABEL, *keys, keys[0])
    jobs = RenderJob.objects.all()
    assert sorted(job.object_id for job in jobs) == sorted(map(str, keys))
    assert {job.state for job in jobs} == {State.PENDING}
    assert all(f"{job.pk}  {job.name}" in told for job in jobs)


@pytest.mark.parametrize(("option", "test"), [("--test", True), ("--no-test", False)])
def test_test_option_overrides_the_document(sandbox: Sandbox, option: str, test: bool) -> None:
    """The options override the document and the settings."""
    render(LABEL, *create_invoices("1"), option)
    assert RenderJob.objects.get().test is test


def test_params_are_stored_with_the_job(sandbox: Sandbox) -> None:
    """`--params` gives the parameters that a form would have asked for."""
    render(LABEL, *create_invoices("1"), "--params", '{"pay_by": "2026-01-31"}')
    assert RenderJob.objects.get().input.params == {"pay_by": "2026-01-31"}
    with pytest.raises(CommandError, match="--params must be a JSON object"):
        render(LABEL, *create_invoices("2"), "--params", "7")


def test_report_is_one_job(sandbox: Sandbox) -> None:
    """A document over many rows is one job."""
    first, _second, third = create_invoices("1", "2", "3")
    render("shop.InvoiceList", third, first)
    params = RenderJob.objects.get().input.params
    assert {row.pk for row in InvoiceList(None, params).rows} == {first, third}


@pytest.mark.parametrize(
    ("label", "hint"),
    [("shop.InvoicePdf", "Did you mean shop.InvoicePDF"), ("?", "Registered documents: ")],
)
def test_unknown_label_suggests_similar_ones(label: str, hint: str) -> None:
    """The error names similar labels, or all."""
    with pytest.raises(CommandError, match=hint):
        render(label, "1")


def test_unknown_key_suggests_the_nearest() -> None:
    """The error names the missing keys and the nearest ones, and nothing is enqueued."""
    first, gone, last = create_invoices("1", "2", "3")
    Invoice.objects.filter(pk=gone).delete()
    expected = (
        rf"No shop\.Invoice with primary key {gone}\. The nearest keys are {first} and {last}\."
    )
    with pytest.raises(CommandError, match=expected):
        render(LABEL, first, gone)
    assert not RenderJob.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([LABEL, "seven"], "'seven' is not a valid primary key of shop.Invoice"),
        ([LABEL, "7"], "The table is empty"),
        ([LABEL, "9" * 30], "is not a valid primary key of shop.Invoice: Ensure"),
        ([LABEL], "needs at least one primary key"),
        ([Leaflet.label, "7"], "takes no primary keys"),
    ],
)
def test_invalid_keys_are_refused(arguments: list[str], expected: str) -> None:
    """Keys that are invalid, missing or superfluous are refused."""
    with pytest.raises(CommandError, match=expected):
        render(*arguments)


def test_invalid_document_enqueues_nothing() -> None:
    """If one document is invalid, no job is stored."""
    with pytest.raises(CommandError, match=r"No jobs were created: .*200"):
        render("shop.Reminder", *create_invoices("1", "x" * 50))
    assert not RenderJob.objects.exists()


def test_in_process_renders_and_copies_the_files(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path
) -> None:
    """The documents are rendered in this process and copied whole."""
    target = tmp_path / "new" / "files"
    told = render(
        LABEL, *create_invoices("1", "2"), "--in-process", "--output", target, "--timeout", 20
    )
    assert sorted(path.name for path in target.iterdir()) == ["invoice-1.pdf", "invoice-2.pdf"]
    job = RenderJob.objects.get(name="invoice-1.pdf")
    assert (target / job.name).read_bytes() == read_file(job)
    assert str(target / "invoice-1.pdf") in told


def test_invalid_output_directory_is_refused_first(sandbox: Sandbox, tmp_path: Path) -> None:
    """An output directory that cannot be created is refused before anything is billed."""
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="Cannot create"):
        render(LABEL, *create_invoices("1"), "--output", tmp_path / "file")
    assert not RenderJob.objects.exists()


def test_wait_ends_at_its_timeout(sandbox: Sandbox) -> None:
    """Without a worker the command ends at the timeout, and does not run the engine."""
    with pytest.raises(CommandError, match=r"0\.1 s: 1 jobs are unfinished"):
        render(LABEL, *create_invoices("1"), "--wait", "--timeout", 0.1)
    assert RenderJob.objects.get().state == State.PENDING


def test_failed_documents_are_listed(sandbox: Sandbox, documents_dir: Path) -> None:
    """Each failed document is one line, and the command fails at the end."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="Document Malformed: tag.", times=1))
    err = StringIO()
    with pytest.raises(CommandError, match="1 of 2 documents failed"):
        render(LABEL, *create_invoices("1", "2"), "--in-process", "--timeout", 20, err=err)
    lost = RenderJob.objects.get(state=State.FAILED)
    assert err.getvalue().startswith(f"{lost.name}: {lost.error_code}: ")
    assert "Document Malformed: tag." in err.getvalue()


def test_missing_file_is_reported_and_others_are_copied(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path
) -> None:
    """A missing file is a failure, and the others are copied."""
    err = StringIO()
    command = Command(stdout=StringIO(), stderr=err)
    gone, there = (
        run_until_finished(enqueue(name="gone.pdf")),
        run_until_finished(enqueue(name="there.pdf")),
    )
    gone.file.storage.delete(gone.file.name)
    with pytest.raises(CommandError, match="1 of 2 documents failed"):
        command.report_jobs([gone, there], tmp_path)
    assert err.getvalue().startswith("gone.pdf: could not copy the file")
    assert (tmp_path / "there.pdf").read_bytes() == read_file(there)


def test_progress_is_shown_in_terminals_only(sandbox: Sandbox, documents_dir: Path) -> None:
    """A terminal shows a progress bar, and a log does not."""
    terminal, log = Terminal(), StringIO()
    render(LABEL, *create_invoices("1"), "--in-process", "--timeout", 20, err=terminal)
    render(LABEL, *create_invoices("2"), "--in-process", "--timeout", 20, err=log)
    assert f"[{'#' * 30}] 1/1" in terminal.getvalue()
    assert log.getvalue() == ""


def test_interrupted_wait_leaves_the_jobs_queued(sandbox: Sandbox) -> None:
    """Ctrl-C ends the waiting, not the jobs."""

    class Impatient(Terminal):
        def write(self, text: str) -> int:
            if "/1" in text:
                raise KeyboardInterrupt
            return super().write(text)

    with pytest.raises(CommandError, match="stay queued"):
        render(LABEL, *create_invoices("1"), "--wait", err=Impatient())
    assert RenderJob.objects.get().state == State.PENDING


def test_document_without_a_model_needs_no_key(sandbox: Sandbox) -> None:
    """A document without a model is enqueued once, without a primary key."""
    render(Leaflet.label)
    job = RenderJob.objects.get()
    assert (job.document, job.object_id) == (Leaflet.label, "")


def test_failed_job_is_summarised() -> None:
    """The line has the name, the code and the error's first line; the next one says what to do."""

    def lines(**values: str) -> list[str]:
        return failure_line(RenderJob(name="a.pdf", **values)).splitlines()

    remedies = [f"  {CODES[code].remedy}" for code in ("rejected", "template_error")]
    failed = {"state": State.FAILED, "error_code": "rejected", "errors": "first\nsecond"}
    assert lines(**failed) == ["a.pdf: rejected: first", remedies[0]]
    failed["error_code"] = "template_error"
    failed["errors"] = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: x\n'
    assert lines(**failed) == ["a.pdf: template_error: ValueError: x", remedies[1]]
    assert lines(state=State.CANCELLED) == ["a.pdf: cancelled"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "_-..-etc-passwd.pdf"),
        ("..\\..\\boot.pdf", "_-..-boot.pdf"),
        (".hidden", "hidden.pdf"),
        ("FV 17/11/2026.pdf", "FV 17-11-2026.pdf"),
        ("---", "_---.pdf"),
        ("A.PDF", "A.PDF"),
        ("Rechnung für Zoë.pdf", "Rechnung für Zoë.pdf"),
        ("ü" * 190, "ü" * 125 + ".pdf"),
    ],
)
def test_copy_stays_in_its_directory(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path, name: str, safe: str
) -> None:
    """A name may come from a user, and does not lead out of the directory."""
    job = run_until_finished(enqueue(name=name))
    target = tmp_path / "files"
    target.mkdir()
    copied = copy_file(job, target)
    assert list(target.iterdir()) == [copied]
    assert copied.name == safe


def test_copy_overwrites_nothing(sandbox: Sandbox, documents_dir: Path, tmp_path: Path) -> None:
    """No file is overwritten, and no link is followed, not even a broken one."""
    job = run_until_finished(enqueue(name="a.pdf"))
    target = tmp_path / "files"
    target.mkdir()
    (target / "a.pdf").write_text("mine")
    (target / "a-2.pdf").symlink_to(tmp_path / "outside.pdf")
    assert copy_file(job, target).name == "a-3.pdf"
    assert (target / "a.pdf").read_text() == "mine"
    assert not (tmp_path / "outside.pdf").exists()


def test_failed_copy_leaves_no_file(sandbox: Sandbox, documents_dir: Path, tmp_path: Path) -> None:
    """A file that is missing in the storage leaves no empty copy."""
    job = run_until_finished(enqueue(name="a.pdf"))
    job.file.storage.delete(job.file.name)
    target = tmp_path / "files"
    target.mkdir()
    with pytest.raises(FileNotFoundError):
        copy_file(job, target)
    assert list(target.iterdir()) == []


def test_hosted_document_has_no_file_to_copy(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hosted document has no file, and its public URL is not printed."""
    monkeypatch.setattr(InvoicePDF, "hosted", True)
    told = render(
        LABEL, *create_invoices("1"), "--in-process", "--output", tmp_path, "--timeout", 20
    )
    assert "no file to copy" in told
    assert "://" not in told
