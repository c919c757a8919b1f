"""Internal. Names of files: for readers, for storages, and for the headers of HTTP and e-mail.

A document's name is text for people, such as ``Faktura 2026/11/0017``. Every name of a file is
made from it here. Nothing that can be read is dropped.
"""

import posixpath
import re
import unicodedata
import uuid
from datetime import datetime
from typing import Final
from urllib.parse import quote

#: What file systems and object storages allow for one segment of a path.
MAX_SEGMENT_BYTES: Final = 255
#: The first segment of the names of jobs' files.
STORAGE_PREFIX: Final = "docraptor"

# Separators of path segments, and what Windows forbids; each becomes a hyphen.
_FORBIDDEN: Final = re.compile(r'[/\\:*?"<>|]')
# Zero-width joiners are part of emoji and of Persian words, other format characters are invisible
# and can reverse the order of what is shown ("gpj.exe").
_JOINERS: Final = "\u200c\u200d"
_DROPPED_CATEGORIES: Final = ("Cc", "Cf", "Cs")
# Windows' names of devices, whatever follows the first dot.
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\ *(?:\.|\Z)",
    re.IGNORECASE,
)
# Of a name that has nothing else.
_FALLBACK: Final = "document"
# What is longer after the last dot is no extension.
_MAX_EXTENSION_BYTES: Final = 20
# What RFC 5987 allows unquoted.
_ATTR_CHARS: Final = "!#$&+-.^_`|~"


def file_name(
    name: str, document_type: str, *, suffix: str = "", max_bytes: int = MAX_SEGMENT_BYTES
) -> str:
    """Return the name of a document's file, for a reader, a directory or an attachment.

    It is one path segment on every system: no separators, control characters or reserved names. A
    slash becomes a hyphen. Too long a name is cut before the suffix and the extension.

    Args:
        name: any text.
        document_type: appended as the extension, unless the name has it in any case.
        suffix: put before the extension, such as ``"-2"``.
        max_bytes: maximum length in UTF-8.
    """
    stem, extension = _split(_clean(name), document_type)
    room = max_bytes - len(f"{suffix}{extension}".encode())
    return f"{_cut(stem, room)}{suffix}{extension}"


def _split(name: str, document_type: str) -> tuple[str, str]:
    """Return a name's stem, which is not blank, and its extension."""
    extension = f".{document_type}"
    stem = name
    if name.lower().endswith(extension.lower()):
        stem, extension = name[: -len(extension)], name[-len(extension) :]
    stem = stem.lstrip(f" .{_JOINERS}")
    if stem.startswith("-") or _DEVICE.match(stem):  # an option, or a device
        stem = f"_{stem}"
    return stem or _FALLBACK, extension


def _clean(name: str) -> str:
    """Return the name on one line, without what is invisible or forbidden in a path segment."""
    visible = "".join(letter for letter in name if letter.isspace() or not _is_dropped(letter))
    one_line = " ".join(visible.split()).rstrip(f" .{_JOINERS}")
    return unicodedata.normalize("NFC", _FORBIDDEN.sub("-", one_line))


def _is_dropped(letter: str) -> bool:
    code = ord(letter)
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    is_format = unicodedata.category(letter) in _DROPPED_CATEGORIES and letter not in _JOINERS
    return is_format or is_noncharacter


def _cut(text: str, max_bytes: int) -> str:
    """Return as much of the text as fits, in whole characters."""
    encoded = text.encode(errors="ignore")
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max(0, max_bytes)].decode(errors="ignore").rstrip(f" .{_JOINERS}")


def storage_name(job_id: uuid.UUID, attempt: int, extension: str, created_at: datetime) -> str:
    """Return the storage name of an attempt's file.

    It is the same on every retry and contains no user input. The name can be derived from the
    job's ID: the storage itself must be private.
    """
    return f"{STORAGE_PREFIX}/{created_at:%Y/%m}/{job_id.hex}-{attempt}.{extension}"


def copy_name(job_id: uuid.UUID, path: str, max_length: int | None = None) -> str:
    """Return the storage name of a job's copy: ``path`` with the job's ID before its last segment.

    Storages shorten a name at its end, and some overwrite a file of the same name. What makes the
    name unique therefore stands first, and the name is cut here to fit.

    Args:
        path: where the copy would be saved without the ID.
        max_length: of the column, in characters.

    Raises:
        ValueError: the column has no room for the directory, the ID and the extension.
    """
    directory, segment = posixpath.split(path.replace("\\", "/"))
    stem, extension = posixpath.splitext(segment)
    if len(extension.encode(errors="ignore")) > _MAX_EXTENSION_BYTES:
        stem, extension = segment, ""
    start = posixpath.join(directory, job_id.hex)
    stem = _cut(stem, MAX_SEGMENT_BYTES - len(f"{job_id.hex}-{extension}".encode()))
    if max_length is not None:
        left = max_length - len(start) - len(extension)
        if left < 0:
            raise ValueError(
                f"The file field has room for {max_length} characters, but a copy's name needs "
                f"{max_length - left}: {start}{extension}. Raise the field's max_length, or "
                "shorten its upload_to."
            )
        stem = stem[: max(0, left - 1)]
    return f"{start}-{stem}{extension}" if stem else f"{start}{extension}"


def content_disposition(name: str, document_type: str, *, as_attachment: bool) -> str:
    """Return the Content-Disposition header (RFC 6266) of a document.

    It has the file name in ASCII and, if that is not the whole name, in UTF-8, too.

    Args:
        name: any text.
        document_type: the extension.
        as_attachment: whether the browser saves the file instead of showing it.
    """
    full = file_name(name, document_type)
    plain = _in_ascii(full)
    header = f'{"attachment" if as_attachment else "inline"}; filename="{plain}"'
    return header if plain == full else f"{header}; filename*=UTF-8''{quote(full, _ATTR_CHARS)}"


def _in_ascii(name: str) -> str:
    """Return the name without accents; other letters become underscores.

    So does a percent sign, which some browsers decode.
    """
    letters = unicodedata.normalize("NFKD", name)
    base = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub("[^ !#$&-~]", "_", _FORBIDDEN.sub("-", base)).lstrip(" .")
