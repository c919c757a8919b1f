"""One run: inject faults while documents are requested, then wait until all jobs are finished."""

import random
import sys
import time
from typing import Any

from django_docraptor.states import MAX_LOG_CHECK_INTERVAL
from tests.chaos import SPEED
from tests.chaos.accounts import LOCKED_ACCOUNT
from tests.chaos.audit import Audit, BaselineAudit, Verdict
from tests.chaos.bill import compare_bill
from tests.chaos.fault_injection import EXPECTED_ERRORS, FaultInjector
from tests.chaos.site import Site
from tests.chaos.time_scale import RETRY_FOR
from tests.chaos.users import Customers, Operator

# Share of the time with faults, and share of that in which documents are requested.
CHAOS_SHARE, REQUEST_SHARE = 0.55, 0.6
# Seconds for the audit and for ending every process.
SHUTDOWN_SECONDS = 15.0
# Seconds that the last create call may need without faults: a lease, the confirmation window, the
# operator, and another attempt.
DRAIN_SECONDS = 75.0
# Seconds more for a doubt that no log settles: patience begins anew with the next check of the log
# after the last pause of its account, and the check after its end is late.
DOUBT_SECONDS = RETRY_FOR + 2 * MAX_LOG_CHECK_INTERVAL / SPEED
PROGRESS_INTERVAL = 10.0
COUNT_UNFINISHED = {
    False: "SELECT COUNT(*) FROM django_docraptor_renderjob WHERE due_at IS NOT NULL "
    f"AND account <> '{LOCKED_ACCOUNT}'",
    True: "SELECT COUNT(*) FROM baseline_document WHERE file = '' AND error = ''",
}


class ChaosRun:
    """Run one site under fault injection.

    Args:
        site: the running site.
        started: when the run started, on the monotonic clock.
    """

    def __init__(self, site: Site, started: float) -> None:
        self.site = site
        self.options = site.options
        self.started = started
        seconds = self.options.seconds
        self.chaos_seconds = min(CHAOS_SHARE * seconds, seconds - SHUTDOWN_SECONDS - DRAIN_SECONDS)
        rng = random.Random(self.options.seed)
        self.injector = FaultInjector(site, rng, self.chaos_seconds)
        self.customers = Customers(site, REQUEST_SHARE * self.chaos_seconds)
        self.operator = Operator(site)
        self._last_progress = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def run(self) -> Verdict:
        """Run everything and return the verdict."""
        self.site.start_faults()
        self.customers.start()
        if not self.options.baseline:
            self.operator.start()
        try:
            self._inject_faults()
            self._drain()
        finally:
            self.customers.stop_event.set()
            self.operator.stop_event.set()
        return self._audit()

    def _inject_faults(self) -> None:
        while self.elapsed < self.chaos_seconds:
            self.injector.step()
            self._print_progress("chaos")
            time.sleep(0.05)
        self.injector.stop()
        self.site.stop_faults()

    def _drain(self) -> None:
        doubt = 0.0 if self.options.baseline else DOUBT_SECONDS
        while self.elapsed < self.options.seconds - SHUTDOWN_SECONDS + doubt:
            self.injector.restarts += self.site.keep_alive()
            self._print_progress("drain")
            time.sleep(0.5)
            if self._is_finished():
                return

    def _is_finished(self) -> bool:
        return (
            not self.customers.is_alive()
            and self._count_unfinished() == 0
            and not self._needs_operator()
            and self._count_unfinished() == 0
        )

    def _needs_operator(self) -> bool:
        if self.options.baseline:
            return False
        self.operator.review_failed_jobs()
        return bool(self.operator.unreviewed)

    def _count_unfinished(self) -> int | None:
        try:
            return int(self.site.database.query(COUNT_UNFINISHED[self.options.baseline])[0][0])
        except EXPECTED_ERRORS:
            return None

    def _audit(self) -> Verdict:
        audit = BaselineAudit if self.options.baseline else Audit
        verdict = audit(self.site, self.customers.names).run()
        verdict.not_enqueued = self.options.jobs - len(self.customers.names)
        if not self.options.baseline:
            bill = compare_bill(self.site)
            verdict.bill_difference, verdict.bill_lines = bill.difference, bill.lines
        return verdict

    def _print_progress(self, phase: str) -> None:
        if self.elapsed - self._last_progress >= PROGRESS_INTERVAL:
            self._last_progress = self.elapsed
            enqueued, unfinished = len(self.customers.names), self._count_unfinished()
            sys.stderr.write(
                f"{self.elapsed:4.0f} s {phase}: {enqueued} enqueued, {unfinished} unfinished, "
                f"{self.injector.kill_count} kills\n"
            )

    def statistics(self) -> dict[str, Any]:
        """Return the run's statistics, for the table and the JSON."""
        return {
            "events": dict(self.injector.events),
            "triggered_faults": dict(self.site.triggered),
            "restarts": self.injector.restarts,
            "repeated_requests": self.customers.repeated_requests,
            "retried_by_operator": dict(self.operator.retried),
            "clock_offset": self.site.clock_offset,
            "private_database": self.site.postgresql is not None,
            "elapsed_seconds": round(self.elapsed, 1),
        }
