"""``manage.py docraptor_status``: show the state of the engine, for people and monitoring."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django_docraptor.health import MAX_COUNTED, health_report
from django_docraptor.health_reports import DEFAULT_MAX_LAG, HealthReport
from django_docraptor.management.arguments import seconds
from django_docraptor.management.tables import TablesCommand
from django_docraptor.recent_failures import FailureGroup, recent_failures


class Command(TablesCommand):
    """Print job counts, lag and heartbeats; exit with status 1 on problems."""

    help = (
        "Show the state of the queue and whether the engine is running. Exit with status 1 if a "
        "job is overdue by more than --max-lag seconds or an account is paused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument(
            "--max-lag",
            metavar="SECONDS",
            type=seconds,
            default=DEFAULT_MAX_LAG,
            help=f"seconds by which a job may be overdue (default: {DEFAULT_MAX_LAG:.0f})",
        )

        parser.add_argument(
            "--count-all",
            action="store_true",
            help=f"count all jobs; otherwise {MAX_COUNTED} of each state, for speed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the report."""
        report = health_report(**({"max_counted": None} if options["count_all"] else {}))
        problems = report.problems(options["max_lag"])
        failures = recent_failures()
        if options["json"]:
            lists = {"problems": problems, "failures": [group.to_json() for group in failures]}
            self.stdout.write(json.dumps(report.to_json() | lists, indent=2))
        else:
            self.print_report(report, problems)
            self.print_failures(failures)
        if problems:
            sys.exit(1)

    def print_report(self, report: HealthReport, problems: list[str]) -> None:
        """Print the report as text."""
        for state, count in report.counts.items():
            self.stdout.write(f"{state:<14}{report.format_count(count):>8}")
        self.stdout.write(f"{'maximum lag':<14}{report.lag:>8.1f} s")
        heartbeats = {
            "last tick": report.seconds_since_tick,
            "last worker": report.seconds_since_worker,
            "last callback": report.seconds_since_callback,
        }
        for name, since in heartbeats.items():
            age = "      never" if since is None else f"{since:>8.1f} s ago"
            self.stdout.write(f"{name:<14}{age}")
        for problem in problems:
            self.stdout.write(self.style.ERROR(problem))
        if not problems:
            self.stdout.write(self.style.SUCCESS("No problems found."))

    def print_failures(self, failures: list[FailureGroup]) -> None:
        """Print why jobs have failed in the last 24 hours, and what to do."""
        for group in failures:
            count = "1 job" if group.count == 1 else f"{group.count:,} jobs"
            explanation = group.explanation
            self.stdout.write(
                f"{count} of the last 24 hours failed: {explanation.title} ({group.error_code}). "
                f"{explanation.remedy}"
            )
