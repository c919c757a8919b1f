"""What can go wrong, as one tree.

::

    DocRaptorError
    ├── ConfigurationError         our side is not set up: no key, no such document
    ├── CallError                  a call to the service did not give what was asked
    │   ├── NotSentError           certainly never reached DocRaptor: safe to send again
    │   ├── UnknownOutcomeError    it may have been accepted: never send a create again blindly
    │   └── ResponseError          DocRaptor answered with an error
    │       ├── UnauthorizedError      401, the key is missing or wrong
    │       ├── ForbiddenError         403, no permission, or too many documents at once
    │       ├── NotFoundError          404
    │       ├── RejectedError          400, 413, 422: the document or the call is at fault
    │       ├── RateLimitError         429
    │       └── ServerError            5xx
    └── ContentError               what was downloaded is not the document
        ├── NotADocumentError
        └── TooLargeError

This module knows nothing of HTTP libraries, Django or the database.
"""

from enum import StrEnum


class Sent(StrEnum):
    """Did the request reach DocRaptor? The answer decides whether a create may be repeated."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class DocRaptorError(Exception):
    """Base of every error this package raises on purpose."""

    code = "error"


class ConfigurationError(DocRaptorError):
    """Something is missing or wrong in the project's own settings or code."""

    code = "configuration"


class CallError(DocRaptorError):
    """A call to DocRaptor failed.

    Args:
        message: what happened, in DocRaptor's words where it gave any; never holds the API key.
        status: HTTP status code, ``None`` without an answer.
        request_id: DocRaptor's ``X-Request-Id``, blank without one.
        retryable: whether the same call may succeed if made again later.
        sent: whether the request reached DocRaptor.
        retry_after: seconds to wait as asked for by ``Retry-After``, ``None`` if not asked.
        body: an excerpt of the answer, redacted, at most 2,000 characters.
    """

    code = "call_failed"
    retryable_by_default = False
    sent_by_default = Sent.MAYBE

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        request_id: str = "",
        retryable: bool | None = None,
        sent: Sent | None = None,
        retry_after: float | None = None,
        body: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.request_id = request_id
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.sent = self.sent_by_default if sent is None else sent
        self.retry_after = retry_after
        self.body = body

    def __str__(self) -> str:
        facts = [f"HTTP {self.status}"] if self.status else []
        if self.request_id:
            facts.append(f"request {self.request_id}")
        return f"{self.message} ({', '.join(facts)})" if facts else self.message


class NotSentError(CallError):
    """The connection was never made (refused, DNS, connect timeout, certificate)."""

    code = "not_sent"
    retryable_by_default = True
    sent_by_default = Sent.NO


class UnknownOutcomeError(CallError):
    """The request may have been received: the answer was lost, cut or not understood."""

    code = "unknown_outcome"
    retryable_by_default = True


class ResponseError(CallError):
    """DocRaptor, or something before it, answered with an error status."""

    code = "response"
    sent_by_default = Sent.YES


class UnauthorizedError(ResponseError):
    """401: the API key is missing or wrong. A matter of the account, not of the document."""

    code = "unauthorized"
    retryable_by_default = True


class ForbiddenError(ResponseError):
    """403: no permission; on a create also "too many simultaneous requests" (30 by default)."""

    code = "forbidden"


class NotFoundError(ResponseError):
    """404: no such status or download."""

    code = "not_found"


class RejectedError(ResponseError):
    """400, 413, 422 or another 4xx: sending it again will not help."""

    code = "rejected"


class RateLimitError(ResponseError):
    """429: too many requests; ``retry_after`` says how long to wait, if it was said."""

    code = "rate_limited"
    retryable_by_default = True


class ServerError(ResponseError):
    """5xx: a passing fault. A create that ends so may have been accepted."""

    code = "server_error"
    retryable_by_default = True
    sent_by_default = Sent.MAYBE


class ContentError(DocRaptorError):
    """The bytes that came are not the document that was asked for."""

    code = "content"


class NotADocumentError(ContentError):
    """Empty, cut, or an error page with status 200."""

    code = "not_a_document"


class TooLargeError(ContentError):
    """Larger than ``MAX_DOCUMENT_BYTES``."""

    code = "too_large"
