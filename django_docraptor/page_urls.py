"""Internal. Pages of this site that DocRaptor fetches: signed URLs that work for a short time.

A job stores the path of its page. The URL is signed when a create call is composed, for one
attempt, and is in no row; `views.document_page` accepts it. No database here.
"""

import re
import uuid
from typing import Final
from urllib.parse import unquote, urlsplit

from django.http import QueryDict
from django.urls import get_script_prefix
from django.utils.encoding import iri_to_uri

from django_docraptor.callback_urls import build_absolute_url, make_token, read_token
from django_docraptor.secret_text import SecretText

PAGE_SALT: Final = "django_docraptor.page"
# The query parameter with the token.
PARAMETER: Final = "docraptor_token"

# No host, fragment, backslash or white space: each would make another URL of it.
_PATH: Final = re.compile(r"/(?!/)[^\s\\#\x00-\x1f\x7f]*")


def is_page(url: str) -> bool:
    """Return whether a document's ``url`` is the path of a page of this site."""
    return url.startswith("/")


def page_error(url: str) -> str:
    """Return why a path cannot be the page of a document, or ""."""
    if not _PATH.fullmatch(url):
        return (
            f"url {url[:120]!r} is not a path of this site: it must begin with one slash, without "
            "a fragment, backslash or white space. For another site, use an absolute URL."
        )
    if PARAMETER in QueryDict(urlsplit(url).query):
        return f"url must not contain the parameter {PARAMETER}: the engine adds it."
    if not build_absolute_url("/"):
        return (
            "url is a page of this site, whose public address is not known. Set "
            "DOCRAPTOR['CALLBACK_BASE_URL'] to it."
        )
    return ""


def to_stored_path(url: str) -> str:
    """Return a page's path as a job stores it: escaped, without the prefix of this process."""
    return "/" + iri_to_uri(url).removeprefix(get_script_prefix())


def unsigned_url(path: str) -> str:
    """Return the absolute URL of a stored path, as far as it is the same for every attempt."""
    return build_absolute_url(get_script_prefix() + path.removeprefix("/"))


def signed_url(path: str, job_id: uuid.UUID, attempt: int) -> SecretText:
    """Return the URL with which an attempt of a job may fetch its page."""
    url = unsigned_url(path)
    separator = "&" if urlsplit(url).query else "?"
    token = SecretText(make_token(job_id, attempt, salt=PAGE_SALT))
    return SecretText(f"{url.rstrip('?')}{separator}{PARAMETER}={token}")


def read_page_token(token: str, *, max_age: float) -> tuple[uuid.UUID, int] | None:
    """Return the job ID and attempt of a page's token; ``None`` if it is forged or expired.

    Args:
        token: as from the URL.
        max_age: in seconds.
    """
    return read_token(token, salt=PAGE_SALT, max_age=max_age)


def is_same_page(path: str, *, path_info: str, query: QueryDict) -> bool:
    """Return whether a request is for the page of a stored path, however it is escaped.

    Args:
        path: as stored.
        path_info: the request's, decoded.
        query: the request's, without the token.
    """
    parts = urlsplit(path)
    stored_query = QueryDict(parts.query)
    return unquote(parts.path) == path_info and dict(stored_query.lists()) == dict(query.lists())
