"""Simulated users: customers who request documents in batches, and an operator.

The operator handles failed jobs. Both are threads that send web requests and read the database;
they never write to it.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator

from django_docraptor.states import RESUME_STATES, ErrorCode
from tests.chaos.accounts import LOCKED_ACCOUNT
from tests.chaos.fault_injection import EXPECTED_ERRORS
from tests.chaos.site import Site
from tests.support.documents import document_name

BATCH_SIZE = 25
# The sandbox never finishes a stalled document, so that each retry would end in the same way.
MAX_RETRIES_OF_ATTEMPT = 5
# Failures that an operator retries once the cause is fixed.
RETRYABLE_CODES = {str(code) for code in RESUME_STATES} | {str(ErrorCode.SUBMIT_FAILED)}
REVIEWED_CODES = sorted(RETRYABLE_CODES | {str(ErrorCode.SUBMIT_UNCONFIRMED)})
FAILED_JOBS = (
    "SELECT id, attempt, error_code FROM django_docraptor_renderjob "
    f"WHERE state = 'failed' AND account <> '{LOCKED_ACCOUNT}' "
    f"AND error_code IN ({', '.join(map(repr, REVIEWED_CODES))})"
)


class Customers(threading.Thread):
    """Request all documents in batches, repeating a request without a response.

    Args:
        site: the site that receives the requests.
        seconds: the time in which the requests are spread.
    """

    def __init__(self, site: Site, seconds: float) -> None:
        super().__init__(name="customers", daemon=True)
        self.site = site
        self.pause = seconds * BATCH_SIZE / max(1, site.options.jobs)
        self.stop_event = threading.Event()
        self.names: list[str] = []
        self.repeated_requests = 0
        self.path = "/enqueue-baseline/" if site.options.baseline else "/enqueue/"

    def run(self) -> None:
        """Send requests until all documents are enqueued."""
        if not self.site.options.baseline and not self._repeat("/enqueue-locked/", []):
            return
        for batch in self._batches():
            if not self._repeat(self.path, batch):
                return
            self.names += batch
            if self.stop_event.wait(self.pause):
                return

    def _batches(self) -> Iterator[list[str]]:
        jobs = self.site.options.jobs
        for first in range(0, jobs, BATCH_SIZE):
            yield [document_name(number) for number in range(first, min(first + BATCH_SIZE, jobs))]

    def _repeat(self, path: str, batch: list[str]) -> bool:
        """Send a request until the site confirms it; return whether it did before the end."""
        while not self._post(path, batch):
            self.repeated_requests += 1
            if self.stop_event.wait(0.3):
                return False
        return True

    def _post(self, path: str, batch: list[str]) -> bool:
        """Return whether the site has confirmed the request."""
        try:
            self.site.post(path, batch)
        except (OSError, ValueError):
            return False
        return True


class Operator(threading.Thread):
    """Check failed jobs against DocRaptor's log and retry those that were not accepted."""

    def __init__(self, site: Site) -> None:
        super().__init__(name="operator", daemon=True)
        self.site = site
        self.stop_event = threading.Event()
        self.retried: Counter[str] = Counter()
        self.retries_by_tag: Counter[str] = Counter()
        # Attempts that the operator does not retry: unconfirmed ones that DocRaptor has accepted,
        # and those retried in vain.
        self.left_failed: set[str] = set()
        self.unreviewed = 0

    def run(self) -> None:
        """Review failed jobs every few seconds, until told to stop."""
        while not self.stop_event.wait(1.5):
            self.review_failed_jobs()

    def review_failed_jobs(self) -> None:
        """Retry or leave each failed job; try again later if a service does not respond."""
        try:
            failed = self.site.database.query(FAILED_JOBS)
            unreviewed = [row for row in failed if _tag(row) not in self.left_failed]
            self.unreviewed = len(unreviewed)
            if unreviewed:
                self._retry_or_leave(unreviewed)
        except (*EXPECTED_ERRORS, ValueError):
            self.unreviewed = max(1, self.unreviewed)

    def _retry_or_leave(self, failed: list[tuple[object, ...]]) -> None:
        accepted = {entry.tag for entry in self.site.control.ledger.entries}
        for key, attempt, code in failed:
            tag = _tag((key, attempt))
            is_doubtful = code == ErrorCode.SUBMIT_UNCONFIRMED and tag in accepted
            if is_doubtful or self.retries_by_tag[tag] >= MAX_RETRIES_OF_ATTEMPT:
                self.left_failed.add(tag)
            elif self.site.post(f"/retry/{uuid.UUID(str(key))}/{attempt}/")["retried"]:
                self.retried[str(code)] += 1
                self.retries_by_tag[tag] += 1
        self.unreviewed = 0


def _tag(row: tuple[object, ...]) -> str:
    return f"{uuid.UUID(str(row[0])).hex}:{row[1]}"
