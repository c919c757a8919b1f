"""Internal. Compare what DocRaptor's log says it bills with what the history of jobs accounts for.

Reads only. The log is read from its newest entry back, for each API key; jobs are looked up by the
tags that it lists, and those of our attempts that it should list are looked up in it. Each
difference is a line; together they are the figure *billed - accounted for*.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID

from django.db import router

from django_docraptor.billing import BilledAttempt, Certainty, billed_attempts
from django_docraptor.client import LogEntry
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.lifecycle.account_log import (
    ATTEMPT_TAG,
    PROBE_TAG_PREFIX,
    AccountLog,
    attempt_tag,
)
from django_docraptor.lifecycle.clients import KeyedClient, open_client
from django_docraptor.lifecycle.evidence import CLOCK_TOLERANCE, settled_age
from django_docraptor.lifecycle.synchronous import TAG_PREFIX as SYNCHRONOUS_TAG_PREFIX
from django_docraptor.models import RenderJob
from django_docraptor.models.statements import database_now
from django_docraptor.states import State
from django_docraptor.usage import histories

# Entries of a log that are read at most.
MAX_ENTRIES = 100_000
# DocRaptor is younger.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
# States in which the outcome of an attempt is on its way.
IN_PROGRESS = (State.SUBMITTING, State.QUEUED, State.WORKING)
COLUMNS = ("account", "test", "state", "attempt", "status_id")


class Kind(StrEnum):
    """What only one side knows."""

    FOREIGN = "foreign"
    UNKNOWN_JOB = "unknown_job"
    OTHER_ACCOUNT = "other_account"
    NEVER_SENT = "never_sent"
    NOT_COUNTED = "not_counted"
    TWICE = "twice"
    TEST_BILLED = "test_billed"
    UNCONFIRMED = "unconfirmed"
    OTHER_STATUS_ID = "other_status_id"
    FAILED_THERE = "failed_there"
    FREE_THERE = "free_there"
    MISSING = "missing"
    PERHAPS = "perhaps"


# What each means, and by how much DocRaptor's bill is then higher than what is accounted for.
MEANINGS: dict[Kind, tuple[int, str]] = {
    Kind.FOREIGN: (1, "billed, but not sent by a job: another system uses the same API key"),
    Kind.UNKNOWN_JOB: (1, "billed, but there is no such job here: deleted, or another site's"),
    Kind.OTHER_ACCOUNT: (1, "billed, but its job belongs to an account with another API key"),
    Kind.NEVER_SENT: (1, "billed, but the job has no such attempt: is the database a backup?"),
    Kind.NOT_COUNTED: (1, "billed, but held here as not accepted, or not rendered"),
    Kind.TWICE: (1, "billed twice: the log has two entries with this tag"),
    Kind.TEST_BILLED: (1, "billed, but it was requested as a test document"),
    Kind.UNCONFIRMED: (0, "billed, and held here as unconfirmed: a retry would be billed again"),
    Kind.OTHER_STATUS_ID: (0, "billed, but here it has another status_id"),
    Kind.FAILED_THERE: (-1, "counted here as billed, but DocRaptor lists it as failed"),
    Kind.FREE_THERE: (-1, "counted here as billed, but DocRaptor lists it as a test document"),
    Kind.MISSING: (-1, "counted here as billed, but not listed by DocRaptor"),
    Kind.PERHAPS: (0, "counted here, because it may be billed, but DocRaptor does not bill it"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What only one side knows.

    Args:
        kind: what it is.
        tag: the attempt's tag, or that of another system.
        at: when it was sent, as far as is known.
        entry_id: DocRaptor's ID of its entry, if it has one.
        name: the document's name in the log, for one that is not ours.
    """

    kind: Kind
    tag: str
    at: datetime | None = None
    entry_id: str = ""
    name: str = ""

    @property
    def amount(self) -> int:
        """By how much DocRaptor's bill is higher because of it than what is accounted for."""
        return MEANINGS[self.kind][0]

    @property
    def meaning(self) -> str:
        """What it means, in words."""
        return MEANINGS[self.kind][1]


