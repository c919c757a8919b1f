"""Internal. Why a job failed, in words: one table for every place that shows a failure.

The job's page, the list, mails, the JSON, the status page, ``docraptor_status`` and the docs use
the same sentences. Reads nothing. Why *nothing* happens is told by ``advice``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_docraptor.states import ErrorCode

Text: TypeAlias = str | Promise


class Bill(Enum):
    """Whether DocRaptor has billed the failed attempt, if it was no test document."""

    NO = _("This attempt was not billed.")
    PROBABLY_NOT = _("This attempt was probably not billed.")
    PERHAPS = _("This attempt may have been billed.")
    YES = _("This attempt was billed.")


# What a customer reads: they can do nothing about the reason, so there are few sentences.
AGAIN: Final = _("Something went wrong on the way.")
CORRECTION: Final = _("Something in this document must be corrected first.")
SERVICE: Final = _("Documents cannot be generated at the moment.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a failure means.

    Args:
        title: a few words, for a column; in a sentence after a colon.
        what: what happened.
        remedy: what to do.
        can_help: whether a retry may succeed although nothing was corrected.
        bill: whether the failed attempt was billed.
        for_customers: the words for a customer.
    """

    title: Text
    what: Text
    remedy: Text
    can_help: bool
    bill: Bill
    for_customers: Text


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason in DocRaptor's own words, which its documentation and its users have shown.

    Args:
        pattern: what the words contain.
        explanation: what they mean.
    """

    pattern: re.Pattern[str]
    explanation: Explanation


CODES: Final[Mapping[str, Explanation]] = {
    ErrorCode.INVALID_REQUEST: Explanation(
        title=_("invalid request"),
        what=_("The request is invalid, so nothing was sent."),
        remedy=_(
            "Correct what the error names: the content, an option, a relative URL. Enqueue the "
            "document again, or retry if it is made from a template."
        ),
        can_help=False,
        bill=Bill.NO,
        for_customers=CORRECTION,
    ),
    ErrorCode.TEMPLATE_ERROR: Explanation(
        title=_("error in the template"),
        what=_("The template, or the code that gives it its data, raised an exception."),
        remedy=_(
            "Read the last line of the traceback. Correct the template or its data, and retry: it "
            "is rendered again."
        ),
        can_help=False,
        bill=Bill.NO,
        for_customers=CORRECTION,
    ),
    ErrorCode.CONFIGURATION_ERROR: Explanation(
        title=_("document class not found"),
        what=_("The project has no document class of this name any more, or it is set up wrongly."),
        remedy=_(
            "Register the document class again, or rename it back; a stored job names its class. "
            "Then retry."
        ),
        can_help=False,
        bill=Bill.NO,
        for_customers=SERVICE,
    ),
    ErrorCode.REJECTED: Explanation(
        title=_("rejected by DocRaptor"),
        what=_("DocRaptor rejected the request."),
        remedy=_(
            "Read DocRaptor's reason. It is about the content or an option: correct it, and retry."
        ),
        can_help=False,
        bill=Bill.NO,
        for_customers=CORRECTION,
    ),
    ErrorCode.SUBMIT_FAILED: Explanation(
        title=_("DocRaptor not reached"),
        what=_("DocRaptor could not be reached, or did not accept the document, for days."),
        remedy=_("Look at the network, the proxy and BASE_URL, then retry all of them."),
        can_help=True,
        bill=Bill.NO,
        for_customers=AGAIN,
    ),
    ErrorCode.SUBMIT_UNCONFIRMED: Explanation(
        title=_("response lost"),
        what=_("It is unknown whether DocRaptor accepted the document: its response was lost."),
        remedy=_(
            "Look for the job's tag in DocRaptor's log. Retry only if it is not listed, or if you "
            "accept a second bill."
        ),
        can_help=True,
        bill=Bill.PERHAPS,
        for_customers=SERVICE,
    ),
    ErrorCode.RENDER_FAILED: Explanation(
        title=_("DocRaptor could not render it"),
        what=_("DocRaptor accepted the document, but could not render it."),
        remedy=_(
            "Read DocRaptor's reasons: often an image or style sheet that it could not load, or a "
            "script. The preflight finds most such problems before the document is sent."
        ),
        can_help=False,
        bill=Bill.PROBABLY_NOT,
        for_customers=CORRECTION,
    ),
    ErrorCode.TIMED_OUT: Explanation(
        title=_("not ready in time"),
        what=_("DocRaptor had not finished the document by the job's deadline."),
        remedy=_(
            "Retry: polling continues until a new deadline. DocRaptor ends a document after 600 s: "
            "if one needs longer, make it smaller, or split it."
        ),
        can_help=True,
        bill=Bill.PERHAPS,
        for_customers=AGAIN,
    ),
    ErrorCode.STATUS_UNAVAILABLE: Explanation(
        title=_("no status from DocRaptor"),
        what=_("DocRaptor accepted the document, but no longer said what became of it."),
        remedy=_("Retry: polling continues."),
        can_help=True,
        bill=Bill.PERHAPS,
        for_customers=AGAIN,
    ),
    ErrorCode.DOWNLOAD_REFUSED: Explanation(
        title=_("download refused"),
        what=_("DocRaptor finished the document, but refused the file for an hour."),
        remedy=_("Retry: the file is downloaded again."),
        can_help=True,
        bill=Bill.YES,
        for_customers=AGAIN,
    ),
    ErrorCode.DOWNLOAD_FAILED: Explanation(
        title=_("download failed"),
        what=_("DocRaptor finished the document, but the file could not be downloaded."),
        remedy=_("Retry: the file is downloaded again."),
        can_help=True,
        bill=Bill.YES,
        for_customers=AGAIN,
    ),
    ErrorCode.NOT_A_DOCUMENT: Explanation(
        title=_("not a document"),
        what=_("The downloaded file is not a document of the expected type."),
        remedy=_("Retry. The error says what arrived instead, often the page of a proxy."),
        can_help=True,
        bill=Bill.YES,
        for_customers=AGAIN,
    ),
    ErrorCode.DOCUMENT_TOO_LARGE: Explanation(
        title=_("file too large"),
        what=_("The file is larger than MAX_DOCUMENT_BYTES allows."),
        remedy=_("Raise MAX_DOCUMENT_BYTES, and retry."),
        can_help=False,
        bill=Bill.YES,
        for_customers=SERVICE,
    ),
    ErrorCode.DOCUMENT_GONE: Explanation(
        title=_("no longer at DocRaptor"),
        what=_("DocRaptor no longer has the file, or can no longer finish it."),
        remedy=_("A retry makes a new document, which is billed."),
        can_help=True,
        bill=Bill.PERHAPS,
        for_customers=SERVICE,
    ),
    ErrorCode.POST_PROCESS_FAILED: Explanation(
        title=_("file not processed"),
        what=_("The document was downloaded, but the document class could not process the file."),
        remedy=_(
            "Correct post_process() of the document class, and retry: it is called again with the "
            "file on the worker's disk if that is still there."
        ),
        can_help=True,
        bill=Bill.YES,
        for_customers=AGAIN,
    ),
    ErrorCode.STORAGE_ERROR: Explanation(
        title=_("file not stored"),
        what=_("The document was downloaded, but the storage did not take the file."),
        remedy=_(
            "Correct the storage or its credentials, and retry: the file is saved from the "
            "worker's disk if it is still there."
        ),
        can_help=True,
        bill=Bill.YES,
        for_customers=AGAIN,
    ),
    ErrorCode.KILLED_ITS_WORKER: Explanation(
        title=_("its workers died"),
        what=_("Five workers died at the same step of this job."),
        remedy=_("Look in their log for the reason, often too little memory, and retry."),
        can_help=True,
        bill=Bill.PERHAPS,
        for_customers=SERVICE,
    ),
}

# Shown for a code of another version.
UNKNOWN: Final = Explanation(
    title=_("failed"),
    what=_("The job failed with a code that this version does not know."),
    remedy=_("Read the error."),
    can_help=False,
    bill=Bill.PERHAPS,
    for_customers=SERVICE,
)


def _reason(pattern: str, **differences: Any) -> Reason:
    """Return a reason: that of a document that DocRaptor could not render, with differences."""
    base = CODES[ErrorCode.RENDER_FAILED]
    values = {name: getattr(base, name) for name in Explanation.__slots__} | differences
    return Reason(re.compile(pattern, re.IGNORECASE), Explanation(**values))


# DocRaptor's own reasons. The first that matches is the one that is explained.
REASONS: Final[tuple[Reason, ...]] = (
    _reason(
        r"over document limit|document limit",
        title=_("DocRaptor's document limit"),
        what=_("The plan's documents of this month are used up."),
        remedy=_("Upgrade the plan at DocRaptor, or wait for the next month. Then retry."),
        bill=Bill.NO,
        for_customers=SERVICE,
    ),
    _reason(
        r"account (?:canceled|cancelled|suspended)",
        title=_("DocRaptor account suspended"),
        what=_("DocRaptor has suspended or cancelled the account."),
        remedy=_("Update the payment details at DocRaptor, or contact its support. Then retry."),
        bill=Bill.NO,
        for_customers=SERVICE,
    ),
    _reason(
        r"document malformed",
        title=_("HTML not well formed"),
        what=_("DocRaptor could not read the HTML: for example, a tag is opened and not closed."),
        remedy=_(
            "Correct the template or the text in it, at the line that DocRaptor names, then retry. "
            "The same HTML would fail again."
        ),
    ),
    _reason(
        r"javascript error",
        title=_("script failed"),
        what=_("A script of the page raised an error while DocRaptor ran it."),
        remedy=_("Correct the script, or set the option javascript to False. Then retry."),
    ),
    _reason(
        r"timeout trying to create",
        title=_("too slow to render"),
        what=_("DocRaptor ended the document, because it took longer than 600 s."),
        remedy=_(
            "Make the document smaller, or split it. The time for slow images and scripts counts. "
            "A retry can help if the document is normally quick."
        ),
        can_help=True,
        bill=Bill.PROBABLY_NOT,
        for_customers=AGAIN,
    ),
    _reason(
        r"file system access",
        title=_("relative URL"),
        what=_("The HTML loads something by a relative URL, which DocRaptor does not allow."),
        remedy=_("Use absolute URLs, or set the option baseurl in prince_options. Then retry."),
    ),
    _reason(
        r"ssl error",
        title=_("certificate refused"),
        what=_("DocRaptor did not trust the certificate of the page that it was to load."),
        remedy=_(
            "Complete the server's certificate chain, or send the HTML instead of a URL. Then "
            "retry."
        ),
    ),
    _reason(
        r"\bname (?:is too long|can't be blank)|\btag is too long|document type ",
        title=_("invalid option"),
        what=_("DocRaptor refused the name, the tag or the document type."),
        remedy=_("Correct what DocRaptor names, and enqueue the document again."),
        bill=Bill.NO,
    ),
    _reason(
        r"error queue?ing your document|unknown reasons",
        title=_("fault at DocRaptor"),
        what=_("DocRaptor failed and gave no reason."),
        remedy=_("Retry. If it fails again, ask DocRaptor's support, and quote the job's tag."),
        can_help=True,
        for_customers=AGAIN,
    ),
)
# Codes whose errors are DocRaptor's own words.
_DOCRAPTORS_WORDS: Final = frozenset({ErrorCode.REJECTED, ErrorCode.RENDER_FAILED})


def explain(error_code: str, errors: str = "") -> Explanation:
    """Return what a failure means.

    Args:
        error_code: the job's ``error_code``.
        errors: the job's ``errors``; without them the code alone is explained.
    """
    if error_code in _DOCRAPTORS_WORDS:
        for reason in REASONS:
            if reason.pattern.search(errors):
                return reason.explanation
    return CODES.get(error_code, UNKNOWN)


def all_explanations() -> Iterable[Explanation]:
    """Return every explanation, for what compares them with the docs and the translations."""
    return [*CODES.values(), *(reason.explanation for reason in REASONS), UNKNOWN]
