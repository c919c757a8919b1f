"""Internal. Names of files in a ZIP of documents: for the admin's download and for groups."""

import zipfile
from typing import Final

from django.utils import timezone

from django_docraptor.models import RenderJob
from django_docraptor.names import file_name

# The file in a ZIP that names the documents that are not in it.
MISSING_NAME: Final = "MISSING.txt"
# Bytes that are read and written at once.
BLOCK_SIZE: Final = 64 * 1024


def new_entry(job: RenderJob, names: set[str]) -> zipfile.ZipInfo:
    """Return the entry of a job's file, whose name no other has, in any case of letters.

    Args:
        job: completed, with a file.
        names: those of the other entries, with case folded; the new one is added.
    """
    name, number = file_name(job.name, job.document_type), 1
    while name.casefold() in names:
        number += 1
        name = file_name(job.name, job.document_type, suffix=f"-{number}")
    names.add(name.casefold())
    entry = zipfile.ZipInfo(name, timezone.localtime(job.finished_at).timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    entry.file_size = job.file_size or 0  # tells whether it needs the format of large files
    return entry


def missing_text(lines: list[str]) -> str:
    """Return the text of the file that names what is missing."""
    return "\n".join([*lines, ""])
