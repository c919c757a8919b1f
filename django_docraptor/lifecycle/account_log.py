"""Internal. Read DocRaptor's log of an account, newest first, and recognise our attempts in it.

Only the unfiltered log is read completely: a filter that the service misreads would hide attempts.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django_docraptor.client import LogEntry, LogPage
from django_docraptor.exceptions import CallError, DocRaptorError, UnknownOutcomeError
from django_docraptor.lifecycle.clients import KeyedClient
from django_docraptor.models import Account, RenderJob

logger = logging.getLogger(__name__)

# Entries per page: an entry may be large, so a page that cannot be received is asked for in parts.
PAGE_SIZES = (100, 25, 5)
MAX_ENTRIES = 5_000
# Seconds after which no further page is read.
READ_SECONDS = 45.0
# Pages of a filtered listing, which is never needed completely; no more after these seconds.
MAX_FILTERED_PAGES = 5
FILTERED_SECONDS = 15.0
# Entries of one time may be listed in any order, and DocRaptor's hosts may differ a little.
ORDER_TOLERANCE = timedelta(seconds=60)
ATTEMPT_TAG = re.compile(r"([0-9a-f]{32}):(\d+)")
PROBE_TAG_PREFIX = "probe:"


@dataclass(frozen=True, slots=True)
class OwnAttempt:
    """When we sent a listed attempt, and when its acceptance was known; by the database's clock."""

    sent_at: datetime
    accepted_at: datetime | None = None


