"""What DocRaptor bills: each way through the history of an attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest

from django_docraptor.billing import Usage, billed_attempts, usage_by_day
from django_docraptor.states import ErrorCode, EventKind, State

DAY = date(2026, 11, 27)


@dataclass
class FakeEvent:
    """An event."""

    kind: str
    attempt: int = 1
    from_state: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: datetime = datetime(2026, 11, 27, 23, 59, tzinfo=UTC)


@dataclass
class FakeJob:
    """A job."""

    test: bool = False
    number_of_pages: int | None = 3
    file_size: int | None = 1000


SENT = FakeEvent(EventKind.SUBMITTING)
ACCEPTED = FakeEvent(EventKind.ACCEPTED)
UNKNOWN = FakeEvent(EventKind.UNCONFIRMED)


def failed(code: ErrorCode, **options: Any) -> FakeEvent:
    """Return the event of a failure."""
    return FakeEvent(EventKind.FAILED, **{"detail": {"reason": code.value}, **options})


def never_accepted(evidence: str) -> FakeEvent:
    """Return the event of an attempt that is sent again."""
    return FakeEvent(EventKind.NEVER_ACCEPTED, detail={"evidence": evidence})


HISTORIES: dict[str, tuple[list[FakeEvent], bool]] = {
    "only the intent": ([SENT], False),
    "accepted": ([SENT, ACCEPTED], True),
    "outcome unknown": ([SENT, UNKNOWN], True),
    "refused at once": ([SENT, FakeEvent(EventKind.NOT_ACCEPTED)], False),
    "rejected": ([SENT, failed(ErrorCode.REJECTED)], False),
    "proven to be missing": ([SENT, UNKNOWN, never_accepted("proof")], False),
    "sent again without a proof": ([SENT, UNKNOWN, never_accepted("none")], True),
    "accepted after the proof": (
        [SENT, UNKNOWN, never_accepted("proof"), FakeEvent(EventKind.LATE_RESPONSE)],
        True,
    ),
    "called back after the proof": (
        [SENT, UNKNOWN, never_accepted("proof"), failed(ErrorCode.SUBMIT_UNCONFIRMED)],
        True,
    ),
    "failed, unproven": ([SENT, UNKNOWN, failed(ErrorCode.SUBMIT_UNCONFIRMED)], True),
    "failed, proven": (
        [
            SENT,
            UNKNOWN,
            failed(
                ErrorCode.SUBMIT_UNCONFIRMED,
                detail={"reason": "submit_unconfirmed", "accepted": False},
            ),
        ],
        False,
    ),
    "refused because of the account": ([SENT, ACCEPTED, FakeEvent(EventKind.REFUSED)], False),
    "not rendered": ([SENT, ACCEPTED, failed(ErrorCode.RENDER_FAILED)], False),
    "never finished": ([SENT, ACCEPTED, failed(ErrorCode.TIMED_OUT)], True),
    "finished by a retry": (
        [SENT, ACCEPTED, failed(ErrorCode.TIMED_OUT), FakeEvent(EventKind.COMPLETED)],
        True,
    ),
    "not rendered after a retry": (
        [SENT, ACCEPTED, failed(ErrorCode.TIMED_OUT), failed(ErrorCode.RENDER_FAILED)],
        False,
    ),
    "cancelled while it was sent": (
        [SENT, FakeEvent(EventKind.CANCELLED, from_state=State.SUBMITTING)],
        True,
    ),
    "cancelled later": ([SENT, ACCEPTED, FakeEvent(EventKind.CANCELLED)], True),
    "cancelled before": ([FakeEvent(EventKind.CANCELLED, attempt=0)], False),
    "failed before it was sent again": (
        [
            SENT,
            UNKNOWN,
            never_accepted("none"),
            failed(ErrorCode.SUBMIT_FAILED, from_state=State.PENDING),
        ],
        True,
    ),
    "failed before a retry was sent": (
        [
            SENT,
            ACCEPTED,
            failed(ErrorCode.DOCUMENT_GONE),
            failed(ErrorCode.TEMPLATE_ERROR, from_state=State.PENDING),
        ],
        True,
    ),
    "copied": ([FakeEvent(EventKind.REUSED, attempt=0)], False),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_attempt_is_billed_if_docraptor_has_or_may_have_made_it(name: str) -> None:
    """An attempt counts from its acceptance, or from the doubt, until it is disproved."""
    events, is_billed = HISTORIES[name]
    assert bool(billed_attempts(events)) == is_billed


def test_attempt_is_billed_on_the_day_on_which_it_was_sent() -> None:
    """What is settled after midnight belongs to the day before; the document to its own."""
    later = datetime(2026, 11, 28, 0, 1, tzinfo=UTC)
    events = [SENT, FakeEvent(EventKind.ACCEPTED, at=later), FakeEvent("completed", at=later)]
    assert usage_by_day(FakeJob(), events) == {
        DAY: Usage(billed=1),
        date(2026, 11, 28): Usage(completed=1, pages=3, file_bytes=1000),
    }


def test_second_billed_attempt_is_a_billed_retry() -> None:
    """Only billed attempts after the first billed one count, not those that were free."""
    free = [SENT, failed(ErrorCode.RENDER_FAILED)]
    second = [FakeEvent(kind, attempt=2) for kind in ("submitting", "accepted", "completed")]
    third = [FakeEvent(kind, attempt=3) for kind in ("submitting", "accepted")]
    used = usage_by_day(FakeJob(), free + second)[DAY]
    assert (used.billed, used.retries_billed, used.failures) == (1, 0, 1)
    used = usage_by_day(FakeJob(), free + second + third)[DAY]
    assert (used.billed, used.retries_billed) == (2, 1)


def test_late_response_is_of_the_attempt_that_it_names() -> None:
    """The event is recorded while a later attempt runs."""
    late = FakeEvent(EventKind.LATE_RESPONSE, attempt=2, detail={"attempt": 1})
    assert list(billed_attempts([SENT, late])) == [1]


def test_test_documents_are_free_and_counted() -> None:
    """They have pages and failures, and no bill."""
    events = [SENT, ACCEPTED, FakeEvent(EventKind.COMPLETED)]
    used = usage_by_day(FakeJob(test=True), events)[DAY]
    assert (used.completed, used.billed, used.pages) == (1, 0, 3)


@pytest.mark.parametrize("kind", [EventKind.REUSED, EventKind.UNCHANGED])
def test_copies_are_completed_without_a_bill(kind: EventKind) -> None:
    """A document that was copied is completed and reused."""
    used = usage_by_day(FakeJob(), [FakeEvent(kind, attempt=0)])[DAY]
    assert (used.completed, used.reused, used.billed) == (1, 1, 0)
