"""``manage.py docraptor_release``: let held jobs go, such as those of a budget that was raised."""

from argparse import ArgumentParser
from typing import Any, Final

from django_docraptor.management.arguments import positive_integer
from django_docraptor.management.lookups import find_account, find_label
from django_docraptor.management.tables import TablesCommand
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import release_jobs
from django_docraptor.states import HoldReason

# Jobs per transaction.
BATCH_SIZE: Final = 1000


class Command(TablesCommand):
    """Release held jobs, the oldest first."""

    help = (
        "Release held jobs, the oldest first. Each passes what it is held for, such as a budget "
        "that is used up, and is then sent and billed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "--reason",
            choices=[str(reason) for reason in HoldReason],
            help="only jobs that are held for this reason",
        )
        parser.add_argument("--account", metavar="NAME", help="only jobs of this account")
        parser.add_argument(
            "--document",
            metavar="LABEL",
            help="only jobs of this document, or '-' for jobs without one",
        )
        parser.add_argument(
            "--limit", metavar="N", type=positive_integer, help="release at most N jobs"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show how many would be released"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Release or count.

        Raises:
            CommandError: an option names nothing.
        """
        jobs = RenderJob.objects.held().order_by("created_at")
        if options["reason"] is not None:
            jobs = jobs.filter(held_for=options["reason"])
        if options["account"] is not None:
            jobs = jobs.filter(account=find_account(options["account"]))
        if options["document"] is not None:
            jobs = jobs.filter(document=find_label(options["document"]))
        keys = list(jobs.values_list("pk", flat=True)[: options["limit"]])
        if options["dry_run"]:
            self.stdout.write(f"{len(keys):,} held. Nothing was changed.")
            return
        batches = (keys[start : start + BATCH_SIZE] for start in range(0, len(keys), BATCH_SIZE))
        self.stdout.write(f"{sum(map(release_jobs, batches)):,} released.")
