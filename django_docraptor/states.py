"""The states of a job and the rules about them, as data.

Nothing here touches the database: other modules ask these tables instead of knowing the rules.

::

    PENDING ─a─► SUBMITTING ─b─► QUEUED ─c─► WORKING ─d─► DOWNLOADING ─e─► COMPLETED
       ▲             │              (d also from QUEUED)
       │             └─u─► UNCONFIRMED ─v─► QUEUED | PENDING | FAILED
       ├─s── SUBMITTING            QUEUED, WORKING ─h─► COMPLETED, of a hosted document
       └─r── FAILED ◄─f── any unfinished state        CANCELLED ◄─x── any unfinished state
"""

from collections.abc import Mapping
from enum import StrEnum

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    """Where a job stands. The comment says what is true of a row in that state."""

    # Nothing has been sent for the next attempt; `due_at` is the earliest time to submit.
    PENDING = "pending", _("pending")
    # The intent to send is committed; `due_at` ends the lease of whoever sends.
    SUBMITTING = "submitting", _("submitting")
    # The create call's outcome is unknown; `due_at` is the next look at DocRaptor's log.
    UNCONFIRMED = "unconfirmed", _("unconfirmed")
    # DocRaptor gave a status_id; `due_at` is the next poll.
    QUEUED = "queued", _("queued")
    # DocRaptor said that it is working; `due_at` is the next poll.
    WORKING = "working", _("working")
    # DocRaptor has the finished document; `due_at` ends a lease or is the next try.
    DOWNLOADING = "downloading", _("downloading")
    # The verified file is in the storage; of a hosted document, its public address is known.
    COMPLETED = "completed", _("completed")
    # Given up; `error_code` and `errors` say why.
    FAILED = "failed", _("failed")
    # Abandoned by a person; DocRaptor may still finish and bill it.
    CANCELLED = "cancelled", _("cancelled")


FINAL: frozenset[State] = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
ACTIVE: frozenset[State] = frozenset(State) - FINAL
POLLED: frozenset[State] = frozenset({State.QUEUED, State.WORKING})

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.SUBMITTING, State.FAILED, State.CANCELLED}),
    State.SUBMITTING: frozenset(
        {State.QUEUED, State.UNCONFIRMED, State.PENDING, State.FAILED, State.CANCELLED}
    ),
    State.UNCONFIRMED: frozenset({State.QUEUED, State.PENDING, State.FAILED, State.CANCELLED}),
    # A hosted document is complete where it is: nothing of it is fetched.
    State.QUEUED: frozenset(
        {State.WORKING, State.DOWNLOADING, State.COMPLETED, State.FAILED, State.CANCELLED}
    ),
    State.WORKING: frozenset({State.DOWNLOADING, State.COMPLETED, State.FAILED, State.CANCELLED}),
    State.DOWNLOADING: frozenset({State.COMPLETED, State.FAILED, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    # A retry starts a new attempt, or takes up an attempt that DocRaptor has finished already.
    State.FAILED: frozenset({State.PENDING, State.QUEUED, State.DOWNLOADING}),
    State.CANCELLED: frozenset(),
}


class Reason(StrEnum):
    """Why a job failed: the short, stable code in ``RenderJob.error_code``."""

    INVALID_REQUEST = "invalid_request"
    TEMPLATE_ERROR = "template_error"
    CONFIGURATION = "configuration"
    REJECTED = "rejected"
    ATTEMPTS_SPENT = "attempts_spent"
    SUBMIT_UNCONFIRMED = "submit_unconfirmed"
    RENDER_FAILED = "render_failed"
    TIMED_OUT = "timed_out"
    REMOTE_LOST = "remote_lost"
    DOWNLOAD_SPENT = "download_spent"
    FETCH_FAILED = "fetch_failed"
    NOT_A_DOCUMENT = "not_a_document"
    TOO_LARGE = "too_large"
    STORAGE_ERROR = "storage_error"


# Failures after which DocRaptor still holds the document: a retry takes it up there, unbilled.
RESUMES_AT: Mapping[str, State] = {
    Reason.REMOTE_LOST: State.QUEUED,
    Reason.FETCH_FAILED: State.DOWNLOADING,
    Reason.NOT_A_DOCUMENT: State.DOWNLOADING,
    Reason.TOO_LARGE: State.DOWNLOADING,
    Reason.STORAGE_ERROR: State.DOWNLOADING,
}

# Failures whose attempt DocRaptor may have finished, and billed, without our knowing.
MAY_HAVE_BEEN_BILLED: frozenset[str] = frozenset(
    {Reason.SUBMIT_UNCONFIRMED, Reason.TIMED_OUT, Reason.REMOTE_LOST, Reason.DOWNLOAD_SPENT}
)


class Kind(StrEnum):
    """What a line of a job's history tells."""

    ENQUEUED = "enqueued"
    RENEWED = "renewed"
    SUBMITTING = "submitting"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCONFIRMED = "unconfirmed"
    NEVER_ACCEPTED = "never_accepted"
    WORKING = "working"
    RENDERED = "rendered"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    CALLBACK = "callback"
    LATE_ANSWER = "late_answer"
    TRY_FAILED = "try_failed"
    DELIVERED = "delivered"
    NOT_DELIVERED = "not_delivered"
    EXPIRED = "expired"


# Seconds for which a claim on a row in that state holds. Long enough for the slowest bounded step.
LEASE: Mapping[State, float] = {
    State.PENDING: 120,
    State.SUBMITTING: 180,
    State.UNCONFIRMED: 120,
    State.QUEUED: 60,
    State.WORKING: 60,
    State.DOWNLOADING: 240,
}
STORING_LEASE: float = 900

# Seconds after which DocRaptor kills an asynchronous document.
DOCUMENT_LIFE: float = 600
# Seconds after `sent_at` at which an unconfirmed attempt is looked up in DocRaptor's log. After
# twice the deadline, or twice a document's life if that is longer, an attempt that is in no
# complete listing was never accepted.
UNCONFIRMED_LOOKS: tuple[float, ...] = (10, 30, 120, 300)
# Seconds for which an unconfirmed attempt is counted against MAX_IN_FLIGHT.
UNCONFIRMED_HOLDS_SLOT: float = 60

MAX_FETCH_ATTEMPTS = 3
MAX_STATUS_FAILURES = 20
MAX_STATUS_MISSING = 5
MAX_STORAGE_FAILURES = 15
MAX_RESUBMITS = 2
ACCOUNT_PAUSE: float = 600
# Creates in a row that met a faulty service, and then the seconds without any: doubled each time.
CIRCUIT_FAULTS = 5
CIRCUIT_BASE: float = 15
CIRCUIT_CAP: float = 600


def is_allowed(source: State, target: State) -> bool:
    """Whether a job may move from one state to the other."""
    return target in TRANSITIONS[source]
