"""One run: chaos while documents are ordered, then calm until everything has ended."""

import random
import sys
import time
from typing import Any

from tests.chaos.audit import Account, NaiveAccount, Verdict
from tests.chaos.fault_injection import FAILURES, Mayhem
from tests.chaos.site import Options, Place
from tests.chaos.users import Customers, Person

# Things break for this share of the time; documents are ordered for that share of it.
CHAOS, ORDERING = 0.55, 0.6
# Seconds that are kept for the account and for ending every process.
RESERVE = 15.0
# Seconds that the last create may need when all is calm: a lease, the window in which it is
# looked for, a person, and another attempt.
CALM = 75.0
SAY_EVERY = 10.0
UNFINISHED = {
    False: "SELECT COUNT(*) FROM django_docraptor_renderjob WHERE due_at IS NOT NULL",
    True: "SELECT COUNT(*) FROM naive_document WHERE file = '' AND error = ''",
}


class Run:
    """Drives one site through its chaos."""

    def __init__(self, place: Place, began: float) -> None:
        self.place = place
        self.options: Options = place.options
        self.began = began
        self.mayhem = Mayhem(place, random.Random(self.options.seed))
        seconds = self.options.seconds
        self.chaos = min(CHAOS * seconds, seconds - RESERVE - CALM)
        self.customers = Customers(place, ORDERING * self.chaos)
        self.person = Person(place)
        self._said = 0.0

    @property
    def age(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def play(self) -> Verdict:
        """All of it; returns the account."""
        self.place.misbehave()
        self.customers.start()
        if not self.options.naive:
            self.person.start()
        try:
            self._chaos()
            self._drain()
        finally:
            self.customers.leave.set()
            self.person.leave.set()
        return self._account()

    def _chaos(self) -> None:
        while self.age < self.chaos:
            self.mayhem.step()
            self._say("chaos")
            time.sleep(0.05)
        self.mayhem.calm()
        self.place.behave()

    def _drain(self) -> None:
        while self.age < self.options.seconds - RESERVE:
            self.mayhem.restarts += self.place.keep_alive()
            self._say("calm")
            time.sleep(0.5)
            if self._is_over():
                return

    def _is_over(self) -> bool:
        return (
            not self.customers.is_alive()
            and self._unfinished() == 0
            and not self._is_undecided()
            and self._unfinished() == 0
        )

    def _is_undecided(self) -> bool:
        if self.options.naive:
            return False
        self.person.look()
        return bool(self.person.undecided)

    def _unfinished(self) -> int | None:
        try:
            return int(self.place.database.query(UNFINISHED[self.options.naive])[0][0])
        except FAILURES:
            return None

    def _account(self) -> Verdict:
        account = NaiveAccount if self.options.naive else Account
        verdict = account(self.place, self.customers.names).settle()
        verdict.unordered = self.options.jobs - len(self.customers.names)
        return verdict

    def _say(self, phase: str) -> None:
        if self.age - self._said >= SAY_EVERY:
            self._said = self.age
            ordered, left = len(self.customers.names), self._unfinished()
            sys.stderr.write(
                f"{self.age:4.0f} s {phase}: {ordered} ordered, {left} unfinished, "
                f"{self.mayhem.kills} kills\n"
            )

    def facts(self) -> dict[str, Any]:
        """What happened, for the table and the JSON."""
        return {
            "events": dict(self.mayhem.events),
            "played": dict(self.place.played),
            "restarts": self.mayhem.restarts,
            "repeated orders": self.customers.repeats,
            "retried by the person": dict(self.person.retried),
            "took": round(self.age, 1),
        }
