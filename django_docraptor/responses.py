"""Answers that are documents: who may have one, how it is sent, and what if it is not ready yet.

A document for a request is a job like any other. The request waits a little for its row, so a quick
one is in the first answer, and a slow one sends the reader to a waiting page. No synchronous call
is made, which could time out with its outcome, and its bill, unknown.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import content_disposition_header, url_has_allowed_host_and_scheme

from django_docraptor import registry, spool
from django_docraptor.conf import conf
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderJob
from django_docraptor.payloads import merge_options, options_to_json
from django_docraptor.shortcuts import Order, enqueue_many, render_now
from django_docraptor.states import State
from django_docraptor.storage import file_name
from django_docraptor.waiting import in_transaction, job_done

logger = logging.getLogger("django_docraptor")

CONTENT_TYPES: Final[Mapping[str, str]] = {
    "pdf": "application/pdf",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# Seconds for which a signed URL of the storage is good: enough to follow a redirect.
SIGNED_URL_EXPIRES = 60
# Seconds for which a request waits for its document.
WAIT = 20.0


class DocumentResponse(FileResponse):
    """A finished document, streamed: never cached, never sniffed, under its own name.

    Args:
        file: open for reading, at its beginning; closed when the answer has been sent.
        name: any text; the header is RFC 6266's, so it arrives whole and injects nothing.
        document_type: ``"pdf"``, ``"xlsx"`` or ``"xls"``.
        as_attachment: saved by the browser instead of shown.
    """

    def __init__(
        self, file: BinaryIO, *, name: str, document_type: str, as_attachment: bool = False
    ) -> None:
        super().__init__(
            file,
            as_attachment=as_attachment,
            filename=file_name(name, document_type),
            content_type=CONTENT_TYPES[document_type],
        )
        self["X-Content-Type-Options"] = "nosniff"
        add_never_cache_headers(self)

    @classmethod
    def now(cls, order: Order, *, as_attachment: bool = False) -> Self:
        """Make a document by one synchronous call, on disk, without a job.

        Raises what :func:`django_docraptor.shortcuts.render_now` does. A call that failed with
        ``sent`` other than ``Sent.NO`` may be on the bill: do not repeat it.

        Args:
            order: with content or url, such as ``InvoicePDF.order(invoice, snapshot=True)``.

        Raises:
            NotADocumentError: what came is no whole document.
        """
        file = tempfile.NamedTemporaryFile(dir=spool.directory(), prefix="now-")  # noqa: SIM115
        target = cast(BinaryIO, file)
        try:
            render_now(target, **{one.name: getattr(order, one.name) for one in fields(order)})
            file.flush()
            spool.verify(
                Path(file.name),
                order.document_type,
                redact=lambda text: client_for(order.account).redact(text),
            )
            file.seek(0)
        except BaseException:
            file.close()
            raise
        kind = order.document_type
        return cls(target, name=order.name, document_type=kind, as_attachment=as_attachment)


def document_response(
    request: HttpRequest,
    order: Order,
    *,
    wait: float = WAIT,
    as_attachment: bool = False,
    back: str = "",
) -> HttpResponseBase:
    """The document of an order if it is ready soon, else a redirect to its waiting page.

    The same order of the same user is made, and billed, once: its content is its key. So a page
    that is loaded again, twice or in advance costs nothing.

    Args:
        order: with ``content``, or with an ``idempotency_key`` of your own.
        wait: seconds for which to hold the request. Inside a transaction it does not wait.
        back: path of the page to return to; by default the one that the user comes from.

    Raises:
        PermissionDenied: for who is not logged in, or may not have that document; nothing was
            stored, nothing will be billed.
        ValidationError: naming the field; nothing was stored.
    """
    if not request.user.is_authenticated:
        raise PermissionDenied
    order = once(replace(order, owner=order.owner or request.user))
    # A refusal takes back what was stored, and its bell.
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        (job,) = enqueue_many([order])
        if not may_download(request, job):
            raise PermissionDenied
    job = _soon(job, wait)
    if job.state == State.COMPLETED:
        return serve(job, as_attachment=as_attachment)
    return _to_waiting_page(job, as_attachment, back or back_from(request))


def once(order: Order) -> Order:
    """The same order, with a key made of what is sent and for whom.

    Raises:
        ValidationError: what is sent is not known here (only an address, or a template that a
            worker renders), and no key says when two orders are the same.
    """
    if order.idempotency_key is not None:
        return order
    if not order.content:
        wanted = "give content, or an idempotency_key that changes when the document does."
        raise ValidationError({"idempotency_key": [f"Reloading would be billed: {wanted}"]})
    key = f"response:{_digest(order)}"
    gone = Q(public_url="") | Q(hosted_expires_at__lte=Now())
    useless = Q(state=State.CANCELLED) | (Q(state=State.COMPLETED, file="") & gone)
    given_up = RenderJob.objects.filter(useless, idempotency_key__startswith=key).count()
    return replace(order, idempotency_key=f"{key}:{given_up}")


def _digest(order: Order) -> str:
    facts = {
        "owner": str(order.owner.pk) if order.owner else None,
        "account": order.account,
        "document": order.document,
        "name": order.name,
        "type": str(order.document_type),
        "test": conf.test_mode if order.test is None else order.test,
        "options": options_to_json(merge_options(conf.defaults, order.options)),
        "content": order.content,
        "hosted": order.hosted,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _soon(job: RenderJob, wait: float) -> RenderJob:
    """The job as it stands, when it is final or the wait is over."""
    try:
        return job_done(job, timeout=0 if in_transaction() else wait)
    except (TimeoutError, RuntimeError):
        return job


def _to_waiting_page(job: RenderJob, as_attachment: bool, back: str) -> HttpResponseRedirect:
    query = {} if as_attachment else {"inline": "1"}
    query |= {"back": back} if back else {}
    path = reverse("django_docraptor:waiting", args=[job.pk])
    response = HttpResponseRedirect(f"{path}?{urlencode(query)}" if query else path)
    add_never_cache_headers(response)
    return response


def back_from(request: HttpRequest) -> str:
    """The page of this site from which the user comes; blank if there is none."""
    return on_this_site(request, request.headers.get("Referer", ""))


def on_this_site(request: HttpRequest, url: str) -> str:
    """The address if it is one of this site's, else blank."""
    good = url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return url if good else ""


