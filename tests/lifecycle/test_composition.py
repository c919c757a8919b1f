"""Faults while a template is rendered: those that pass are tried again, others are final."""

import errno
from collections.abc import Callable

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from django_docraptor import lifecycle
from django_docraptor.assets import AssetError
from django_docraptor.documents import Document
from django_docraptor.lifecycle import composition, submission
from django_docraptor.lifecycle.composition import is_passing
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.payloads import DocumentRequest
from django_docraptor.preflight import resources
from django_docraptor.sandbox import Sandbox
from django_docraptor.shortcuts import JobSpec, enqueue_or_update
from django_docraptor.states import State
from tests.apps.shop.models import Invoice
from tests.support.jobs import current_state, enqueue, event_kinds, run_until_finished, skip_time
from tests.support.threads import run_in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

# Raises while a document is rendered, or does nothing.
Fault = Callable[[], None]


class TimeLimit(SoftTimeLimitExceeded):
    """A project's own subclass."""


class JobTimeoutException(Exception):  # noqa: N818 - as RQ calls it
    """Named like RQ's, but of another module."""


def caused(error: Exception, cause: BaseException) -> Exception:
    """Return the error with a stated cause."""
    error.__cause__ = cause
    return error


def after(error: Exception, context: BaseException) -> Exception:
    """Return the error as it is raised while another is handled."""
    error.__context__ = context
    return error


@pytest.fixture
def faulty_document() -> type[Document[None]]:
    """A document that raises what its list of faults has next, and then renders."""

    class Faulty(Document[None]):
        """Registered during the test."""

        template_name = "shop/invoice.html"
        faults: list[Exception | Fault] = []

        def render(self) -> str:
            fault = self.faults.pop(0) if self.faults else None
            if isinstance(fault, Exception):
                raise fault
            if fault is not None:
                fault()
            return "<p>rendered</p>"

    return Faulty


PASSING = [
    OperationalError("deadlock detected\nDETAIL:  Process 1 waits."),
    OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction"),
    OperationalError("could not serialize access due to concurrent update"),
    InterfaceError("connection already closed"),
    SoftTimeLimitExceeded(),
    TimeLimit(),
    caused(transaction.TransactionManagementError("broken"), OperationalError("deadlock")),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENOSPC, "No space left on device"),
    caused(AssetError("'a.css' cannot be read"), OSError(errno.ENFILE, "Too many open files")),
]
FINAL = [
    RuntimeError("no such total"),
    DatabaseError("no such column"),
    TimeoutError("of the template"),
    FileNotFoundError(errno.ENOENT, "No such file"),
    PermissionError(errno.EACCES, "Permission denied"),
    AssetError("'a.css' does not exist"),
    RecursionError("maximum recursion depth exceeded"),
    JobTimeoutException(),
    after(RuntimeError("the template handled it"), OperationalError("deadlock")),
]


@pytest.mark.fault("S22")
@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: repr(fault).replace("\\", "/"))
def test_passing_fault_is_tried_again(
    sandbox: Sandbox, documents_dir, faulty_document, fault: Exception
) -> None:
    """A job whose template met a fault that passes waits, is counted, and then completes."""
    faulty_document.faults = [fault]
    job = faulty_document.enqueue()
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.failures, job.attempt, job.lease_token) == (State.PENDING, 1, 0, "")
    assert str(fault) in job.errors
    assert lifecycle.submit() == 0  # it is not due yet
    assert run_until_finished(job).state == State.COMPLETED
    assert event_kinds(job).count("step_failed") == 1
    assert sandbox.ledger.create_calls == 1


@pytest.mark.parametrize("fault", FINAL, ids=repr)
def test_exception_of_the_template_is_final(
    sandbox: Sandbox, faulty_document, fault: Exception
) -> None:
    """An exception that is the template's own fails the job at once."""
    faulty_document.faults = [fault]
    job = faulty_document.enqueue()
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    assert str(fault) in job.errors
    assert sandbox.ledger.create_calls == 0


