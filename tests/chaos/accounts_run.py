"""The preset ``--accounts``: three bad accounts beside a good one.

One has a wrong key, one a hard budget, one a server that hangs. First everything fails at random
while the budget is used up; then, without faults, the good account's throughput is measured alone
and beside the others.

While it is measured, documents take as long as real ones, so that the limit of documents in
progress bounds it, as on a real site, and not the CPU of this one machine: a broken account must
not hold the workers up. (With documents of half a second, the CPU is the bound. Then the ratio
shows what the bad accounts' tries cost, which come SPEED times as often here.)
"""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from tests.chaos.accounts import (
    GOOD_ACCOUNT,
    HANGING_ACCOUNT,
    LIMITED_ACCOUNT,
    LOCKED_ACCOUNT,
    MAX_IN_FLIGHT,
)
from tests.chaos.bill import Bill, compare_bill
from tests.chaos.fault_injection import EXPECTED_ERRORS, FaultInjector
from tests.chaos.site import BUDGET_SHARE, Site

# Documents of the accounts that hang or have a wrong key, for each request.
BAD_JOBS = 15
# How long a document takes while the throughput is measured.
RENDER_SECONDS = 2.0
# What is wanted of the good account's throughput beside the others.
MIN_RATIO = 0.9
TIMEOUT = 120.0
BATCH_SIZE = 25
UNFINISHED = (
    "SELECT COUNT(*) FROM django_docraptor_renderjob "
    "WHERE account = '{account}' AND due_at IS NOT NULL AND held_at IS NULL"
)
HELD = (
    "SELECT COUNT(*) FROM django_docraptor_renderjob "
    f"WHERE account = '{LIMITED_ACCOUNT}' AND held_at IS NOT NULL"
)


@dataclass(kw_only=True)
class AccountsVerdict:
    """What the preset has measured.

    Args:
        ratio: the good account's throughput beside the others, divided by that alone.
        budget: documents that the limited account may make.
        billed: documents that its DocRaptor would bill.
        held: its jobs that wait for the next month.
        bills: of the good and the limited account.
        kills: processes that were killed meanwhile.
    """

    ratio: float
    budget: int
    billed: int
    held: int
    bills: dict[str, Bill]
    kills: int

    @property
    def overrun(self) -> int:
        """Documents beyond the budget."""
        return max(0, self.billed - self.budget)

    @property
    def is_clean(self) -> bool:
        """Whether the budget and the bills are exact, and the good account was not disturbed."""
        are_equal = all(bill.difference == 0 for bill in self.bills.values())
        return self.ratio >= MIN_RATIO and not self.overrun and are_equal and self.held > 0

    def lines(self) -> list[str]:
        """Return the table's lines."""
        bills = [
            f"--reconcile {name}: {bill.difference} differences"
            for name, bill in self.bills.items()
        ]
        return [
            f"good account: throughput beside the others / alone = {self.ratio:.2f} "
            f"(wanted: {MIN_RATIO})",
            f"budget: {self.budget}, billed {self.billed}, overrun {self.overrun}, "
            f"held {self.held}",
            *bills,
            f"{self.kills} kills",
        ]


class AccountsRun:
    """Run the preset on a site with several accounts.

    Args:
        site: the running site.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.jobs = site.options.jobs
        self.budget = site.budget
        self._numbers = count()

    def run(self) -> AccountsVerdict:
        """Run everything and return the verdict."""
        kills = self._use_up_the_budget()
        self.site.control.change_settings(delay=RENDER_SECONDS)
        before = self._measure(beside=False)
        beside = self._measure(beside=True)
        after = self._measure(beside=False)
        least = self.jobs * RENDER_SECONDS / MAX_IN_FLIGHT
        self._say(
            f"{self.jobs} documents of {RENDER_SECONDS:g} s: alone {before:.1f} and {after:.1f} s, "
            f"beside the others {beside:.1f} s; MAX_IN_FLIGHT allows {least:.1f} s"
        )
        self._wait("no document of the limited account is in progress", LIMITED_ACCOUNT)
        bills = {name: compare_bill(self.site, name) for name in (GOOD_ACCOUNT, LIMITED_ACCOUNT)}
        return AccountsVerdict(
            ratio=(before + after) / 2 / beside,
            budget=self.budget,
            billed=len(self.site.limited_control.ledger.billed()),
            held=int(self.site.database.query(HELD)[0][0]),
            bills=bills,
            kills=kills,
        )

    def _use_up_the_budget(self) -> int:
        """Enqueue more than the budget allows, while everything fails at random."""
        seconds = 0.4 * self.site.options.seconds
        injector = FaultInjector(self.site, random.Random(self.site.options.seed), seconds)
        stop = time.monotonic() + seconds
        self.site.start_faults()
        self._request_bad_ones()
        left = {LIMITED_ACCOUNT: round(self.budget / BUDGET_SHARE), GOOD_ACCOUNT: self.jobs}
        next_request = 0.0
        while time.monotonic() < stop:
            injector.step()
            if time.monotonic() > next_request:
                next_request = time.monotonic() + 0.5
                for account, number in left.items():
                    sent = min(5, number)
                    if sent and self._request(account, sent):
                        left[account] -= sent
            time.sleep(0.05)
        injector.stop()
        self.site.stop_faults()
        for account, number in left.items():
            self._insist(account, number)
        for account in left:
            self._wait(f"documents of {account} after the faults", account)
        return injector.kill_count

    def _measure(self, *, beside: bool) -> float:
        """Return the seconds that the good account's documents take, alone or beside others."""
        bad = () if beside else (HANGING_ACCOUNT, LOCKED_ACCOUNT)
        for account in bad:  # what is left of them must not disturb, or the measure is not alone
            self.site.post("/cancel-all/", account)
        if beside:
            self._request_bad_ones()
            self._insist(LIMITED_ACCOUNT, BAD_JOBS)
            for account in (HANGING_ACCOUNT, LOCKED_ACCOUNT):
                self.site.post("/resume/", account)
        started = time.monotonic()
        self._insist(GOOD_ACCOUNT, self.jobs)
        self._wait("the good account's documents", GOOD_ACCOUNT)
        return time.monotonic() - started

    def _request_bad_ones(self) -> None:
        for account in (HANGING_ACCOUNT, LOCKED_ACCOUNT):
            self._insist(account, BAD_JOBS)

    def _insist(self, account: str, number: int) -> None:
        while number > 0:
            sent = min(BATCH_SIZE, number)
            if self._request(account, sent):
                number -= sent
            else:
                time.sleep(0.3)

    def _request(self, account: str, number: int) -> bool:
        """Request documents; return whether the site has confirmed it."""
        names = [f"{account}-{next(self._numbers):05}.pdf" for _ in range(number)]
        try:
            self.site.post("/enqueue-for/", {"account": account, "names": names})
        except (OSError, ValueError):
            return False
        return True

    def _wait(self, what: str, account: str) -> None:
        stop = time.monotonic() + TIMEOUT
        sql = UNFINISHED.format(account=account)
        while self._query(lambda: int(self.site.database.query(sql)[0][0])) != 0:
            if time.monotonic() > stop:
                raise TimeoutError(f"not within {TIMEOUT:g} s: {what}")
            self.site.keep_alive()
            time.sleep(0.1)

    def _query(self, read: Callable[[], int]) -> int | None:
        try:
            return read()
        except EXPECTED_ERRORS:
            return None

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
