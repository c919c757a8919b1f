"""A person with documents in every state, whose name is everywhere, and a search for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType

from django_docraptor import share
from django_docraptor.documents import Document
from django_docraptor.models import RenderInput, RenderJob, seconds_from_now
from django_docraptor.responses.download_records import record_download
from django_docraptor.states import FINAL_STATES, ErrorCode, EventKind, State
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue, files_below, run_until_finished
from tests.support.stored_files import completed_job

# In everything that the person has said, and in nothing else.
CANARY = "canary"
PASSWORD = f"{CANARY}-password"


def create_person() -> Any:
    """Return a user whose name is a canary."""
    name = f"{CANARY}-anna"
    return get_user_model().objects.create_user(name, f"{name}@example.com", first_name=CANARY)


def person_document() -> type[Document[Invoice]]:
    """Return a document class whose copies are named after the person."""

    class PersonPDF(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"
        deliver_to = "pdf"

        def get_name(self) -> str:
            return f"{CANARY} {self.source.number}.pdf"

    return PersonPDF


def options_of(person: Any) -> dict[str, Any]:
    """Return the keywords of a request that names the person wherever that is possible."""
    return {
        "name": f"{CANARY}.pdf",
        "content": f"<p>{CANARY}</p>",
        "owner": person,
        "params": {"name": CANARY},
        "options": {
            "referrer": f"https://example.com/{CANARY}",
            "prince_options": {"user_password": PASSWORD},
        },
    }


def job_in(state: State, person: Any, **columns: Any) -> RenderJob:
    """Return a job of the person in a state, with what the engine writes about it."""
    number = RenderJob.objects.count()
    job = enqueue(**options_of(person), idempotency_key=f"{CANARY}-{number}")
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    columns = {
        "attempt": 1,
        "due_at": due_at,
        "status_id": f"status-{number}",
        "errors": f"Bad: {CANARY}",
        "message": f"Made: {CANARY}",
        "error_code": ErrorCode.TIMED_OUT if state == State.FAILED else "",
        "finished_at": seconds_from_now(0) if state in FINAL_STATES else None,
        **columns,
    }
    RenderJob.objects.filter(pk=job.pk).update(state=state, **columns)
    job.refresh_from_db()
    job.record_event(EventKind.STEP_FAILED, note=f"Trace: {CANARY}", detail={"body": CANARY})
    return job


def log_entry(job: RenderJob, person: Any) -> None:
    """Record in the admin's log that someone did something with a job."""
    LogEntry.objects.create(
        user_id=person.pk,
        content_type=ContentType.objects.get_for_model(RenderJob),
        object_id=str(job.pk),
        object_repr=str(job),
        action_flag=CHANGE,
        change_message=f"Retried by {CANARY}",
    )


def everything(person: Any, invoice: Invoice) -> list[RenderJob]:
    """Return jobs of the person in every state: stored, delivered, hosted, shared, downloaded."""
    document = person_document()
    delivered = run_until_finished(document.enqueue(invoice, owner=person))
    hosted = run_until_finished(enqueue(**options_of(person), hosted=True))
    stored = completed_job(owner=person, name=f"{CANARY}.pdf", sha256="5" * 64)
    jobs = [delivered, hosted, stored, *(job_in(state, person) for state in State)]
    jobs.append(job_in(State.PENDING, person, attempt=0, held_at=seconds_from_now(0)))
    for job in (delivered, stored):
        share(job, by=person)
        record_download(job, by=f"by {person.get_username()}")
    for job in jobs:
        log_entry(job, person)
    assert RenderInput.objects.filter(content__contains=CANARY).exists()
    return jobs


def traces(*directories: Path) -> Iterator[str]:
    """Yield where the person is still found: in a row of the app, the admin's log, or a file."""
    models = [*apps.get_app_config("django_docraptor").get_models(), LogEntry, Invoice]
    for model in models:
        for row in model._base_manager.values():
            if CANARY in repr(row).lower():
                yield f"{model.__name__}: {row}"
    for directory in directories:
        for path in files_below(directory) if directory.exists() else []:
            if CANARY in path.name or CANARY.encode() in path.read_bytes():
                yield str(path)
