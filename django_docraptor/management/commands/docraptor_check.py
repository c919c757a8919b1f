"""``manage.py docraptor_check``: look at a site's set-up, thing by thing, and say what to do."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand

from django_docraptor.diagnosis.probes import environment, probes
from django_docraptor.diagnosis.probing import run_probes
from django_docraptor.diagnosis.results import Result, Status, has_failed

NAME_WIDTH = 15


class Command(BaseCommand):
    """Print one line per finding; exit with status 1 if one is a failure."""

    help = (
        "Check the set-up: database, DocRaptor, storage, callback URL, broker, worker and ticks. "
        "One line each, with the remedy. Exit with status 1 if something fails."
    )
    # They are one of the probes: an error among them must not hide the others.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "--json", action="store_true", help="print a report without secrets as JSON"
        )
        parser.add_argument(
            "--live", action="store_true", help="also generate one free test document"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the probes."""
        found = run_probes(probes(live=options["live"]))
        results = self.write_json(found) if options["json"] else self.write_lines(found)
        if has_failed(results):
            sys.exit(1)

    def write_json(self, found: Iterable[Result]) -> list[Result]:
        """Print all results with the versions, and return them."""
        results = list(found)
        report = {
            "status": "fail" if has_failed(results) else "ok",
            "environment": environment(),
            "results": [result.to_json() for result in results],
        }
        self.stdout.write(json.dumps(report, indent=2))
        return results

    def write_lines(self, found: Iterable[Result]) -> list[Result]:
        """Print each result when it is known, and return them."""
        styles = {
            Status.OK: self.style.SUCCESS,
            Status.WARN: self.style.WARNING,
            Status.FAIL: self.style.ERROR,
        }
        results = []
        for result in found:
            status = styles[result.status](f"{result.status:<5}")
            self.stdout.write(f"{status} {result.name:<{NAME_WIDTH}} {result.text}")
            self.stdout.flush()
            results.append(result)
        return results
