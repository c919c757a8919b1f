"""Send documents by e-mail: attach one, link to one, notify the owner.

Nothing is automatic: connect `notify_owner` to the signals you want. An e-mail to the owner that
fails is sent again later, as other follow-ups of a job are.
"""

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from django_docraptor.caching import read_cache, write_cache
from django_docraptor.callback_urls import build_absolute_url, callback_base_url
from django_docraptor.documents.follow_ups import FollowUp
from django_docraptor.exceptions import ConfigurationError, DocRaptorError
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.names import file_name
from django_docraptor.responses import CONTENT_TYPES
from django_docraptor.responses.permissions import user_may_download
from django_docraptor.signals import mail_due
from django_docraptor.states import EventKind, State
from django_docraptor.time_zones import text_to_zone

__all__ = ["AttachmentError", "attach", "build_message", "document_url", "notify_owner"]

MEBIBYTE: Final = 1024 * 1024
# Most mail servers reject messages above 20 to 25 MB, and Base64 adds a third.
MAX_ATTACHMENT_BYTES: Final = 10 * MEBIBYTE
# How long a sent mail is remembered.
SENT_CACHE_SECONDS: Final = 7 * 24 * 3600
# States that trigger a mail; template names begin with the state.
NOTIFIED_STATES: Final = (State.COMPLETED, State.FAILED)
FOLLOW_UP: Final = FollowUp(lambda job: "the e-mail to the owner", EventKind.MAIL_FAILED)


class AttachmentError(DocRaptorError):
    """A document cannot be attached: it is unfinished, missing or too large."""

    code = "not_attachable"


def attach(message: EmailMessage, job: RenderJob, *, max_bytes: int = MAX_ATTACHMENT_BYTES) -> None:
    """Attach a finished document to a message, under its own name.

    Args:
        message: the message to attach it to.
        job: a completed job.
        max_bytes: maximum size of the document.

    Raises:
        AttachmentError: the job is not completed, its file is missing, or it is larger than
            ``max_bytes``; the message is unchanged.
    """
    if job.hosted:
        raise AttachmentError(
            f"Job {job.pk} is hosted and has no file to attach. Send job.public_url instead."
        )
    if job.state != State.COMPLETED or not job.file:
        raise AttachmentError(f"Job {job.pk} is {job.state}; only a completed job has a document.")
    content = _read(job, max_bytes)
    name = file_name(job.name, job.document_type)
    message.attach(name, content, CONTENT_TYPES[job.document_type])


def _read(job: RenderJob, max_bytes: int) -> bytes:
    try:
        with job.file.open("rb") as file:
            content: bytes = file.read(max_bytes + 1)
    except FileNotFoundError:
        message = f"Job {job.pk}: the file is missing from the storage."
        raise AttachmentError(message) from None
    if len(content) > max_bytes:
        raise AttachmentError(
            f"Job {job.pk}: the document exceeds the attachment limit of {max_bytes:,} bytes. Send "
            "document_url(job) instead, or raise max_bytes."
        )
    return content


def document_url(job: RenderJob) -> str:
    """Return the absolute URL of the status page, where users log in and download the document.

    It may be sent before the document is finished. It is built from ``CALLBACK_BASE_URL``, because
    a request's Host header is untrusted.

    Raises:
        ConfigurationError: there is no ``CALLBACK_BASE_URL``.
    """
    path = reverse("django_docraptor:status", args=[job.pk])
    url = build_absolute_url(path, callback_base_url(job.account))
    if not url:
        raise ConfigurationError(
            "Links in e-mails require DOCRAPTOR['CALLBACK_BASE_URL']. Set it to this site's public "
            "URL."
        )
    return url


def notify_owner(sender: object, job: RenderJob, *, language: str = "", **kwargs: Any) -> None:
    """Mail the owner that the document is ready or has failed: a signal receiver.

    Connect it to ``document_completed``, ``document_failed`` or both. No mail is sent if the job
    has no owner, or the owner is inactive, has no e-mail address or may not download the document.
    A mail that fails, such as while the mail server is down, is sent again later, for ``RETRY_FOR``
    at most; nothing is raised. Delivery is at least once: the cache suppresses a second mail for a
    repeated signal; if it forgets or fails, both mails have the same ``Message-ID``, so many mail
    servers drop one.

    Args:
        sender: of the signal.
        job: the job.
        language: code of the owner's language, if your project knows it; by default the language
            in which the document was requested.
        kwargs: what else the signal sends.
    """
    FOLLOW_UP.attempt(job, lambda: _notify(job, language), language=language)


def _repeat(sender: object, job: RenderJob, **kwargs: Any) -> None:
    """Send the mail again that failed last; after a retry of the job, another one will follow."""
    failure = FOLLOW_UP.failures_of(job).last()
    if failure is not None:
        notify_owner(sender, job, language=failure.detail.get("language", ""))


mail_due.connect(_repeat, dispatch_uid="django_docraptor.mail")


def _notify(job: RenderJob, language: str) -> None:
    """Send the mail, unless it was sent or there is no one to send it to."""
    owner = job.owner
    if (
        owner is None
        or not owner.is_active
        or not _email_address(owner)
        or job.state not in NOTIFIED_STATES
        or not user_may_download(owner, job)
    ):
        return
    cache_key = f"django_docraptor.mail:{job.pk}:{job.attempt}:{job.state}"
    if read_cache(cache_key):
        return
    build_message(job, owner, language=language).send()
    # The mail is sent: an error here would send it again.
    write_cache(cache_key, True, SENT_CACHE_SECONDS)


def build_message(
    job: RenderJob, owner: AbstractBaseUser, *, language: str = ""
) -> EmailMultiAlternatives:
    """Return the message to the owner, in the job's time zone.

    Args:
        job: the job.
        owner: its owner.
        language: a language code; by default the language in which the document was requested.
    """
    stored = RenderInput.objects.filter(pk=job.pk).only("language", "time_zone").first()
    language = language or (stored.language if stored else "") or settings.LANGUAGE_CODE
    zone = text_to_zone(stored.time_zone) if stored and stored.time_zone else None
    with translation.override(language), timezone.override(zone):
        return _compose(job, owner)


def _compose(job: RenderJob, owner: AbstractBaseUser) -> EmailMultiAlternatives:
    explanation = job.explanation
    context = {
        "job": job,
        "owner": owner,
        "link": document_url(job),
        "reason": explanation.for_customers if explanation else "",
        "reference": job.reference,
    }
    template_prefix = f"django_docraptor/mail/{job.state}"
    message = EmailMultiAlternatives(
        subject=" ".join(render_to_string(f"{template_prefix}_subject.txt", context).split()),
        body=render_to_string(f"{template_prefix}.txt", context),
        to=[_email_address(owner)],
        headers={"Message-ID": _message_id(job)},
    )
    message.attach_alternative(render_to_string(f"{template_prefix}.html", context), "text/html")
    return message


def _message_id(job: RenderJob) -> str:
    """Return a stable Message-ID, so that mail servers drop duplicates."""
    host = urlsplit(document_url(job)).hostname
    return f"<{job.pk}.{job.attempt}.{job.state}@{host}>"


def _email_address(owner: AbstractBaseUser) -> str:
    return str(getattr(owner, owner.get_email_field_name(), "") or "")
