"""Make and verify the token in a callback URL.

DocRaptor signs nothing, so our own URL carries the proof: a signature over job and attempt with
Django's signing, which ``SECRET_KEY_FALLBACKS`` rotates. No database here.
"""

import uuid
from urllib.parse import urlsplit

from django.core import signing
from django.urls import get_script_prefix, reverse

from django_docraptor.conf import conf

SALT = "django_docraptor.callback"
# Seconds. A callback comes within minutes; the margin is for queues and outages.
MAX_AGE = 7 * 24 * 3600
MAX_LENGTH = 200


def _signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=SALT, sep=".")


def make_token(job: uuid.UUID, attempt: int) -> str:
    """A token that only this site can make, for one attempt of one job."""
    return _signer().sign(f"{job.hex}-{attempt}")


def read_token(token: str) -> tuple[uuid.UUID, int] | None:
    """Job and attempt of a token, or ``None`` if it is forged, expired or not a token at all."""
    if len(token) > MAX_LENGTH or not token.isascii():
        return None
    try:
        job, _, attempt = _signer().unsign(token, max_age=MAX_AGE).partition("-")
        return uuid.UUID(hex=job), int(attempt)
    except (signing.BadSignature, ValueError):
        return None


def callback_url(job: uuid.UUID, attempt: int) -> str:
    """The URL to give DocRaptor; blank without ``CALLBACK_BASE_URL``, which means polling only."""
    return public_url(reverse("django_docraptor:callback", args=[make_token(job, attempt)]))


def public_url(path: str) -> str:
    """The full address of a path of this site; blank without ``CALLBACK_BASE_URL``.

    A path in ``CALLBACK_BASE_URL`` takes the place of the script prefix, which workers lack.
    """
    base = conf.callback_base_url.rstrip("/")
    if not base:
        return ""
    if urlsplit(base).path:
        path = "/" + path.removeprefix(get_script_prefix())
    return base + path
