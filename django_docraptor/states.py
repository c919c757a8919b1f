"""Internal. The states of a job and the rules about them, as data.

A project imports :class:`State` and :class:`ErrorCode` from the package; the rest is internal. No
database access here: other modules look the rules up in these tables.

Each arrow is a function of ``lifecycle.transitions``::

    begin_attempts        PENDING               ─► SUBMITTING   the intent to send is committed
    mark_accepted         SUBMITTING            ─► QUEUED       DocRaptor returned a status_id
                          UNCONFIRMED           ─► QUEUED       … late, or its log lists the attempt
    return_to_pending     SUBMITTING            ─► PENDING      not sent, or refused for now
    mark_unconfirmed      SUBMITTING            ─► UNCONFIRMED  no response, or 5xx: outcome unknown
    mark_interrupted      SUBMITTING            ─► UNCONFIRMED  … or the worker has died
    resubmit_unconfirmed  UNCONFIRMED           ─► PENDING      never accepted: submitted again
    fail_unconfirmed      UNCONFIRMED, PENDING  ─► FAILED       the outcome stays unknown
    return_refused        UNCONFIRMED           ─► PENDING      refused because of the account
                          QUEUED, WORKING       ─► PENDING      … by the status
    mark_reused           PENDING               ─► COMPLETED    the same request has a document
    mark_working          QUEUED                ─► WORKING      DocRaptor is rendering it
    mark_rendered         QUEUED, WORKING       ─► DOWNLOADING  DocRaptor has finished it
    mark_completed        DOWNLOADING           ─► COMPLETED    the verified file is stored
    mark_published        QUEUED, WORKING       ─► COMPLETED    a hosted document has its public URL
    fail                  any unfinished state  ─► FAILED       a permanent error, or a limit
    mark_cancelled        any unfinished state  ─► CANCELLED    a person cancelled it
    retry_from_start      FAILED                ─► PENDING      a person retried it: a new attempt
    resume_polling        FAILED                ─► QUEUED       … DocRaptor accepted the attempt
    resume_download       FAILED                ─► DOWNLOADING  … DocRaptor finished the document
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    """State of a job. Each comment says what is true of a row in that state."""

    # Nothing has been sent for the next attempt; `due_at` is the earliest time to submit.
    PENDING = "pending", _("pending")
    # The intent to send is committed; `due_at` is the end of the sending worker's lease.
    SUBMITTING = "submitting", _("submitting")
    # The outcome of the create call is unknown; `due_at` is the next check of DocRaptor's log.
    UNCONFIRMED = "unconfirmed", _("unconfirmed")
    # DocRaptor accepted it and returned a status_id; `due_at` is the next poll.
    QUEUED = "queued", _("queued")
    # DocRaptor is rendering it; `due_at` is the next poll.
    WORKING = "working", _("working")
    # DocRaptor has the finished document; `due_at` is the end of a worker's lease, or the next
    # attempt to download and store it.
    DOWNLOADING = "downloading", _("downloading")
    # The verified file is stored; for a hosted document, the public URL is known.
    COMPLETED = "completed", _("completed")
    # The engine has given up; `error_code` and `errors` tell why.
    FAILED = "failed", _("failed")
    # A person cancelled it; DocRaptor may still finish and bill it.
    CANCELLED = "cancelled", _("cancelled")


FINAL_STATES: frozenset[State] = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
ACTIVE_STATES: frozenset[State] = frozenset(State) - FINAL_STATES
POLLED_STATES: frozenset[State] = frozenset({State.QUEUED, State.WORKING})

TRANSITIONS: Mapping[State, frozenset[State]] = {
    # A job whose document exists already gets a copy of its file.
    State.PENDING: frozenset({State.SUBMITTING, State.COMPLETED, State.FAILED, State.CANCELLED}),
    State.SUBMITTING: frozenset(
        {State.QUEUED, State.UNCONFIRMED, State.PENDING, State.FAILED, State.CANCELLED}
    ),
    State.UNCONFIRMED: frozenset({State.QUEUED, State.PENDING, State.FAILED, State.CANCELLED}),
    # A hosted document is not downloaded: it is complete at DocRaptor.
    State.QUEUED: frozenset(
        {
            State.WORKING,
            State.DOWNLOADING,
            State.COMPLETED,
            State.PENDING,
            State.FAILED,
            State.CANCELLED,
        }
    ),
    State.WORKING: frozenset(
        {State.DOWNLOADING, State.COMPLETED, State.PENDING, State.FAILED, State.CANCELLED}
    ),
    State.DOWNLOADING: frozenset({State.COMPLETED, State.FAILED, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    # A retry resumes the attempt that DocRaptor has accepted, or starts a new one.
    State.FAILED: frozenset({State.PENDING, State.QUEUED, State.DOWNLOADING}),
    State.CANCELLED: frozenset(),
}


class ErrorCode(StrEnum):
    """Why a job failed: a stable code, saved in ``RenderJob.error_code``."""

    INVALID_REQUEST = "invalid_request"
    TEMPLATE_ERROR = "template_error"
    CONFIGURATION_ERROR = "configuration_error"
    REJECTED = "rejected"
    SUBMIT_FAILED = "submit_failed"
    SUBMIT_UNCONFIRMED = "submit_unconfirmed"
    RENDER_FAILED = "render_failed"
    TIMED_OUT = "timed_out"
    STATUS_UNAVAILABLE = "status_unavailable"
    DOWNLOAD_REFUSED = "download_refused"
    DOCUMENT_GONE = "document_gone"
    DOWNLOAD_FAILED = "download_failed"
    NOT_A_DOCUMENT = "not_a_document"
    DOCUMENT_TOO_LARGE = "document_too_large"
    STORAGE_ERROR = "storage_error"
    KILLED_ITS_WORKER = "killed_its_worker"


# Failures of an attempt that DocRaptor has accepted, and may have billed: a retry resumes it in
# this state and is not billed. After a refused download the status is asked first, because only a
# refusal after that shows that the document is gone.
RESUME_STATES: Mapping[str, State] = {
    ErrorCode.SUBMIT_UNCONFIRMED: State.QUEUED,  # if a late response has brought the status_id
    ErrorCode.TIMED_OUT: State.QUEUED,
    ErrorCode.STATUS_UNAVAILABLE: State.QUEUED,
    ErrorCode.DOWNLOAD_REFUSED: State.QUEUED,
    ErrorCode.DOWNLOAD_FAILED: State.DOWNLOADING,
    ErrorCode.NOT_A_DOCUMENT: State.DOWNLOADING,
    ErrorCode.DOCUMENT_TOO_LARGE: State.DOWNLOADING,
    ErrorCode.STORAGE_ERROR: State.DOWNLOADING,
    ErrorCode.KILLED_ITS_WORKER: State.DOWNLOADING,
}

# Failures whose attempt DocRaptor may have finished and billed.
POSSIBLY_BILLED_CODES: frozenset[str] = frozenset(RESUME_STATES) | {ErrorCode.DOCUMENT_GONE}


class EventKind(TextChoices):
    """Kind of an event in a job's history."""

    ENQUEUED = "enqueued", _("enqueued")
    UPDATED = "updated", _("updated")
    SUBMITTING = "submitting", _("submitting")
    ACCEPTED = "accepted", _("accepted")
    NOT_ACCEPTED = "not_accepted", _("not accepted")
    UNCONFIRMED = "unconfirmed", _("unconfirmed")
    REFUSED = "refused", _("account refused")
    NEVER_ACCEPTED = "never_accepted", _("never accepted by DocRaptor")
    WORKING = "working", _("working")
    RENDERED = "rendered", _("rendered")
    COMPLETED = "completed", _("completed")
    REUSED = "reused", _("an earlier document was reused")
    UNCHANGED = "unchanged", _("the document is unchanged")
    HELD = "held", _("held")
    RELEASED = "released", _("released")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    RETRIED = "retried", _("retried")
    CALLBACK = "callback", _("callback received")
    LATE_RESPONSE = "late_response", _("late response")
    STEP_FAILED = "step_failed", _("step failed")
    DELIVERED = "delivered", _("delivered")
    DELIVERY_FAILED = "delivery_failed", _("delivery failed")
    HOOK_FAILED = "hook_failed", _("on_completed() or on_failed() failed")
    EXPIRED = "expired", _("expired")


