"""Internal. Build callback URLs, and sign and verify their tokens.

DocRaptor does not sign its callbacks, so the URL carries the proof: job and attempt, signed with
Django's signing (keys rotate through ``SECRET_KEY_FALLBACKS``). No database here.
"""

import uuid
from urllib.parse import urlsplit

from django.core import signing
from django.urls import get_script_prefix, reverse

from django_docraptor.conf import conf

CALLBACK_SALT = "django_docraptor.callback"
# Seconds. A callback arrives within minutes; the rest allows for queues and outages.
TOKEN_MAX_AGE = 7 * 24 * 3600
TOKEN_MAX_LENGTH = 200


def _signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=CALLBACK_SALT, sep=".")


def make_token(job_id: uuid.UUID, attempt: int) -> str:
    """Return a signed token for one attempt of a job."""
    return _signer().sign(f"{job_id.hex}-{attempt}")


def read_token(token: str) -> tuple[uuid.UUID, int] | None:
    """Return the job ID and attempt of a token.

    Returns:
        ``None`` if the token is forged, expired or malformed.
    """
    if len(token) > TOKEN_MAX_LENGTH or not token.isascii():
        return None
    try:
        job_id, _, attempt = _signer().unsign(token, max_age=TOKEN_MAX_AGE).partition("-")
        return uuid.UUID(hex=job_id), int(attempt)
    except (signing.BadSignature, ValueError):
        return None


def callback_url(job_id: uuid.UUID, attempt: int) -> str:
    """Return the callback URL for an attempt.

    Returns:
        "" without ``CALLBACK_BASE_URL``: the job is only polled.
    """
    token = make_token(job_id, attempt)
    return build_absolute_url(reverse("django_docraptor:callback", args=[token]))


def build_absolute_url(path: str) -> str:
    """Return the absolute URL of a path on this site, or "" without ``CALLBACK_BASE_URL``.

    A path in ``CALLBACK_BASE_URL`` replaces the script prefix, which workers do not know.
    """
    base = conf.callback_base_url.rstrip("/")
    if not base:
        return ""
    if urlsplit(base).path:
        path = "/" + path.removeprefix(get_script_prefix())
    return base + path
