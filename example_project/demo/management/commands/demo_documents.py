"""``manage.py demo_documents``: order documents, watch them being made, say what became of them."""

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

from django_docraptor.models import RenderJob
from django_docraptor.states import State
from example_project.demo.samples import issue_invoices
from shop.documents import InvoiceReport, Reminder
from shop.models import Invoice

ROW = "{:26}  {:10}  {:>5}  {:>7}  {}"


class Command(BaseCommand):
    """Issue invoices, make a report of them, wait for all results."""

    help = "Issues sample invoices and a report of them, and waits until all documents are made."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the option."""
        parser.add_argument("--timeout", type=float, default=60, help="seconds to wait")

    def handle(self, *args: Any, timeout: float, **options: Any) -> None:
        """Order, watch, report."""
        began = time.monotonic()
        keys = [job.pk for job in order_documents()]
        self.watch(keys, began, timeout)
        self.print_table(keys)
        self.print_summary(keys, time.monotonic() - began)

    def watch(self, keys: list[Any], began: float, timeout: float) -> None:
        """Show the progress until all are final. Raises CommandError when time is up."""
        shown = ""
        while RenderJob.objects.filter(pk__in=keys).active().exists():
            text, waited = progress(keys), time.monotonic() - began
            self.show(text, waited, changed=text != shown)
            shown = text
            if waited > timeout:
                raise CommandError(f"Not all documents are finished after {timeout:.0f} s: {text}.")
            time.sleep(0.2)
        if self.stdout.isatty():
            self.stdout.write("\r\033[K", ending="")

    def show(self, text: str, waited: float, *, changed: bool) -> None:
        """One line that changes on a terminal; elsewhere a line for each change."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\033[K{waited:4.1f} s  {text}", ending="")
            self.stdout.flush()
        elif changed:
            self.stdout.write(f"{waited:4.1f} s  {text}")
            self.stdout.flush()

    def print_table(self, keys: list[Any]) -> None:
        """A line for each document."""
        self.stdout.write(ROW.format("document", "state", "pages", "seconds", "file"))
        for job in RenderJob.objects.filter(pk__in=keys).order_by("name"):
            seconds = (job.finished_at - job.created_at).total_seconds()
            pages = job.number_of_pages or ""
            self.stdout.write(ROW.format(job.name, job.state, pages, f"{seconds:.1f}", place(job)))

    def print_summary(self, keys: list[Any], seconds: float) -> None:
        """How it went. Raises CommandError if anything failed."""
        jobs = list(RenderJob.objects.filter(pk__in=keys))
        failed = [job for job in jobs if job.state != State.COMPLETED]
        if failed:
            raise CommandError(
                "\n".join(f"{job}: {job.errors or job.error_code}" for job in failed)
            )
        callbacks = sum(job.callback_at is not None for job in jobs)
        mails = len(list(Path(settings.EMAIL_FILE_PATH).iterdir()))
        text = (
            f"{len(jobs)} documents in {seconds:.1f} s; {callbacks} callbacks came; "
            f"{mails} mails went to their owners."
        )
        self.stdout.write(self.style.SUCCESS(text))


def order_documents() -> list[RenderJob]:
    """Issue invoices, whose PDFs a signal orders; order what the admin's buttons and actions do."""
    invoices = issue_invoices()
    chosen = Invoice.objects.filter(pk__in=[invoice.pk for invoice in invoices]).order_by("number")
    staff, _created = get_user_model().objects.get_or_create(
        username="admin",
        defaults={"is_staff": True, "is_superuser": True, "email": "admin@shop.example"},
    )
    jobs = [latest_job(invoice) for invoice in invoices]
    jobs += [
        InvoiceReport.enqueue(chosen, owner=staff, document_type=kind) for kind in ("pdf", "xlsx")
    ]
    pay_by = (timezone.localdate() + timedelta(days=44)).isoformat()
    return [*jobs, Reminder.enqueue(invoices[0], owner=staff, params={"pay_by": pay_by})]


def latest_job(invoice: Invoice) -> RenderJob:
    """What the signal has ordered."""
    job: RenderJob = RenderJob.objects.for_source(invoice).get()
    return job


def progress(keys: list[Any]) -> str:
    """How many are in which state, in words."""
    states = Counter(RenderJob.objects.filter(pk__in=keys).values_list("state", flat=True))
    return ", ".join(f"{states[state]} {state.label}" for state in State if states[state])


def place(job: RenderJob) -> str:
    """Where the file is: a path that can be opened from here, or the storage's name."""
    if not job.file:
        return job.error_code
    try:
        path = Path(job.file.path)
    except NotImplementedError:  # not on this machine's disk
        return job.file.name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
