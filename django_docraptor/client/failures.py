"""What a failure proves, and in which words it is told.

Knows which exceptions and status codes mean "not sent", "refused" or "unknown", how DocRaptor
words its errors, and what must be kept out of them. Makes no calls.
"""

import base64
import html
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self
from urllib.parse import quote, quote_plus, urlsplit

import requests
import urllib3.exceptions

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

MAX_EXCERPT: Final = 2_000
MAX_RETRY_AFTER: Final = 3_600.0
REDACTED: Final = "[redacted]"

# A download's id is as good as its address: whoever has it gets the document.
DOWNLOAD_ID: Final = re.compile(r"(/(?:download|expire)/)[^/?#\s\"'<>&]+")

# Raised before the first byte of the request. NewConnectionError and NameResolutionError are
# ConnectTimeoutErrors to urllib3. InvalidHeader is not among them: an answer can cause it too.
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
    """Takes secrets out of text, in every form in which they travel."""

    secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def for_key(cls, key: str) -> Self:
        """For an API key: as it is, quoted, escaped, and as basic authentication has it."""
        basic = base64.b64encode(f"{key}:".encode()).decode()
        url_safe = base64.urlsafe_b64encode(f"{key}:".encode()).decode()
        forms = {key, quote(key, safe=""), quote_plus(key), html.escape(key), json.dumps(key)[1:-1]}
        forms |= {basic, basic.rstrip("="), url_safe, url_safe.rstrip("="), quote_plus(basic)}
        return cls(tuple(sorted(forms - {""}, key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, REDACTED)
        return DOWNLOAD_ID.sub(rf"\1{REDACTED}", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer that is not a success, as far as it could be read.

    What may repeat secrets is not shown by ``repr``.
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
        """The body as text. It need not be UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return self.body.decode("latin-1")

    @property
    def retry_after(self) -> float | None:
        """Seconds asked for by ``Retry-After``, one hour at most, ``None`` if not asked."""
        return _seconds(str(self.headers.get("Retry-After", "")).strip())


def from_network(failure: BaseException, *, url: str, creates: bool, redact: Redactor) -> CallError:
    """The error for a call that got no answer: not sent for certain, or unknown.

    The sources are urllib3's own classes ("fairly sure that the server did not receive the
    request") and a measurement of every case. A TLS handshake that hangs looks like a read
    timeout, hence counts as unknown.
    """
    chain = list(_chain(failure))
    if _not_sent(chain, url):
        return NotSentError(redact(f"The call was not sent: {_described(chain)}."))
    doubt = " and may have been accepted" if creates else ""
    return UnknownOutcomeError(redact(f"The call got no answer{doubt}: {_described(chain)}."))


def from_unusable(
    why: str, *, status: int, request_id: str, creates: bool, redact: Redactor
) -> CallError:
    """The error for a success whose body was lost, cut or not understood.

    A create that is answered with a success has been accepted, whatever became of its id.
    """
    return UnknownOutcomeError(
        redact(f"DocRaptor's answer cannot be used: {why}."),
        status=status,
        request_id=redact(request_id[:200]),
        sent=Sent.YES if creates else Sent.MAYBE,
    )


def describe(failure: BaseException) -> str:
    """The innermost error, which says what happened; those around it repeat the address."""
    return _described(list(_chain(failure)))


def _described(chain: list[BaseException]) -> str:
    return f"{type(chain[-1]).__name__}: {chain[-1]}".rstrip(".")


def from_answer(refusal: Refusal, *, creates: bool, redact: Redactor) -> CallError:
    """The error for an answer that is not a success.

    On a create, 403 also means "too many simultaneous requests" (DocRaptor: 30 by default), so it
    may be repeated; elsewhere it is final. 5xx on a create says nothing about its acceptance.
    """
    kind, facts = _kind(refusal.status, creates)
    text = refusal.text
    message = "\n".join(_reasons(text)) or f"DocRaptor answered {refusal.status} without a reason."
    if 300 <= refusal.status < 400:
        message = f"DocRaptor's address answered with a redirect{_to_host(refusal)}: not followed."
    return kind(
        redact(message),
        status=refusal.status,
        request_id=redact(refusal.request_id),
        retry_after=refusal.retry_after,
        body=redact(text)[:MAX_EXCERPT],
        **facts,
    )


def _kind(status: int, creates: bool) -> tuple[type[CallError], dict[str, Any]]:
    refused: dict[str, Any] = {"sent": Sent.NO} if creates else {}
    if status == 401:
        return UnauthorizedError, {}
    if status == 403:
        return ForbiddenError, {"retryable": creates, **refused}
    if status == 404:
        return NotFoundError, {}
    if status == 429:
        return RateLimitError, refused
    if 400 <= status < 500:
        return RejectedError, {}
    if 500 <= status < 600:
        return ServerError, {}
    # A redirect, or a code that HTTP does not have: whoever answered may be something in between.
    return (UnknownOutcomeError, {}) if creates else (ResponseError, {"retryable": True})


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """The exception and what it wraps, outermost first.

    Only explicit links: what was being handled meanwhile (``__context__``) proves nothing.
    """
    seen: list[BaseException] = []
    found: Any = failure
    while isinstance(found, BaseException) and found not in seen:
        seen.append(found)
        yield found
        links = (getattr(found, "reason", None), *found.args, found.__cause__)
        found = next((link for link in links if isinstance(link, BaseException)), None)


def _not_sent(chain: list[BaseException], url: str) -> bool:
    if any(isinstance(one, _BEFORE_SENDING) for one in chain):
        return True
    first = chain[0]
    if isinstance(first, requests.exceptions.ProxyError):
        # Over https a proxy sees the request only after it has connected us.
        return url.lower().startswith("https:")
    # requests reads certificates before it connects, and wraps every error of the network.
    return isinstance(first, OSError) and not isinstance(first, requests.RequestException)


def _reasons(text: str) -> list[str]:
    """Every reason in an error body: XML (DocRaptor's default), JSON, HTML or plain text."""
    readers = (_xml_reasons, _json_reasons, _html_reasons)
    found = next((reasons for reader in readers if (reasons := list(reader(text)))), [])
    if not found and "<" not in text:
        found = [text[:MAX_EXCERPT]]
    return [reason.strip() for reason in found if reason.strip()]


def _xml_reasons(text: str) -> Iterator[str]:
    """The ``<error>`` elements, found as text: no parser, hence no entity that could expand."""
    for part in text.split("</error>")[:-1]:
        reason = part.rpartition("<error")[2].partition(">")[2].strip()
        if reason.startswith("<![CDATA["):
            yield reason.removeprefix("<![CDATA[").removesuffix("]]>")
        else:
            yield html.unescape(reason)


def _json_reasons(text: str) -> Iterator[str]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(answer, dict):
        names = ("errors", "error", "validation_errors", "message")
        answer = next((answer[name] for name in names if answer.get(name)), None)
    yield from _flat(answer)


def _flat(value: Any, label: str = "", depth: int = 0) -> Iterator[str]:
    """Strings in nested lists and dicts, three levels deep, each with its key before it."""
    if isinstance(value, str):
        yield f"{label}: {value}" if label else value
    elif isinstance(value, list) and depth < 3:
        for one in value:
            yield from _flat(one, label, depth + 1)
    elif isinstance(value, dict) and depth < 3:
        for key, one in value.items():
            yield from _flat(one, str(key), depth + 1)


def _html_reasons(text: str) -> Iterator[str]:
    opened = re.search(r"<title[^<>]*>", text, re.IGNORECASE)
    if opened:
        title = re.split("</title", text[opened.end() :], maxsplit=1, flags=re.IGNORECASE)[0]
        yield html.unescape(" ".join(title.split()))[:MAX_EXCERPT]


def _to_host(refusal: Refusal) -> str:
    """The new host, and no more of the address: the rest may hold a token."""
    try:
        host = urlsplit(str(refusal.headers.get("Location", ""))).hostname
    except ValueError:
        host = None
    return f" to {host}" if host else ""


def _seconds(value: str) -> float | None:
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    wait = (moment - datetime.now(UTC)).total_seconds()
    return min(max(wait, 0.0), MAX_RETRY_AFTER)
