"""Internal. Turn failures into errors.

Knows which exceptions and status codes mean "not sent", "rejected" or "unknown", parses DocRaptor's
error bodies, and redacts secrets. Makes no calls.
"""

import base64
import html
import json
import re
import ssl
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import quote, quote_plus, urlsplit

import requests
import urllib3.exceptions

from django_docraptor.client.parsing import is_not_accepted, parse_time
from django_docraptor.client.servers import (
    is_loopback,
    other_site_hint,
    sandbox_hint,
    server_of,
)
from django_docraptor.exceptions import (
    CallError,
    ForbiddenError,
    NotFoundError,
    NotSentError,
    RateLimitError,
    RejectedError,
    ResponseError,
    Sent,
    ServerError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from django_docraptor.secret_text import SecretText

MAX_EXCERPT: Final = 2_000
# A day: what a maintenance may announce.
MAX_RETRY_AFTER: Final = 86_400.0
# What requests calls "missing dependencies", with the remedy.
NO_SOCKS: Final = (
    "DOCRAPTOR['PROXIES'] names a SOCKS proxy, but the package PySocks is not installed. Install "
    "it (pip install 'requests[socks]'), and restart the workers"
)
REDACTED: Final = "[redacted]"

# A download ID is a bearer secret, like its URL: anyone who has it can download the document.
DOWNLOAD_ID: Final = re.compile(r"(/(?:download|expire)/)[^/?#\s\"'<>&]+")
# A token of this site, in the URL of a page, a callback (`callback_urls`) or a share link
# (`share_urls`), by its form: its characters are the same in every encoding.
TOKEN: Final = re.compile(
    r"[0-9a-f]{32}(?:-[0-9]{1,5}\.[0-9A-Za-z]{1,12}\.[0-9A-Za-z_-]{20,}|\.[0-9A-Za-z_-]{43})"
)

# Not documented by DocRaptor. By HTTP's definition the request was not processed: it did not arrive
# completely in time (408), it reached a server that does not serve the host (421), or the server
# does not risk a replayed request (425).
NOT_PROCESSED: Final = frozenset({408, 421, 425})
# The request is too large: a fact, also in the words of a proxy.
TOO_LARGE: Final = 413
# Status codes with which DocRaptor rejects a create. Any other one without its structure comes from
# something in front of it, such as a router's plain "404 page not found".
REJECTIONS: Final = frozenset({400, 422})

_HTML: Final = re.compile(r"<(?:!doctype html|html|head|title|body|h1)\b", re.IGNORECASE)

# Raised before the first byte of the request is sent. In urllib3, NewConnectionError and
# NameResolutionError are ConnectTimeoutErrors. InvalidHeader is not included: a response can cause
# it, too.
_BEFORE_SENDING: Final = (
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.LocationValueError,
    ssl.SSLCertVerificationError,
    requests.exceptions.ConnectTimeout,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Removes secrets from text, in every encoding in which they are sent."""

    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def for_key(cls, key: SecretText) -> Self:
        """Return a redactor for an API key: plain, quoted, escaped and as basic authentication."""
        basic = SecretText(base64.b64encode(f"{key}:".encode()).decode())
        url_safe = SecretText(base64.urlsafe_b64encode(f"{key}:".encode()).decode())
        forms = map(  # an iterator, which shows no text
            SecretText,
            [
                *(key, quote(key, safe=""), quote_plus(key), html.escape(key)),
                *(json.dumps(key)[1:-1], basic, basic.rstrip("="), quote_plus(basic)),
                *(url_safe, url_safe.rstrip("=")),
            ],
        )
        return cls(tuple(sorted({*forms} - {""}, key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, REDACTED)
        return TOKEN.sub(REDACTED, DOWNLOAD_ID.sub(rf"\1{REDACTED}", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedResponse:
    """An error response, as far as it could be read.

    Fields that may contain secrets are hidden from ``repr``.
    """

    status: int
    headers: Any = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def request_id(self) -> str:
        """DocRaptor's ``X-Request-Id``."""
        return str(self.headers.get("X-Request-Id", ""))[:200]

    @property
    def text(self) -> str:
        """The body as text; it may not be UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return self.body.decode("latin-1")

    @property
    def retry_after(self) -> float | None:
        """Seconds from ``Retry-After``, at most one day; ``None`` if absent."""
        return _parse_retry_after(str(self.headers.get("Retry-After", "")).strip())


def network_error(
    failure: BaseException, *, url: str, is_create: bool, redact: Redactor
) -> CallError:
    """Return the error for a call without a response: certainly not sent, or unknown.

    Based on urllib3's exception classes ("fairly sure that the server did not receive the
    request") and measurements of every case. A TLS handshake that the read timeout ends looks like
    a missing response and counts as unknown.
    """
    chain = list(_exception_chain(failure))
    cause = _describe(chain)
    if any(isinstance(error, requests.exceptions.InvalidSchema) for error in chain):
        cause = NO_SOCKS if "SOCKS" in cause else cause
    if _was_not_sent(chain, url):
        hint = f" {sandbox_hint(url)}" if _is_refused(chain) and is_loopback(url) else ""
        text = f"The request to {server_of(url)} was not sent: {cause}.{hint}"
        return NotSentError(redact(text))
    return UnknownOutcomeError(redact(f"{_no_response(url, is_create=is_create)}: {cause}."))


def overdue_error(reason: str, *, url: str, is_sent: bool, is_create: bool) -> CallError:
    """Return the error for a call that its time limit ended before there was a response.

    Args:
        reason: what had not happened in time.
        url: of the call.
        is_sent: the connection was established, so that something may have been sent.
        is_create: the call may be billed.
    """
    if not is_sent:
        return NotSentError(f"The request to {server_of(url)} was not sent: {reason}.")
    return UnknownOutcomeError(f"{_no_response(url, is_create=is_create)}: {reason}.")


def unusable_error(
    reason: str, *, url: str, status: int, request_id: str, is_create: bool, redact: Redactor
) -> CallError:
    """Return the error for a successful response whose body was lost, truncated or not understood.

    A create with a success status has been accepted, even if its ID is unknown.
    """
    return UnknownOutcomeError(
        redact(f"The response of {server_of(url)} cannot be used: {reason}."),
        status=status,
        request_id=redact(request_id[:200]),
        sent=Sent.YES if is_create else Sent.MAYBE,
    )


def describe(failure: BaseException) -> str:
    """Describe the innermost exception, which has the cause; the outer ones repeat the URL."""
    return _describe(list(_exception_chain(failure)))


def without_frames(failure: BaseException) -> BaseException:
    """Forget the frames of an exception and of those it follows; a note says where it was raised.

    The frames of HTTP libraries have the request's headers in their variables.
    """
    frames = traceback.extract_tb(failure.__traceback__)
    if frames:
        failure.add_note(f"Raised in {frames[-1].filename}, line {frames[-1].lineno}")
    seen: list[BaseException] = []
    error: BaseException | None = failure
    while error is not None and error not in seen:
        seen.append(error.with_traceback(None))
        error = error.__cause__ or error.__context__
    return failure


def _describe(chain: list[BaseException]) -> str:
    return f"{type(chain[-1]).__name__}: {chain[-1]}".rstrip(".")


def response_error(
    response: FailedResponse, *, url: str, is_create: bool, redact: Redactor
) -> CallError:
    """Return the error for an error response. One that is not DocRaptor's names the server.

    Only DocRaptor's own refusal, in XML or JSON, is final; the page of a CDN, firewall or proxy
    says nothing about the document. On a create, 403 also means "too many simultaneous requests"
    (DocRaptor: 30 by default). A 5xx on a create does not tell whether it was accepted.
    """
    text = response.text
    messages = _error_messages(text)
    is_own = is_own_error(text)
    error_class, options = _error_class(
        response.status, is_create=is_create, is_own=is_own, is_page=_is_page(text)
    )
    if is_own and is_not_accepted(messages):
        options = {"retryable": True} | ({"sent": Sent.NO} if is_create else {})
    if not is_own:
        messages = [_foreign_message(response, messages, url)]
    return error_class(
        redact("\n".join(messages)),
        status=response.status,
        request_id=redact(response.request_id),
        retry_after=response.retry_after,
        body=redact(text)[:MAX_EXCERPT],
        **options,
    )


def _foreign_message(response: FailedResponse, messages: list[str], url: str) -> str:
    """Return what an error response says that is not of DocRaptor's API, and where it is from."""
    server, text = server_of(url), "\n".join(messages)
    is_page = _is_page(response.text)
    if response.status in REJECTIONS and not is_page:
        return text or f"{server} returned HTTP {response.status} without an error message."
    if 300 <= response.status < 400:
        what = f"a redirect{_redirect_host(response)}, which is not followed."
    elif is_page and text:
        what = f"a web page, “{text}”."
    else:
        what = f"HTTP {response.status}: {text}" if text else f"HTTP {response.status} only."
    hint = f" {other_site_hint(url)}" if _is_of_another_site(response.status) else ""
    return f"{server} returned {what}{hint}"


def _is_of_another_site(status: int) -> bool:
    """Return whether a status says that something else answers: not that it is busy or down."""
    busy = {*NOT_PROCESSED, TOO_LARGE, HTTPStatus.TOO_MANY_REQUESTS}
    return 300 <= status < 500 and status not in busy


def _error_class(
    status: int, *, is_create: bool, is_own: bool, is_page: bool
) -> tuple[type[CallError], dict[str, Any]]:
    not_accepted: dict[str, Any] = {"sent": Sent.NO} if is_create else {}
    if status == 401:
        return UnauthorizedError, {}
    if status == 403:
        return ForbiddenError, {"retryable": not is_own, **not_accepted}
    if status == 429:
        return RateLimitError, not_accepted
    if status in NOT_PROCESSED:
        return ResponseError, {"retryable": True, **not_accepted}
    if 400 <= status < 500:
        error_class = NotFoundError if status == 404 else RejectedError
        # A create was rejected, whatever the body is, unless it is a whole page of something else.
        is_rejected = status == TOO_LARGE or (status in REJECTIONS and not is_page)
        is_foreign = not is_own and not (is_create and is_rejected)
        return error_class, {"retryable": is_foreign} | (not_accepted if is_foreign else {})
    if 500 <= status < 600:
        return ServerError, {}
    if status < 200:  # an interim response tells nothing
        return UnknownOutcomeError, {}
    # A redirect or a non-standard status may come from an intermediary.
    return (UnknownOutcomeError, {}) if is_create else (ResponseError, {"retryable": True})


def _exception_chain(failure: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it wraps, outermost first.

    Follows explicit links only: ``__context__`` proves nothing.
    """
    seen: list[BaseException] = []
    error: Any = failure
    while isinstance(error, BaseException) and error not in seen:
        seen.append(error)
        yield error
        links = (getattr(error, "reason", None), *error.args, error.__cause__)
        error = next((link for link in links if isinstance(link, BaseException)), None)


def _no_response(url: str, *, is_create: bool) -> str:
    doubt = ", and DocRaptor may have accepted the request" if is_create else ""
    return f"No response was received from {server_of(url)}{doubt}"


def _is_refused(chain: list[BaseException]) -> bool:
    """Return whether nothing listens where the call itself goes, not at a proxy."""
    is_proxy = any(isinstance(error, requests.exceptions.ProxyError) for error in chain)
    return not is_proxy and any(isinstance(error, ConnectionRefusedError) for error in chain)


def _was_not_sent(chain: list[BaseException], url: str) -> bool:
    if any(isinstance(error, _BEFORE_SENDING) for error in chain):
        return True
    outermost = chain[0]
    if isinstance(outermost, requests.exceptions.ProxyError):
        # With https, a proxy sees the request only after the tunnel is established.
        return url.lower().startswith("https:")
    # requests loads certificates before connecting, and wraps all network errors.
    return isinstance(outermost, OSError) and not isinstance(outermost, requests.RequestException)


def is_own_error(text: str) -> bool:
    """Return whether the body has messages in XML or JSON, as DocRaptor's own errors do."""
    return any(any(True for _message in parse(text)) for parse in (_xml_messages, _json_messages))


def _is_page(text: str) -> bool:
    """Return whether the body is HTML."""
    return bool(_HTML.search(text))


def _error_messages(text: str) -> list[str]:
    """Return all messages in an error body: XML (DocRaptor's default), JSON, HTML or plain text."""
    parsers = (_xml_messages, _json_messages, _html_messages)
    messages = next((parsed for parse in parsers if (parsed := list(parse(text)))), [])
    if not messages and "<" not in text:
        messages = [text[:MAX_EXCERPT]]
    return [message.strip() for message in messages if message.strip()]


def _xml_messages(text: str) -> Iterator[str]:
    """Find ``<error>`` elements as text: without an XML parser, no entities can expand."""
    for part in text.split("</error>")[:-1]:
        message = part.rpartition("<error")[2].partition(">")[2].strip()
        if message.startswith("<![CDATA["):
            yield message.removeprefix("<![CDATA[").removesuffix("]]>")
        else:
            yield html.unescape(message)


def _json_messages(text: str) -> Iterator[str]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(data, dict):
        names = ("errors", "error", "validation_errors", "message")
        data = next((data[name] for name in names if data.get(name)), None)
    yield from _flatten(data)


def _flatten(value: Any, label: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the strings in nested lists and dicts, at most three levels deep, after their key."""
    if isinstance(value, str):
        yield f"{label}: {value}" if label else value
    elif isinstance(value, list) and depth < 3:
        for item in value:
            yield from _flatten(item, label, depth + 1)
    elif isinstance(value, dict) and depth < 3:
        for key, item in value.items():
            yield from _flatten(item, str(key), depth + 1)


def _html_messages(text: str) -> Iterator[str]:
    start = re.search(r"<title[^<>]*>", text, re.IGNORECASE)
    if start:
        title = re.split("</title", text[start.end() :], maxsplit=1, flags=re.IGNORECASE)[0]
        yield html.unescape(" ".join(title.split()))[:MAX_EXCERPT]


def _redirect_host(response: FailedResponse) -> str:
    """Return only the host of the redirect: the rest of the URL may contain a token."""
    try:
        host = urlsplit(str(response.headers.get("Location", ""))).hostname
    except ValueError:
        host = None
    return f" to {host}" if host else ""


def _parse_retry_after(value: str) -> float | None:
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER)
    time = parse_time(value)
    if time is None:
        return None
    delay = (time - datetime.now(UTC)).total_seconds()
    return min(max(delay, 0.0), MAX_RETRY_AFTER)
