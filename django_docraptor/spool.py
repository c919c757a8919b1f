"""Internal. Keep downloaded documents on local disk until the storage has them.

A file is written as ``.part``, synced to disk, and renamed after it was verified. So a file under
its final name is always a complete document, and a failing storage costs no second download.

Files of killed workers and failed jobs are removed when they are old.
"""

import hashlib
import io
import os
import re
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from django_docraptor.conf import conf
from django_docraptor.exceptions import DocRaptorError, NotADocumentError

# A PDF's header is within the first 1,024 bytes, and its end marker near the end.
HEAD_BYTES, TAIL_BYTES = 1024, 2048
# The end of a PDF: where its last cross-reference table or stream begins. Bytes after the marker
# are what remains of an incremental update that was cut.
PDF_END = re.compile(rb"startxref\s+(\d{1,15})\s+%%EOF[\s\x00]*\Z")
XREF_TABLE, XREF_STREAM = re.compile(rb"\s*xref\s"), re.compile(rb"\s*\d+\s+\d+\s+obj\b")
# A cross-reference stream names its type within this many bytes.
XREF_BYTES = 64 * 1024
# What may precede the first tag of a page: a byte order mark, and whitespace.
PAGE_PADDING = b"\xef\xbb\xbf \t\r\n"
# Media types of pages and of error messages.
PAGE_TYPES = frozenset(
    {"text/html", "application/xhtml+xml", "application/json", "application/xml", "text/xml"}
)
# Characters of the file that an error message quotes.
EXCERPT_LENGTH = 200
ZIP_SIGNATURE = b"PK"
OLE_SIGNATURE = bytes.fromhex("D0CF11E0")
# What is no text in a file that was decoded as UTF-8, and the share of it in a binary file.
BINARY = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ufffd]")
MAX_BINARY_SHARE = 0.1
# What an error message says instead of quoting bytes, by the file's signature.
BINARY_KINDS = {
    ZIP_SIGNATURE + b"\x03\x04": "a ZIP archive, as an XLSX file is",
    ZIP_SIGNATURE + b"\x05\x06": "an empty ZIP archive",
    OLE_SIGNATURE: "an OLE file, as an XLS file is",
    b"\x1f\x8b": "gzip data",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
}
# Seconds after which an abandoned partial download, and an unstored document, is removed.
PARTIAL_MAX_AGE, DOCUMENT_MAX_AGE = 24 * 3600, 30 * 24 * 3600
# Minimum seconds between two cleanups in a process.
CLEANUP_INTERVAL = 3600
# Free space in bytes that a download needs before its size is known.
RESERVE_BYTES = 1024 * 1024
# Other files in the directory are left alone.
SPOOL_FILE_NAME = re.compile(
    r"(?P<job>[0-9a-f]{32})-\d+\.(pdf|xlsx?|zip)(\.bad|(?P<partial>\.part\.\w+))?|(?P<temporary>now-\w+)"
)
_last_cleanup: dict[Path, float] = {}


class SpoolError(DocRaptorError):
    """The spool directory cannot be used, or lacks the space for a document."""

    code = "spool"


def get_directory() -> Path:
    """Return the spool directory; create it with access for this user only.

    Raises:
        SpoolError: it cannot be created; or it is the default one, in the shared temporary
            directory, and belongs to another user or is accessible to others.
    """
    path = conf.spool_path
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        stat = path.lstat()
    except OSError as error:
        raise SpoolError(f"The spool directory cannot be created: {error}") from error
    if not conf.spool_dir and (stat.st_uid != os.getuid() or stat.st_mode & 0o077):
        raise SpoolError(
            f"The spool directory {path} belongs to another user or is accessible to others: "
            "remove it, or set DOCRAPTOR['SPOOL_DIR']."
        )
    return path


def path_for(name: str) -> Path:
    """Return the spool path for a storage name."""
    return get_directory() / Path(name).name


def ensure_free_space(size: int | None = None) -> None:
    """Check that a document fits on the spool's disk.

    Args:
        size: its size in bytes; ``None`` if it is not known yet.

    Raises:
        SpoolError: it does not fit.
    """
    needed = RESERVE_BYTES if size is None else size
    free = shutil.disk_usage(get_directory()).free
    if free < needed:
        raise SpoolError(
            f"The spool directory has only {free:,} bytes free, but the document needs "
            f"{needed:,}: free up space, or set DOCRAPTOR['SPOOL_DIR'] to a larger disk."
        )


