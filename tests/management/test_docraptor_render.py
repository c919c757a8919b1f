"""``manage.py docraptor_render``: documents of objects, for scripts and for support."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_docraptor.documents import Document
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
    """A document of nothing in particular."""

    template_name = "shop/invoices.html"


class Terminal(StringIO):
    """Something that somebody looks at."""

    def isatty(self) -> bool:
        """Whether somebody does."""
        return True


def render(*arguments: Any, err: StringIO | None = None) -> str:
    """Run the command; return what it printed."""
    out = StringIO()
    texts = [str(argument) for argument in arguments]
    call_command("docraptor_render", *texts, stdout=out, stderr=err or StringIO())
    return out.getvalue()


def invoices(*numbers: str) -> list[Any]:
    """Keys of invoices with these numbers."""
    return [Invoice.objects.create(number=number).pk for number in numbers]


def test_orders(sandbox: Sandbox) -> None:
    """Without options it orders, tells the jobs, and waits for nothing."""
    keys = invoices("1", "2")
    told = render(LABEL, *keys, keys[0])
    jobs = RenderJob.objects.all()
    assert sorted(job.object_id for job in jobs) == sorted(map(str, keys))
    assert {job.state for job in jobs} == {State.PENDING}
    assert all(f"{job.pk}  {job.name}" in told for job in jobs)


@pytest.mark.parametrize(("option", "test"), [("--test", True), ("--no-test", False)])
def test_says_whether_it_is_billed(sandbox: Sandbox, option: str, test: bool) -> None:
    """The options overrule the document and the settings."""
    render(LABEL, *invoices("1"), option)
    assert RenderJob.objects.get().test is test


def test_params(sandbox: Sandbox) -> None:
    """What a form would have asked can be said."""
    render(LABEL, *invoices("1"), "--params", '{"pay_by": "2026-01-31"}')
    assert RenderJob.objects.get().input.params == {"pay_by": "2026-01-31"}
    with pytest.raises(CommandError, match="--params must be a JSON object"):
        render(LABEL, *invoices("2"), "--params", "7")


def test_report(sandbox: Sandbox) -> None:
    """A document over many rows is one."""
    first, _second, third = invoices("1", "2", "3")
    render("shop.InvoiceList", third, first)
    params = RenderJob.objects.get().input.params
    assert {row.pk for row in InvoiceList(None, params).rows} == {first, third}


@pytest.mark.parametrize(
    ("label", "hint"),
    [("shop.InvoicePdf", "Did you mean shop.InvoicePDF"), ("?", "Registered documents: ")],
)
def test_unknown_label(label: str, hint: str) -> None:
    """It names those that are close, or all."""
    with pytest.raises(CommandError, match=hint):
        render(label, "1")


def test_unknown_key() -> None:
    """It names the missing ones and what is near, and orders nothing."""
    first, gone, last = invoices("1", "2", "3")
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
        (["shop.Broken", "7"], "takes no primary keys"),
    ],
)
def test_wrong_keys(arguments: list[str], expected: str) -> None:
    """What cannot be a key, and keys too many or too few."""
    with pytest.raises(CommandError, match=expected):
        render(*arguments)


def test_wrong_order() -> None:
    """What the front door refuses is told, and nothing is stored."""
    with pytest.raises(CommandError, match=r"No jobs were created: .*200"):
        render("shop.Reminder", *invoices("1", "x" * 50))
    assert not RenderJob.objects.exists()


def test_run_and_output(sandbox: Sandbox, documents_dir: Path, tmp_path: Path) -> None:
    """It makes the documents in this process and copies them, whole."""
    target = tmp_path / "new" / "files"
    told = render(LABEL, *invoices("1", "2"), "--in-process", "--output", target, "--timeout", 20)
    assert sorted(path.name for path in target.iterdir()) == ["invoice-1.pdf", "invoice-2.pdf"]
    job = RenderJob.objects.get(name="invoice-1.pdf")
    assert (target / job.name).read_bytes() == read_file(job)
    assert str(target / "invoice-1.pdf") in told


def test_output_that_is_no_directory(sandbox: Sandbox, tmp_path: Path) -> None:
    """What cannot be written to is found out before anything is billed."""
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="Cannot create"):
        render(LABEL, *invoices("1"), "--output", tmp_path / "file")
    assert not RenderJob.objects.exists()


def test_wait_gives_up(sandbox: Sandbox) -> None:
    """Where no worker is, it stops when the time is up; it does no worker's work."""
    with pytest.raises(CommandError, match=r"0\.1 s: 1 jobs are unfinished"):
        render(LABEL, *invoices("1"), "--wait", "--timeout", 0.1)
    assert RenderJob.objects.get().state == State.PENDING


