"""Finished documents and e-mail: attach one, link to one, tell the owner.

Nothing here happens by itself: a project connects `notify_owner` to the signals it wants.
"""

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.cache import cache
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation

from django_docraptor.callbacks import public_url
from django_docraptor.exceptions import ConfigurationError, DocRaptorError
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.responses import CONTENT_TYPES
from django_docraptor.states import State
from django_docraptor.storage import file_name

MEBIBYTE: Final = 1024 * 1024
# Most mail servers refuse more than 20 to 25 MB, and an attachment grows by a third on its way.
MAX_ATTACHMENT: Final = 10 * MEBIBYTE
# Seconds for which it is remembered that a mail was sent.
REMEMBERED: Final = 7 * 24 * 3600
# States that the owner is told of; their templates begin with the state's name.
TOLD: Final = (State.COMPLETED, State.FAILED)


class AttachmentError(DocRaptorError):
    """A document cannot be attached: it is not finished, gone, or too large."""

    code = "not_attachable"


def attach(message: EmailMessage, job: RenderJob, *, max_bytes: int = MAX_ATTACHMENT) -> None:
    """Attach a finished document to a message, under its own name.

    Raises:
        AttachmentError: it is not completed, its file is gone, or it is larger than ``max_bytes``;
            the message is as it was.
    """
    if job.hosted:
        raise AttachmentError(f"Job {job.pk} is hosted, without a file here: send public_url.")
    if job.state != State.COMPLETED or not job.file:
        raise AttachmentError(f"Job {job.pk} is {job.state}: only a completed one has a document.")
    content = _read(job, max_bytes)
    message.attach(_name_of(job), content, CONTENT_TYPES[job.document_type])


def _name_of(job: RenderJob) -> str:
    """The file's name in one line: a line break would end the attachment's header."""
    name = " ".join(file_name(job.name, job.document_type).split())
    return "".join(letter for letter in name if letter.isprintable())


def _read(job: RenderJob, max_bytes: int) -> bytes:
    try:
        with job.file.open("rb") as file:
            content: bytes = file.read(max_bytes + 1)
    except FileNotFoundError:
        message = f"Job {job.pk}: its file is gone from the storage."
        raise AttachmentError(message) from None
    if len(content) > max_bytes:
        raise AttachmentError(
            f"Job {job.pk}: the document has more than the {max_bytes:,} bytes allowed for an "
            "attachment: send download_link(job), or raise max_bytes."
        )
    return content


def download_link(job: RenderJob) -> str:
    """The full address at which whoever may read the document logs in and gets it.

    It is the waiting page's, so it may be sent before the document is finished. Made of
    ``CALLBACK_BASE_URL``, never of a request's Host header, which its sender chooses.

    Raises:
        ConfigurationError: there is no ``CALLBACK_BASE_URL``.
    """
    url = public_url(reverse("django_docraptor:waiting", args=[job.pk]))
    if not url:
        raise ConfigurationError(
            "An address for an e-mail needs DOCRAPTOR['CALLBACK_BASE_URL']: set it to the public "
            "address of this site."
        )
    return url


def notify_owner(sender: object, job: RenderJob, **kwargs: Any) -> None:
    """A receiver: mail the owner that the document is ready, or could not be made.

    Connect it to ``document_completed``, ``document_failed`` or both. A job without an owner, or
    an owner without an address or an account that is active, gets none. At least once: a signal
    may come twice, and then the second mail is held back as long as the cache remembers the first;
    should it not, both have the same ``Message-ID``, by which many mail servers drop one.
    """
    owner = job.owner
    if owner is None or not owner.is_active or not _email_of(owner) or job.state not in TOLD:
        return
    mark = f"django_docraptor.mail:{job.pk}:{job.attempt}:{job.state}"
    if cache.get(mark):
        return
    message_for(job, owner).send()
    cache.set(mark, True, REMEMBERED)


def message_for(job: RenderJob, owner: AbstractBaseUser) -> EmailMultiAlternatives:
    """The message to an owner, in the language and time zone in which the job was ordered."""
    stored = RenderInput.objects.filter(pk=job.pk).only("language", "time_zone").first()
    language = (stored.language if stored else "") or settings.LANGUAGE_CODE
    zone = timezone.override((stored.time_zone if stored else "") or None)
    with translation.override(language), zone:
        return _compose(job, owner)


def _compose(job: RenderJob, owner: AbstractBaseUser) -> EmailMultiAlternatives:
    context = {"job": job, "owner": owner, "link": download_link(job)}
    start = f"django_docraptor/mail/{job.state}"
    message = EmailMultiAlternatives(
        subject=" ".join(render_to_string(f"{start}_subject.txt", context).split()),
        body=render_to_string(f"{start}.txt", context),
        to=[_email_of(owner)],
        headers={"Message-ID": _message_id(job)},
    )
    message.attach_alternative(render_to_string(f"{start}.html", context), "text/html")
    return message


def _message_id(job: RenderJob) -> str:
    """The same for the same news."""
    host = urlsplit(download_link(job)).hostname
    return f"<{job.pk}.{job.attempt}.{job.state}@{host}>"


def _email_of(owner: AbstractBaseUser) -> str:
    return str(getattr(owner, owner.get_email_field_name(), "") or "")
