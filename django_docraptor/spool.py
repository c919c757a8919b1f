"""Internal. Keep downloaded documents on local disk until the storage has them.

A file is written as ``.part``, synced to disk, and renamed after it was verified. So a file under
its final name is always a complete document, and a failing storage costs no second download.

Files of killed workers and failed jobs are removed when they are old.
"""

import hashlib
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from django_docraptor.conf import conf
from django_docraptor.exceptions import DocRaptorError, NotADocumentError

# A PDF's header is within the first 1,024 bytes, and its end marker near the end.
HEAD_BYTES, TAIL_BYTES = 1024, 2048
# Characters of the file that an error message quotes.
EXCERPT_LENGTH = 200
OLE_SIGNATURE = bytes.fromhex("D0CF11E0")
# Seconds after which an abandoned partial download, and an unstored document, is removed.
PARTIAL_MAX_AGE, DOCUMENT_MAX_AGE = 24 * 3600, 30 * 24 * 3600
# Minimum seconds between two cleanups in a process.
CLEANUP_INTERVAL = 3600
# Other files in the directory are left alone.
SPOOL_FILE_NAME = re.compile(
    r"[0-9a-f]{32}-\d+\.(pdf|xlsx?)(\.bad|(?P<partial>\.part\.\w+))?|(?P<temporary>now-\w+)"
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


def ensure_free_space() -> None:
    """Check the free space before a download is used up.

    Raises:
        SpoolError: a document of the maximum size might not fit.
    """
    free = shutil.disk_usage(get_directory()).free
    if free < conf.max_document_bytes:
        raise SpoolError(
            f"The spool directory has only {free:,} bytes free, less than MAX_DOCUMENT_BYTES "
            f"({conf.max_document_bytes:,}): free up space, or set DOCRAPTOR['SPOOL_DIR'] to a "
            "larger disk."
        )


@contextmanager
def open_partial(path: Path, token: str) -> Iterator[BinaryIO]:
    """Open a partial file to download into; delete it if the block raises."""
    partial = _partial_path(path, token)
    try:
        with open(partial, "wb", opener=_open_private) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _open_private(path: str, flags: int) -> int:
    """Open for this user only, whatever the directory's mode; follow no symbolic link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def finalize(
    path: Path, token: str, document_type: str, *, redact: Callable[[str], str] = str
) -> None:
    """Verify a partial file and give it its final name. Arguments as for `verify`.

    Raises:
        NotADocumentError: it is not a complete document; it is kept as ``.bad``.
    """
    partial = _partial_path(path, token)
    try:
        verify(partial, document_type, redact=redact)
    except NotADocumentError as error:
        partial.replace(_rejected_path(path))
        raise NotADocumentError(
            f"{error} The file is kept in the spool directory as .bad."
        ) from None
    partial.replace(path)


def remove_stale() -> None:
    """Remove old files from this machine's spool directory, at most once an hour.

    Raises:
        SpoolError: see `get_directory`.
    """
    now = time.time()
    if now < _last_cleanup.get(conf.spool_path, 0.0) + CLEANUP_INTERVAL:
        return
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


def verify(path: Path, document_type: str, *, redact: Callable[[str], str] = str) -> None:
    """Check that a file is a complete document of the given type.

    Args:
        path: the file.
        document_type: ``pdf``, ``xls`` or ``xlsx``.
        redact: removes secrets from the quoted excerpt.

    Raises:
        NotADocumentError: it is not; the message quotes its beginning.
    """
    if not path.stat().st_size:
        raise NotADocumentError("DocRaptor sent an empty file.")
    if not IS_VALID_BY_TYPE[document_type](path):
        raise NotADocumentError(
            f"DocRaptor did not send a complete {document_type.upper()} document. The file has "
            f"{path.stat().st_size:,} bytes and begins with “{_excerpt(path, redact)}”."
        )


def _read_head_and_tail(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return head, file.read(TAIL_BYTES)


def _is_pdf(path: Path) -> bool:
    head, tail = _read_head_and_tail(path)
    return b"%PDF-" in head and b"%%EOF" in tail


def _is_xlsx(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # multi-disk archive: some Python versions raise here
        return False


def _is_xls(path: Path) -> bool:
    return _read_head_and_tail(path)[0].startswith(OLE_SIGNATURE)


IS_VALID_BY_TYPE: dict[str, Callable[[Path], bool]] = {
    "pdf": _is_pdf,
    "xlsx": _is_xlsx,
    "xls": _is_xls,
}


def _excerpt(path: Path, redact: Callable[[str], str]) -> str:
    # Redact before truncating: a truncated secret would not be recognized.
    head = redact(_read_head_and_tail(path)[0].decode("utf-8", "replace"))[:EXCERPT_LENGTH]
    return "".join(char if char.isprintable() else " " for char in head)