@dataclass
class AccountLog:
    """The log of an account as far as it was read.

    Args:
        keyed: the account's client.
        entries: newest first, each once.
        has_ended: whether the end of the log was reached.
        error: why it was not read as far as needed.
        is_confirmed: whether nothing can have been skipped between two pages.
        own: our attempts among the entries, by tag.
        max_entries: how many are read at most.
        seconds: after which no further page is read.
    """

    keyed: KeyedClient
    entries: list[LogEntry] = field(default_factory=list)
    has_ended: bool = False
    error: DocRaptorError | None = None
    is_confirmed: bool = False
    own: dict[str, OwnAttempt] = field(default_factory=dict)
    max_entries: int = field(default_factory=lambda: MAX_ENTRIES)
    seconds: float = field(default_factory=lambda: READ_SECONDS)
    _by_tag: dict[str, LogEntry] = field(default_factory=dict)
    _served: list[datetime | None] = field(default_factory=list)
    _page_size: int = PAGE_SIZES[0]
    _stop: float = 0.0

    def __post_init__(self) -> None:
        """Begin the time for reading."""
        self._stop = self._stop or time.monotonic() + self.seconds

    def read(self, is_enough: Callable[["AccountLog"], bool]) -> None:
        """Read pages until enough is known, or the log ends; a failure is kept as ``error``."""
        for size in PAGE_SIZES:
            try:
                self._read_pages(size, is_enough)
            except DocRaptorError as error:
                self.error = error
                if not _may_be_too_large(error):
                    return
            else:
                self.error = None
                return

    def confirm(self, is_enough: Callable[["AccountLog"], bool]) -> None:
        """Read the log again, unless one page was enough, in pages that end at other entries.

        Entries that move between pages while they are read, or that a page skips, are then in one
        of the readings only. What the second one lists counts, too.
        """
        self.is_confirmed = len(self._served) == 1
        if self.is_confirmed:
            return
        again = AccountLog(self.keyed, _stop=self._stop)
        try:
            again._read_pages(self._page_size * 2 // 3, is_enough)
        except DocRaptorError as error:
            self.error = error
        self.is_confirmed = _list_the_same(self.entries, again.entries)
        for entry in again.entries:
            self._index(entry)

    def _read_pages(self, size: int, is_enough: Callable[["AccountLog"], bool]) -> None:
        """Read the log from its beginning, in pages of a size.

        Raises:
            DocRaptorError: it was not read as far as needed.
        """
        self.entries, self._served, self.own = [], [], {}
        self._page_size = size
        keys: set[object] = set()
        for number in range(1, self.max_entries // size + 1):
            page = list_page(self.keyed, page=number, per_page=size)
            # Entries that were added meanwhile move others to the next page: they come twice.
            self._add(page, [entry for entry in page if (entry.id or entry) not in keys])
            keys.update(entry.id or entry for entry in page)
            self.has_ended = not page
            if self.has_ended or is_enough(self):
                return
            if time.monotonic() > self._stop:
                raise CallError(
                    f"DocRaptor's log was read for {self.seconds:.0f} s, and has more entries "
                    "since this attempt.",
                    retryable=True,
                )
        raise CallError(
            f"DocRaptor's log has more than {self.max_entries:,} entries since this attempt.",
            retryable=True,
        )

    def find_in_period(self, tags: Iterable[str], start: datetime, end: datetime) -> None:
        """Look for attempts in a filtered listing, too: what it lists counts, its silence does not.

        Raises:
            DocRaptorError: it cannot be read at present.
        """
        stop = time.monotonic() + FILTERED_SECONDS
        for number in range(1, MAX_FILTERED_PAGES + 1):
            try:
                page = list_page(
                    self.keyed, start=start, end=end, page=number, per_page=self._page_size
                )
            except CallError as error:
                if error.retryable:
                    raise
                return  # the service does not accept the filter
            for entry in page:
                self._index(entry)
            if not page or all(tag in self._by_tag for tag in tags) or time.monotonic() > stop:
                return

    @property
    def policy(self) -> str | None:
        """What to do if an attempt's outcome stays unknown: the account's ``UNCONFIRMED``."""
        return self.keyed.settings.unconfirmed

    def find(self, tag: str) -> LogEntry | None:
        """Return the entry of an attempt."""
        return self._by_tag.get(tag)

    @property
    def served_at(self) -> datetime | None:
        """The service's own time when it sent the first page; ``None`` if a page has none."""
        times = [time for time in self._served if time is not None]
        return min(times) if times and len(times) == len(self._served) else None

    @property
    def is_ordered(self) -> bool:
        """Whether every entry has its time, and they are listed newest first."""
        times = [entry.created_at for entry in self.entries]
        return None not in times and all(
            older <= newer + ORDER_TOLERANCE for newer, older in pairwise(filter(None, times))
        )

    def _add(self, page: LogPage, new: list[LogEntry]) -> None:
        self._served.append(getattr(page, "served_at", None))  # a project's client may have none
        self.entries += new
        for entry in new:
            self._index(entry)
        self.own |= own_attempts(self.keyed.account, map(attempt_tag, new))

    def _index(self, entry: LogEntry) -> None:
        tag = attempt_tag(entry)
        known = self._by_tag.get(tag)
        if known is None or not known.status_id:
            self._by_tag[tag] = entry


def list_page(keyed: KeyedClient, **options: Any) -> LogPage:
    """Return a page of the log.

    Raises:
        DocRaptorError: it cannot be read at present, whatever the client raised: one line that it
            does not understand must not end the step for all other jobs.
    """
    try:
        return keyed.ask("list_doc_logs", lambda client: client.list_doc_logs(**options))
    except DocRaptorError:
        raise
    except Exception as error:
        logger.exception("Account %s: unexpected error while reading the log", keyed.account)
        message = f"Unexpected {type(error).__name__} in the client"
        raise UnknownOutcomeError(message, retryable=True) from error


def _list_the_same(entries: list[LogEntry], later: list[LogEntry]) -> bool:
    """Return whether two readings list the same, as far as both reach, and but for new entries."""
    first, second = ([entry.id or entry for entry in listed] for listed in (entries, later))
    new = second.index(first[0]) if first and first[0] in second else 0
    length = min(len(first), len(second) - new)
    return set(first[:length]) == set(second[new : new + length])


def attempt_tag(entry: LogEntry) -> str:
    """Return the part of an entry's tag that identifies the attempt."""
    return entry.tag.partition(" ")[0]


def own_attempts(account: str, tags: Iterable[str]) -> dict[str, OwnAttempt]:
    """Return what is known about those tags that are current attempts, or the probe, of ours."""
    tags = set(tags)
    attempts = {match[1]: tag for tag in tags if (match := ATTEMPT_TAG.fullmatch(tag))}
    rows = RenderJob.objects.filter(pk__in=attempts, account=account, sent_at__isnull=False)
    own = {
        job.tag: OwnAttempt(job.sent_at, job.submitted_at if job.status_id else None)
        for job in rows.only("attempt", "sent_at", "submitted_at", "status_id")
        if job.sent_at and job.tag in tags
    }
    if any(tag.startswith(PROBE_TAG_PREFIX) for tag in tags):
        accounts = Account.objects.filter(pk=account, probe_tag__in=tags, probed_at__isnull=False)
        own |= {row.probe_tag: OwnAttempt(row.probed_at) for row in accounts if row.probed_at}
    return own


def _may_be_too_large(error: DocRaptorError) -> bool:
    """Return whether a response had begun and could not be received, so that less of it may be."""
    return isinstance(error, CallError) and error.status is not None and 200 <= error.status < 300
