"""Internal. Whether an error or a reason concerns the account, not the document."""

import re

from django_docraptor.exceptions import ResponseError, ServerError, UnauthorizedError

# DocRaptor's reasons that concern the account, not the document: at the beginning of a line, after
# a field's name or a label, but not after text of the document.
ACCOUNT_REFUSAL = re.compile(
    r"^(?:(?:base|account|errors?): |\[(?!javascript)[^\]]*\] )?"
    r"(?:over document limit|account (?:canceled|cancelled|suspended))\b",
    re.IGNORECASE | re.MULTILINE,
)


def concerns_account(error: Exception) -> bool:
    """Return whether a failed call says something about the account, not about the document.

    A 5xx does not: it may be the page of a proxy, and a create call may have been accepted.
    """
    if isinstance(error, UnauthorizedError):
        return True
    is_answer = isinstance(error, ResponseError) and not isinstance(error, ServerError)
    return is_answer and is_account_refusal(str(getattr(error, "message", "")))


def is_account_refusal(text: str) -> bool:
    """Return whether DocRaptor gives a reason for which it refuses all of the account's documents.

    Its document limit is reached, or it was cancelled or suspended.
    """
    return ACCOUNT_REFUSAL.search(text) is not None
