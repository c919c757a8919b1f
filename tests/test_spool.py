"""The spool: whole documents only, for this user's eyes, and nothing left behind."""

import hashlib
import os
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from django_docraptor import spool
from django_docraptor.exceptions import NotADocumentError

TOKEN = "token"
PDF = b"%PDF-1.7\n" + b"x" * 5000 + b"\n%%EOF\n"
XLS = bytes.fromhex("D0CF11E0A1B11AE1") + b"x" * 1000


def xlsx() -> bytes:
    """A small zip archive."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>" * 100)
    return buffer.getvalue()


DOCUMENTS = {"pdf": PDF, "xlsx": xlsx(), "xls": XLS}
HTML = b"<!DOCTYPE html><title>502 Bad Gateway</title>" + b" " * 3000


@pytest.fixture
def path(settings, tmp_path) -> Path:
    """A place in a spool of the test's own."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"SPOOL_DIR": tmp_path / "deep" / "spool"}
    return spool.path_for("docraptor/2031/02/name.pdf")


def names(path: Path) -> list[str]:
    """What is in the spool."""
    return sorted(entry.name for entry in path.parent.iterdir())


def write(path: Path, data: bytes) -> None:
    """Put a download into the spool, not yet accepted."""
    with spool.writing(path, TOKEN) as file:
        file.write(data)


def test_path_for_is_flat(path: Path) -> None:
    """Folders of the storage name make none in the spool, and nothing leads out of it."""
    assert path.name == "name.pdf"
    assert spool.path_for("../../etc/passwd").parent == path.parent


def test_directory_is_private(path: Path) -> None:
    """Nobody else on the machine can list or read what is spooled."""
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_directory_exists_already(path: Path) -> None:
    """Making it again is no error."""
    assert spool.directory() == path.parent


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
def test_sweep_removes_what_is_old(path: Path, name: str, days: int) -> None:
    """What a killed worker or a job that was given up has left does not stay for ever."""
    assert swept(path, name, days * DAY + 60) == []
    assert swept(path, name, days * DAY - 60) == [name]


@pytest.mark.parametrize(
    "name", ["notes.pdf", "now", f"{JOB}.txt", f"{JOB}.pdf.old", f"x{JOB}.pdf"]
)
def test_sweep_leaves_what_is_not_ours(path: Path, name: str) -> None:
    """The directory may be shared with something else."""
    assert swept(path, name, 1000 * DAY) == [name]