@dataclass(kw_only=True)
class BillReport:
    """The comparison for one API key.

    Args:
        accounts: the names of the accounts that have the key.
        since: the beginning of what was compared.
        until: its end, by DocRaptor's clock.
        asked_since: the beginning that was asked for: the log may not reach back so far.
        billed: documents that DocRaptor's log lists as billed.
        synchronous: those of them that were made by synchronous calls, which leave no job.
        unfinished: entries without an outcome.
        error: why the log could not be read as far as needed.
        differences: what only one side knows.
    """

    accounts: list[str]
    since: datetime | None = None
    until: datetime | None = None
    asked_since: datetime | None = None
    billed: int = 0
    synchronous: int = 0
    unfinished: int = 0
    error: str = ""
    differences: list[Difference] = field(default_factory=list)

    @property
    def difference(self) -> int:
        """What DocRaptor has billed, minus what is accounted for."""
        return sum(each.amount for each in self.differences)

    @property
    def accounted(self) -> int:
        """The documents that are accounted for."""
        return self.billed - self.difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What is compared: the last days, or, if they are given, the days from a first to a last one.

    Args:
        days: how far to go back.
        dates: the first and the last day, in UTC, instead.
    """

    days: float
    dates: tuple[date, date] | None = None

    def begin(self, now: datetime) -> datetime:
        """Return its beginning, by the clock that says what time it is now."""
        if self.dates is None:
            return now - timedelta(days=self.days)
        return max(datetime.combine(self.dates[0], time(), UTC), EARLIEST)

    def end(self, now: datetime) -> datetime:
        """Return its end, which is not in the future."""
        if self.dates is None:
            return now
        return min(now, datetime.combine(self.dates[1], time.max, UTC))


def compare_bills(
    accounts: Iterable[str], *, period: Period, seconds: float
) -> Iterator[BillReport]:
    """Compare the bill of each API key.

    Args:
        accounts: their names. Those with the same key are compared together.
        period: by DocRaptor's clock.
        seconds: for reading each log.
    """
    by_key: dict[str, tuple[KeyedClient, list[str]]] = {}
    for name in accounts:
        try:
            keyed = open_client(name)
        except ConfigurationError as error:
            yield BillReport(accounts=[name], error=str(error))
        else:
            by_key.setdefault(keyed.key_hash, (keyed, []))[1].append(name)
    for keyed, names in by_key.values():
        yield _compare(keyed, names, period, seconds)


def _compare(keyed: KeyedClient, names: list[str], period: Period, seconds: float) -> BillReport:
    report = BillReport(accounts=names)
    now = database_now(using=router.db_for_write(RenderJob))
    log = AccountLog(keyed, max_entries=MAX_ENTRIES, seconds=seconds)
    log.read(lambda log: _oldest(log) < period.begin(log.served_at or now))
    report.error = str(log.error or "")
    served_at = log.served_at or now
    report.until = period.end(served_at)
    report.since = report.asked_since = period.begin(served_at)
    if log.entries and (log.error or log.has_ended):
        report.since = max(_oldest(log), report.asked_since)
    if log.entries or not log.error:
        _Comparison(report, log, now, served_at).run()
    return report


def _oldest(log: AccountLog) -> datetime:
    """Return the time of the oldest entry that has one."""
    return min((entry.created_at for entry in log.entries if entry.created_at), default=LATEST)


class _Comparison:
    """The comparison of a log with the jobs.

    Args:
        report: is completed.
        log: as far as it was read.
        now: the time by the database's clock when it was read.
        served_at: the same by DocRaptor's clock.
    """

    def __init__(
        self, report: BillReport, log: AccountLog, now: datetime, served_at: datetime
    ) -> None:
        self.report = report
        since, until, ahead = report.since or now, report.until or now, now - served_at
        # Between them, by the database's clock, an attempt that DocRaptor has accepted is listed.
        self.sent_since = since + ahead + CLOCK_TOLERANCE
        self.sent_until = min(until + ahead - CLOCK_TOLERANCE, now - settled_age())
        self.jobs: dict[UUID, dict[int, list[LogEntry]]] = {}
        self.others: dict[str, list[LogEntry]] = {}
        is_past = until < served_at  # else its newest entry is included, whatever its time is
        for entry in log.entries:
            at = entry.created_at
            if at is None or (since <= at and not (is_past and at > until)):
                self._sort(entry)

    def _sort(self, entry: LogEntry) -> None:
        tag = attempt_tag(entry)
        if match := ATTEMPT_TAG.fullmatch(tag):
            attempts = self.jobs.setdefault(UUID(match[1]), {})
            attempts.setdefault(int(match[2]), []).append(entry)
        else:
            self.others.setdefault(tag, []).append(entry)

    def run(self) -> None:
        """Compare all entries, and all attempts that should have one."""
        ours = RenderJob.objects.filter(
            account__in=self.report.accounts, test=False, sent_at__gte=self.sent_since
        )
        keys = {*self.jobs, *ours.order_by().values_list("pk", flat=True)}
        for job, events in histories(RenderJob.objects.all(), keys, *COLUMNS):
            self._compare_job(job, {} if job.test else billed_attempts(events))
        for key, attempts in self.jobs.items():  # those that were not found
            for number, entries in attempts.items():
                self._add_all(Kind.UNKNOWN_JOB, f"{key.hex}:{number}", self._billed(entries))
        for tag, entries in self.others.items():
            self._compare_other(tag, self._billed(entries))
        self.report.differences.sort(key=lambda each: (each.at or LATEST, each.tag))

    def _compare_job(self, job: RenderJob, attempts: dict[int, BilledAttempt]) -> None:
        listed = self.jobs.pop(job.pk, {})
        is_ours = job.account in self.report.accounts
        for number, entries in listed.items():
            tag, billed = f"{job.pk.hex}:{number}", self._billed(entries)
            if not is_ours:
                self._add_all(Kind.OTHER_ACCOUNT, tag, billed)
                continue
            if kind := _kind_of(job, number, attempts.get(number), billed, entries):
                self._add(kind, tag, (billed or entries)[0])
            self._add_all(Kind.TWICE, tag, billed[1:])
        for number in attempts.keys() - listed.keys() if is_ours else ():
            self._compare_unlisted(job, number, attempts[number])

    def _compare_unlisted(self, job: RenderJob, number: int, attempt: BilledAttempt) -> None:
        is_expected = self.sent_since <= attempt.sent_at <= self.sent_until
        if is_expected and not _is_in_progress(job, number, attempt):
            kind = Kind.MISSING if attempt.certainty == Certainty.MADE else Kind.PERHAPS
            difference = Difference(kind=kind, tag=f"{job.pk.hex}:{number}", at=attempt.sent_at)
            self.report.differences.append(difference)

    def _compare_other(self, tag: str, billed: list[LogEntry]) -> None:
        """Compare what has no job: a synchronous call of this project, or another system's."""
        if tag.startswith(SYNCHRONOUS_TAG_PREFIX):
            first, again = billed[:1], billed[1:]
            self.report.synchronous += len(first)
            self._add_all(Kind.TWICE, tag, again)
        elif tag.startswith(PROBE_TAG_PREFIX):
            self._add_all(Kind.TEST_BILLED, tag, billed)
        else:
            self._add_all(Kind.FOREIGN, tag, billed)

    def _billed(self, entries: list[LogEntry]) -> list[LogEntry]:
        """Return the entries that are billed, and count them."""
        billed = [entry for entry in entries if entry.success and entry.test is not True]
        self.report.billed += len(billed)
        self.report.unfinished += sum(_is_open(entry) for entry in entries)
        return billed

    def _add_all(self, kind: Kind, tag: str, entries: list[LogEntry]) -> None:
        for entry in entries:
            self._add(kind, tag, entry)

    def _add(self, kind: Kind, tag: str, entry: LogEntry) -> None:
        name = entry.name if kind == Kind.FOREIGN else ""
        self.report.differences.append(
            Difference(kind=kind, tag=tag, at=entry.created_at, entry_id=entry.id, name=name)
        )