@pytest.mark.fault("S22")
def test_repeated_passing_fault_fails_the_job(sandbox: Sandbox, faulty_document, settings) -> None:
    """After RETRY_FOR seconds of faults, the job fails with the text of the last."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RETRY_FOR": 200}
    faulty_document.faults = [OperationalError(f"deadlock {number}") for number in range(9)]
    job = run_until_finished(faulty_document.enqueue())
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    assert job.errors.startswith("The template could not be rendered for 4 minutes (3 tries")
    assert job.errors.strip().splitlines()[-1] == "django.db.utils.OperationalError: deadlock 2"
    assert event_kinds(job).count("step_failed") == 2
    assert len(faulty_document.faults) == 6
    assert sandbox.ledger.create_calls == 0


def test_passing_fault_does_not_affect_its_batch(sandbox: Sandbox, faulty_document) -> None:
    """The other jobs of the batch are sent."""
    faulty_document.faults = [OperationalError("deadlock detected")]
    faulty = faulty_document.enqueue()
    others = [enqueue(), enqueue()]
    lifecycle.submit()
    assert current_state(faulty) == State.PENDING
    assert [current_state(job) for job in others] == [State.QUEUED] * 2


def test_content_is_checked_once(
    sandbox: Sandbox, documents_dir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was enqueued is checked there; the worker checks what differs from it."""
    read: list[str] = []
    monkeypatch.setattr(resources, "visit_resources", lambda html, *_: read.append(html))
    same, changed, replaced = (enqueue(content=f"<p>{number}") for number in range(3))
    RenderInput.objects.filter(pk=changed.pk).update(content="<p>changed")
    RenderInput.objects.filter(pk=replaced.pk).update(preflight_digest="")
    lifecycle.submit()
    assert current_state(same) == State.QUEUED
    assert sorted(read) == ["<p>0", "<p>1", "<p>2", "<p>2", "<p>changed"]


def test_content_of_an_updated_job_is_checked_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer request of a pending job brings its own check with it."""
    read: list[str] = []
    monkeypatch.setattr(resources, "visit_resources", lambda html, *_: read.append(html))
    source = Invoice.objects.create(number="17")
    for content in ("<p>1", "<p>2"):
        spec = JobSpec(name="a.pdf", content=content, source=source)
        enqueue_or_update(spec)
    lifecycle.submit()
    assert RenderJob.objects.get().state == State.QUEUED
    assert read == ["<p>1", "<p>2"]


@pytest.mark.fault("S22")
@pytest.mark.parametrize("error", [MemoryError(), RecursionError("too deep")], ids=repr)
def test_error_in_a_check_concerns_its_own_job(
    sandbox: Sandbox, documents_dir, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What a check of one document raises ends neither the batch nor the step."""

    def check(request: DocumentRequest, **options: object) -> None:
        if request.name == "odd":
            raise error

    monkeypatch.setattr(composition, "check_content", check)
    odd, other = enqueue(name="odd"), enqueue()
    lifecycle.submit()
    assert current_state(other) == State.QUEUED
    is_passing = isinstance(error, MemoryError)
    assert current_state(odd) == (State.PENDING if is_passing else State.FAILED)


def test_slow_fault_releases_the_rest_of_the_batch(
    sandbox: Sandbox, faulty_document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time limit no other template is rendered, as the worker may be killed soon."""
    monkeypatch.setattr(submission, "RUN_SECONDS", -1.0)
    faulty_document.faults = [SoftTimeLimitExceeded(), RuntimeError("was rendered")]
    jobs = [faulty_document.enqueue() for _ in range(3)]
    assert submission.prepare_batch(submission.claim_for_slots("default", 10).jobs) == ([], [])
    assert [current_state(job) for job in jobs] == [State.PENDING] * 3
    assert RenderJob.objects.not_started().due().count() == 2
    assert len(faulty_document.faults) == 1


@pytest.mark.fault("S22")
def test_lost_connection_is_replaced(sandbox: Sandbox, documents_dir, faulty_document) -> None:
    """A template whose query met a lost connection is rendered on a new one."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no server that closes connections.")
    invoice = Invoice.objects.create(number="17")

    def lose_connection() -> None:
        connection.connection.close()
        Invoice.objects.get(pk=invoice.pk)

    faulty_document.faults = [lose_connection]
    job = faulty_document.enqueue()
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.PENDING, 1)
    assert run_until_finished(job).state == State.COMPLETED


@pytest.mark.fault("S22")
def test_lock_timeout_in_a_template_is_tried_again(
    sandbox: Sandbox, documents_dir, faulty_document
) -> None:
    """A row that another connection has locked for too long is read again later."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no row locks.")
    invoice = Invoice.objects.create(number="17")

    def read_locked() -> None:
        with transaction.atomic():
            Invoice.objects.select_for_update(nowait=True).get(pk=invoice.pk)

    faulty_document.faults = [read_locked, read_locked]
    job = faulty_document.enqueue()
    with transaction.atomic():
        Invoice.objects.select_for_update().get(pk=invoice.pk)
        run_in_threads(1, lifecycle.submit)
    job.refresh_from_db()
    assert (job.state, job.failures) == (State.PENDING, 1)
    assert run_until_finished(job).state == State.COMPLETED


def test_error_that_is_its_own_cause_is_classified() -> None:
    """`raise error from error` does not loop."""
    error = RuntimeError("again")
    assert not is_passing(caused(error, error))


def test_postponed_job_is_due_after_the_back_off(sandbox: Sandbox, faulty_document) -> None:
    """A postponed job is due after the first back-off of two seconds."""
    faulty_document.faults = [OperationalError("deadlock detected")]
    job = faulty_document.enqueue()
    lifecycle.submit()
    skip_time(2)
    assert lifecycle.submit() == 1
    assert current_state(job) == State.QUEUED
