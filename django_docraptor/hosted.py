"""Hosted documents: DocRaptor keeps them, and whoever has the address may read them.

Here by one synchronous call, without a job: nothing of ours finds it again if the answer is lost.
``shortcuts.enqueue(hosted=True)`` makes one by a job, which `shortcuts.expire` ends.
"""

from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from django_docraptor.conf import conf
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.payloads import DocumentRequest, merge_options
from django_docraptor.preflight import check_content


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedDocument:
    """A document at DocRaptor.

    Args:
        public_url: **public**: no login, no signature, until it expires. Not shown by ``repr``.
        download_id: what `expire` takes. Keep it. Not shown by ``repr``.
        account: whose document it is.
    """

    name: str
    public_url: str = field(repr=False)
    download_id: str = field(repr=False)
    account: str
    number_of_pages: int | None


def host_now(
    *,
    name: str,
    content: str = "",
    url: str = "",
    document_type: str = "pdf",
    options: dict[str, Any] | None = None,
    test: bool | None = None,
    account: str = "default",
) -> HostedDocument:
    """Make a document that DocRaptor hosts, by one call of at most 60 s. A paid feature there.

    Args:
        options: ``hosted_expires_at`` (an aware time) and ``hosted_download_limit`` say when the
            public address ends; without them it does not.

    Raises:
        ValidationError: naming the field; nothing was sent.
        CallError: the call failed. Unless ``sent`` is ``Sent.NO`` it may be on the bill, and
            public at an address that nobody knows: do not repeat it blindly.
    """
    request = DocumentRequest.from_options(
        name=name,
        document_type=document_type,
        content=content,
        url=url,
        test=conf.test_mode if test is None else test,
        options=merge_options(conf.defaults, options or {}),
    )
    if request.callback_url:
        raise ValidationError({"callback_url": ["A synchronous document never calls back."]})
    check_content(request, max_bytes=conf.max_content_bytes)
    remote = client_for(account).create_hosted_doc(request)
    return HostedDocument(
        name=name,
        public_url=remote.download_url,
        download_id=remote.download_id,
        account=account,
        number_of_pages=remote.number_of_pages,
    )


def expire(download_id: str, *, account: str = "default") -> None:
    """End a hosted document now. Copies that somebody has made are out of reach.

    Raises:
        CallError: it may still be public; a retryable one is worth another call.
    """
    client_for(account).expire(download_id)