class PartialFile(io.BufferedWriter):
    """A partial file. The client tells it the size of the document, before the first byte."""

    def announce(self, size: int) -> None:
        """Check that a document of this size fits.

        Raises:
            SpoolError: it does not.
        """
        ensure_free_space(size)


@contextmanager
def open_partial(path: Path, token: str) -> Iterator[BinaryIO]:
    """Open a partial file to download into; delete it if the block raises."""
    partial = _partial_path(path, token)
    try:
        with PartialFile(io.FileIO(partial, "wb", opener=_open_private)) as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def open_processed(path: Path, token: str) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a file for what is made of a downloaded one; delete it if the block raises.

    It is removed as a partial download is, if its worker is killed.
    """
    token = f"{token}_processed"
    with open_partial(path, token) as file:
        yield file, _partial_path(path, token)


@contextmanager
def scratch_file(name: str, token: str) -> Iterator[Path]:
    """Yield the path of a new, empty file, which is deleted after the block.

    Args:
        name: as a storage name, which tells whose it is.
        token: of this claim.
    """
    path = _partial_path(path_for(name), token)
    try:
        os.close(_open_private(os.fspath(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        yield path
    finally:
        path.unlink(missing_ok=True)


def _open_private(path: str, flags: int) -> int:
    """Open for this user only, whatever the directory's mode; follow no symbolic link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def finalize(
    path: Path,
    token: str,
    document_type: str,
    *,
    content_type: str = "",
    redact: Callable[[str], str] = str,
) -> None:
    """Verify a partial file and give it its final name. Arguments as for `verify`.

    Raises:
        NotADocumentError: it is not a complete document; it is kept as ``.bad``.
    """
    partial = _partial_path(path, token)
    try:
        verify(partial, document_type, content_type=content_type, redact=redact)
    except NotADocumentError as error:
        partial.replace(_rejected_path(path))
        raise NotADocumentError(
            f"{error} The file is kept in the spool directory as .bad."
        ) from None
    partial.replace(path)


def remove_stale() -> bool:
    """Remove old files from this machine's spool directory, at most once an hour.

    Returns:
        Whether the hour was over.

    Raises:
        SpoolError: see `get_directory`.
    """
    now = time.time()
    if now < _last_cleanup.get(conf.spool_path, 0.0) + CLEANUP_INTERVAL:
        return False
    directory = get_directory()
    _last_cleanup[directory] = now
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = SPOOL_FILE_NAME.fullmatch(entry.name)
            if match is None:
                continue
            is_partial = match["partial"] or match["temporary"]
            max_age = PARTIAL_MAX_AGE if is_partial else DOCUMENT_MAX_AGE
            with suppress(OSError):
                if now - entry.stat(follow_symlinks=False).st_mtime > max_age:
                    os.unlink(entry)
    return True


def job_ids() -> set[uuid.UUID]:
    """Return the IDs of the jobs that have files in this machine's spool directory."""
    return {job_id for job_id, _path in _job_files()}


def remove_jobs(job_ids: Collection[uuid.UUID]) -> int:
    """Remove all of the jobs' files from this machine's spool directory, also unfinished ones.

    Returns:
        The number of files that were there.
    """
    paths = [path for job_id, path in _job_files() if job_id in job_ids]
    for path in paths:
        with suppress(OSError):
            discard(path)
    return len(paths)


def _job_files() -> list[tuple[uuid.UUID, Path]]:
    """Return the files of jobs, each with the job's ID."""
    if not conf.spool_path.is_dir():
        return []
    with suppress(OSError):
        matches = (
            (SPOOL_FILE_NAME.fullmatch(path.name), path) for path in conf.spool_path.iterdir()
        )
        return [
            (uuid.UUID(match["job"]), path) for match, path in matches if match and match["job"]
        ]
    return []


def remove(names: Iterable[str]) -> None:
    """Remove this machine's spool files for the given storage names, as far as possible."""
    if not conf.spool_path.is_dir():  # do not create it: it would not belong to the worker
        return
    with suppress(SpoolError):
        directory = get_directory()
        paths = [directory / Path(name).name for name in names]
        for path in (*paths, *map(_rejected_path, paths)):
            with suppress(OSError):
                discard(path)


