"""Internal. Build callback URLs, and sign and verify their tokens.

DocRaptor does not sign its callbacks, so the URL carries the proof: job and attempt, signed with
Django's signing (keys rotate through ``SECRET_KEY_FALLBACKS``). No database here.
"""

import logging
import uuid
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from django.core import signing
from django.urls import get_script_prefix, reverse

from django_docraptor.account_settings import DEFAULT_ACCOUNT, account_settings
from django_docraptor.conf import conf
from django_docraptor.exceptions import ConfigurationError

logger = logging.getLogger(__name__)

CALLBACK_SALT = "django_docraptor.callback"
# Seconds. A callback arrives within minutes; the rest allows for queues and outages.
TOKEN_MAX_AGE = 7 * 24 * 3600
TOKEN_MAX_LENGTH = 200


def _signer(salt: str) -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=salt, sep=".")


def make_token(job_id: uuid.UUID, attempt: int, *, salt: str = CALLBACK_SALT) -> str:
    """Return a signed token for one attempt of a job.

    Args:
        job_id: of the job.
        attempt: its number.
        salt: what the token is for: it is of no use for anything else.
    """
    return _signer(salt).sign(f"{job_id.hex}-{attempt}")


def read_token(
    token: str, *, salt: str = CALLBACK_SALT, max_age: float = TOKEN_MAX_AGE
) -> tuple[uuid.UUID, int] | None:
    """Return the job ID and attempt of a token.

    Args:
        token: as from `make_token`.
        salt: what it must be for.
        max_age: in seconds.

    Returns:
        ``None`` if the token is forged, expired or malformed.
    """
    if len(token) > TOKEN_MAX_LENGTH or not token.isascii():
        return None
    try:
        value = _signer(salt).unsign(token, max_age=timedelta(seconds=max_age))
        job_id, _, attempt = value.partition("-")
        return uuid.UUID(hex=job_id), int(attempt)
    except (signing.BadSignature, ValueError):
        return None


def callback_base_url(account: str) -> str:
    """Return the ``CALLBACK_BASE_URL`` of an account, or "".

    It is read where an error would cost an attempt. So one is logged, and there is no URL.
    """
    try:
        return account_settings(account).callback_base_url
    except ConfigurationError as error:
        logger.error("There is no CALLBACK_BASE_URL for the account %s: %s", account, error)
        return ""


def callback_url(job_id: uuid.UUID, attempt: int, account: str = DEFAULT_ACCOUNT) -> str:
    """Return the callback URL for an attempt.

    Returns:
        "" without ``CALLBACK_BASE_URL``: the job is only polled.
    """
    token = make_token(job_id, attempt)
    path = reverse("django_docraptor:callback", args=[token])
    return build_absolute_url(path, callback_base_url(account))


def build_absolute_url(path: str, base: str | None = None) -> str:
    """Return the absolute URL of a path on this site, or "" without ``CALLBACK_BASE_URL``.

    A path in ``CALLBACK_BASE_URL`` replaces the script prefix, which workers do not know.

    Args:
        path: on this site.
        base: an account's ``CALLBACK_BASE_URL``; ``None`` for that of all accounts.
    """
    base = (conf.callback_base_url if base is None else base).rstrip("/")
    if not base:
        return ""
    if urlsplit(base).path:
        path = "/" + path.removeprefix(get_script_prefix())
    return base + path


def path_on_this_site(url: str) -> str | None:
    """Return the path of an absolute URL, as the URLconf sees it.

    Returns:
        ``None`` if the URL is not below ``CALLBACK_BASE_URL``.
    """
    base, parts = urlsplit(conf.callback_base_url.rstrip("/")), urlsplit(url)
    is_below = (parts.path or "/").startswith(f"{base.path}/")
    if not base.netloc or parts.netloc.lower() != base.netloc.lower() or not is_below:
        return None
    return unquote((parts.path or "/").removeprefix(base.path))