# Seconds that a claim on a row in that state lasts at least; `lifecycle.leases` adds what the
# timeouts of the settings require.
LEASE_SECONDS: Mapping[State, float] = {
    State.PENDING: 120,
    State.SUBMITTING: 180,
    State.UNCONFIRMED: 240,
    State.QUEUED: 60,
    State.WORKING: 60,
    State.DOWNLOADING: 240,
}
STORE_LEASE_SECONDS: float = 900
# Claims in a row, of one step, that may lapse because the worker died or hung.
MAX_LAPSED_CLAIMS = 5
# The `due_at` of a held job: never.
HELD_UNTIL = datetime(9000, 1, 1, tzinfo=UTC)

# Seconds after which DocRaptor terminates an asynchronous document.
MAX_RENDER_SECONDS: float = 600
# The same for synchronous documents.
MAX_SYNCHRONOUS_SECONDS: float = 60
# Seconds beyond those for DocRaptor's queue and for its log, until it lists an attempt for certain.
LOG_MARGIN_SECONDS: float = 300
# Seconds after `sent_at` at which DocRaptor's log is checked for an unconfirmed attempt.
LOG_CHECK_AGES: tuple[float, ...] = (10, 30, 120, 300)
# Seconds between two checks at most; and after a probe that was not accepted.
MAX_LOG_CHECK_INTERVAL: float = 1800
PROBE_RETRY_SECONDS: float = 120
# Seconds for which a probe that the log does not list is waited for.
PROBE_LOST_SECONDS: float = 3 * 3600
# Seconds for which an unconfirmed attempt counts towards MAX_IN_FLIGHT.
UNCONFIRMED_SLOT_SECONDS: float = 60

MAX_RESUBMITS = 2
# Seconds for which a key makes no calls after a 401; for which an account creates nothing after
# DocRaptor has refused all of its documents; for which it is told that no key could be read.
ACCOUNT_PAUSE_SECONDS: float = 600
ACCOUNT_REFUSAL_SECONDS: float = 3600
NO_KEY_SECONDS: float = 120
# Consecutive creates that fail before the circuit opens; then the seconds without creates, doubled
# each time.
CIRCUIT_THRESHOLD = 5
CIRCUIT_BASE_SECONDS: float = 15
CIRCUIT_MAX_SECONDS: float = 600


def is_allowed(from_state: State, to_state: State) -> bool:
    """Return whether a job may move from one state to another."""
    return to_state in TRANSITIONS[from_state]
