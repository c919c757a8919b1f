"""The spool holds complete documents only, private to its user, and is cleaned up."""

import hashlib
import os
import shutil
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from django_docraptor import spool
from django_docraptor.exceptions import NotADocumentError
from tests.support.documents import append_update, pdf_bytes

TOKEN = "token"
PDF = pdf_bytes(5000)
XLS = bytes.fromhex("D0CF11E0A1B11AE1") + b"x" * 1000


def xlsx() -> bytes:
    """Return a small ZIP archive."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>" * 100)
    return buffer.getvalue()


DOCUMENTS = {"pdf": PDF, "xlsx": xlsx(), "xls": XLS}
HTML = b"<!DOCTYPE html><title>502 Bad Gateway</title>" + b" " * 3000


@pytest.fixture
def path(settings, tmp_path) -> Path:
    """Return a path in a spool directory of this test."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SPOOL_DIR": tmp_path / "deep" / "spool"}
    return spool.path_for("docraptor/2031/02/name.pdf")


def names(path: Path) -> list[str]:
    """Return the names of the files in the spool directory."""
    return sorted(entry.name for entry in path.parent.iterdir())


def write(path: Path, data: bytes) -> None:
    """Write a partial file."""
    with spool.open_partial(path, TOKEN) as file:
        file.write(data)


def test_path_is_flat(path: Path) -> None:
    """Directories in a storage name are dropped, and no name leads out of the spool."""
    assert path.name == "name.pdf"
    assert spool.path_for("../../etc/passwd").parent == path.parent


def test_directory_is_private(path: Path) -> None:
    """Other users of the machine cannot list or read the spool directory."""
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_existing_directory_is_used(path: Path) -> None:
    """An existing directory is used."""
    assert spool.get_directory() == path.parent


JOB = "0123456789abcdef0123456789abcdef-1"
DAY = 24 * 3600


@pytest.mark.parametrize(
    ("name", "days"),
    [
        (f"{JOB}.pdf.part.token", 1),
        ("now-x7_a1bc2", 1),
        (f"{JOB}.pdf", 30),
        (f"{JOB}.xls", 30),
        (f"{JOB}.xlsx.bad", 30),
    ],
)
def test_remove_stale_removes_old_files(path: Path, name: str, days: int) -> None:
    """Files of killed workers and failed jobs are removed when they are old."""
    assert remaining(path, name, days * DAY + 60) == []
    assert remaining(path, name, days * DAY - 60) == [name]


@pytest.mark.parametrize(
    "name", ["notes.pdf", "now", f"{JOB}.txt", f"{JOB}.pdf.old", f"x{JOB}.pdf"]
)
def test_remove_stale_leaves_other_files(path: Path, name: str) -> None:
    """Files with other names are left alone."""
    assert remaining(path, name, 1000 * DAY) == [name]


