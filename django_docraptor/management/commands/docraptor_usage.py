"""``manage.py docraptor_usage``: what was used and billed in a month; whether the bill agrees."""

import csv
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Final

from django.core.management.base import CommandError

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
BILL_COLUMNS: Final = ("billed", "accounted", "difference", "synchronous", "unfinished")
DIFFERENCE_COLUMNS: Final = ("at", "amount", "kind", "tag", "entry_id", "name", "meaning")
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
        parser.add_argument("--by", choices=GROUPS, help=f"a line for each (default: {DOCUMENT})")
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
            help=f"with --reconcile, without --month: how far to go back (default: {LOG_DAYS:.0f})",
        )
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=seconds,
            help=f"with --reconcile: for reading each log (default: {LOG_SECONDS:.0f})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the usage, or the comparison.

        Raises:
            CommandError: options that do not go together.
        """
        account = None if options["account"] is None else find_account(options["account"])
        if options["reconcile"]:
            self.reconcile(account, options)
            return
        if given := [name for name in ("days", "timeout") if options[name] is not None]:
            raise CommandError(f"--{given[0]} goes with --reconcile only.")
        usage.fold(seconds=FOLD_SECONDS)
        first, last = options["month"] or month(f"{datetime.now(UTC):%Y-%m}")
        by = options["by"] or DOCUMENT
        report = usage.read_usage(first, last, by, account=account)[by]
        getattr(self, f"print_{options['format']}")(report, by=by, first=first)
        if not report.is_complete:
            self.stderr.write(
                self.style.WARNING("The newest events are not counted: does a tick run?")
            )

    def reconcile(self, account: str | None, options: dict[str, Any]) -> None:
        """Print the comparison, and exit with status 1 if there is a difference.

        Raises:
            CommandError: options that do not go together, or a month that has not begun.
        """
        if options["by"]:
            raise CommandError("--by does not go with --reconcile, which prints each difference.")
        dates, days = options["month"], options["days"]
        if dates and days is not None:
            raise CommandError("Pass --month or --days, not both.")
        if dates and dates[0] > datetime.now(UTC).date():
            raise CommandError(f"--month: {dates[0]:%Y-%m} has not begun.")
        reports = lifecycle.compare_bills(
            [account] if account else known_accounts(),
            period=lifecycle.Period(
                days=LOG_DAYS if days is None else min(days, MAX_DAYS), dates=dates
            ),
            seconds=LOG_SECONDS if options["timeout"] is None else options["timeout"],
        )
        print_reports = getattr(self, f"print_bills_{options['format']}")
        checked = _Checked(reports)
        print_reports(checked)
        if not checked.is_equal:
            sys.exit(1)

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

    def print_bills_table(self, reports: "_Checked") -> None:
        """Print each comparison for people, and the figure."""
        for report in reports:
            self.print_bill(report)
        self.stdout.write(
            f"billed by DocRaptor {reports.billed:,} - accounted for by us {reports.accounted:,} = "
            f"{reports.billed - reports.accounted:,}"
        )

    def print_bills_csv(self, reports: "_Checked") -> None:
        """Print a line of CSV for each difference, and one for a log that could not be read."""
        writer = csv.writer(self.stdout, lineterminator="\n")
        writer.writerow(["accounts", *DIFFERENCE_COLUMNS])
        for report in reports:
            lines = [_difference(each) for each in report.differences]
            if report.error:
                lines.append({"kind": "not_complete", "meaning": report.error})
            for line in lines:
                cells = [", ".join(report.accounts), *map(line.get, DIFFERENCE_COLUMNS)]
                # A negative number is no formula.
                writer.writerow(
                    cell if isinstance(cell, int) else safe_cell(cell) for cell in cells
                )

    def print_bills_json(self, reports: "_Checked") -> None:
        """Print JSON."""
        keys = [
            {
                "accounts": report.accounts,
                "since": report.since and report.since.isoformat(),
                "until": report.until and report.until.isoformat(),
                "error": report.error,
                **{name: getattr(report, name) for name in BILL_COLUMNS},
                "differences": [_difference(each) for each in report.differences],
            }
            for report in reports
        ]
        total = {"billed": reports.billed, "accounted": reports.accounted}
        total["difference"] = reports.billed - reports.accounted
        self.stdout.write(json.dumps({"keys": keys, **total}, indent=2))

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


class _Checked:
    """The comparisons, with what they come to once all were read.

    Args:
        reports: one for each API key.
    """

    def __init__(self, reports: Iterator["lifecycle.BillReport"]) -> None:
        self._reports = reports
        self.billed = self.accounted = 0
        self._is_clean = True

    def __iter__(self) -> Iterator["lifecycle.BillReport"]:
        """Return each comparison."""
        for report in self._reports:
            self.billed += report.billed
            self.accounted += report.accounted
            self._is_clean &= not (report.error or report.differences)
            yield report

    @property
    def is_equal(self) -> bool:
        """Whether no side knows more than the other."""
        return self._is_clean and self.billed == self.accounted


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
    return f"{name:<{width}}" + "".join(f"  {text:>14}" for text in texts)


def _difference(each: "lifecycle.Difference") -> dict[str, Any]:
    """Return a difference as a line of CSV or JSON."""
    at = each.at and each.at.isoformat()
    values = (at or "", each.amount, each.kind, each.tag, each.entry_id, each.name, each.meaning)
    return dict(zip(DIFFERENCE_COLUMNS, values, strict=True))


def _time(time: datetime | None) -> str:
    return "unknown time" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
