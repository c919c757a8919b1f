"""Names of files: any text becomes one that every system accepts and the reader knows."""

import email
import re
import unicodedata
import uuid
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from django_docraptor.models import RenderJob
from django_docraptor.names import content_disposition, copy_name, file_name, storage_name

JOB = uuid.UUID("6f1c1d1e-6c5b-4a86-9f5e-0d5b1b6f9a11")
OTHER_JOB = uuid.UUID("6f1c1d1e-6c5b-4a86-9f5e-0d5b1b6f9a12")
AT = datetime(2031, 2, 3, tzinfo=UTC)
# Any text, and what is known to be odd in a name: lone surrogates are among `st.characters()`.
NAMES = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=200),
    st.text(alphabet="a./\\: \t\n\r\x00\x7f\x85\u200d\u202e\u0301\ud83d😀é\uff05pdf", max_size=200),
    st.sampled_from(["CON", "nul.pdf", "com1.2026.pdf", "LPT¹", "aux .pdf", ".pdf", "..", " . "]),
)


def is_safe(segment: str) -> bool:
    """Return whether a path segment is accepted everywhere and shows what it is."""
    stem = segment.split(".")[0].rstrip(" ").upper()
    return (
        0 < len(segment.encode()) <= 255
        and not re.search(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u202a-\u202e\u2066-\u2069]', segment)
        and segment[0] not in " .-"
        and segment[-1] not in " ."
        and not re.fullmatch("CON|PRN|AUX|NUL|CONIN\\$|CONOUT\\$|(COM|LPT)[0-9¹²³]", stem)
        and unicodedata.is_normalized("NFC", segment)
    )


# --- For readers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Faktura 2026/11/0017", "Faktura 2026-11-0017.pdf"),
        ("FV 17/11/2026.pdf", "FV 17-11-2026.pdf"),
        ("Acme & Söhne, 17 % (Kopie).pdf", "Acme & Söhne, 17 % (Kopie).pdf"),
        ("A.PDF", "A.PDF"),
        ("a.pdf.", "a.pdf"),
        ("a.pdf.xlsx", "a.pdf.xlsx.pdf"),
        ("v1.2", "v1.2.pdf"),
        ("C:\\temp\\a", "C--temp-a.pdf"),
        ("../../etc/passwd", "_-..-etc-passwd.pdf"),
        (".env", "env.pdf"),
        ("-rf", "_-rf.pdf"),
        ("CON", "_CON.pdf"),
        ("nul.2026.pdf", "_nul.2026.pdf"),
        ("Com1 .pdf", "_Com1 .pdf"),
        ("Console", "Console.pdf"),
        ("a\r\nb\tc\u2028d\u00a0e", "a b c d e.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe.pdf"),
        ("a\x00b\ud800c\ufffed", "abcd.pdf"),
        ("e\u200b\u0301", "é.pdf"),
        ("👩\u200d💻 17", "👩\u200d💻 17.pdf"),
        ("", "document.pdf"),
        (" .. ", "document.pdf"),
        (".pdf", "document.pdf"),
        ("\u200d", "document.pdf"),
    ],
)
def test_file_name_keeps_what_can_be_read(name: str, shown: str) -> None:
    """Separators become hyphens, what is invisible goes, and the extension is there once."""
    assert file_name(name, "pdf") == shown


@given(NAMES, st.sampled_from(["pdf", "xlsx", "xls"]))
def test_any_text_becomes_a_safe_file_name(name: str, document_type: str) -> None:
    """The name is one segment of at most 255 bytes, which is left as it is the next time."""
    found = file_name(name, document_type)
    assert is_safe(found), ascii(found)
    assert found.lower().endswith(f".{document_type}")
    assert file_name(found, document_type) == found


@pytest.mark.parametrize("letter", ["a", "é", "発", "😀"])
def test_long_name_is_cut_before_its_ending(letter: str) -> None:
    """No character is halved, and suffix and extension stay."""
    found = file_name(letter * 300 + ".PDF", "pdf", suffix="-12")
    assert len(found.encode()) <= 255
    assert re.fullmatch(f"{letter}+-12\\.PDF", found)
    assert len(found.encode()) > 255 - len(letter.encode())