def test_failures(sandbox: Sandbox, documents_dir: Path) -> None:
    """A line for each that failed, and an error at the end; the others are told, too."""
    sandbox.add_fault(Fault(on="render", action="fail", reason="Over document limit.", times=1))
    err = StringIO()
    with pytest.raises(CommandError, match="1 of 2 documents failed"):
        render(LABEL, *invoices("1", "2"), "--in-process", "--timeout", 20, err=err)
    lost = RenderJob.objects.get(state=State.FAILED)
    assert err.getvalue().startswith(f"{lost.name}: {lost.error_code}: ")
    assert "Over document limit." in err.getvalue()


def test_copy_that_fails_is_told(sandbox: Sandbox, documents_dir: Path, tmp_path: Path) -> None:
    """One file that is gone is a failure, and the others are copied all the same."""
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


def test_progress_is_for_people(sandbox: Sandbox, documents_dir: Path) -> None:
    """A terminal gets a bar, a log does not."""
    terminal, log = Terminal(), StringIO()
    render(LABEL, *invoices("1"), "--in-process", "--timeout", 20, err=terminal)
    render(LABEL, *invoices("2"), "--in-process", "--timeout", 20, err=log)
    assert f"[{'#' * 30}] 1/1" in terminal.getvalue()
    assert log.getvalue() == ""


def test_interrupted(sandbox: Sandbox) -> None:
    """Ctrl-C stops the waiting, not the documents."""

    class Impatient(Terminal):
        def write(self, text: str) -> int:
            if "/1" in text:
                raise KeyboardInterrupt
            return super().write(text)

    with pytest.raises(CommandError, match="stay queued"):
        render(LABEL, *invoices("1"), "--wait", err=Impatient())
    assert RenderJob.objects.get().state == State.PENDING


def test_document_without_a_model(sandbox: Sandbox) -> None:
    """It is made of nothing, once."""
    render(Leaflet.label)
    job = RenderJob.objects.get()
    assert (job.document, job.object_id) == (Leaflet.label, "")


def test_failed_job_is_summarised_in_one_line() -> None:
    """Name, code and the first line; of a cancelled job, its state."""
    job = RenderJob(name="a.pdf", error_code="rejected", errors="first\nsecond")
    assert failure_line(job) == "a.pdf: rejected: first"
    assert failure_line(RenderJob(name="a.pdf", state=State.CANCELLED)) == "a.pdf: cancelled"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd.pdf"),
        ("..\\..\\boot.pdf", "boot.pdf"),
        ("/etc/cron.d/x", "x.pdf"),
        (".hidden", "hidden.pdf"),
        ("a b:c.pdf", "a_b_c.pdf"),
        ("---", "document.pdf"),
        ("A.PDF", "A.pdf"),
        ("Rechnung für Zoë.pdf", "Rechnung_für_Zoë.pdf"),
        ("ü" * 190, "ü" * 75 + ".pdf"),
    ],
)
def test_copy_stays_in_its_directory(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path, name: str, safe: str
) -> None:
    """A name is other people's text: it cannot lead out of the directory."""
    job = run_until_finished(enqueue(name=name))
    target = tmp_path / "files"
    target.mkdir()
    copied = copy_file(job, target)
    assert list(target.iterdir()) == [copied]
    assert copied.name == safe


def test_copy_overwrites_nothing(sandbox: Sandbox, documents_dir: Path, tmp_path: Path) -> None:
    """Neither a file, nor what a link leads to, nor where a broken one leads."""
    job = run_until_finished(enqueue(name="a.pdf"))
    target = tmp_path / "files"
    target.mkdir()
    (target / "a.pdf").write_text("mine")
    (target / "a-2.pdf").symlink_to(tmp_path / "outside.pdf")
    assert copy_file(job, target).name == "a-3.pdf"
    assert (target / "a.pdf").read_text() == "mine"
    assert not (tmp_path / "outside.pdf").exists()


def test_copy_that_fails_leaves_no_piece(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path
) -> None:
    """A file that is gone from the storage leaves no empty copy."""
    job = run_until_finished(enqueue(name="a.pdf"))
    job.file.storage.delete(job.file.name)
    target = tmp_path / "files"
    target.mkdir()
    with pytest.raises(FileNotFoundError):
        copy_file(job, target)
    assert list(target.iterdir()) == []


def test_output_of_a_hosted_document(
    sandbox: Sandbox, documents_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no file to copy, and its public address is not printed."""
    monkeypatch.setattr(InvoicePDF, "hosted", True)
    told = render(LABEL, *invoices("1"), "--in-process", "--output", tmp_path, "--timeout", 20)
    assert "no file to copy" in told
    assert "://" not in told
