"""Internal. Serve a finished document: streamed, or by a redirect to an expiring URL."""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final, Self, cast

from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.utils.cache import add_never_cache_headers

from django_docraptor import spool
from django_docraptor.docraptor_api import DocumentType
from django_docraptor.instrumentation import log_fields
from django_docraptor.job_specs import JobSpec
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.models import RenderGroup, RenderJob
from django_docraptor.names import content_disposition
from django_docraptor.responses.download_records import record_download
from django_docraptor.responses.streaming import BlockwiseResponse
from django_docraptor.shortcuts import describe_actor, render_spec
from django_docraptor.storage import signed_url

logger = logging.getLogger(__name__)

CONTENT_TYPES: Final[Mapping[str, str]] = {
    "pdf": "application/pdf",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
}
# Lifetime of a signed storage URL: enough to follow a redirect.
SIGNED_URL_SECONDS = 60


class DocumentResponse(BlockwiseResponse, FileResponse):
    """Stream a finished document under its name, without caching or content sniffing.

    Under ASGI, too, no more than a block of it is in memory: Django itself would read the whole
    file before it sends the first byte.

    Args:
        file: open for reading, positioned at its start; closed after the response.
        name: any text; encoded as in RFC 6266.
        document_type: ``"pdf"``, ``"xlsx"`` or ``"xls"``.
        as_attachment: whether the browser saves the file instead of showing it.
    """

    # Bytes read, and sent, at once. Under ASGI each read is a change of threads.
    block_size = 64 * 1024

    def __init__(
        self, file: BinaryIO, *, name: str, document_type: str, as_attachment: bool = False
    ) -> None:
        super().__init__(file, content_type=CONTENT_TYPES[document_type])
        self["Content-Disposition"] = content_disposition(
            name, document_type, as_attachment=as_attachment
        )
        self["X-Content-Type-Options"] = "nosniff"
        add_never_cache_headers(self)

    @classmethod
    def render_now(cls, spec: JobSpec, *, as_attachment: bool = False) -> Self:
        """Generate a document with one synchronous call, without a job, through a temporary file.

        Raises what :func:`django_docraptor.render_now` does. A call that failed with
        ``sent`` other than ``Sent.NO`` may have been billed: do not repeat it.

        Args:
            spec: with content or url, such as ``InvoicePDF.spec(invoice, snapshot=True)``.
            as_attachment: whether the browser saves the file instead of showing it.

        Raises:
            NotADocumentError: the response is not a complete document.
        """
        file = tempfile.NamedTemporaryFile(dir=spool.get_directory(), prefix="now-")  # noqa: SIM115
        target = cast(BinaryIO, file)
        document_type = spec.document_type
        try:
            saved = render_spec(target, spec)
            file.flush()
            spool.verify(
                Path(file.name),
                document_type,
                content_type=saved.content_type,
                redact=lambda text: client_for(spec.account).redact(text),
            )
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return cls(target, name=spec.name, document_type=document_type, as_attachment=as_attachment)


def download_response(
    request: HttpRequest, job: RenderJob, *, as_attachment: bool = True
) -> HttpResponseBase:
    """Send a job's file as `file_response` does, and record who downloads it.

    Args:
        request: of a user who may download the document.
        job: a completed job.
        as_attachment: whether the browser saves the file instead of showing it.

    Raises:
        Http404: the job has no file, or the storage has lost it.
    """
    response = file_response(job, as_attachment=as_attachment)
    if gives_document(request, response):
        record_download(job, by=describe_actor(request.user), as_attachment=as_attachment)
    return response


def is_viewable(job: RenderJob) -> bool:
    """Return whether a browser shows the job's file itself: a PDF that is stored here."""
    return job.document_type == DocumentType.PDF and not job.hosted


def gives_document(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Return whether a client gets a document by a response of `file_response`.

    A HEAD request gets no file, but it does get the URL of a redirect.
    """
    return request.method != "HEAD" or response.has_header("Location")


def file_response(job: RenderJob, *, as_attachment: bool = True) -> HttpResponseBase:
    """Redirect to a new signed URL if the storage supports it, or else stream the file.

    Hosted documents redirect to their public URL.

    Raises:
        Http404: the job has no file, or the storage has lost it.
    """
    if job.is_public:
        return _redirect(job.public_url)
    return stored_file_response(job, as_attachment=as_attachment)


def stored_file_response(
    job: RenderJob | RenderGroup, *, as_attachment: bool = True
) -> HttpResponseBase:
    """Return the stored file of a job or a group, as `file_response` does.

    Raises:
        Http404: it has no file, or the storage has lost it.
    """
    if not job.file:
        raise Http404
    if url := _signed_url(job, as_attachment=as_attachment):
        return _redirect(url)
    try:
        file = job.file.open("rb")
    except FileNotFoundError:
        what = type(job).__name__
        fields = log_fields(job) if isinstance(job, RenderJob) else None
        logger.exception("%s %s: the file is missing from the storage", what, job.pk, extra=fields)
        raise Http404 from None
    return DocumentResponse(
        cast(BinaryIO, file),
        name=job.name,
        document_type=job.document_type,
        as_attachment=as_attachment,
    )


def _redirect(url: str) -> HttpResponseRedirect:
    response = HttpResponseRedirect(url)
    add_never_cache_headers(response)
    return response


def _signed_url(job: RenderJob | RenderGroup, *, as_attachment: bool) -> str:
    """Return an expiring URL under which the file has its name; blank if there is none."""
    disposition = content_disposition(job.name, job.document_type, as_attachment=as_attachment)
    return signed_url(
        job.file.storage, str(job.file.name), disposition=disposition, seconds=SIGNED_URL_SECONDS
    )
