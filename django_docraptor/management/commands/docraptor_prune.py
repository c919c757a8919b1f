"""``manage.py docraptor_prune``: remove old finished jobs and their files, while all goes on."""

import argparse
import difflib
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_docraptor import registry
from django_docraptor.conf import LONGEST, conf
from django_docraptor.management.arguments import number, seconds
from django_docraptor.models import RenderJob
from django_docraptor.retention import BATCH, MOST_REFUSED, Limit, Removed, count, limits, prune

# What the option calls jobs without a document, as the admin's filter does.
AD_HOC = "-"
MOST_AT_ONCE = 10_000


class Command(BaseCommand):
    """Parse, remove, and say what was removed."""

    help = "Removes finished jobs that are older than RETENTION or --older-than, with their files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument(
            "--older-than",
            metavar="DAYS",
            type=days,
            help="since they were finished, in place of RETENTION['jobs']",
        )
        parser.add_argument(
            "--inputs-older-than",
            metavar="DAYS",
            type=days,
            help="remove only the stored inputs of completed jobs; in place of RETENTION['inputs']",
        )
        parser.add_argument(
            "--document",
            metavar="LABEL",
            action="append",
            default=[],
            help=f"only jobs of this document, such as shop.InvoicePDF; {AD_HOC!r}: of none. "
            "With --older-than, whatever its own retention says. May be repeated.",
        )
        parser.add_argument(
            "--batch", metavar="N", type=batch, default=BATCH, help=f"rows at a time ({BATCH})"
        )
        parser.add_argument(
            "--max-seconds", metavar="SECONDS", type=seconds, help="after which to begin no batch"
        )
        parser.add_argument("--dry-run", action="store_true", help="count, and remove nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Remove, or count. Raises CommandError if the storage has refused files."""
        older_than, inputs = options["older_than"], options["inputs_older_than"]
        labels = [find_label(label) for label in dict.fromkeys(options["document"])]
        if not (older_than is not None or inputs is not None or is_anything_said(labels)):
            raise CommandError(
                "Nothing says how long jobs are kept, so all are. Set DOCRAPTOR['RETENTION'] = "
                '{"jobs": timedelta(days=365)}, or give --older-than DAYS.'
            )
        found = limits(labels, jobs=older_than, inputs=inputs)
        if options["dry_run"]:
            self.count(found)
        else:
            self.remove(found, options["batch"], options["max_seconds"])

    def count(self, found: Iterable[Limit]) -> None:
        """Say what would be removed of each document."""
        total = Removed()
        for limit in found:
            there = count(limit)
            total += there
            if there.jobs or there.inputs:
                self.stdout.write(f"{limit.label or AD_HOC}: {told(there)}")
        self.stdout.write(f"Would remove {told(total)}. Nothing was removed.")

    def remove(self, found: Iterable[Limit], batch: int, patience: float | None) -> None:
        """Remove batch by batch, until nothing is old, or the time is up."""
        began = time.monotonic()
        total, ended = Removed(), ""
        try:
            for removed in prune(found, batch=batch):
                total += removed
                self.progress(f"\r{told(total)}")
                if patience is not None and time.monotonic() - began >= patience:
                    ended = f" Stopped after {patience:g} s; there may be more."
                    break
        except KeyboardInterrupt:
            ended = " Stopped; there may be more."
        self.progress("\n")
        self.tell(total, time.monotonic() - began, ended)

    def tell(self, total: Removed, taken: float, ended: str) -> None:
        """The closing lines. Raises CommandError if files are left."""
        self.stdout.write(
            f"Removed {told(total)}, {total.files:,} files in {taken:.1f} s "
            f"(longest transaction {total.seconds * 1000:.0f} ms).{ended}"
        )
        if total.protected:
            self.stdout.write(
                f"{total.protected:,} jobs are kept: a model of this project protects them."
            )
        if total.refused:
            stopped = " So the run ended early." if total.refused >= MOST_REFUSED else ""
            raise CommandError(
                f"The storage did not delete {total.refused:,} files; the log says why. They are "
                f"on a list, and the next run tries them again.{stopped}"
            )

    def progress(self, text: str) -> None:
        """Write for a person who looks on, not into a log."""
        if self.stderr.isatty():
            self.stderr.write(text, style_func=str, ending="")
            self.stderr.flush()


def told(removed: Removed) -> str:
    """The numbers of rows, for a person."""
    return f"{removed.jobs:,} jobs, {removed.inputs:,} stored inputs"


def find_label(text: str) -> str:
    """The document's label, known to an app or to a job. Raises CommandError, naming a near one."""
    if text == AD_HOC:
        return ""
    known = registry.all_recipes()
    if text in known or (text and RenderJob.objects.filter(document=text).exists()):
        return text
    close = difflib.get_close_matches(text, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(sorted(known))}."
    raise CommandError(f"--document: no job and no app has a document {text!r}. {hint}")


def is_anything_said(labels: Sequence[str]) -> bool:
    """Whether the settings, or a document that is meant, say how long something is kept."""
    recipes = registry.all_recipes()
    chosen = [recipes[label] for label in labels or recipes if label in recipes]
    return bool(conf.retention) or any(recipe.retention is not None for recipe in chosen)


def days(text: str) -> timedelta:
    """A number of days. Raises ArgumentTypeError."""
    value = number(text)
    if value > LONGEST.days:
        raise argparse.ArgumentTypeError(f"{text} days: no more than {LONGEST.days}")
    return timedelta(days=value)


def batch(text: str) -> int:
    """A number of rows. Raises ArgumentTypeError."""
    if not (text.isdecimal() and 1 <= int(text) <= MOST_AT_ONCE):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 to {MOST_AT_ONCE}")
    return int(text)
