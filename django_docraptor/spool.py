"""A document on its way into the storage: on local disk, whole, checked and synced.

A file is written as ``.part`` and renamed only after it was verified, so a spool file under its
final name is always a document, and a storage that fails costs no second download.

What a killed worker leaves, or a job that was given up, is removed when it is old.
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

CHUNK = 64 * 1024
# A PDF's header lies within its first 1,024 bytes, its end mark near its last ones.
HEAD, TAIL = 1024, 2048
# Characters that an error quotes.
EXCERPT = 200
OLE = bytes.fromhex("D0CF11E0")
# Seconds for which half a download stays that nobody writes, and a document that nobody stores.
HALF_KEPT, WHOLE_KEPT = 24 * 3600, 30 * 24 * 3600
# Seconds between two sweeps of a process.
SWEEP_EVERY = 3600
# The directory may hold what is not ours.
OURS = re.compile(r"[0-9a-f]{32}-\d+\.(pdf|xlsx?)(\.bad|(?P<half>\.part\.\w+))?|(?P<now>now-\w+)")
_swept: dict[Path, float] = {}


class SpoolError(DocRaptorError):
    """The spool directory cannot be used, or has no room for a document."""

    code = "spool"


def directory() -> Path:
    """The spool directory, made for this user's eyes only.

    Raises:
        SpoolError: it cannot be made; or it is the default one, below a directory that all users
            share, and somebody else has made it.
    """
    path = conf.spool_path
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise SpoolError(f"The spool directory cannot be made: {error}") from error
    if not conf.spool_dir and (found.st_uid != os.getuid() or found.st_mode & 0o077):
        raise SpoolError(
            f"The spool directory {path} is not this user's own: remove it, or set "
            "DOCRAPTOR['SPOOL_DIR']."
        )
    return path


def path_for(name: str) -> Path:
    """Where the file of a storage name is spooled."""
    return directory() / Path(name).name


def ensure_room() -> None:
    """Raises SpoolError before a download is spent that would not fit."""
    free = shutil.disk_usage(directory()).free
    if free < conf.max_document_bytes:
        raise SpoolError(
            f"The spool directory has {free:,} bytes free, less than MAX_DOCUMENT_BYTES "
            f"({conf.max_document_bytes:,}): free space, or set DOCRAPTOR['SPOOL_DIR']."
        )


@contextmanager
def writing(path: Path, token: str) -> Iterator[BinaryIO]:
    """A file to download into; it is gone if the block raises."""
    part = _part(path, token)
    try:
        with open(part, "wb", opener=_open_private) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _open_private(path: str, flags: int) -> int:
    """For this user's eyes only, whatever the directory's mode, and never by a link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def accept(
    path: Path, token: str, document_type: str, *, redact: Callable[[str], str] = str
) -> None:
    """Verify what was written and give it its final name. Arguments as `verify`.

    Raises:
        NotADocumentError: it is none; the bytes are kept beside it as ``.bad``.
    """
    part = _part(path, token)
    try:
        verify(part, document_type, redact=redact)
    except NotADocumentError as error:
        part.replace(_bad(path))
        raise NotADocumentError(f"{error} It is kept in the spool as .bad.") from None
    part.replace(path)


def sweep() -> None:
    """Remove what nobody has touched for long, on this machine; does so once an hour.

    Raises:
        SpoolError: as `directory`.
    """
    now = time.time()
    if now < _swept.get(conf.spool_path, 0.0) + SWEEP_EVERY:
        return
    folder = directory()
    _swept[folder] = now
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = OURS.fullmatch(entry.name)
            if found is None:
                continue
            kept = HALF_KEPT if found["half"] or found["now"] else WHOLE_KEPT
            with suppress(OSError):
                if now - entry.stat(follow_symlinks=False).st_mtime > kept:
                    os.unlink(entry)


def clear(names: Iterable[str]) -> None:
    """Remove what is left here of the files of these storage names, as far as that can be done."""
    if not conf.spool_path.is_dir():  # else it would be made, and not be a worker's own
        return
    with suppress(SpoolError):
        folder = directory()
        paths = [folder / Path(name).name for name in names]
        for left in (*paths, *map(_bad, paths)):
            with suppress(OSError):
                discard(left)


def discard(path: Path) -> None:
    """Remove a spooled file that is no longer needed."""
    path.unlink(missing_ok=True)


def _part(path: Path, token: str) -> Path:
    return path.with_name(f"{path.name}.part.{token}")


def _bad(path: Path) -> Path:
    return path.with_name(f"{path.name}.bad")


def digest(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file, in bounded memory."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, sha256


def verify(path: Path, document_type: str, *, redact: Callable[[str], str] = str) -> None:
    """See whether a file is such a document.

    Args:
        redact: takes secrets out of what the error quotes.

    Raises:
        NotADocumentError: it is not; says what came instead.
    """
    if not path.stat().st_size:
        raise NotADocumentError("DocRaptor sent an empty file.")
    if not CHECKS[document_type](path):
        raise NotADocumentError(
            f"What DocRaptor sent is no whole {document_type.upper()} document "
            f"({path.stat().st_size:,} bytes). It begins with “{_excerpt(path, redact)}”."
        )


def _ends(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(max(0, path.stat().st_size - TAIL))
        return head, file.read(TAIL)


def _is_pdf(path: Path) -> bool:
    head, tail = _ends(path)
    return b"%PDF-" in head and b"%%EOF" in tail


def _is_xlsx(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # of several disks: some versions of Python raise it here
        return False


def _is_xls(path: Path) -> bool:
    return _ends(path)[0].startswith(OLE)


CHECKS: dict[str, Callable[[Path], bool]] = {"pdf": _is_pdf, "xlsx": _is_xlsx, "xls": _is_xls}


def _excerpt(path: Path, redact: Callable[[str], str]) -> str:
    # Redacted before it is cut: half a secret would not be found.
    head = redact(_ends(path)[0].decode("utf-8", "replace"))[:EXCERPT]
    return "".join(letter if letter.isprintable() else " " for letter in head)
