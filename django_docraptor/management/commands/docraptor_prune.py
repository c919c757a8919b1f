"""``manage.py docraptor_prune``: delete old finished jobs and their files.

It is safe while the engine runs.
"""

import argparse
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from django_docraptor import registry
from django_docraptor.conf import conf
from django_docraptor.discarded_files import deletable_files
from django_docraptor.management.arguments import non_negative_number, seconds
from django_docraptor.management.lookups import AD_HOC, find_label
from django_docraptor.management.progress import print_progress
from django_docraptor.management.tables import TablesCommand
from django_docraptor.retention import (
    BATCH_SIZE,
    MAX_FAILED_FILES,
    PruneResult,
    RetentionLimit,
    accounts_with_retention,
    count_prunable,
    prune,
    retention_limits,
)
from django_docraptor.setting_values import MAX_DURATION

MAX_BATCH = 10_000


class Command(TablesCommand):
    """Delete old jobs and stored inputs, and print a summary."""

    help = "Delete finished jobs older than RETENTION or --older-than, together with their files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "--older-than",
            metavar="DAYS",
            type=days,
            help="minimum days since the job finished; overrides RETENTION['jobs']",
        )
        parser.add_argument(
            "--inputs-older-than",
            metavar="DAYS",
            type=days,
            help="delete the stored inputs of completed jobs, but not the jobs, after DAYS; "
            "overrides RETENTION['inputs']",
        )
        parser.add_argument(
            "--document",
            metavar="LABEL",
            action="append",
            default=[],
            help=f"only jobs of this document, such as shop.InvoicePDF, or {AD_HOC!r} for jobs "
            "without a document. --older-than overrides the document's own retention. Can be "
            "repeated.",
        )
        parser.add_argument(
            "--batch",
            metavar="N",
            type=batch,
            default=BATCH_SIZE,
            help=f"rows per batch (default: {BATCH_SIZE})",
        )
        parser.add_argument(
            "--max-seconds",
            metavar="SECONDS",
            type=seconds,
            help="start no new batch after SECONDS",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be deleted, and delete nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete or count.

        Raises:
            CommandError: no retention is configured, or files could not be deleted.
        """
        older_than, inputs = options["older_than"], options["inputs_older_than"]
        labels = [find_label(label) for label in dict.fromkeys(options["document"])]
        has_policy = older_than is not None or inputs is not None or has_retention_policy(labels)
        if not (has_policy or deletable_files().exists()):
            raise CommandError(
                "No retention is configured, so all jobs are kept. Set DOCRAPTOR['RETENTION'] = "
                '{"jobs": timedelta(days=365)}, or use --older-than DAYS.'
            )
        limits = retention_limits(labels, jobs=older_than, inputs=inputs)
        if options["dry_run"]:
            self.print_counts(limits)
        else:
            self.prune(limits, options["batch"], options["max_seconds"])

    def print_counts(self, limits: Iterable[RetentionLimit]) -> None:
        """Print what would be deleted for each document."""
        total = PruneResult()
        for limit in limits:
            counts = count_prunable(limit)
            total += counts
            if counts.jobs or counts.inputs:
                self.stdout.write(f"{limit.label or AD_HOC}: {format_counts(counts)}")
        self.stdout.write(f"Would delete {format_counts(total)}. Nothing was deleted.")

    def prune(
        self, limits: Iterable[RetentionLimit], batch_size: int, max_seconds: float | None
    ) -> None:
        """Delete in batches until nothing is left or the time is up."""
        began = time.monotonic()
        total, reason = PruneResult(), ""
        try:
            for result in prune(limits, batch_size=batch_size):
                total += result
                print_progress(self.stderr, f"\r{format_counts(total)}")
                if max_seconds is not None and time.monotonic() - began >= max_seconds:
                    reason = f" Stopped after {max_seconds:g} s; more may remain."
                    break
        except KeyboardInterrupt:
            reason = " Interrupted; more may remain."
        print_progress(self.stderr, "\n")
        self.print_summary(total, time.monotonic() - began, reason)

    def print_summary(self, total: PruneResult, seconds: float, reason: str) -> None:
        """Print the summary.

        Raises:
            CommandError: files could not be deleted.
        """
        self.stdout.write(
            f"Deleted {format_counts(total)} and {total.files:,} files in {seconds:.1f} s "
            f"(longest transaction: {total.longest_transaction * 1000:.0f} ms).{reason}"
        )
        if total.protected:
            self.stdout.write(
                f"{total.protected:,} jobs were kept because other objects protect them "
                "(on_delete=PROTECT)."
            )
        if total.failed_files:
            message = (
                f"The storage failed to delete {total.failed_files:,} files; see the log. The next "
                "run will try again."
            )
            if total.failed_files >= MAX_FAILED_FILES:
                message += " The run stopped early because of too many failures."
            raise CommandError(message)


def format_counts(result: PruneResult) -> str:
    """Format the numbers of rows."""
    return f"{result.jobs:,} jobs, {result.inputs:,} stored inputs"


def has_retention_policy(labels: Sequence[str]) -> bool:
    """Return whether the settings or a selected document define a retention."""
    documents = registry.all_documents()
    selected = [documents[label] for label in labels or documents if label in documents]
    has_setting = bool(conf.retention) or bool(accounts_with_retention())
    return has_setting or any(document.retention is not None for document in selected)


def days(text: str) -> timedelta:
    """Parse a number of days."""
    value = non_negative_number(text)
    if value > MAX_DURATION.days:
        raise argparse.ArgumentTypeError(
            f"{text} days is too long; the maximum is {MAX_DURATION.days}"
        )
    return timedelta(days=value)


def batch(text: str) -> int:
    """Parse a number of rows."""
    if not (text.isdecimal() and 1 <= int(text) <= MAX_BATCH):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer between 1 and {MAX_BATCH}")
    return int(text)
