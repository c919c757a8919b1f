"""Internal. Hosted documents: DocRaptor keeps them, and anyone with the URL can read them.

This module creates them by one synchronous call, without a job: if the response is lost, so is the
document's URL. ``enqueue(hosted=True)`` creates one through a job, which ``expire()`` can expire.
"""

from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from django_docraptor.account_settings import DEFAULT_ACCOUNT, account_settings
from django_docraptor.conf import conf
from django_docraptor.job_specs import check_engine_options
from django_docraptor.keywords import account_errors, live_errors
from django_docraptor.lifecycle.clients import open_client
from django_docraptor.lifecycle.synchronous import create_now
from django_docraptor.payloads import DocumentRequest, merge_options
from django_docraptor.preflight import check_content


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedDocument:
    """A document that DocRaptor hosts.

    Args:
        public_url: **public** until the document expires: no login, no signature. Left out of
            ``repr()``.
        download_id: argument of `expire_hosted`; save it. Left out of ``repr()``.
        account: the account that created it.
    """

    name: str
    public_url: str = field(repr=False)
    download_id: str = field(repr=False)
    account: str
    number_of_pages: int | None


def render_hosted_now(
    *,
    name: str,
    content: str = "",
    url: str = "",
    document_type: str = "pdf",
    options: dict[str, Any] | None = None,
    test: bool | None = None,
    account: str = DEFAULT_ACCOUNT,
) -> HostedDocument:
    """Create a hosted document by one call of at most 60 s: a paid feature of DocRaptor.

    Args:
        options: DocRaptor's options. ``hosted_expires_at`` (an aware datetime) and
            ``hosted_download_limit`` limit the public URL; without them it never expires.

    Raises:
        ValidationError: a field is invalid; nothing was sent.
        AccountPausedError: the account is paused; nothing was sent.
        AccountBusyError: no slot of the account became free; nothing was sent.
        BudgetExceededError: a budget has no place left; nothing was sent.
        CallError: the call failed. Unless ``error.sent`` is ``Sent.NO``, the document may have been
            billed and be public at an unknown URL: do not simply repeat the call.
    """
    if errors := {**dict(account_errors(account)), **dict(live_errors(test, account))}:
        raise ValidationError(errors)
    settings = account_settings(account)
    request = DocumentRequest.from_options(
        name=name,
        document_type=document_type,
        content=content,
        url=url,
        test=settings.test_mode if test is None else test,
        options=merge_options(settings.defaults, options or {}),
    )
    check_engine_options(request)
    check_content(request, max_bytes=conf.max_content_bytes)
    remote = create_now(
        account,
        request,
        lambda client, tagged: client.create_hosted_doc(tagged),
        name="create_hosted_doc",
    )
    return HostedDocument(
        name=name,
        public_url=remote.download_url,
        download_id=remote.download_id,
        account=account,
        number_of_pages=remote.number_of_pages,
    )


def expire_hosted(download_id: str, *, account: str = DEFAULT_ACCOUNT) -> None:
    """Expire a hosted document now. Existing copies are not affected.

    Args:
        download_id: of the :class:`HostedDocument`.
        account: the account that created it.

    Raises:
        CallError: the document may still be public; try again if the error is retryable.
    """
    open_client(account).ask("expire", lambda client: client.expire(download_id))
