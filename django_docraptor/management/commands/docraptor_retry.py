"""``manage.py docraptor_retry``: retry failed jobs after an outage, as many as there are."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from django_docraptor.bulk_retry import RetryCounts, count_retries, retry_in_batches
from django_docraptor.management.arguments import moment, positive_integer
from django_docraptor.management.lookups import find_account, find_error_code, find_label
from django_docraptor.management.progress import print_progress
from django_docraptor.management.tables import TablesCommand
from django_docraptor.models import RenderJob, RenderJobQuerySet


class Command(TablesCommand):
    """Retry the failed jobs that the options select, and print what is billed."""

    help = (
        "Retry failed jobs. What DocRaptor has accepted is resumed and not billed; everything else "
        "starts again. Only failed jobs are changed, so the command can be interrupted and "
        "repeated."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "--error-code",
            metavar="CODE",
            action="append",
            default=[],
            help="only jobs that failed with this error code; can be repeated",
        )
        when = "an ISO date or time, such as 2026-01-31 or 2026-01-31T08:00, or an age, such as 2h"
        parser.add_argument(
            "--since", metavar="WHEN", type=moment, help=f"only jobs that failed since then: {when}"
        )
        parser.add_argument(
            "--until", metavar="WHEN", type=moment, help="only jobs that failed until then"
        )
        parser.add_argument(
            "--document",
            metavar="LABEL",
            action="append",
            default=[],
            help="only jobs of this document, or '-' for jobs without one; can be repeated",
        )
        parser.add_argument("--account", metavar="NAME", help="only jobs of this account")
        parser.add_argument(
            "--from-start",
            action="store_true",
            help="start every job again, also those that could resume: each is billed, unless it "
            "is a test document",
        )
        parser.add_argument(
            "--limit", metavar="N", type=positive_integer, help="retry at most N jobs, the oldest"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be retried, and change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Retry or count.

        Raises:
            CommandError: an option names nothing, or some jobs could not be retried.
        """
        jobs, limit = select_jobs(options), options["limit"]
        from_start = options["from_start"]
        counts = count_retries(jobs, from_start=from_start, limit=limit)
        self.stdout.write(format_counts(counts))
        if options["dry_run"]:
            self.stdout.write("Nothing was changed.")
        elif counts.total:
            self.retry(jobs, counts.total, from_start=from_start, limit=limit)

    def retry(
        self, jobs: RenderJobQuerySet, total: int, *, from_start: bool, limit: int | None
    ) -> None:
        """Retry in batches, with progress.

        Raises:
            CommandError: some jobs could not be retried, or the command was interrupted.
        """
        began, retried, failed, is_interrupted = time.monotonic(), 0, 0, False
        try:
            for batch in retry_in_batches(jobs, from_start=from_start, limit=limit):
                retried += batch.retried
                failed += batch.failed
                print_progress(self.stderr, f"\r{retried + failed:,} of {total:,} jobs")
        except KeyboardInterrupt:
            is_interrupted = True
        print_progress(self.stderr, "\n")
        self.stdout.write(f"Retried {_jobs(retried)} in {time.monotonic() - began:.1f} s.")
        if is_interrupted:
            raise CommandError("Interrupted. Run the command again to retry the others.")
        if failed:
            raise CommandError(
                f"{_jobs(failed)} could not be retried: another process has changed them, or the "
                "log has the database's error. Run the command again."
            )


def select_jobs(options: dict[str, Any]) -> RenderJobQuerySet:
    """Return the jobs that the options select.

    Raises:
        CommandError: an option names nothing.
    """
    jobs = RenderJob.objects.all()
    if options["error_code"]:
        jobs = jobs.filter(error_code__in=[find_error_code(code) for code in options["error_code"]])
    if options["document"]:
        jobs = jobs.filter(document__in=[find_label(label) for label in options["document"]])
    if options["account"] is not None:
        jobs = jobs.filter(account=find_account(options["account"]))
    if options["since"] is not None:
        jobs = jobs.filter(finished_at__gte=options["since"])
    if options["until"] is not None:
        jobs = jobs.filter(finished_at__lte=options["until"])
    return jobs


def format_counts(counts: RetryCounts) -> str:
    """Format what a retry does, and what it costs."""
    if not counts.total:
        return "No failed job matches."
    parts = [f"{counts.resumed:,} with what DocRaptor has accepted, not billed"]
    if counts.free:
        parts.append(f"{counts.free:,} test documents from the start, free")
    if counts.billed:
        again = f", {counts.billed_again:,} of them perhaps again" if counts.billed_again else ""
        parts.append(f"{counts.billed:,} from the start, billed{again}")
    documents = "1 document" if counts.billed == 1 else f"{counts.billed:,} documents"
    return f"{_jobs(counts.total)}: {'; '.join(parts)}. {documents} will be billed."


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"
