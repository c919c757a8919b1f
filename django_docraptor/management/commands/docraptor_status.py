"""``manage.py docraptor_status``: how the engine does, for people and for monitors."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from django_docraptor.health import MAX_LAG, Report, report
from django_docraptor.management.arguments import seconds


class Command(BaseCommand):
    """Print counts, lag and last sights; exit 1 if somebody should look."""

    help = "Tells how the engine does. Exits 1 if a job is overdue by more than --max-lag seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--max-lag", type=seconds, default=MAX_LAG, help="seconds (default 60)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the report."""
        found = report()
        problems = found.problems(options["max_lag"])
        if options["json"]:
            self.stdout.write(json.dumps(found.as_json() | {"problems": problems}, indent=2))
        else:
            self.write(found, problems)
        if problems:
            sys.exit(1)

    def write(self, found: Report, problems: list[str]) -> None:
        """Print for a person."""
        for state, count in found.counts.items():
            self.stdout.write(f"{state:<14}{count:>8}")
        self.stdout.write(f"{'most overdue':<14}{found.lag:>8.1f} s")
        for name in ("last_tick", "last_worker", "last_callback"):
            since = getattr(found, name)
            told = "      never" if since is None else f"{since:>8.1f} s ago"
            self.stdout.write(f"{name.replace('_', ' '):<14}{told}")
        for problem in problems:
            self.stdout.write(self.style.ERROR(problem))
        if not problems:
            self.stdout.write(self.style.SUCCESS("all is well"))
