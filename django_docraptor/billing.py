"""Internal. What DocRaptor bills, and what a job has used: the one definition, read from history.

DocRaptor bills each production document that it has made. An attempt counts as billed from the
moment in which DocRaptor has accepted it, or may have, until something proves that it is not:
DocRaptor's refusal or verdict, or its log. Test documents are free. Reads no database: the
caller gives the job and its events, in their order.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from enum import IntEnum
from typing import Any, Final, Protocol, Self

from django_docraptor.states import POSSIBLY_BILLED_CODES, ErrorCode, EventKind, State


class Certainty(IntEnum):
    """What is known of an attempt that DocRaptor bills, or may bill."""

    MAYBE = 1
    ACCEPTED = 2
    MADE = 3


# Events that say that DocRaptor has, or may have, what was sent.
CERTAINTIES: Final[Mapping[str, Certainty]] = {
    EventKind.UNCONFIRMED: Certainty.MAYBE,
    EventKind.ACCEPTED: Certainty.ACCEPTED,
    EventKind.LATE_RESPONSE: Certainty.ACCEPTED,
    EventKind.CALLBACK: Certainty.MADE,
    EventKind.RENDERED: Certainty.MADE,
    EventKind.COMPLETED: Certainty.MADE,
}
# DocRaptor did not accept it, or refused to make it.
REFUSED_KINDS: Final = frozenset({EventKind.NOT_ACCEPTED, EventKind.REFUSED})
# The job has its document without a new one of DocRaptor.
REUSED_KINDS: Final = frozenset({EventKind.REUSED, EventKind.UNCHANGED})
# Events after which the figures of a job may differ.
COUNTED_KINDS: Final = frozenset(
    {
        *CERTAINTIES,
        *REFUSED_KINDS,
        *REUSED_KINDS,
        EventKind.NEVER_ACCEPTED,
        EventKind.CANCELLED,
        EventKind.FAILED,
    }
)
# Details of events: what a decision rests on, whether an attempt was accepted, an error's code.
EVIDENCE, PROOF, IS_ACCEPTED, REASON = "evidence", "proof", "accepted", "reason"


class Event(Protocol):
    """What is read of an event."""

    attempt: int
    kind: str
    from_state: str
    at: datetime

    @property
    def detail(self) -> Mapping[str, Any]:
        """What else is known."""


class Job(Protocol):
    """What is read of a job."""

    test: bool
    number_of_pages: int | None
    file_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was used.

    Args:
        completed: documents, with those that were reused.
        billed: attempts that DocRaptor bills, or may bill.
        retries_billed: those of them that are not the first one of their job.
        failures: how often a job has failed.
        reused: documents that were copied instead, without a bill.
        pages: of the completed documents.
        file_bytes: of the completed documents.
    """

    completed: int = 0
    billed: int = 0
    retries_billed: int = 0
    failures: int = 0
    reused: int = 0
    pages: int = 0
    file_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Return the sum."""
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in COUNTERS})

    def __sub__(self, other: "Usage") -> "Usage":
        """Return the difference, which may be negative."""
        return Usage(**{name: getattr(self, name) - getattr(other, name) for name in COUNTERS})

    def __bool__(self) -> bool:
        """Return whether anything was used."""
        return any(getattr(self, name) for name in COUNTERS)

    @classmethod
    def of(cls, row: object) -> Self:
        """Return the counters of a row, or of another object that has them."""
        return cls(**{name: getattr(row, name) for name in COUNTERS})


COUNTERS: Final[tuple[str, ...]] = tuple(field.name for field in fields(Usage))


@dataclass(frozen=True, slots=True)
class BilledAttempt:
    """An attempt that DocRaptor bills, or may bill.

    Args:
        sent_at: when it was sent.
        certainty: what is known of it.
    """

    sent_at: datetime
    certainty: Certainty


def billed_attempts(
    events: Iterable[Event], *, with_intents: bool = False
) -> dict[int, BilledAttempt]:
    """Return which attempts DocRaptor bills, or may bill, by their numbers.

    Args:
        events: of one production job, in their order.
        with_intents: count an attempt that is being sent, too: it may be accepted at any moment.
    """
    sent: dict[int, datetime] = {}
    billed: dict[int, Certainty] = {}
    for event in events:
        attempt = int(event.detail.get("attempt", event.attempt))
        if event.kind == EventKind.SUBMITTING:
            sent[attempt] = event.at
            if with_intents:
                billed[attempt] = Certainty.MAYBE
        elif certainty := _certainty_after(event):
            sent.setdefault(attempt, event.at)
            billed[attempt] = max(certainty, billed.get(attempt, certainty))
        elif is_disproof(event.kind, event.detail, from_state=event.from_state):
            billed.pop(attempt, None)
    return {n: BilledAttempt(sent[n], certainty) for n, certainty in sorted(billed.items())}


def _certainty_after(event: Event) -> Certainty | None:
    """Return what is known of an attempt because of an event that says that it may be billed."""
    is_interrupted = event.kind == EventKind.CANCELLED and event.from_state == State.SUBMITTING
    is_unsettled = (
        event.kind == EventKind.FAILED
        and event.detail.get(REASON) == ErrorCode.SUBMIT_UNCONFIRMED
        and event.detail.get(IS_ACCEPTED) is not False
    )
    return Certainty.MAYBE if is_interrupted or is_unsettled else CERTAINTIES.get(event.kind)


def is_disproof(kind: str, detail: Mapping[str, Any], *, from_state: str) -> bool:
    """Return whether an event says that DocRaptor does not bill its attempt.

    Args:
        kind: of the event.
        detail: of the event.
        from_state: the job's state before it.
    """
    if from_state == State.PENDING:
        # Nothing was being sent: it has the number of the attempt before, and says nothing of it.
        return False
    if kind == EventKind.NEVER_ACCEPTED:
        # Without a proof it was sent again because the project accepts a second bill.
        return detail.get(EVIDENCE) == PROOF
    if kind == EventKind.FAILED:
        is_open = detail.get(REASON) in POSSIBLY_BILLED_CODES
        return not is_open or detail.get(IS_ACCEPTED) is False
    return kind in REFUSED_KINDS


def usage_by_day(
    job: Job, events: Iterable[Event], *, with_intents: bool = False
) -> dict[date, Usage]:
    """Return what a job has used on each day, in UTC, as far as its events go.

    An attempt is billed on the day on which it was sent.

    Args:
        job: as it is now.
        events: its events, in their order.
        with_intents: as for `billed_attempts`.
    """
    events, days = list(events), dict[date, Usage]()
    for day, used in _used(job, events, with_intents=with_intents):
        days[day] = days.get(day, Usage()) + used
    return days


def _used(job: Job, events: list[Event], *, with_intents: bool) -> Iterator[tuple[date, Usage]]:
    attempts = {} if job.test else billed_attempts(events, with_intents=with_intents)
    for number, attempt in enumerate(attempts.values()):
        yield utc_day(attempt.sent_at), Usage(billed=1, retries_billed=int(number > 0))
    for event in events:
        if event.kind == EventKind.FAILED:
            yield utc_day(event.at), Usage(failures=1)
        elif event.kind == EventKind.COMPLETED or event.kind in REUSED_KINDS:
            reused = int(event.kind in REUSED_KINDS)
            pages, size = job.number_of_pages or 0, job.file_size or 0
            yield utc_day(event.at), Usage(completed=1, reused=reused, pages=pages, file_bytes=size)


def utc_day(time: datetime) -> date:
    """Return a time's day in UTC, by which DocRaptor's log goes, too."""
    return time.astimezone(UTC).date()
