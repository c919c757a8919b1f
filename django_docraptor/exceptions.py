"""Internal. The exceptions of this package.

::

    DocRaptorError
    ├── ConfigurationError         the project is not set up: no API key, document not registered
    ├── CallError                  a call to DocRaptor failed
    │   ├── NotSentError           the request certainly never reached DocRaptor: safe to send again
    │   │   ├── AccountPausedError     the account is paused, so no call was made
    │   │   ├── BudgetExceededError    the budget has no place left, so no call was made
    │   │   └── AccountBusyError       all of the account's slots are occupied, so no call was made
    │   ├── UnknownOutcomeError    it may have been accepted: never simply send a create again
    │   └── ResponseError          DocRaptor returned an error status
    │       ├── UnauthorizedError      401, the key is missing or wrong
    │       ├── ForbiddenError         403, no permission, or too many documents at once
    │       ├── NotFoundError          404
    │       ├── RejectedError          400, 413, 422: the document or the request is invalid
    │       ├── RateLimitError         429
    │       └── ServerError            5xx
    └── InvalidDownloadError       the downloaded file is not a valid document
        ├── NotADocumentError
        └── DocumentTooLargeError

No HTTP library, Django or database here.
"""

from datetime import datetime
from enum import StrEnum


class Sent(StrEnum):
    """Whether a request reached DocRaptor. This decides whether a create may be repeated."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class DocRaptorError(Exception):
    """Base class of all exceptions of this package."""

    code = "error"


class ConfigurationError(DocRaptorError):
    """The project's settings or code are incomplete or invalid."""

    code = "configuration_error"


class CallError(DocRaptorError):
    """A call to DocRaptor failed.

    Args:
        message: what happened, in DocRaptor's words if it gave any; never contains the API key.
        status: HTTP status code; ``None`` without a response.
        request_id: DocRaptor's ``X-Request-Id``, or "".
        retryable: whether the same call may succeed later.
        sent: whether the request reached DocRaptor.
        retry_after: seconds from the ``Retry-After`` header; ``None`` without one.
        body: redacted excerpt of the response body, at most 2,000 characters.
    """

    code = "call_failed"
    # Of a synchronous create call: the tag by which DocRaptor's log lists it.
    tag = ""
    # Internal: which API key the call used, as a hash.
    key_hash = ""
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
        """Create an error; the class gives the defaults of ``retryable`` and ``sent``."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.request_id = request_id
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.sent = self.sent_by_default if sent is None else sent
        self.retry_after = retry_after
        self.body = body

    def __str__(self) -> str:
        """Return the message with the HTTP status and DocRaptor's request ID."""
        details = [f"HTTP {self.status}"] if self.status else []
        if self.request_id:
            details.append(f"request {self.request_id}")
        return f"{self.message} ({', '.join(details)})" if details else self.message


class NotSentError(CallError):
    """No connection was established (refused, DNS, connect timeout, certificate)."""

    code = "not_sent"
    retryable_by_default = True
    sent_by_default = Sent.NO


class AccountPausedError(NotSentError):
    """The account is paused, so a synchronous call was not made. A job would have waited.

    Args:
        message: what happened.
        account: name of the account.
        reason: why it is paused.
        paused_until: when it goes on by itself; ``None``: when a person resumes it.
        retry_after: seconds until then; ``None`` if that is not known.
    """

    code = "account_paused"

    def __init__(
        self,
        message: str,
        *,
        account: str,
        reason: str,
        paused_until: datetime | None,
        retry_after: float | None,
    ) -> None:
        """Create an error."""
        super().__init__(message, retry_after=retry_after)
        self.account = account
        self.reason = reason
        self.paused_until = paused_until


class AccountBusyError(NotSentError):
    """``MAX_IN_FLIGHT`` documents are in progress, so a synchronous call was not made."""

    code = "account_busy"


class BudgetExceededError(NotSentError):
    """A budget has no place left, so a synchronous call was not made. A job would have waited.

    Args:
        message: what happened.
        ends_at: when the next period begins; ``None`` if waiting does not help.
    """

    code = "budget_exceeded"
    retryable_by_default = False

    def __init__(self, message: str, *, ends_at: datetime | None = None) -> None:
        """Create an error."""
        super().__init__(message)
        self.ends_at = ends_at


class UnknownOutcomeError(CallError):
    """The request may have been received: the response was lost, truncated or invalid."""

    code = "unknown_outcome"
    retryable_by_default = True


class ResponseError(CallError):
    """DocRaptor, or a proxy in front of it, returned an error status.

    Of this class itself: a redirect, and 408, 421 and 425, which say that the request was not
    processed (``sent`` is then ``Sent.NO`` for a create).
    """

    code = "response"
    sent_by_default = Sent.YES


class UnauthorizedError(ResponseError):
    """401: the API key is missing or wrong. This concerns the account, not the document."""

    code = "unauthorized"
    retryable_by_default = True


class ForbiddenError(ResponseError):
    """403: no permission, or (``retryable``) too many documents at once, or a proxy's page."""

    code = "forbidden"


class NotFoundError(ResponseError):
    """404: the status or download does not exist, or (``retryable``) a proxy does not know it."""

    code = "not_found"


class RejectedError(ResponseError):
    """400, 413, 422 or another 4xx: sending it again does not help, unless it is ``retryable``.

    Then DocRaptor could not queue the document, or a proxy has responded.
    """

    code = "rejected"


class RateLimitError(ResponseError):
    """429: too many requests; ``retry_after`` has the seconds to wait, if DocRaptor gave them."""

    code = "rate_limited"
    retryable_by_default = True


class ServerError(ResponseError):
    """5xx: a temporary failure. A create that fails this way may have been accepted."""

    code = "server_error"
    retryable_by_default = True
    sent_by_default = Sent.MAYBE


class InvalidDownloadError(DocRaptorError):
    """The downloaded bytes are not the requested document."""

    code = "invalid_download"


class NotADocumentError(InvalidDownloadError):
    """The file is empty, truncated, or an error page with status 200."""

    code = "not_a_document"


class DocumentTooLargeError(InvalidDownloadError):
    """The document is larger than ``MAX_DOCUMENT_BYTES``."""

    code = "document_too_large"