# --- In headers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a", 'attachment; filename="a.pdf"'),
        ("FV 17/11/2026.pdf", 'attachment; filename="FV 17-11-2026.pdf"'),
        ("größe", "attachment; filename=\"gro_e.pdf\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.pdf"),
        ("17 %", "attachment; filename=\"17 _.pdf\"; filename*=UTF-8''17%20%25.pdf"),
        ("a\uff0fb", "attachment; filename=\"a-b.pdf\"; filename*=UTF-8''a%EF%BC%8Fb.pdf"),
    ],
)
def test_content_disposition_has_both_names(name: str, header: str) -> None:
    """A client that knows ASCII only has a name, too (RFC 6266)."""
    assert content_disposition(name, "pdf", as_attachment=True) == header


@given(NAMES, st.booleans())
def test_any_name_survives_the_header(name: str, as_attachment: bool) -> None:
    """A parser of headers finds the file's name, and nothing else."""
    header = content_disposition(name, "pdf", as_attachment=as_attachment)
    assert header.isascii()
    assert header.isprintable()
    kind, options = parse_options_header(header)
    assert kind == ("attachment" if as_attachment else "inline")
    assert options == {"filename": file_name(name, "pdf")}
    plain = re.search(r'filename="([^"]*)"', header)
    assert plain
    assert plain[1]
    assert unquote(plain[1]) == plain[1]


@given(NAMES)
def test_any_name_survives_an_email(name: str) -> None:
    """An attachment has the file's name, and the message no other header."""
    message = EmailMessage()
    message.set_content("Here it is.")
    shown = file_name(name, "pdf")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename=shown)
    read_back = email.message_from_bytes(message.as_bytes(), policy=policy.default)
    (attachment,) = read_back.iter_attachments()
    assert attachment.get_filename() == shown
    assert set(read_back.keys()) == {"MIME-Version", "Content-Type"}


# --- In storages -----------------------------------------------------------------------------


def test_storage_name_has_date_job_id_and_attempt() -> None:
    """The name has the year and month, the job ID and the attempt."""
    assert storage_name(JOB, 2, "pdf", AT) == f"docraptor/2031/02/{JOB.hex}-2.pdf"


def test_storage_name_differs_by_attempt() -> None:
    """Two attempts never overwrite each other's file."""
    assert storage_name(JOB, 1, "pdf", AT) != storage_name(JOB, 2, "pdf", AT)


def test_storage_name_is_plain() -> None:
    """A storage has nothing to replace in the name, so it is saved as it was reserved."""
    name = storage_name(JOB, 32767, "xlsx", AT)
    assert re.fullmatch(r"[a-z0-9/.-]+", name)
    assert len(name) < RenderJob._meta.get_field("file").max_length


def test_copy_name_has_the_job_first() -> None:
    """What makes the name unique is not at its end, where storages cut."""
    assert copy_name(JOB, "a/b/Faktura 17.pdf") == f"a/b/{JOB.hex}-Faktura 17.pdf"
    assert copy_name(JOB, "x.pdf") == f"{JOB.hex}-x.pdf"


@given(NAMES, st.integers(46, 300), st.sampled_from(["", "a/", "invoices/"]))
def test_copies_of_two_jobs_never_have_one_name(name: str, length: int, directory: str) -> None:
    """Not even if everything that follows the ID is cut by a storage."""
    path = directory + file_name(name, "pdf")
    first, second = copy_name(JOB, path, length), copy_name(OTHER_JOB, path, length)
    for found in (first, second):
        assert len(found) <= length
        assert found.startswith(directory)
        assert found.lower().endswith(".pdf")
        assert len(Path(found).name.encode()) <= 255
    assert first != second
    assert len(set(map(len, (first, second)))) == 1


@pytest.mark.parametrize(
    "path", ["a/" + "x" * 300, "a/b." + "x" * 300, "a\\b\\c.pdf", "a/\ud800.pdf"]
)
def test_copy_name_accepts_what_a_project_returns(path: str) -> None:
    """`upload_to` may be a function, which returns any name."""
    found = copy_name(JOB, path)
    assert len(Path(found).name.encode(errors="ignore")) <= 255
    assert JOB.hex in found.split("/")[-1]


def test_copy_name_that_does_not_fit_is_refused() -> None:
    """Rather than a name that another job may have, there is an error with the remedy."""
    with pytest.raises(ValueError, match="max_length"):
        copy_name(JOB, "invoices/a.pdf", 40)
