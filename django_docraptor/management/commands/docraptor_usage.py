"""``manage.py docraptor_usage``: what was used and billed in a month; whether the bill agrees."""

import csv
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Final

from django_docraptor import lifecycle, usage
from django_docraptor.billing import COUNTERS
from django_docraptor.csv_text import safe_cell
from django_docraptor.management.arguments import month, non_negative_number, seconds
from django_docraptor.management.lookups import find_account
from django_docraptor.management.loop_report import one_line
from django_docraptor.management.tables import TablesCommand
from django_docraptor.models import Account, UsageDay
from django_docraptor.usage import DOCUMENT, GROUPS, UsageLine, UsageReport

FORMATS: Final = ("table", "csv", "json")
# Seconds for which the history is summed up first, and for reading each log.
FOLD_SECONDS: Final = 60.0
LOG_SECONDS: Final = 300.0
LOG_DAYS: Final = 7.0
MAX_DAYS: Final = 36_500.0
COLUMNS: Final = ("live", "test", *COUNTERS[1:])
TITLES: Final = (
    *("live", "test", "billed", "retries billed", "failures", "reused", "pages", "bytes"),
)


class Command(TablesCommand):
    """Print the usage of a month, or compare DocRaptor's log with it."""

    help = (
        "Show what was used in a month (UTC): documents, attempts that DocRaptor bills or may "
        "bill, failures, pages and bytes. With --reconcile, compare DocRaptor's own log with it, "
        "and exit with status 1 if there is a difference."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "--month",
            metavar="YYYY-MM",
            type=month,
            help="a month in UTC, as DocRaptor counts (default: the current one)",
        )
        parser.add_argument(
            "--by", choices=GROUPS, default=DOCUMENT, help="a line for each (default: document)"
        )
        parser.add_argument("--account", metavar="NAME", help="only this account")
        parser.add_argument(
            "--format", choices=FORMATS, default="table", help="how to print (default: table)"
        )
        parser.add_argument(
            "--reconcile",
            action="store_true",
            help="compare DocRaptor's log with the history, and print what only one side knows",
        )
        parser.add_argument(
            "--days",
            metavar="DAYS",
            type=non_negative_number,
            default=LOG_DAYS,
            help=f"with --reconcile: how far to go back (default: {LOG_DAYS:.0f})",
        )
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=seconds,
            default=LOG_SECONDS,
            help=f"with --reconcile: for reading each log (default: {LOG_SECONDS:.0f})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the usage, or the comparison."""
        account = options["account"] and find_account(options["account"])
        if options["reconcile"]:
            accounts = [account] if account else known_accounts()
            reports = lifecycle.compare_bills(
                accounts, days=min(options["days"], MAX_DAYS), seconds=options["timeout"]
            )
            if not self.print_bills(reports):
                sys.exit(1)
            return
        usage.fold(seconds=FOLD_SECONDS)
        first, last = options["month"] or month(f"{datetime.now(UTC):%Y-%m}")
        by = options["by"]
        report = usage.read_usage(first, last, by, account=account)[by]
        getattr(self, f"print_{options['format']}")(report, by=by, first=first)
        if not report.is_complete:
            self.stderr.write(
                self.style.WARNING("The newest events are not counted: does a tick run?")
            )

    def print_table(self, report: UsageReport, *, by: str, first: date) -> None:
        """Print a table for people."""
        names = [one_line(line.key) or "-" for line in report.lines]
        width = max(map(len, [*names, by, "total"]))
        self.stdout.write(f"{first:%Y-%m}, days in UTC")
        self.stdout.write(_row(by, TITLES, width))
        for name, line in zip(names, report.lines, strict=True):
            self.stdout.write(_row(name, _numbers(line), width))
        self.stdout.write(_row("total", _numbers(report.total), width))

    def print_csv(self, report: UsageReport, *, by: str, first: date) -> None:
        """Print CSV that no spreadsheet takes for formulas."""
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow([by, *COLUMNS])
        for line in report.lines:
            writer.writerow([safe_cell(line.key), *_numbers(line)])
        writer.writerow(["total", *_numbers(report.total)])

    def print_json(self, report: UsageReport, *, by: str, first: date) -> None:
        """Print JSON."""
        lines = [{by: line.key} | _by_column(line) for line in report.lines]
        data = {"month": f"{first:%Y-%m}", "by": by, "complete": report.is_complete}
        self.stdout.write(
            json.dumps(data | {"lines": lines, "total": _by_column(report.total)}, indent=2)
        )

    def print_bills(self, reports: Iterator["lifecycle.BillReport"]) -> bool:
        """Print each comparison, and return whether no side knows more than the other."""
        is_equal, difference = True, [0, 0]
        for report in reports:
            self.print_bill(report)
            is_equal &= not (report.error or report.differences)
            difference = [difference[0] + report.billed, difference[1] + report.accounted]
        billed, accounted = difference
        self.stdout.write(
            f"billed by DocRaptor {billed:,} - accounted for by us {accounted:,} = "
            f"{billed - accounted:,}"
        )
        return is_equal and billed == accounted

    def print_bill(self, report: "lifecycle.BillReport") -> None:
        """Print what was compared for an API key, and each difference."""
        names = one_line(", ".join(report.accounts))
        self.stdout.write(f"account {names}: {_time(report.since)} to {_time(report.until)}")
        if report.error:
            self.stdout.write(self.style.ERROR(f"  not complete: {one_line(report.error)}"))
        if report.since != report.asked_since:
            self.stdout.write("  The log was not read, or does not reach, further back.")
        for each in report.differences:
            details = [
                each.tag or "(no tag)",
                each.entry_id and f"entry {each.entry_id}",
                each.name,
            ]
            text = one_line("  ".join(filter(None, details)))
            self.stdout.write(f"  {_time(each.at)}  {each.amount:+d}  {text}: {each.meaning}")
        self.stdout.write(
            f"  {report.billed:,} billed by DocRaptor, {report.synchronous:,} of them by "
            f"synchronous calls, which leave no job; {report.unfinished:,} without an outcome yet"
        )


def known_accounts() -> list[str]:
    """Return the accounts that may have used DocRaptor."""
    used = UsageDay.objects.order_by().values_list("account", flat=True).distinct()
    return sorted({*Account.objects.values_list("name", flat=True), *used}) or ["default"]


def _numbers(line: UsageLine) -> list[int]:
    used = line.both
    counters = [line.live.completed, line.test.completed]
    return counters + [getattr(used, name) for name in COUNTERS[1:]]


def _by_column(line: UsageLine) -> dict[str, int]:
    return dict(zip(COLUMNS, _numbers(line), strict=True))


def _row(name: str, cells: Any, width: int) -> str:
    texts = [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells]
    return f"{name:<{width}}" + "".join(f"{text:>16}" for text in texts)


def _time(time: datetime | None) -> str:
    return "unknown time" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
