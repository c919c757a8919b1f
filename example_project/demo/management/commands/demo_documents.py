"""``manage.py demo_documents``: enqueue documents, watch their progress, print the results."""

import time
from argparse import ArgumentParser
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from django_docraptor import RenderJob, State
from example_project.demo.samples import issue_invoices
from shop.documents import InvoiceReport, Reminder
from shop.models import Invoice

ROW = "{:26}  {:10}  {:>5}  {:>7}  {}"


class Command(BaseCommand):
    """Issue invoices, generate reports on them, wait for all documents."""

    help = (
        "Issue sample invoices, generate a report on them, and wait until all documents are "
        "finished."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the option."""
        parser.add_argument(
            "--until", type=float, help="when to give up, as a Unix time; without it, in 60 s"
        )

    def handle(self, *args: Any, until: float | None, **options: Any) -> None:
        """Enqueue, watch and report."""
        started = time.monotonic()
        keys = [job.pk for job in enqueue_documents()]
        self.watch(keys, started, 60 if until is None else until - time.time())
        self.print_table(keys)
        self.print_summary(keys, time.monotonic() - started)

    def watch(self, keys: list[Any], started: float, timeout: float) -> None:
        """Print the progress until all jobs are final.

        Raises:
            CommandError: ``timeout`` seconds have passed.
        """
        previous = ""
        while RenderJob.objects.filter(pk__in=keys).active().exists():
            text, waited = progress(keys), time.monotonic() - started
            self.print_progress(text, waited, changed=text != previous)
            previous = text
            if waited > timeout:
                raise CommandError(
                    f"Gave up after {waited:.0f} s with unfinished documents: {text}."
                )
            time.sleep(0.2)
        if self.stdout.isatty():
            self.stdout.write("\r\033[K", ending="")

    def print_progress(self, text: str, waited: float, *, changed: bool) -> None:
        """Update one line on a terminal; otherwise print a line per change."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{waited:4.1f} s  {text}", ending="")
            self.stdout.flush()
        elif changed:
            self.stdout.write(f"{waited:4.1f} s  {text}")
            self.stdout.flush()

    def print_table(self, keys: list[Any]) -> None:
        """Print a line per document."""
        self.stdout.write(ROW.format("document", "state", "pages", "seconds", "file"))
        for job in RenderJob.objects.filter(pk__in=keys).order_by("name"):
            seconds = (job.finished_at - job.created_at).total_seconds()
            pages = job.number_of_pages or ""
            location = file_location(job)
            self.stdout.write(ROW.format(job.name, job.state, pages, f"{seconds:.1f}", location))

    def print_summary(self, keys: list[Any], seconds: float) -> None:
        """Print a summary.

        Raises:
            CommandError: a job has failed.
        """
        jobs = list(RenderJob.objects.filter(pk__in=keys))
        failed = [job for job in jobs if job.state != State.COMPLETED]
        if failed:
            raise CommandError(
                "\n".join(f"{job}: {job.errors or job.error_code}" for job in failed)
            )
        callbacks = sum(job.callback_at is not None for job in jobs)
        mails = len(list(Path(settings.EMAIL_FILE_PATH).iterdir()))
        text = (
            f"{len(jobs)} documents in {seconds:.1f} s; {callbacks} callbacks received, "
            f"{mails} mails sent."
        )
        self.stdout.write(self.style.SUCCESS(text))


def enqueue_documents() -> list[RenderJob]:
    """Issue invoices, whose PDFs a signal enqueues, and enqueue what the admin's buttons would."""
    invoices = issue_invoices()
    selected = Invoice.objects.filter(pk__in=[invoice.pk for invoice in invoices]).order_by(
        "number"
    )
    staff, _created = get_user_model().objects.get_or_create(
        username="admin",
        defaults={"is_staff": True, "is_superuser": True, "email": "admin@shop.example"},
    )
    jobs = [latest_job(invoice) for invoice in invoices]
    jobs += [
        InvoiceReport.enqueue(selected, owner=staff, document_type=document_type)
        for document_type in ("pdf", "xlsx")
    ]
    pay_by = (timezone.localdate() + timedelta(days=44)).isoformat()
    return [*jobs, Reminder.enqueue(invoices[0], owner=staff, params={"pay_by": pay_by})]


def latest_job(invoice: Invoice) -> RenderJob:
    """Return the job that the signal enqueued."""
    job: RenderJob = RenderJob.objects.for_source(invoice).get()
    return job


def progress(keys: list[Any]) -> str:
    """Return the number of jobs per state."""
    states = Counter(RenderJob.objects.filter(pk__in=keys).values_list("state", flat=True))
    return ", ".join(f"{states[state]} {state.label}" for state in State if states[state])


def file_location(job: RenderJob) -> str:
    """Return a path relative to the working directory, or the name in the storage."""
    if not job.file:
        return job.error_code
    try:
        path = Path(job.file.path)
    except NotImplementedError:  # not on this machine's disk
        return job.file.name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