def test_sweep_looks_once_an_hour(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many documents come."""
    assert swept(path, "unrelated", 0) == ["unrelated"]
    old = path.with_name(f"{JOB}.pdf")
    old.touch()
    os.utime(old, (0, 0))
    spool.sweep()
    assert old.exists()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + spool.SWEEP_EVERY)
    spool.sweep()
    assert not old.exists()


def swept(path: Path, name: str, age: float) -> list[str]:
    """What is left of a file that was last written so many seconds ago."""
    file = path.with_name(name)
    file.touch()
    os.utime(file, (time.time() - age,) * 2)
    spool._swept.clear()
    spool.sweep()
    return names(path)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_accept_whole_document(path: Path, kind: str) -> None:
    """A whole document gets its final name, byte for byte, and no part is left."""
    write(path, DOCUMENTS[kind])
    spool.accept(path, TOKEN, kind)
    assert path.read_bytes() == DOCUMENTS[kind]
    assert names(path) == ["name.pdf"]


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize("data", [b"", HTML, b'{"error": "x"}', b"\x00" * 3000])
def test_accept_refuses(path: Path, kind: str, data: bytes) -> None:
    """What is no document never gets the final name, and is kept for a person to look at."""
    write(path, data)
    with pytest.raises(NotADocumentError, match=r"kept in the spool as \.bad"):
        spool.accept(path, TOKEN, kind)
    assert names(path) == ["name.pdf.bad"]
    assert path.with_name("name.pdf.bad").read_bytes() == data


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_accept_refuses_other_kinds(path: Path, kind: str) -> None:
    """A document of another type is not the one that was asked for."""
    for other in DOCUMENTS.keys() - {kind}:
        write(path, DOCUMENTS[other])
        with pytest.raises(NotADocumentError):
            spool.accept(path, TOKEN, kind)


@pytest.mark.parametrize("kind", ["pdf", "xlsx"])
@pytest.mark.parametrize("kept", [0.25, 0.5, 0.9])
def test_accept_refuses_truncated(path: Path, kind: str, kept: float) -> None:
    """A document that was cut short is refused, though it begins as it should."""
    data = DOCUMENTS[kind]
    write(path, data[: int(len(data) * kept)])
    with pytest.raises(NotADocumentError):
        spool.accept(path, TOKEN, kind)


def test_verify_pdf_with_leading_bytes(path: Path) -> None:
    """PDF readers take a header anywhere in the first 1,024 bytes: so do we, and no later."""
    path.write_bytes(b" " * 1000 + PDF)
    spool.verify(path, "pdf")
    path.write_bytes(b" " * 1024 + PDF)
    with pytest.raises(NotADocumentError):
        spool.verify(path, "pdf")


def test_verify_pdf_with_trailing_bytes(path: Path) -> None:
    """Some bytes after the end mark do no harm."""
    path.write_bytes(PDF + b"\n" * 1000)
    spool.verify(path, "pdf")


def test_verify_says_what_came(path: Path) -> None:
    """The error quotes the beginning of an error page, without control characters."""
    path.write_bytes(HTML.replace(b" Bad", b"\x1b\x00Bad"))
    with pytest.raises(NotADocumentError, match=r"<title>502  Bad Gateway") as caught:
        spool.verify(path, "pdf")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("before", [0, 100, 195, 199])
def test_verify_quotes_no_secret(path: Path, before: int) -> None:
    """What the error quotes is redacted whole, then cut: no half of a secret is left."""
    path.write_bytes(b"x" * before + b"canary-key" + HTML)
    with pytest.raises(NotADocumentError) as caught:
        spool.verify(path, "pdf", redact=lambda text: text.replace("canary-key", "[redacted]"))
    assert "can" not in str(caught.value)


def test_verify_empty(path: Path) -> None:
    """An empty file is called that."""
    path.write_bytes(b"")
    with pytest.raises(NotADocumentError, match="empty"):
        spool.verify(path, "pdf")


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, NotADocumentError])
def test_writing_leaves_no_part(path: Path, error: type[BaseException]) -> None:
    """A download that broke off leaves nothing behind."""
    during = []

    def break_off() -> None:
        with spool.writing(path, TOKEN) as file:
            file.write(b"half")
            during.extend(names(path))
            raise error

    with pytest.raises(error):
        break_off()
    assert during == ["name.pdf.part.token"]
    assert names(path) == []


def test_writing_is_private(path: Path) -> None:
    """Nobody else can read a document in a directory that everyone can read."""
    path.parent.chmod(0o755)
    write(path, PDF)
    spool.accept(path, TOKEN, "pdf")
    assert path.stat().st_mode & 0o777 == 0o600


def test_writing_follows_no_link(path: Path, tmp_path: Path) -> None:
    """What somebody else has put in its place is not written through."""
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    path.with_name(f"{path.name}.part.{TOKEN}").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        write(path, PDF)
    assert target.read_bytes() == b"theirs"


def test_writing_by_two_at_once(path: Path) -> None:
    """Two downloads of one document do not write into each other's file."""
    with spool.writing(path, "one") as one, spool.writing(path, "two") as two:
        one.write(PDF)
        two.write(b"half")
    spool.accept(path, "one", "pdf")
    assert path.read_bytes() == PDF


def test_discard(path: Path) -> None:
    """Discarding removes the file, and a second time does no harm."""
    path.write_bytes(PDF)
    spool.discard(path)
    spool.discard(path)
    assert names(path) == []


def test_digest(path: Path) -> None:
    """Size and SHA-256 are those of the bytes."""
    path.write_bytes(PDF)
    assert spool.digest(path) == (len(PDF), hashlib.sha256(PDF).hexdigest())


def test_ensure_room(path: Path, settings) -> None:
    """A disk with less room than a document may need is told before anything is fetched."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_DOCUMENT_BYTES": 1}
    spool.ensure_room()
    stat = os.statvfs(path.parent)
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "MAX_DOCUMENT_BYTES": stat.f_frsize * stat.f_blocks + 1
    }
    with pytest.raises(spool.SpoolError, match="SPOOL_DIR"):
        spool.ensure_room()


def test_directory_of_somebody_else(settings, tmp_path, monkeypatch) -> None:
    """The default directory is refused if others can read it: they may have made it."""
    settings.DOCRAPTOR = {"API_KEY": "k"}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert spool.directory().stat().st_mode & 0o777 == 0o700
    spool.directory().chmod(0o755)
    with pytest.raises(spool.SpoolError, match="not this user's own"):
        spool.directory()


def test_directory_that_cannot_be_made(settings, tmp_path) -> None:
    """A path that is a file is an error that says so."""
    (tmp_path / "file").write_text("")
    settings.DOCRAPTOR = {"API_KEY": "k", "SPOOL_DIR": tmp_path / "file" / "spool"}
    with pytest.raises(spool.SpoolError, match="cannot be made"):
        spool.directory()