def may_download(request: HttpRequest, job: RenderJob) -> bool:
    """What the job's document says; without one, its owner, or who may view jobs."""
    user = request.user
    if not user.is_authenticated or not user.is_active:
        return False
    recipe = registry.find(job.document)
    return recipe.may_download(user, job) if recipe else job.may_be_read_by(user)


def serve(job: RenderJob, *, as_attachment: bool = True) -> HttpResponseBase:
    """Redirect to a fresh signed URL where the storage makes one, else stream the file.

    A hosted document is redirected to where it is.
    """
    if not job.file and not job.is_public:
        raise Http404
    url = job.public_url if job.hosted else _signed_url(job, as_attachment=as_attachment)
    if url:
        response = HttpResponseRedirect(url)
        add_never_cache_headers(response)
        return response
    try:
        file = job.file.open("rb")
    except FileNotFoundError:
        logger.exception("Job %s: its file is gone from the storage", job.pk)
        raise Http404 from None
    return DocumentResponse(
        cast(BinaryIO, file),
        name=job.name,
        document_type=job.document_type,
        as_attachment=as_attachment,
    )


def _signed_url(job: RenderJob, *, as_attachment: bool) -> str:
    """A URL that expires; blank for a storage whose URLs would be public for ever."""
    storage = job.file.storage
    if not getattr(storage, "querystring_auth", True):  # django-storages' word for signing
        return ""
    # Its S3 storage signs nothing under a domain of one's own, unless it has CloudFront's key.
    if getattr(storage, "custom_domain", None) and not getattr(storage, "cloudfront_signer", True):
        return ""
    sign: Callable[..., str] = storage.url
    shown_as = content_disposition_header(as_attachment, file_name(job.name, job.document_type))
    told: dict[str, Any]
    for told in ({"parameters": {"ResponseContentDisposition": shown_as}}, {}):
        try:
            return sign(job.file.name, expire=SIGNED_URL_EXPIRES, **told)
        except TypeError:  # not an option of this storage
            continue
    return ""
