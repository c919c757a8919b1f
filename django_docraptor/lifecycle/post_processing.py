"""Internal. Between download and storing: what ``Document.post_process()`` makes of the file.

The downloaded file stays in the spool, so that an error costs no second download and no bill. The
result is a file of the spool, too: nothing is held in memory.
"""

import io
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from django_docraptor import registry, spool
from django_docraptor.conf import conf
from django_docraptor.exceptions import DocRaptorError, DocumentTooLargeError, NotADocumentError
from django_docraptor.lifecycle.composition import is_passing
from django_docraptor.models import RenderJob
from django_docraptor.spool import SpoolError
from django_docraptor.states import ErrorCode

CHUNK_BYTES: Final = 1024 * 1024


class PostProcessError(DocRaptorError):
    """``post_process()`` of a document raised, or has returned what cannot be stored.

    Args:
        retryable: whether it may succeed later.
    """

    code = ErrorCode.POST_PROCESS_FAILED.value

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


def is_post_processed(job: RenderJob) -> bool:
    """Return whether the job's document class has a ``post_process()``."""
    return registry.post_processor(job.document) is not None


def post_process(job: RenderJob, path: Path) -> Path:
    """Return the file to store: the downloaded one, or another one beside it.

    Args:
        job: claimed.
        path: the downloaded document, which is not changed.

    Raises:
        PostProcessError: whatever the document class raises, or returns instead of a file.
    """
    document = registry.post_processor(job.document)
    if document is None:
        return path
    try:
        with _kept_as_it_is(path), path.open("rb") as file:
            result = document.post_process(job, file)
            if result is file:  # only looked at
                return path
            with _opened(result) as source:
                return _spool(job, path, source, is_verified=document.verify_post_processed)
    except PostProcessError:
        raise
    except (SpoolError, DocumentTooLargeError, NotADocumentError) as error:
        is_lasting = not isinstance(error, SpoolError)
        raise PostProcessError(str(error), retryable=not is_lasting) from error
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        raise PostProcessError(text, retryable=is_passing(error)) from error


@contextmanager
def _kept_as_it_is(path: Path) -> Iterator[None]:
    """Refuse to go on with a downloaded file that the block has changed: it is downloaded again.

    Raises:
        PostProcessError: another try would process what this one has left.
    """
    before = path.stat()
    try:
        yield
    finally:
        with suppress(FileNotFoundError):  # without it, it is downloaded again, too
            after = path.stat()
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                spool.discard(path)
                raise PostProcessError(
                    "post_process() has changed the file that it was given. Write to a file of "
                    "your own, and return that. A retry downloads the document again."
                )


def _opened(result: object) -> BinaryIO:
    """Return a result as a file at its beginning.

    Raises:
        PostProcessError: it is neither a path nor a file.
    """
    if isinstance(result, str | os.PathLike):
        return Path(result).open("rb")
    is_closed = getattr(result, "closed", False)
    if is_closed or not hasattr(result, "read") or isinstance(result, io.TextIOBase):
        what = f"{'a closed ' if is_closed else ''}{type(result).__name__}"
        raise PostProcessError(
            f"post_process() returned {what}, but must return a file opened for reading bytes, or "
            "the path of one."
        )
    file: BinaryIO = result  # type: ignore[assignment]
    if file.seekable():
        file.seek(0)
    return file


def _spool(job: RenderJob, path: Path, source: BinaryIO, *, is_verified: bool) -> Path:
    """Copy a result to the spool, and verify it.

    Raises:
        SpoolError: it does not fit on the disk.
        DocumentTooLargeError: it is larger than ``MAX_DOCUMENT_BYTES``.
        NotADocumentError: it is not a whole document.
        PostProcessError: it is not read as bytes.
    """
    size, limit = 0, conf.max_document_bytes
    with spool.open_processed(path, job.lease_token) as (target, result):
        while chunk := source.read(CHUNK_BYTES):
            if not isinstance(chunk, bytes):
                kind = type(chunk).__name__
                raise PostProcessError(
                    f"The file of post_process() was read as {kind}: open it for bytes."
                )
            size += len(chunk)
            if size > limit:
                raise DocumentTooLargeError(
                    f"The result of post_process() is larger than MAX_DOCUMENT_BYTES ({limit:,})."
                )
            spool.ensure_free_space(len(chunk))
            target.write(chunk)
        target.flush()
        if is_verified:
            spool.verify(result, job.document_type, origin="post_process() did not return")
        elif not size:
            raise NotADocumentError("post_process() returned an empty file.")
    return result
