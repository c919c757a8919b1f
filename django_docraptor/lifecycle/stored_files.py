"""Internal. Files that a storage has saved: whether a row can refer to them, and their deletion.

The same for the file of a job and of a group. What is deleted with its row is in
``discarded_files``.
"""

import logging
from typing import TypeAlias

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.utils import validate_file_name

from django_docraptor import discarded_files
from django_docraptor.instrumentation import log_fields
from django_docraptor.models import RenderGroup, RenderJob
from django_docraptor.models.text import sanitize

logger = logging.getLogger(__name__)

Row: TypeAlias = RenderJob | RenderGroup
# Characters of a storage's name that an error quotes, and the error if a character is the problem.
MAX_QUOTED_NAME = 500
UNSTORABLE_NAME = "The storage returned a name that the database cannot store: {}."


def stored_name_problem(name: object, max_length: int | None = None) -> str:
    """Return why a row cannot refer to a file by the name that a storage returned, or "".

    What is stored must be found again. Django's storages neither save nor read by a name outside.

    Args:
        name: what the storage returned.
        max_length: of the column, in characters; by default that of the job's own file.
    """
    returned = ascii(name)[:MAX_QUOTED_NAME]
    if not isinstance(name, str) or not name:
        return f"The storage returned {returned} instead of the file's name."
    if _is_outside(name):
        return (
            f"The storage returned a name that is outside of its directory, or no file's: "
            f"{returned}. Its save() must return the name by which open() finds the file."
        )
    limit = max_length or RenderJob._meta.get_field("file").max_length or 0
    if len(name) > limit:
        return (
            f"The storage returned a name of {len(name)} characters, but the database has room for "
            f"{limit}: {returned}."
        )
    return "" if sanitize(name) == name else UNSTORABLE_NAME.format(returned)


def _is_outside(name: str) -> bool:
    try:
        validate_file_name(name, allow_relative_path=True)
    except SuspiciousFileOperation:
        return True
    return False


def name_to_delete(returned: object, requested: str) -> str:
    """Return the name of an unusable file: what the storage returned, if it is in its directory.

    A file without such a name is most likely under the one that was asked for.
    """
    is_own = isinstance(returned, str) and returned and not _is_outside(returned)
    return str(returned) if is_own else requested


def delete_stored(row: Row, name: str) -> None:
    """Delete a file that no row refers to. On failure an unused file remains."""
    try:
        row.file.storage.delete(name)
    except Exception:  # noqa: BLE001 - storages raise whatever their library raises
        _log(logging.ERROR, row, f"could not delete the stored file {name!r}", exc_info=True)


def delete_unless_referenced(row: Row, name: str) -> None:
    """Delete a file that the row does not have, and that no other worker is storing.

    Of a deleted or erased job, and of a group, until it is gone. The name of a job that can be
    retried may be used again, so it is not listed for deletion.
    """
    current = type(row)._base_manager.filter(pk=row.pk).first()
    if current is not None and (
        current.file.name == name or (not current.is_final and current.reserved_name == name)
    ):
        return
    _log(logging.WARNING, row, "deleting a stored file to which it does not refer")
    if isinstance(current, RenderJob) and current.erased_at is None:
        delete_stored(row, name)
    else:
        discarded_files.discard(name, row.storage)


def _log(level: int, row: Row, text: str, *, exc_info: bool = False) -> None:
    kind, extra = ("Job", log_fields(row)) if isinstance(row, RenderJob) else ("Group", {})
    logger.log(level, "%s %s: %s", kind, row.pk, text, exc_info=exc_info, extra=extra)
