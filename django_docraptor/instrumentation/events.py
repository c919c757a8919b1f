"""Internal. The events that receivers get. Projects import them from ``instrumentation``."""

import uuid
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMade:
    """A call of DocRaptor's API has ended.

    Args:
        name: of the client's method, such as ``create_async_doc``.
        account: name of the account.
        seconds: how long it took, with the response's body.
        status: of the response; 0 if there was none.
        bytes_received: of the response's body.
        request_id: DocRaptor's ``X-Request-Id``; "" if there was none.
        error_code: code of the `CallError`, ``unexpected`` for any other exception, "" for success.
        job: key of the job; ``None`` for a call without one.
        document: label of the job's document class; "" without one.
        trace_parent: the W3C ``traceparent`` in which the job was enqueued; "" if there is none.
    """

    name: str
    account: str
    seconds: float
    status: int = 0
    bytes_received: int = 0
    request_id: str = ""
    error_code: str = ""
    job: uuid.UUID | None = None
    document: str = ""
    trace_parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMoved:
    """A job has changed its state, and the transaction is committed.

    Args:
        job: its key.
        account: name of its account.
        document: label of its document class; "" without one.
        from_state: "" if the job was enqueued.
        to_state: the new state.
        attempt: number of the attempt that the new state belongs to.
        is_test: whether it is a free test document.
        seconds_in_state: how long it was in the former state; ``None`` if that is unknown.
        error_code: why it has failed; "" otherwise.
        trace_parent: the W3C ``traceparent`` in which it was enqueued; "" if there is none.
    """

    job: uuid.UUID
    account: str
    document: str
    from_state: str
    to_state: str
    attempt: int
    is_test: bool
    seconds_in_state: float | None = None
    error_code: str = ""
    trace_parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimed:
    """A part of a job's way has ended that is neither a call nor a state.

    Args:
        name: ``render`` (of the HTML), ``store`` (of the file) or ``callback`` (received).
        job: key of the job.
        account: name of its account.
        document: label of its document class; "" without one.
        seconds: how long it took.
        trace_parent: the W3C ``traceparent`` in which the job was enqueued; "" if there is none.
    """

    name: str
    job: uuid.UUID
    account: str
    document: str
    seconds: float
    trace_parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMeasured:
    """How many jobs of an account are in an unfinished state, measured by a tick.

    Args:
        account: name of the account.
        state: an unfinished state.
        depth: number of jobs, counted up to 1,000.
        lag_seconds: seconds since the first of them became due; 0 if none is due.
    """

    account: str
    state: str
    depth: int
    lag_seconds: float


Event: TypeAlias = CallMade | JobMoved | StepTimed | QueueMeasured