def test_remove_stale_runs_once_an_hour(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is read at most once an hour."""
    assert remaining(path, "unrelated", 0) == ["unrelated"]
    old = path.with_name(f"{JOB}.pdf")
    old.touch()
    os.utime(old, (0, 0))
    spool.remove_stale()
    assert old.exists()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + spool.CLEANUP_INTERVAL)
    spool.remove_stale()
    assert not old.exists()


def remaining(path: Path, name: str, age: float) -> list[str]:
    """Return the remaining names after a clean-up of a file of this age in seconds."""
    file = path.with_name(name)
    file.touch()
    os.utime(file, (time.time() - age,) * 2)
    spool._last_cleanup.clear()
    spool.remove_stale()
    return names(path)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_finalize_keeps_a_whole_document(path: Path, kind: str) -> None:
    """A complete document gets its final name unchanged, and no partial file remains."""
    write(path, DOCUMENTS[kind])
    spool.finalize(path, TOKEN, kind)
    assert path.read_bytes() == DOCUMENTS[kind]
    assert names(path) == ["name.pdf"]


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize("data", [b"", HTML, b'{"error": "x"}', b"\x00" * 3000])
def test_finalize_refuses_other_content(path: Path, kind: str, data: bytes) -> None:
    """A file that is not a document is kept as .bad and never gets the final name."""
    write(path, data)
    with pytest.raises(NotADocumentError, match=r"kept in the spool directory as \.bad"):
        spool.finalize(path, TOKEN, kind)
    assert names(path) == ["name.pdf.bad"]
    assert path.with_name("name.pdf.bad").read_bytes() == data


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_finalize_refuses_other_kinds(path: Path, kind: str) -> None:
    """A document of another type is rejected."""
    for other in DOCUMENTS.keys() - {kind}:
        write(path, DOCUMENTS[other])
        with pytest.raises(NotADocumentError):
            spool.finalize(path, TOKEN, kind)


@pytest.mark.fault("D3", "D4")
@pytest.mark.parametrize("kind", ["pdf", "xlsx"])
@pytest.mark.parametrize("kept", [0.25, 0.5, 0.9])
def test_finalize_refuses_a_truncated_document(path: Path, kind: str, kept: float) -> None:
    """A truncated document is rejected although its beginning is valid."""
    data = DOCUMENTS[kind]
    write(path, data[: int(len(data) * kept)])
    with pytest.raises(NotADocumentError):
        spool.finalize(path, TOKEN, kind)


@pytest.mark.fault("D4")
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_finalize_refuses_a_pdf_cut_inside_an_update(path: Path, kept: float) -> None:
    """A PDF that was cut inside an incremental update is rejected, the whole one is not."""
    updated = append_update(PDF)
    update = updated[len(PDF) :]
    write(path, PDF + update[: int(len(update) * kept)])
    with pytest.raises(NotADocumentError, match="it was cut"):
        spool.finalize(path, TOKEN, "pdf")
    write(path, updated)
    spool.finalize(path, TOKEN, "pdf")


@pytest.mark.fault("D7")
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"<html>%PDF-1.7 and %%EOF</html>", "is a page"),
        (b"<!DOCTYPE html><pre>\n" + PDF, "is a page"),
        (b"\xef\xbb\xbf\n<html>" + PDF, "is a page"),
        (b"%PDF-1.7 and %%EOF", "it was cut"),
        (b"%PDF-1.7\nstartxref\n0\n%%EOF\n", "cross-reference table"),
        (b"%PDF-1.7\nstartxref\n99999\n%%EOF\n", "cross-reference table"),
        (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\nstartxref\n9\n%%EOF\n", "cross-reference table"),
        (PDF + b"<!-- served by a proxy -->", "it was cut"),
        (PDF[:60] + PDF[80:], "cross-reference table"),
    ],
)
def test_verify_says_why_a_file_is_not_a_pdf(path: Path, data: bytes, problem: str) -> None:
    """What has a PDF's markers without being a PDF is rejected, and the error says why."""
    path.write_bytes(data)
    with pytest.raises(NotADocumentError, match=problem):
        spool.verify(path, "pdf")


@pytest.mark.fault("D7")
@pytest.mark.parametrize(
    "content_type", ["text/html", "Text/HTML; charset=utf-8", "application/json", "application/xml"]
)
def test_verify_refuses_the_content_type_of_a_page(path: Path, content_type: str) -> None:
    """What the server calls a page or a message is not a document."""
    path.write_bytes(PDF)
    with pytest.raises(NotADocumentError, match="its content type is "):
        spool.verify(path, "pdf", content_type=content_type)


@pytest.mark.parametrize(
    "content_type", ["", "application/pdf", "application/octet-stream", "binary/octet-stream"]
)
def test_verify_accepts_other_content_types(path: Path, content_type: str) -> None:
    """A file server may know only that it serves a file."""
    path.write_bytes(PDF)
    spool.verify(path, "pdf", content_type=content_type)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" \n\n", b"\x00" * 100, b"\n" * 1000])
@pytest.mark.parametrize("has_xref_stream", [False, True])
def test_verify_accepts_whole_pdfs(path: Path, end: bytes, has_xref_stream: bool) -> None:
    """A PDF with a table or a stream of references is accepted, with and without an update."""
    pdf = pdf_bytes(100, has_xref_stream=has_xref_stream).rstrip() + end
    for data in (pdf, append_update(pdf)):
        path.write_bytes(data)
        spool.verify(path, "pdf")


