"""``manage.py docraptor_render``: generate documents for objects, for scripts and support staff."""

import argparse
import itertools
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from django_docraptor import lifecycle
from django_docraptor.documents import QuerysetDocument
from django_docraptor.management.arguments import seconds
from django_docraptor.management.lookups import (
    QUERY_CHUNK_SIZE,
    DocumentClass,
    find_document,
    find_sources,
    parse_params,
    queryset_of,
)
from django_docraptor.management.progress import print_progress
from django_docraptor.management.tables import TablesCommand
from django_docraptor.models import RenderJob
from django_docraptor.models.text import summary_line
from django_docraptor.names import file_name
from django_docraptor.states import State

# Seconds: between two queries, between two rounds of the engine, and in total.
POLL_SECONDS, ROUND_SECONDS, DEFAULT_TIMEOUT = 0.5, 0.2, 900.0
# Width of the progress bar.
BAR_WIDTH = 30


class Command(TablesCommand):
    """Enqueue a document for each object; wait, copy the files and report failures."""

    help = "Generate a document for each object."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument(
            "label", metavar="LABEL", help="label of the document, such as shop.InvoicePDF"
        )
        parser.add_argument("keys", metavar="PK", nargs="*", help="primary keys of the objects")
        parser.add_argument(
            "--params",
            metavar="JSON",
            default="{}",
            help="the document's parameters, as a JSON object",
        )
        parser.add_argument("--wait", action="store_true", help="wait until all jobs are finished")
        parser.add_argument(
            "--in-process",
            action="store_true",
            help="process the jobs in this process and wait for them",
        )
        parser.add_argument(
            "--output", metavar="DIR", type=Path, help="wait, then copy the files to DIR"
        )
        parser.add_argument(
            "--test",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="free, watermarked documents, or billed ones with --no-test (default: as the "
            "document declares)",
        )
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=seconds,
            default=DEFAULT_TIMEOUT,
            help=f"stop waiting after SECONDS (default: {DEFAULT_TIMEOUT:.0f})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Enqueue, then wait and copy the files if requested."""
        document = find_document(options["label"])
        sources = find_sources(document, options["keys"])
        params = parse_params(options["params"])
        output: Path | None = options["output"]
        if output is not None:  # before anything is billed
            create_directory(output)
        jobs = enqueue(document, sources, options["test"], params)
        if not (options["wait"] or options["in_process"] or output):
            for job in jobs:
                self.stdout.write(f"{job.pk}  {job.name}")
            return
        self.wait(jobs, options["timeout"], in_process=options["in_process"])
        self.report_jobs(jobs, output)

    def wait(self, jobs: list[RenderJob], timeout: float, *, in_process: bool) -> None:
        """Wait until all jobs are final.

        Raises:
            CommandError: the time is up, or the user has interrupted it.
        """
        stop = time.monotonic() + timeout
        try:
            while unfinished := self.count_unfinished(jobs, in_process=in_process):
                if time.monotonic() > stop:
                    raise CommandError(
                        f"Timed out after {timeout:g} s: {unfinished} jobs are unfinished and stay "
                        "queued."
                    )
                time.sleep(ROUND_SECONDS if in_process else POLL_SECONDS)
        except KeyboardInterrupt:
            raise CommandError("Interrupted. Unfinished jobs stay queued.") from None
        finally:
            print_progress(self.stderr, "\n")

    def count_unfinished(self, jobs: list[RenderJob], *, in_process: bool) -> int:
        """Return the number of unfinished jobs, after one round of the engine if in-process."""
        if in_process:
            lifecycle.run_once()
        unfinished: int = sum(rows.active().count() for rows in job_querysets(jobs))
        finished = len(jobs) - unfinished
        bar = "#" * round(BAR_WIDTH * finished / len(jobs))
        print_progress(self.stderr, f"\r[{bar:<{BAR_WIDTH}}] {finished}/{len(jobs)}")
        return unfinished

    def report_jobs(self, jobs: list[RenderJob], output: Path | None) -> None:
        """Report each job and copy its file.

        Raises:
            CommandError: a document failed, or its file could not be copied.
        """
        succeeded = [
            self.report_job(job, output)
            for rows in job_querysets(jobs)
            for job in rows.order_by("created_at", "pk")
        ]
        if sum(succeeded) < len(jobs):
            raise CommandError(f"{len(jobs) - sum(succeeded)} of {len(jobs)} documents failed.")

    def report_job(self, job: RenderJob, output: Path | None) -> bool:
        """Copy and report a finished file, or report the failure. Return whether it succeeded."""
        if job.state != State.COMPLETED:
            self.stderr.write(failure_line(job))
            return False
        try:
            result = f"  {copy_result(job, output)}" if output else ""
        except OSError as error:
            self.stderr.write(f"{job.name}: could not copy the file: {error}")
            return False
        self.stdout.write(f"{job.pk}  {job.name}{result}")
        return True


def create_directory(path: Path) -> None:
    """Make sure that the directory exists.

    Raises:
        CommandError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"Cannot create {path}: {error}") from None


def enqueue(
    document: DocumentClass, sources: list[Any], test: bool | None, params: dict[str, Any]
) -> list[RenderJob]:
    """Enqueue a job for each object, or one report on all of them.

    Raises:
        CommandError: an argument is invalid; no job was created.
    """
    overrides: dict[str, Any] = {"params": params}
    if test is not None:
        overrides["test"] = test
    try:
        if issubclass(document, QuerysetDocument):
            return [document.enqueue(queryset_of(sources), **overrides)]
        return document.enqueue_many(sources, **overrides)
    except ValidationError as error:
        raise CommandError(f"No jobs were created: {' '.join(error.messages)}") from None


def job_querysets(jobs: list[RenderJob]) -> Iterator[Any]:
    """Yield querysets of these jobs, small enough for every database's parameter limit."""
    for start in range(0, len(jobs), QUERY_CHUNK_SIZE):
        chunk = jobs[start : start + QUERY_CHUNK_SIZE]
        yield RenderJob.objects.filter(pk__in=[job.pk for job in chunk])


def failure_line(job: RenderJob) -> str:
    """Return a line about a failed or cancelled job."""
    reason = summary_line(job.errors)
    remedy = f"\n  {job.explanation.remedy}" if job.explanation else ""
    return f"{job.name}: {job.error_code or job.state}{': ' if reason else ''}{reason}{remedy}"


def copy_result(job: RenderJob, directory: Path) -> str:
    """Copy the file and return its path, or the reason why there is none."""
    if job.hosted:
        return "(hosted by DocRaptor: no file to copy)"
    return str(copy_file(job, directory))


def copy_file(job: RenderJob, directory: Path) -> Path:
    """Copy the file to an unused name and return its path.

    The job's name is untrusted, and made a single path segment. Existing files and links are never
    overwritten.
    """
    paths = _paths(job, directory)
    while True:
        path = next(paths)
        try:
            target = path.open("xb")
        except FileExistsError:
            continue
        try:
            with target, job.file.open("rb") as file:
                target.writelines(file.chunks())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path


def _paths(job: RenderJob, directory: Path) -> Iterator[Path]:
    yield directory / file_name(job.name, job.document_type)
    for number in itertools.count(2):
        yield directory / file_name(job.name, job.document_type, suffix=f"-{number}")