def discard(path: Path) -> None:
    """Delete a spool file that is no longer needed."""
    path.unlink(missing_ok=True)


def _partial_path(path: Path, token: str) -> Path:
    return path.with_name(f"{path.name}.part.{token}")


def _rejected_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.bad")


def size_and_sha256(path: Path) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 of a file, in bounded memory."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, sha256


def verify(
    path: Path,
    document_type: str,
    *,
    content_type: str = "",
    redact: Callable[[str], str] = str,
    origin: str = "DocRaptor did not send",
) -> None:
    """Check that a file is a complete document of the given type.

    Args:
        path: the file.
        document_type: ``pdf``, ``xls`` or ``xlsx``.
        content_type: the ``Content-Type`` of the response, if it had one.
        redact: removes secrets from the quoted excerpt.
        origin: where it comes from, as the beginning of a message.

    Raises:
        NotADocumentError: it is not; the message says why, and quotes its beginning.
    """
    if not path.stat().st_size:
        raise NotADocumentError(f"{origin} a document: the file is empty.")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in PAGE_TYPES:
        problem = f"its content type is {media_type}"
    else:
        problem = FIND_PROBLEM_BY_TYPE[document_type](path)
    if problem:
        raise NotADocumentError(
            f"{origin} a complete {document_type.upper()} document: {problem}. The "
            f"file has {path.stat().st_size:,} bytes {_describe_start(path, redact)}."
        )


def _read_head_and_tail(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return head, file.read(TAIL_BYTES)


def _pdf_problem(path: Path) -> str:
    """Return why a file is not a whole PDF, or an empty string."""
    head, tail = _read_head_and_tail(path)
    start = head.find(b"%PDF-")
    if start < 0:
        return "it has no PDF header"
    if head[:start].lstrip(PAGE_PADDING).startswith(b"<"):
        return "it is a page that contains a PDF header"
    end = PDF_END.search(tail)
    if end is None:
        return "it does not end with “startxref”, an offset and “%%EOF”, so it was cut"
    # Readers accept bytes before the header, and count from there or from the file's beginning.
    if not any(_has_xref(path, int(end[1]) + shift) for shift in {0, start}):
        return "its end does not refer to a cross-reference table, so it is damaged"
    return ""


def _has_xref(path: Path, offset: int) -> bool:
    """Return whether a cross-reference table or stream of a PDF begins at the offset."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(XREF_BYTES)
    is_stream = XREF_STREAM.match(data) and b"/XRef" in data
    return bool(is_stream or XREF_TABLE.match(data))


def _xlsx_problem(path: Path) -> str:
    try:
        is_whole = zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # multi-disk archive: some Python versions raise here
        is_whole = False
    if not _read_head_and_tail(path)[0].startswith(ZIP_SIGNATURE):
        return "it has no ZIP header"
    return "" if is_whole else "it is not a whole ZIP archive"


def _xls_problem(path: Path) -> str:
    head = _read_head_and_tail(path)[0]
    return "" if head.startswith(OLE_SIGNATURE) else "it has no OLE header"


FIND_PROBLEM_BY_TYPE: dict[str, Callable[[Path], str]] = {
    "pdf": _pdf_problem,
    "xlsx": _xlsx_problem,
    "xls": _xls_problem,
}


def _describe_start(path: Path, redact: Callable[[str], str]) -> str:
    """Return with what text a file begins, or what kind of binary data it is: no bytes."""
    head = _read_head_and_tail(path)[0]
    kind = next(
        (kind for signature, kind in BINARY_KINDS.items() if head.startswith(signature)), ""
    )
    if kind:
        return f"and is {kind}"
    # Redact before truncating: a truncated secret would not be recognized.
    text = redact(_leading_text(head))[:EXCERPT_LENGTH]
    return f"and begins with “{text}”" if text else "and begins with binary data"


def _leading_text(head: bytes) -> str:
    """Return the text of a file's beginning on one line; of a binary file, what precedes the rest.

    A page has at most a few characters of another encoding, which become spaces.
    """
    text = head.decode("utf-8", "replace")
    if len(BINARY.findall(text)) > MAX_BINARY_SHARE * len(text):
        text = BINARY.split(text, maxsplit=1)[0]
    return "".join(char if char.isprintable() else " " for char in text).strip()