def test_verify_accepts_a_linearized_pdf(path: Path) -> None:
    """A linearized PDF is accepted, whose first part has an end of its own; that part is not."""
    first = (
        b"%PDF-1.7\n1 0 obj\n<< /Linearized 1 >>\nendobj\nxref\n0 1\n"
        b"0000000000 65535 f \ntrailer\n<< /Size 2 >>\nstartxref\n0\n%%EOF\n"
    )
    rest = b"2 0 obj\n<< >>\nendobj\n"
    end = b"startxref\n%d\n%%%%EOF\n" % first.index(b"xref")
    path.write_bytes(first + rest + end)
    spool.verify(path, "pdf")
    path.write_bytes(first)
    with pytest.raises(NotADocumentError, match="cross-reference table"):
        spool.verify(path, "pdf")


def test_verify_accepts_weasyprint(path: Path) -> None:
    """A PDF of WeasyPrint is accepted, compressed or not."""
    weasyprint = pytest.importorskip("weasyprint")
    for options in ({}, {"pdf_version": "1.4"}, {"uncompressed_pdf": True}):
        path.write_bytes(weasyprint.HTML(string="<h1>Hello</h1>").write_pdf(**options))
        spool.verify(path, "pdf")


def test_verify_refuses_a_page_before_an_archive(path: Path) -> None:
    """A page with a ZIP archive at its end is not a workbook."""
    path.write_bytes(HTML + xlsx())
    with pytest.raises(NotADocumentError, match="ZIP header"):
        spool.verify(path, "xlsx")


def test_verify_accepts_leading_bytes(path: Path) -> None:
    """A PDF header is accepted in the first 1,024 bytes, as by PDF readers, and no later."""
    path.write_bytes(b" " * 1000 + PDF)
    spool.verify(path, "pdf")
    path.write_bytes(b" " * 1024 + PDF)
    with pytest.raises(NotADocumentError):
        spool.verify(path, "pdf")


def test_verify_accepts_trailing_bytes(path: Path) -> None:
    """Bytes after the end marker are accepted."""
    path.write_bytes(PDF + b"\n" * 1000)
    spool.verify(path, "pdf")


def test_verify_quotes_the_beginning(path: Path) -> None:
    """The error quotes the beginning of an error page, without control characters."""
    path.write_bytes(HTML.replace(b" Bad", b"\x1b\x00Bad"))
    with pytest.raises(NotADocumentError, match=r"<title>502  Bad Gateway") as caught:
        spool.verify(path, "pdf")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PK\x03\x04" + bytes(range(256)), "and is a ZIP archive, as an XLSX file is."),
        (bytes.fromhex("D0CF11E0") + bytes(500), "and is an OLE file, as an XLS file is."),
        (b"\x1f\x8b\x08" + bytes(range(256)), "and is gzip data."),
        (bytes(range(256)) * 4, "and begins with binary data."),
        (b"%PDF-1.7\n%" + bytes(range(128, 256)) * 4, "and begins with “%PDF-1.7 %”."),
    ],
)
def test_verify_describes_binary_data(path: Path, data: bytes, told: str) -> None:
    """What is no text is named by its kind; no bytes are quoted."""
    path.write_bytes(data)
    with pytest.raises(NotADocumentError) as caught:
        spool.verify(path, "pdf")
    assert str(caught.value).endswith(told)
    assert "\ufffd" not in str(caught.value)


def test_verify_quotes_a_page_in_another_encoding(path: Path) -> None:
    """A page that is not in UTF-8 is text, with gaps."""
    path.write_bytes("<html><title>Zugriff für Gäste verweigert</title></html>".encode("latin-1"))
    with pytest.raises(NotADocumentError, match=r"Zugriff f.r G.ste verweigert"):
        spool.verify(path, "pdf")


@pytest.mark.parametrize("before", [0, 100, 195, 199])
def test_verify_quotes_no_secret(path: Path, before: int) -> None:
    """The excerpt is redacted before it is truncated, so no part of a secret remains."""
    path.write_bytes(b"x" * before + b"canary-key" + HTML)
    with pytest.raises(NotADocumentError) as caught:
        spool.verify(path, "pdf", redact=lambda text: text.replace("canary-key", "[redacted]"))
    assert "can" not in str(caught.value)


