"""What DocRaptor's log says of the making of a document is read once, after success."""

from collections.abc import Iterator
from typing import Any

import pytest

from django_docraptor import lifecycle
from django_docraptor.client import Client
from django_docraptor.documents import follow_ups
from django_docraptor.health import health_problems
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.signals import document_completed, document_warned, log_due
from django_docraptor.states import EventKind, State
from tests.support.admin_jobs import VIEW, create_admin_job, get_text, job_url, staff_client
from tests.support.jobs import (
    create_job,
    enqueue,
    event_kinds,
    pause_account,
    run_until_finished,
    skip_time,
)

pytestmark = pytest.mark.django_db(transaction=True)
WARNINGS = "https://shop.example/logo.png?token=secret|can't open input file\n|no font"


@pytest.fixture(autouse=True)
def log_is_read(settings: Any) -> Iterator[None]:
    """Turn the setting on, as at startup."""
    settings.DOCRAPTOR = {**settings.DOCRAPTOR, "GENERATION_LOG": True}
    follow_ups.connect_log()
    yield
    for signal in (document_completed, log_due):
        signal.disconnect(dispatch_uid="django_docraptor.generation_log")


@pytest.fixture
def warned() -> Iterator[list[RenderJob]]:
    """The jobs with which ``document_warned`` was sent."""
    jobs: list[RenderJob] = []

    def receive(job: RenderJob, **kwargs: Any) -> None:
        jobs.append(job)

    document_warned.connect(receive)
    yield jobs
    document_warned.disconnect(receive)


def warn(sandbox: Sandbox, text: str = WARNINGS) -> None:
    """Let the next document be made with warnings."""
    sandbox.add_fault(Fault(on="render", action="warn", reason=text))


@pytest.fixture
def log_reads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The calls that have asked for the log."""
    calls: list[dict[str, Any]] = []
    original = Client.list_doc_logs

    def list_doc_logs(self: Client, **options: Any) -> Any:
        calls.append(options)
        return original(self, **options)

    monkeypatch.setattr(Client, "list_doc_logs", list_doc_logs)
    return calls


def repeat() -> None:
    """Let the time of the next try come."""
    skip_time(2 * 3600)
    lifecycle.recover()


def test_warnings_are_in_the_job(sandbox: Sandbox, warned: list[RenderJob]) -> None:
    """A document without its logo is completed, says so, and a signal tells the project."""
    warn(sandbox)
    job = run_until_finished(enqueue())
    assert (job.state, job.warnings) == (State.COMPLETED, 2)
    assert job.generation_log == "https://shop.example/logo.png?…: can't open input file\nno font"
    assert warned == [job]
    event = job.events.get(kind=EventKind.WARNED)
    assert (event.detail, event.signal_due_at) == ({"warnings": 2}, None)


def test_document_without_warnings_has_none(sandbox: Sandbox, warned: list[RenderJob]) -> None:
    """Zero says that the log was read."""
    job = run_until_finished(enqueue())
    assert (job.warnings, job.generation_log) == (0, "")
    assert warned == []
    assert EventKind.WARNED not in event_kinds(job)


def test_log_is_read_once(sandbox: Sandbox, log_reads: list[Any]) -> None:
    """A repeated signal asks for nothing."""
    job = run_until_finished(enqueue())
    reads = len(log_reads)
    # A second page is read if the skipped time has taken the attempt out of the first one's period.
    assert reads in (1, 2)
    document_completed.send(RenderJob, job=job)
    assert len(log_reads) == reads


def test_setting_is_off_by_default(sandbox: Sandbox, settings: Any, log_reads: list[Any]) -> None:
    """Then nothing is read."""
    settings.DOCRAPTOR = {**settings.DOCRAPTOR, "GENERATION_LOG": False}
    job = run_until_finished(enqueue())
    assert job.warnings is None
    assert log_reads == []


@pytest.mark.fault("F15")
def test_failure_leaves_the_job_completed(sandbox: Sandbox, warned: list[RenderJob]) -> None:
    """The log is read later; the failure is in the history only."""
    warn(sandbox)
    fault = Fault(on="logs", action="status", status_code=503, times=2)
    sandbox.add_fault(fault)
    job = run_until_finished(enqueue())
    assert (job.state, job.errors, job.warnings) == (State.COMPLETED, "", None)
    repeat()
    repeat()
    job.refresh_from_db()
    assert job.warnings == 2
    assert event_kinds(job).count(EventKind.LOG_FAILED) == 2
    assert len(warned) == 1


@pytest.mark.fault("F15")
def test_tries_are_bounded(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is never listed is given up, and health does not tell: the document is there."""
    sandbox.add_fault(Fault(on="logs", action="omit", match=""))
    job = run_until_finished(enqueue())
    for _ in range(follow_ups.MAX_LOG_TRIES + 2):
        repeat()
    failures = RenderEvent.objects.filter(job=job, kind=EventKind.LOG_FAILED)
    assert failures.count() == follow_ups.MAX_LOG_TRIES
    assert not failures.filter(signal_due_at__isnull=False).exists()
    assert not [each for each in health_problems() if "log" in each.message]


@pytest.mark.fault("F15")
def test_misread_filter_hides_nothing(sandbox: Sandbox) -> None:
    """A service that lists nothing for a period is asked for its newest entries."""
    sandbox.add_fault(Fault(on="logs", action="misread", window="empty", times=1))
    assert run_until_finished(enqueue()).warnings == 0


def test_copied_document_was_not_made(log_reads: list[Any]) -> None:
    """No log is read for a job that DocRaptor does not know."""
    job = create_job(State.COMPLETED, status_id="")
    follow_ups.handle_log(job)
    assert log_reads == []
    assert EventKind.LOG_FAILED not in event_kinds(job)


def test_paused_key_makes_no_call(log_reads: list[Any]) -> None:
    """The log is read when the pause is over."""
    job = create_job(State.COMPLETED, status_id="s")
    pause_account("default", "rejected")
    follow_ups.handle_log(job)
    assert log_reads == []
    assert EventKind.LOG_FAILED in event_kinds(job)


def test_admin_shows_warnings() -> None:
    """A line in the list, a filter, and the first lines for users who may read the document."""
    log = "logo.png: can't open input file"
    job = create_admin_job(State.COMPLETED, warnings=2, generation_log=log)
    other = create_admin_job(State.COMPLETED, {"name": "other.pdf"}, warnings=0)
    sam = staff_client(VIEW)
    page = get_text(sam, "/admin/django_docraptor/renderjob/?warned=1")
    assert "2 warnings" in page
    assert job_url(other) not in page
    assert "open input file" in get_text(sam, job_url(job))
