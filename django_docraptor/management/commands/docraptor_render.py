"""``manage.py docraptor_render``: make documents of objects, for scripts and for support."""

import argparse
import itertools
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from django_docraptor import lifecycle
from django_docraptor.documents import QuerysetDocument
from django_docraptor.management.arguments import seconds
from django_docraptor.management.objects import (
    KEYS_AT_ONCE,
    DocumentClass,
    find_document,
    find_sources,
    read_params,
    rows_of,
)
from django_docraptor.models import RenderJob
from django_docraptor.states import State

# Seconds: between two looks at the rows, between two rounds of the engine, and in all.
LOOK, ROUND, PATIENCE = 0.5, 0.2, 900.0
# Characters of a progress bar; bytes of a file's name without its ending.
BAR, MOST_BYTES = 30, 150


class Command(BaseCommand):
    """Order a document of each object; wait, copy the files, and tell what failed."""

    help = "Makes a document of each object: LABEL such as shop.InvoicePDF, PK its primary key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("label", metavar="LABEL", help="the document: <app label>.<class>")
        parser.add_argument("keys", metavar="PK", nargs="*", help="primary keys of its objects")
        parser.add_argument("--params", metavar="JSON", default="{}", help="its parameters")
        parser.add_argument("--wait", action="store_true", help="until all are final")
        parser.add_argument("--run", action="store_true", help="do a worker's work here, and wait")
        parser.add_argument("--output", metavar="DIR", type=Path, help="wait; copy the files there")
        parser.add_argument(
            "--test",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="free and watermarked, or billed; by default what the document says",
        )
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=seconds,
            default=PATIENCE,
            help=f"after which to wait no longer (default {PATIENCE:.0f})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Order, then wait and copy if asked to."""
        document = find_document(options["label"])
        sources = find_sources(document, options["keys"])
        params = read_params(options["params"])
        output: Path | None = options["output"]
        if output is not None:  # before anything is billed
            make_directory(output)
        jobs = order(document, sources, options["test"], params)
        if not (options["wait"] or options["run"] or output):
            for job in jobs:
                self.stdout.write(f"{job.pk}  {job.name}")
            return
        self.wait(jobs, options["timeout"], run=options["run"])
        self.finish(jobs, output)

    def wait(self, jobs: list[RenderJob], timeout: float, *, run: bool) -> None:
        """Return when all jobs are final. Raises CommandError when the time is up."""
        stop = time.monotonic() + timeout
        try:
            while left := self.unfinished(jobs, run=run):
                if time.monotonic() > stop:
                    said = f"Gave up after {timeout:g} s: {left} unfinished. They go on being made."
                    raise CommandError(said)
                time.sleep(ROUND if run else LOOK)
        except KeyboardInterrupt:
            raise CommandError("Stopped waiting. The documents go on being made.") from None
        finally:
            self.progress("\n")

    def unfinished(self, jobs: list[RenderJob], *, run: bool) -> int:
        """How many jobs are not final, after a round of the engine if it runs here."""
        if run:
            lifecycle.run()
        left: int = sum(rows.active().count() for rows in in_chunks(jobs))
        done = len(jobs) - left
        bar = "#" * round(BAR * done / len(jobs))
        self.progress(f"\r[{bar:<{BAR}}] {done}/{len(jobs)}")
        return left

    def progress(self, text: str) -> None:
        """Write for a person who looks on, not into a log."""
        if self.stderr.isatty():
            self.stderr.write(text, style_func=str, ending="")
            self.stderr.flush()

    def finish(self, jobs: list[RenderJob], output: Path | None) -> None:
        """Say what came of each job, and copy its file. Raises CommandError if one failed."""
        well = [
            self.tell(job, output)
            for rows in in_chunks(jobs)
            for job in rows.order_by("created_at", "pk")
        ]
        if sum(well) < len(jobs):
            raise CommandError(f"{len(jobs) - sum(well)} of {len(jobs)} failed.")

    def tell(self, job: RenderJob, output: Path | None) -> bool:
        """Copy a finished file and say so, or say what went wrong. Returns whether all is well."""
        if job.state != State.COMPLETED:
            self.stderr.write(epitaph(job))
            return False
        try:
            copied = f"  {copied_to(job, output)}" if output else ""
        except OSError as error:
            self.stderr.write(f"{job.name}: its file could not be copied: {error}")
            return False
        self.stdout.write(f"{job.pk}  {job.name}{copied}")
        return True


def make_directory(path: Path) -> None:
    """Make sure that there is a directory. Raises CommandError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"Nothing can be written to {path}: {error}") from None


def order(
    document: DocumentClass, sources: list[Any], test: bool | None, params: dict[str, Any]
) -> list[RenderJob]:
    """A job for each object, or one for a report over all. Raises CommandError."""
    said: dict[str, Any] = {"params": params} if test is None else {"params": params, "test": test}
    try:
        if issubclass(document, QuerysetDocument):
            return [document.enqueue(rows_of(sources), **said)]
        return document.enqueue_many(sources, **said)
    except ValidationError as error:
        raise CommandError(f"Nothing was ordered: {' '.join(error.messages)}") from None


def in_chunks(jobs: list[RenderJob]) -> Iterator[Any]:
    """The rows of these jobs as they now are, as querysets that no database finds too long."""
    for start in range(0, len(jobs), KEYS_AT_ONCE):
        some = jobs[start : start + KEYS_AT_ONCE]
        yield RenderJob.objects.filter(pk__in=[job.pk for job in some])


def epitaph(job: RenderJob) -> str:
    """A line about a job that brought nothing."""
    first = job.errors.strip().partition("\n")[0]
    return f"{job.name}: {job.error_code or job.state}{': ' if first else ''}{first}"


def copied_to(job: RenderJob, directory: Path) -> str:
    """Where the file has been copied to, or why there is none."""
    return "(hosted by DocRaptor: no file to copy)" if job.hosted else str(copy(job, directory))


def copy(job: RenderJob, directory: Path) -> Path:
    """Copy the file under a name that nothing has yet. Returns its path.

    A name is other people's text: only its last part counts, and only what is safe in it. A file,
    or a link, that is there already is never written to.
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
    stem, ending = _stem(job), f".{job.document_type}"
    yield directory / f"{stem}{ending}"
    for number in itertools.count(2):
        yield directory / f"{stem}-{number}{ending}"


def _stem(job: RenderJob) -> str:
    text, ending = job.name, f".{job.document_type}"
    text = text[: -len(ending)] if text.lower().endswith(ending) else text
    last = text.replace("\\", "/").rpartition("/")[2].strip()
    safe = re.sub(r"[^-\w.]", "_", last).lstrip(".-")
    return safe.encode()[:MOST_BYTES].decode(errors="ignore") or "document"