def test_verify_reports_an_empty_file(path: Path) -> None:
    """The error for an empty file says that it is empty."""
    path.write_bytes(b"")
    with pytest.raises(NotADocumentError, match="empty"):
        spool.verify(path, "pdf")


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, NotADocumentError])
def test_open_partial_leaves_no_partial_file(path: Path, error: type[BaseException]) -> None:
    """An interrupted download leaves no file."""
    during = []

    def break_off() -> None:
        with spool.open_partial(path, TOKEN) as file:
            file.write(b"half")
            during.extend(names(path))
            raise error

    with pytest.raises(error):
        break_off()
    assert during == ["name.pdf.part.token"]
    assert names(path) == []


def test_open_partial_is_private(path: Path) -> None:
    """A file is private even in a directory that all users can read."""
    path.parent.chmod(0o755)
    write(path, PDF)
    spool.finalize(path, TOKEN, "pdf")
    assert path.stat().st_mode & 0o777 == 0o600


def test_open_partial_follows_no_link(path: Path, tmp_path: Path) -> None:
    """A symbolic link at the path of the partial file is not followed."""
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    path.with_name(f"{path.name}.part.{TOKEN}").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        write(path, PDF)
    assert target.read_bytes() == b"theirs"


@pytest.mark.fault("D9")
def test_parallel_downloads_use_different_files(path: Path) -> None:
    """Two concurrent downloads of one document write to different files."""
    with spool.open_partial(path, "one") as one, spool.open_partial(path, "two") as two:
        one.write(PDF)
        two.write(b"half")
    spool.finalize(path, "one", "pdf")
    assert path.read_bytes() == PDF


def test_discard_may_be_repeated(path: Path) -> None:
    """Discarding deletes the file; discarding it again is harmless."""
    path.write_bytes(PDF)
    spool.discard(path)
    spool.discard(path)
    assert names(path) == []


def test_size_and_sha256_match_the_content(path: Path) -> None:
    """Size and SHA-256 match the content."""
    path.write_bytes(PDF)
    assert spool.size_and_sha256(path) == (len(PDF), hashlib.sha256(PDF).hexdigest())


@pytest.mark.fault("D8")
def test_full_disk_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without space for a document is an error, and one of unknown size needs a reserve."""
    stat = os.statvfs(path.parent)
    spool.ensure_free_space(1)
    with pytest.raises(spool.SpoolError, match="SPOOL_DIR"):
        spool.ensure_free_space(stat.f_frsize * stat.f_blocks + 1)
    usage = shutil.disk_usage(path.parent)
    enough = usage._replace(free=spool.RESERVE_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: enough)
    spool.ensure_free_space()
    short = usage._replace(free=spool.RESERVE_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: short)
    with pytest.raises(spool.SpoolError, match="bytes free"):
        spool.ensure_free_space()


@pytest.mark.fault("D8")
def test_small_document_needs_little_space(path: Path, monkeypatch, settings) -> None:
    """A document fits on a disk that is smaller than the maximum size of a document."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_DOCUMENT_BYTES": 200 * 1024 * 1024}
    usage = shutil.disk_usage(path.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=150 * 1024 * 1024))
    spool.ensure_free_space()
    with spool.open_partial(path, TOKEN) as file:
        file.announce(len(PDF))
        with pytest.raises(spool.SpoolError, match="SPOOL_DIR"):
            file.announce(151 * 1024 * 1024)
        file.write(PDF)
    spool.finalize(path, TOKEN, "pdf")


def test_default_directory_of_another_user_is_refused(settings, tmp_path, monkeypatch) -> None:
    """The default directory is rejected if others can read it: they may have created it."""
    settings.DOCRAPTOR = {"API_KEY": "k"}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert spool.get_directory().stat().st_mode & 0o777 == 0o700
    spool.get_directory().chmod(0o755)
    with pytest.raises(spool.SpoolError, match="accessible to others"):
        spool.get_directory()


def test_directory_that_cannot_be_created_is_an_error(settings, tmp_path) -> None:
    """A path below a file is a SpoolError."""
    (tmp_path / "file").write_text("")
    settings.DOCRAPTOR = {"API_KEY": "k", "SPOOL_DIR": tmp_path / "file" / "spool"}
    with pytest.raises(spool.SpoolError, match="cannot be created"):
        spool.get_directory()
