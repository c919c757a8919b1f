"""Internal. Make one file of the documents of a group: a ZIP, or a PDF with all pages.

In bounded memory: a block of a file for a ZIP; for a PDF, some 25 KB for each document, whatever
its size. Everything else is in the spool directory. Knows no states.
"""

import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from django_docraptor import spool
from django_docraptor.archives import BLOCK_SIZE, MISSING_NAME, missing_text, new_entry
from django_docraptor.exceptions import DocRaptorError
from django_docraptor.models import RenderGroup, RenderJob

# Documents that are read from the database at once.
BATCH_SIZE: Final = 50
# Numbers in the names of temporary files: of all pages without bookmarks, and of the first copy of
# a document. The group's own file has the revision.
JOINED, FIRST_COPY = 10**9, 2 * 10**9


class MergeError(DocRaptorError):
    """A document can never be part of the file."""

    code = "merge"


class ClaimLostError(DocRaptorError):
    """Another process has the group, or what was to be merged has changed."""

    code = "claim_lost"


# Called after each document: raises ClaimLostError if the work is not wanted any more.
GoOn = Callable[[], None]


def write_zip(
    group: RenderGroup, keys: Sequence[Any], missing: list[str], target: Path, go_on: GoOn
) -> None:
    """Write the files of jobs to a ZIP, each under a name of its own.

    Args:
        group: of the jobs.
        keys: of the jobs, in order.
        missing: lines about the documents that are not in it.
        target: of the file.
        go_on: called after each document.
    """
    names: set[str] = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for job in read_jobs(group, keys):
            with job.file.open("rb") as file, archive.open(new_entry(job, names), "w") as entry:
                shutil.copyfileobj(file, entry, BLOCK_SIZE)
            go_on()
        if missing:
            archive.writestr(MISSING_NAME, missing_text(missing))


def write_pdf(group: RenderGroup, keys: Sequence[Any], target: Path, go_on: GoOn) -> None:
    """Write the pages of the jobs' PDFs to one, with a bookmark for each document.

    Arguments as for :func:`write_zip`.

    Raises:
        MergeError: one of them is encrypted, or cannot be read.
    """
    bookmarks: list[tuple[str, int]] = []
    page_count = 0
    with ExitStack() as stack:
        copies = []
        for number, job in enumerate(read_jobs(group, keys)):
            path = stack.enter_context(_scratch(group, FIRST_COPY + number))
            with path.open("wb") as copy, job.file.open("rb") as file:
                shutil.copyfileobj(file, copy, BLOCK_SIZE)
            bookmarks.append((job.name, page_count))
            page_count += _count_pages(job, path)
            copies.append(path)
            go_on()
        joined = stack.enter_context(_scratch(group, JOINED))
        _join(copies, joined)
        _add_bookmarks(joined, target, bookmarks)


def read_jobs(group: RenderGroup, keys: Sequence[Any]) -> Iterator[RenderJob]:
    """Yield the jobs of a group in the order of their keys, a batch at a time.

    Raises:
        ClaimLostError: one was deleted or erased meanwhile.
    """
    for start in range(0, len(keys), BATCH_SIZE):
        batch = keys[start : start + BATCH_SIZE]
        found = {job.pk: job for job in group.jobs.filter(pk__in=batch)}
        for key in batch:
            if key not in found or not found[key].file:
                raise ClaimLostError("A document was deleted while the file was made.")
            yield found[key]


def called(job: RenderJob) -> str:
    """Return how a message names a document."""
    return f"“{job.name}” ({job.reference})"


def _scratch(group: RenderGroup, number: int) -> Any:
    return spool.scratch_file(f"{group.pk.hex}-{number}.pdf", group.lease_token)


def _count_pages(job: RenderJob, path: Path) -> int:
    """Return the number of pages of the copy of a document.

    Raises:
        MergeError: it is encrypted or cannot be read.
    """
    import pikepdf

    try:
        with pikepdf.Pdf.open(path, access_mode=pikepdf.AccessMode.stream) as pdf:
            if pdf.is_encrypted:  # merged, its restrictions would be lost
                raise MergeError(f"{called(job)} is encrypted, so it cannot be merged.")
            return len(pdf.pages)
    except pikepdf.PasswordError:
        raise MergeError(f"{called(job)} needs a password, so it cannot be merged.") from None
    except pikepdf.PdfError as error:
        reason = _without_paths(error, path)
        raise MergeError(f"{called(job)} cannot be read as a PDF: {reason}.") from None


def _join(copies: list[Path], target: Path) -> None:
    """Write all pages to one file, by qpdf itself: `Pdf.pages` would load each page's content.

    Raises:
        MergeError: qpdf refuses.
    """
    import pikepdf

    pages = [text for path in copies for text in (str(path), "1-z")]
    try:
        pikepdf.Job(["qpdf", "--empty", "--pages", *pages, "--", str(target)]).run()
    except pikepdf.PdfError as error:
        reason = _without_paths(error, *copies, target)
        raise MergeError(f"The documents cannot be merged: {reason}.") from None


def _add_bookmarks(source: Path, target: Path, bookmarks: list[tuple[str, int]]) -> None:
    import pikepdf

    with pikepdf.Pdf.open(source, access_mode=pikepdf.AccessMode.stream) as pdf:
        with pdf.open_outline() as outline:
            outline.root.extend(pikepdf.OutlineItem(name, page) for name, page in bookmarks)
        pdf.save(target)


def _without_paths(error: Exception, *paths: Path) -> str:
    """Return what an error says, without the places of temporary files."""
    text = str(error)
    for path in paths:
        text = text.replace(str(path), "")
    return text.strip(" :.")