def _is_open(entry: LogEntry) -> bool:
    """Return whether the log has no outcome of a production document yet."""
    return not entry.success and not entry.validation_errors and entry.test is not True


def _is_in_progress(job: RenderJob, number: int, attempt: BilledAttempt | None) -> bool:
    """Return whether the engine will learn the outcome of an attempt by itself."""
    is_made = attempt is not None and attempt.certainty == Certainty.MADE
    return number == job.attempt and job.state in IN_PROGRESS and not is_made


def _kind_of(
    job: RenderJob,
    number: int,
    attempt: BilledAttempt | None,
    billed: list[LogEntry],
    entries: list[LogEntry],
) -> Kind | None:
    """Return what is wrong with a listed attempt of a job; ``None`` if nothing is."""
    if billed:
        return _kind_if_billed(job, number, attempt, billed[0])
    return _kind_if_free(job, number, attempt, entries)


def _kind_if_billed(
    job: RenderJob, number: int, attempt: BilledAttempt | None, entry: LogEntry
) -> Kind | None:
    """Return what is wrong with an attempt that DocRaptor bills; ``None`` if nothing is."""
    if job.test:
        return Kind.TEST_BILLED
    if number > job.attempt:
        return Kind.NEVER_SENT
    if attempt is None:
        return None if _is_in_progress(job, number, attempt) else Kind.NOT_COUNTED
    if attempt.certainty == Certainty.MAYBE:
        return Kind.UNCONFIRMED
    is_known = number == job.attempt and job.status_id and entry.status_id
    return Kind.OTHER_STATUS_ID if is_known and job.status_id != entry.status_id else None


def _kind_if_free(
    job: RenderJob, number: int, attempt: BilledAttempt | None, entries: list[LogEntry]
) -> Kind | None:
    """Return what is wrong with an attempt that DocRaptor lists, but does not bill."""
    if attempt is None or _is_in_progress(job, number, attempt):
        return None
    if attempt.certainty != Certainty.MADE:
        return Kind.PERHAPS
    return Kind.FREE_THERE if any(entry.test for entry in entries) else Kind.FAILED_THERE
