"""The people around the site: customers who order in waves, and one who decides what must be.

Each is a thread that only sends web requests and reads; nothing here changes a row.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator

from benchmarks.content import name_of
from django_docraptor.states import RESUME_STATES, ErrorCode
from tests.chaos.fault_injection import FAILURES
from tests.chaos.site import Place

WAVE = 25
# Failures after which a person who finds the cause mended tries again.
MENDED = {str(reason) for reason in RESUME_STATES} | {str(ErrorCode.SUBMIT_FAILED)}
DECIDED = sorted(MENDED | {str(ErrorCode.SUBMIT_UNCONFIRMED)})
FAILED_JOBS = (
    "SELECT id, attempt, error_code FROM django_docraptor_renderjob "
    f"WHERE state = 'failed' AND error_code IN ({', '.join(map(repr, DECIDED))})"
)


class Customers(threading.Thread):
    """Order all documents, wave by wave; who gets no answer asks again."""

    def __init__(self, place: Place, seconds: float) -> None:
        super().__init__(name="customers", daemon=True)
        self.place = place
        self.pause = seconds * WAVE / max(1, place.options.jobs)
        self.leave = threading.Event()
        self.names: list[str] = []
        self.repeats = 0
        self.path = "/order-naively/" if place.options.naive else "/order/"

    def run(self) -> None:
        """Until everything is ordered."""
        for wave in self._waves():
            while not self._ordered(wave):
                self.repeats += 1
                if self.leave.wait(0.3):
                    return
            self.names += wave
            if self.leave.wait(self.pause):
                return

    def _waves(self) -> Iterator[list[str]]:
        jobs = self.place.options.jobs
        for first in range(0, jobs, WAVE):
            yield [name_of(number) for number in range(first, min(first + WAVE, jobs))]

    def _ordered(self, wave: list[str]) -> bool:
        try:
            self.place.post(self.path, wave)
        except (OSError, ValueError):
            return False
        return True


class Person(threading.Thread):
    """Look at failed jobs as a person does: at DocRaptor's log, then retry what was not made."""

    def __init__(self, place: Place) -> None:
        super().__init__(name="person", daemon=True)
        self.place = place
        self.leave = threading.Event()
        self.retried: Counter[str] = Counter()
        # Attempts that DocRaptor's log shows as accepted: the person leaves them.
        self.held: set[str] = set()
        self.undecided = 0

    def run(self) -> None:
        """Every few seconds, until asked to leave."""
        while not self.leave.wait(1.5):
            self.look()

    def look(self) -> None:
        """Decide what there is to decide; try again later where something does not answer."""
        try:
            failed = self.place.database.query(FAILED_JOBS)
            fresh = [row for row in failed if _tag(row) not in self.held]
            self.undecided = len(fresh)
            if fresh:
                self._decide(fresh)
        except (*FAILURES, ValueError):
            self.undecided = max(1, self.undecided)

    def _decide(self, failed: list[tuple[object, ...]]) -> None:
        accepted = {entry.tag for entry in self.place.control.ledger.entries}
        for key, attempt, reason in failed:
            tag = _tag((key, attempt))
            if reason == ErrorCode.SUBMIT_UNCONFIRMED and tag in accepted:
                self.held.add(tag)
            elif self.place.post(f"/retry/{uuid.UUID(str(key))}/{attempt}/")["retried"]:
                self.retried[str(reason)] += 1
        self.undecided = 0


def _tag(row: tuple[object, ...]) -> str:
    return f"{uuid.UUID(str(row[0])).hex}:{row[1]}"
