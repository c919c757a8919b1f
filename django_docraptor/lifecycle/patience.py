"""Internal. Decide after an error: wait, and for how long, or give up, and with which error code.

The kind of an error and time decide, never the number of our own tries: what was not sent, could
not be read, or was refused by something in between says nothing about the job. Reads settings and
the job's columns; writes nothing. ``postponement`` carries the decision out.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.utils import translation

from django_docraptor.conf import conf
from django_docraptor.durations import format_duration
from django_docraptor.exceptions import (
    CallError,
    ConfigurationError,
    DocRaptorError,
    DocumentTooLargeError,
    ForbiddenError,
    NotADocumentError,
    NotFoundError,
    NotSentError,
    ResponseError,
    Sent,
    ServerError,
)
from django_docraptor.lifecycle.account_refusals import concerns_account
from django_docraptor.models import RenderJob
from django_docraptor.spool import SpoolError
from django_docraptor.states import ErrorCode

BASE_DELAY: Final = 2.0
MAX_DELAY: Final = 300.0
# Seconds for which DocRaptor itself must refuse before the refusal counts: it documents 400 as "not
# completed yet", too, and 403 as "too many at once".
REFUSAL_SECONDS: Final = 3_600.0
# A download whose bytes were served waits at least this share of the time since the first failure:
# DocRaptor allows 100 downloads of a document, and three days take fewer.
SERVED_SHARE: Final = 1 / 12
# A storage's errors that do not go away by waiting: its settings, or the name, are wrong.
PERMANENT_STORAGE_ERRORS: Final = (SuspiciousFileOperation, ImproperlyConfigured)


class Stage(StrEnum):
    """What was tried."""

    TEMPLATE = "template"
    CREATE = "create"
    STATUS = "status"
    DOWNLOAD = "download"
    POST_PROCESS = "post_process"
    STORAGE = "storage"


class Kind(StrEnum):
    """What an error says."""

    # No connection was established, or there is no API key yet.
    NOT_SENT = "not_sent"
    # The service is busy, or something in front of it has responded.
    NOT_NOW = "not_now"
    # DocRaptor refuses, which may mean "not yet" as well as "never".
    NOT_YET = "not_yet"
    # DocRaptor itself refuses the status.
    GONE = "gone"
    # The create may have been accepted.
    UNKNOWN = "unknown"
    # No usable response, or not the document.
    UNREADABLE = "unreadable"
    # The request, the document or the settings are invalid.
    VERDICT = "verdict"
    # The API key was rejected, or DocRaptor refuses all of the account's documents.
    ACCOUNT = "account"
    # The storage, the disk or the database failed.
    OURS = "ours"


# Kinds that end after REFUSAL_SECONDS of nothing else.
REFUSALS: Final = frozenset({Kind.NOT_YET, Kind.GONE})

CODES: Final[Mapping[Stage, ErrorCode]] = {
    Stage.TEMPLATE: ErrorCode.TEMPLATE_ERROR,
    Stage.CREATE: ErrorCode.SUBMIT_FAILED,
    Stage.STATUS: ErrorCode.STATUS_UNAVAILABLE,
    Stage.DOWNLOAD: ErrorCode.DOWNLOAD_FAILED,
    Stage.POST_PROCESS: ErrorCode.POST_PROCESS_FAILED,
    Stage.STORAGE: ErrorCode.STORAGE_ERROR,
}

# How an error text begins after a time without success.
FAILED_TO: Final[Mapping[Stage, str]] = {
    Stage.TEMPLATE: "The template could not be rendered",
    Stage.CREATE: "The document could not be submitted",
    Stage.STATUS: "DocRaptor did not return the status of the document",
    Stage.DOWNLOAD: "The document could not be downloaded",
    Stage.POST_PROCESS: "The downloaded file could not be processed",
    Stage.STORAGE: "The file could not be stored",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again later.

    Args:
        delay: seconds.
    """

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Fail the job.

    Args:
        code: the error code.
        code_if_asked_again: the error code if a retry has already begun by asking for the status:
            then the refusal shows that DocRaptor no longer has the document.
    """

    code: ErrorCode
    code_if_asked_again: ErrorCode | None = None


def decide(
    stage: Stage,
    error: Exception,
    *,
    failures: int = 0,
    failing_seconds: float = 0.0,
    refused_seconds: float = 0.0,
) -> Wait | GiveUp:
    """Return what follows an error.

    Args:
        stage: what was tried.
        error: the error. One of the kind UNKNOWN is not decided here.
        failures: number of consecutive failures before it.
        failing_seconds: since the first of them.
        refused_seconds: since the first of those that were refusals by DocRaptor itself, without
            another failure in between.
    """
    kind = kind_of(stage, error)
    if kind == Kind.ACCOUNT:  # its pause holds the job back
        return Wait(0.0)
    is_verdict = kind == Kind.VERDICT or (kind in REFUSALS and refused_seconds >= REFUSAL_SECONDS)
    if is_verdict or is_over(failing_seconds):
        return _give_up(stage, kind, error)
    delay = max(backoff_delay(failures), retry_after(error))
    if stage == Stage.DOWNLOAD and was_served(error):
        delay = max(delay, failing_seconds * SERVED_SHARE)
    return Wait(delay)


def is_over(seconds: float) -> bool:
    """Return whether something has been tried, without success, for as long as the settings say."""
    return bool(seconds >= conf.retry_for)


def decide_for(job: RenderJob, stage: Stage, error: Exception) -> Wait | GiveUp:
    """Return what follows an error of a claimed job."""
    return decide(
        stage,
        error,
        failures=job.failures,
        failing_seconds=job.failing_seconds,
        refused_seconds=job.refused_seconds,
    )


def backoff_delay(failures: int, *, maximum: float = MAX_DELAY) -> float:
    """Return the seconds to wait after a number of consecutive failures.

    The delay grows exponentially, is capped, and has jitter.
    """
    return min(maximum, BASE_DELAY * 2.0 ** min(failures, 16)) * random.uniform(0.5, 1)  # noqa: S311


def retry_after(error: Exception) -> float:
    """Return the seconds for which the service wants to be left alone, or zero."""
    return getattr(error, "retry_after", None) or 0.0


def kind_of(stage: Stage, error: Exception) -> Kind:
    """Return what an error says."""
    if stage == Stage.STORAGE:
        return Kind.VERDICT if isinstance(error, PERMANENT_STORAGE_ERRORS) else Kind.OURS
    if stage in (Stage.TEMPLATE, Stage.POST_PROCESS):
        return Kind.OURS if getattr(error, "retryable", False) else Kind.VERDICT
    if isinstance(error, CallError):
        return _kind_of_call(stage, error)
    if isinstance(error, ConfigurationError):
        return Kind.NOT_SENT
    if isinstance(error, DocumentTooLargeError):
        return Kind.VERDICT
    # An OSError of the network is a CallError: this one is the disk's.
    return Kind.OURS if isinstance(error, SpoolError | OSError) else Kind.UNREADABLE


def _kind_of_call(stage: Stage, error: CallError) -> Kind:
    if concerns_account(error):
        return Kind.ACCOUNT
    if isinstance(error, NotSentError):
        return Kind.NOT_SENT
    if stage == Stage.CREATE:
        return _kind_of_create(error)
    if not error.retryable:
        return Kind.NOT_YET if stage == Stage.DOWNLOAD else Kind.GONE
    is_answer = isinstance(error, ResponseError) and not isinstance(error, ServerError)
    return Kind.NOT_NOW if is_answer else Kind.UNREADABLE


def _kind_of_create(error: CallError) -> Kind:
    if error.sent == Sent.NO and error.retryable:
        return Kind.NOT_NOW
    if error.sent == Sent.NO:
        return Kind.NOT_YET if isinstance(error, ForbiddenError) else Kind.VERDICT
    is_rejection = isinstance(error, ResponseError) and error.sent == Sent.YES
    return Kind.VERDICT if is_rejection and not error.retryable else Kind.UNKNOWN


def is_refusal(stage: Stage, error: Exception) -> bool:
    """Return whether DocRaptor itself refuses, in a way that may pass."""
    return kind_of(stage, error) in REFUSALS


def describe(stage: Stage, error: Exception) -> str:
    """Return the text of an error, for people."""
    is_ours = isinstance(error, DocRaptorError)
    text = str(error) if is_ours else f"{type(error).__name__}: {error}".removesuffix(": ")
    if stage == Stage.STORAGE:
        return f"The storage could not save the file: {text}"
    return text


def describe_end(job: RenderJob, stage: Stage, error: Exception) -> str:
    """Return the text with which a job fails: for how long it was tried, and the last error."""
    kind, text = kind_of(stage, error), describe(stage, error)
    if kind == Kind.VERDICT:
        return error.message if isinstance(error, CallError) else text
    seconds = job.refused_seconds if kind in REFUSALS else job.failing_seconds
    tries = f"{job.failures + 1:,} tries" if job.failures else "one try"
    with translation.override(None):  # errors are stored in English
        duration = format_duration(seconds)
    separator = "\n\n" if "\n" in text else " "  # a template's traceback
    return f"{FAILED_TO[stage]} for {duration} ({tries} in a row). The last error:{separator}{text}"


def was_served(error: Exception) -> bool:
    """Return whether DocRaptor had begun to serve a body: that may use up a download.

    An OSError is raised when the body is written to the disk.
    """
    return isinstance(error, NotADocumentError | OSError) or (
        isinstance(error, CallError) and 200 <= (error.status or 0) < 300
    )


def _give_up(stage: Stage, kind: Kind, error: Exception) -> GiveUp:
    if stage == Stage.STATUS and isinstance(error, NotFoundError) and kind == Kind.GONE:
        return GiveUp(ErrorCode.STATUS_UNAVAILABLE, ErrorCode.DOCUMENT_GONE)
    if stage == Stage.DOWNLOAD and kind == Kind.NOT_YET:
        return GiveUp(ErrorCode.DOWNLOAD_REFUSED, ErrorCode.DOCUMENT_GONE)
    return GiveUp(_code_of(stage, kind, error))


def _code_of(stage: Stage, kind: Kind, error: Exception) -> ErrorCode:
    if isinstance(error, DocumentTooLargeError):
        return ErrorCode.DOCUMENT_TOO_LARGE
    if isinstance(error, NotADocumentError):
        return ErrorCode.NOT_A_DOCUMENT
    if stage == Stage.CREATE and isinstance(error, ConfigurationError):
        return ErrorCode.CONFIGURATION_ERROR
    if stage == Stage.CREATE and kind in (Kind.NOT_YET, Kind.VERDICT):
        return ErrorCode.REJECTED
    own_code: ErrorCode | None = getattr(error, "error_code", None)  # a CompositionError's
    return own_code or CODES[stage]
