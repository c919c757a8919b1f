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
    retry_together        FAILED                ─► PENDING      many at once, as each would be alone
                          FAILED                ─► QUEUED       …
                          FAILED                ─► DOWNLOADING  …
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

from django.db.models import TextChoices
from django.utils.translation import pgettext_lazy


class State(TextChoices):
    """State of a job. Each comment says what is true of a row in that state."""

    # Nothing has been sent for the next attempt; `due_at` is the earliest time to submit.
    PENDING = "pending", pgettext_lazy("state", "pending")
    # The intent to send is committed; `due_at` is the end of the sending worker's lease.
    SUBMITTING = "submitting", pgettext_lazy("state", "submitting")
    # The outcome of the create call is unknown; `due_at` is the next check of DocRaptor's log.
    UNCONFIRMED = "unconfirmed", pgettext_lazy("state", "unconfirmed")
    # DocRaptor accepted it and returned a status_id; `due_at` is the next poll.
    QUEUED = "queued", pgettext_lazy("state", "queued")
    # DocRaptor is rendering it; `due_at` is the next poll.
    WORKING = "working", pgettext_lazy("state", "working")
    # DocRaptor has the finished document; `due_at` is the end of a worker's lease, or the next
    # attempt to download and store it.
    DOWNLOADING = "downloading", pgettext_lazy("state", "downloading")
    # The verified file is stored; for a hosted document, the public URL is known.
    COMPLETED = "completed", pgettext_lazy("state", "completed")
    # The engine has given up; `error_code` and `errors` tell why.
    FAILED = "failed", pgettext_lazy("state", "failed")
    # A person cancelled it; DocRaptor may still finish and bill it.
    CANCELLED = "cancelled", pgettext_lazy("state", "cancelled")


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
    POST_PROCESS_FAILED = "post_process_failed"
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
    ErrorCode.POST_PROCESS_FAILED: State.DOWNLOADING,
    ErrorCode.STORAGE_ERROR: State.DOWNLOADING,
    ErrorCode.KILLED_ITS_WORKER: State.DOWNLOADING,
}

# Failures whose attempt DocRaptor may have finished and billed.
POSSIBLY_BILLED_CODES: frozenset[str] = frozenset(RESUME_STATES) | {ErrorCode.DOCUMENT_GONE}


class HoldReason(TextChoices):
    """Why a job is held."""

    # Too many documents of one object (MAX_PER_SOURCE): until a person releases it.
    SOURCE = (
        "source",
        pgettext_lazy("hold", "more documents of one object were sent than MAX_PER_SOURCE allows"),
    )
    # A budget has no place left: until its next period begins, or a person releases it.
    BUDGET = "budget", pgettext_lazy("hold", "a budget is used up")
    # ALLOW_LIVE refuses production documents on this host: until a person releases it elsewhere.
    LIVE = "live", pgettext_lazy("hold", "ALLOW_LIVE refuses production documents")


class EventKind(TextChoices):
    """Kind of an event in a job's history."""

    ENQUEUED = "enqueued", pgettext_lazy("event", "enqueued")
    UPDATED = "updated", pgettext_lazy("event", "updated")
    SUBMITTING = "submitting", pgettext_lazy("event", "submitting")
    ACCEPTED = "accepted", pgettext_lazy("event", "accepted")
    NOT_ACCEPTED = "not_accepted", pgettext_lazy("event", "not accepted")
    UNCONFIRMED = "unconfirmed", pgettext_lazy("event", "unconfirmed")
    REFUSED = "refused", pgettext_lazy("event", "refused because of the account")
    NEVER_ACCEPTED = "never_accepted", pgettext_lazy("event", "never accepted by DocRaptor")
    WORKING = "working", pgettext_lazy("event", "working")
    RENDERED = "rendered", pgettext_lazy("event", "rendered")
    COMPLETED = "completed", pgettext_lazy("event", "completed")
    REUSED = "reused", pgettext_lazy("event", "an earlier document was reused")
    UNCHANGED = "unchanged", pgettext_lazy("event", "the document is unchanged")
    HELD = "held", pgettext_lazy("event", "held")
    RELEASED = "released", pgettext_lazy("event", "released")
    FAILED = "failed", pgettext_lazy("event", "failed")
    CANCELLED = "cancelled", pgettext_lazy("event", "cancelled")
    RETRIED = "retried", pgettext_lazy("event", "retried")
    CALLBACK = "callback", pgettext_lazy("event", "callback received")
    LATE_RESPONSE = "late_response", pgettext_lazy("event", "late response")
    STEP_FAILED = "step_failed", pgettext_lazy("event", "step failed")
    DELIVERED = "delivered", pgettext_lazy("event", "delivered")
    DELIVERY_FAILED = "delivery_failed", pgettext_lazy("event", "delivery failed")
    HOOK_FAILED = "hook_failed", pgettext_lazy("event", "on_completed() or on_failed() failed")
    MAIL_FAILED = "mail_failed", pgettext_lazy("event", "the e-mail to the owner failed")
    WARNED = "warned", pgettext_lazy("event", "completed with warnings")
    LOG_FAILED = "log_failed", pgettext_lazy("event", "the generation log could not be read")
    EXPIRED = "expired", pgettext_lazy("event", "expired")
    AGAIN = "again", pgettext_lazy("event", "generated again")
    SHARED = "shared", pgettext_lazy("event", "shared by a link")
    SHARE_REVOKED = "share_revoked", pgettext_lazy("event", "share link revoked")
    DOWNLOADED = "downloaded", pgettext_lazy("event", "downloaded")


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
# Claims in a row that others may win before a worker leaves the rows to them.
MAX_LOST_CLAIMS = 5
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
