"""Internal. Signed URLs of share links. No database here.

A token has only the link's ID. Whether the link still works is in its row, so that it can be
revoked. `secret_text` hides the token from tracebacks, because it gives access to a document.
"""

import uuid
from typing import Final

from django.core import signing
from django.urls import reverse

from django_docraptor.callback_urls import TOKEN_MAX_LENGTH, build_absolute_url
from django_docraptor.secret_text import SecretText

SHARE_SALT: Final = "django_docraptor.share_link"


def _signer() -> signing.Signer:
    return signing.Signer(salt=SHARE_SALT, sep=".")


def make_share_token(link_id: uuid.UUID) -> SecretText:
    """Return the token of a link: always the same one."""
    return SecretText(_signer().sign(link_id.hex))


def read_share_token(token: str) -> uuid.UUID | None:
    """Return the link's ID of a token, or ``None`` if it is forged or malformed."""
    if len(token) > TOKEN_MAX_LENGTH or not token.isascii():
        return None
    try:
        return uuid.UUID(hex=_signer().unsign(token))
    except (signing.BadSignature, ValueError):
        return None


def share_path(link_id: uuid.UUID) -> SecretText:
    """Return the path of a link's page."""
    return SecretText(reverse("django_docraptor:shared", args=[make_share_token(link_id)]))


def share_url(link_id: uuid.UUID) -> SecretText:
    """Return the absolute URL of a link's page, or "" without ``CALLBACK_BASE_URL``."""
    return SecretText(build_absolute_url(share_path(link_id)))
