"""What is done after a document is completed: it is repeated until it succeeds."""

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.mail.backends import locmem
from django.utils import timezone, translation

from django_docraptor import lifecycle, registry
from django_docraptor.documents import Document, follow_ups
from django_docraptor.health import health_problems
from django_docraptor.mail import notify_owner
from django_docraptor.models import Heartbeat, RenderEvent, RenderJob, seconds_from_now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import cancel, retry
from django_docraptor.signals import document_completed
from django_docraptor.states import EventKind, State
from tests.apps.shop.models import Invoice
from tests.support.jobs import event_kinds, run_until_finished, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hooked_document() -> Any:
    """A document class whose hook fails as often as ``failures`` says."""

    class Hooked(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"
        failures: ClassVar[int] = 0
        calls: ClassVar[list[tuple[Any, ...]]] = []

        def on_completed(self, job: RenderJob) -> None:
            language, zone = translation.get_language(), timezone.get_current_timezone_name()
            self.calls.append((self.source.number, job.file.name, language, zone, self.params))
            if len(self.calls) <= self.failures:
                raise ConnectionRefusedError("mail server")

    return Hooked


@pytest.fixture
def invoice() -> Invoice:
    """The source."""
    return Invoice.objects.create(number="17")


def repeat(job: RenderJob) -> None:
    """Let the time of the next try come."""
    skip_time(2 * 3600)
    lifecycle.recover()


def age_failures(seconds: float) -> None:
    """Make all failures so many seconds old."""
    RenderEvent.objects.filter(kind=EventKind.HOOK_FAILED).update(at=seconds_from_now(-seconds))


@pytest.mark.fault("F12")
def test_hook_is_called_with_the_job_and_its_document(
    sandbox: Sandbox, hooked_document: Any, invoice: Invoice, documents_dir: Path
) -> None:
    """The hook has the source, the parameters, and the language and time zone of the job."""
    job = hooked_document.enqueue(
        invoice, params={"copy": 1}, language="de", time_zone="Europe/Vienna"
    )
    job = run_until_finished(job)
    ((number, file, language, zone, params),) = hooked_document.calls
    assert (number, file) == ("17", job.file.name)
    assert (language, zone, params) == ("de", "Europe/Vienna", {"copy": 1})
    assert event_kinds(job)[-1] == "completed"


@pytest.mark.fault("F12")
def test_failed_hook_is_called_again_until_it_succeeds(
    sandbox: Sandbox, hooked_document: Any, invoice: Invoice
) -> None:
    """A failing hook is called again, later and later, and never after its success."""
    hooked_document.failures = 3
    job = run_until_finished(hooked_document.enqueue(invoice))
    assert job.state == State.COMPLETED
    lifecycle.recover()
    assert len(hooked_document.calls) == 1  # it is not due
    for calls in (2, 3, 4, 4, 4):
        repeat(job)
        assert len(hooked_document.calls) == calls
    assert event_kinds(job)[-3:] == ["hook_failed"] * 3
    assert "ConnectionRefusedError: mail server" in job.events.last().message
    assert sandbox.ledger.create_calls == 1


@pytest.mark.fault("F12")
def test_text_of_a_failure_is_in_the_history_and_not_in_the_log(
    sandbox: Sandbox, hooked_document: Any, invoice: Invoice, caplog: Any
) -> None:
    """The text may name a customer: the log has the exception's type and location."""
    hooked_document.failures = 1
    job = run_until_finished(hooked_document.enqueue(invoice))
    assert "mail server" in job.events.get(kind=EventKind.HOOK_FAILED).message
    assert f"ConnectionRefusedError in {__file__}, line " in caplog.text
    assert "mail server" not in caplog.text


@pytest.mark.fault("F12")
def test_hook_that_keeps_failing_is_given_up_and_told(
    sandbox: Sandbox, hooked_document: Any, invoice: Invoice, caplog: Any
) -> None:
    """Health tells a hook that fails for long, and one that was given up, for a week."""
    hooked_document.failures = 100
    job = run_until_finished(hooked_document.enqueue(invoice))
    repeat(job)
    assert health_problems() == []
    for _ in range(12):
        repeat(job)
    assert (
        "1 delivery, e-mail or hook (on_completed(), on_failed()) has been failing"
        in health_problems()[0]
    )
    age_failures(4 * 24 * 3600)
    repeat(job)
    last = job.events.last()
    assert (last.detail["gave_up"], last.signal_due_at) == (True, None)
    assert f"on_completed() of job {job.pk} (ConnectionRefusedError)" in health_problems()[0]
    assert "gave up on_completed()" in caplog.text
    calls = len(hooked_document.calls)
    repeat(job)
    assert len(hooked_document.calls) == calls
    Heartbeat.objects.update(gave_up_at=seconds_from_now(-8 * 24 * 3600))
    assert health_problems() == []
    hooked_document.failures = 0
    assert hooked_document.complete(RenderJob.objects.get(pk=job.pk))


def test_back_off_is_an_hour_at_most(
    hooked_document: Any, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three days of failures fill the history with about a hundred events, not thousands."""
    hooked_document.failures = 100
    job = hooked_document.enqueue(invoice)
    RenderJob.objects.update(state=State.COMPLETED, due_at=None)
    job.refresh_from_db()
    for _ in range(20):
        follow_ups.handle_hook(job=job)
    due = RenderEvent.objects.filter(signal_due_at__lt=seconds_from_now(3700)).count()
    assert due == RenderEvent.objects.filter(kind=EventKind.HOOK_FAILED).count() == 20
    assert job.events.last().signal_due_at > job.events.last().at + timedelta(minutes=25)


@pytest.mark.fault("F12")
def test_hook_of_a_dead_worker_is_called_by_a_tick(hooked_document: Any, invoice: Invoice) -> None:
    """If a worker dies after the completion, the next tick calls the hook."""
    job = hooked_document.enqueue(invoice)
    RenderJob.objects.update(state=State.COMPLETED, due_at=None)
    job.refresh_from_db()
    job.record_event(EventKind.COMPLETED)
    repeat(job)
    assert len(hooked_document.calls) == 1


def test_hook_and_delivery_do_not_repeat_each_other(
    sandbox: Sandbox, hooked_document: Any, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing delivery does not call the hook again."""
    monkeypatch.setattr(hooked_document, "deliver_to", "pdf")
    follow_ups.connect_delivery()
    monkeypatch.setattr(
        registry.get(hooked_document.label), "deliver", lambda job: 1 / 0, raising=False
    )
    job = run_until_finished(hooked_document.enqueue(invoice))
    repeat(job)
    document_completed.disconnect(dispatch_uid="django_docraptor.delivery")
    assert event_kinds(job).count("delivery_failed") == 2
    assert len(hooked_document.calls) == 1


def test_source_that_is_gone_calls_no_hook(hooked_document: Any, invoice: Invoice) -> None:
    """Without its object, the hook has nothing to work on."""
    job = hooked_document.enqueue(invoice)
    RenderJob.objects.update(state=State.COMPLETED, due_at=None)
    job.refresh_from_db()
    invoice.delete()
    follow_ups.handle_hook(job=job)
    assert hooked_document.calls == []
    assert not hooked_document.complete(job)


def test_unfinished_job_calls_no_hook(hooked_document: Any, invoice: Invoice) -> None:
    """Only a completed job has a document."""
    assert not hooked_document.complete(hooked_document.enqueue(invoice))


# --- on_failed() -----------------------------------------------------------------------------


@pytest.fixture
def failing_document(sandbox: Sandbox) -> Any:
    """A document that DocRaptor refuses once; its hooks fail as often as ``failures`` says."""

    class Failing(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"
        failures: ClassVar[int] = 0
        calls: ClassVar[list[tuple[str, str, str]]] = []

        def on_failed(self, job: RenderJob) -> None:
            self.record_call("failed", job)

        def on_completed(self, job: RenderJob) -> None:
            self.record_call("completed", job)

        def record_call(self, hook: str, job: RenderJob) -> None:
            self.calls.append((hook, self.source.number, job.error_code))
            if len(self.calls) <= self.failures:
                raise ConnectionRefusedError("mail server")

    sandbox.add_fault(Fault(on="create", action="status", status_code=422, times=1))
    return Failing


@pytest.mark.fault("F12")
def test_hook_of_a_failed_job_is_called_until_it_succeeds(
    failing_document: Any, invoice: Invoice, caplog: Any
) -> None:
    """It knows the job and its document; each failure is in the history, under its name."""
    failing_document.failures = 2
    job = run_until_finished(failing_document.enqueue(invoice))
    for calls in (2, 3, 3):
        repeat(job)
        assert failing_document.calls == [("failed", "17", "rejected")] * calls
    assert event_kinds(job)[-3:] == ["failed", "hook_failed", "hook_failed"]
    assert "on_failed() failed" in caplog.text
    assert "on_completed()" not in caplog.text


@pytest.mark.fault("F12")
def test_hook_of_a_failed_job_of_a_dead_worker_is_called_by_a_tick(
    failing_document: Any, invoice: Invoice
) -> None:
    """If a worker dies after the failure, the next tick calls the hook."""
    job = failing_document.enqueue(invoice)
    RenderJob.objects.update(state=State.FAILED, due_at=None, error_code="rejected")
    job.refresh_from_db()
    job.record_event(EventKind.FAILED)
    repeat(job)
    assert failing_document.calls == [("failed", "17", "rejected")]


@pytest.mark.fault("F12")
def test_retry_ends_the_hook_of_the_failure(failing_document: Any, invoice: Invoice) -> None:
    """A hook that is due again is not called after a retry: the next end has its own."""
    failing_document.failures = 1
    job = run_until_finished(failing_document.enqueue(invoice))
    assert retry(job)
    assert run_until_finished(job).state == State.COMPLETED
    repeat(job)
    assert [call[0] for call in failing_document.calls] == ["failed", "completed"]


def test_time_of_a_hook_begins_anew_with_a_retry(failing_document: Any, invoice: Invoice) -> None:
    """A hook is not given up because of failures before the retry."""
    failing_document.failures = 2
    job = run_until_finished(failing_document.enqueue(invoice))
    age_failures(4 * 24 * 3600)
    assert retry(job)
    job = run_until_finished(job)
    assert "gave_up" not in job.events.last().detail
    repeat(job)
    repeat(job)
    assert [call[0] for call in failing_document.calls] == ["failed", "completed", "completed"]


def test_cancelled_job_calls_no_hook(failing_document: Any, invoice: Invoice) -> None:
    """A person has decided."""
    job = failing_document.enqueue(invoice)
    assert cancel(job)
    assert not failing_document.complete(job)
    assert failing_document.calls == []


@pytest.mark.fault("F12")
def test_mail_in_the_hook_is_repeated(
    sandbox: Sandbox,
    hooked_document: Any,
    invoice: Invoice,
    settings: Any,
    mailoutbox: Any,
    django_user_model: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mail server that is down for a while costs no mail, and sends none twice."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"CALLBACK_BASE_URL": "https://example.com"}
    owner = django_user_model.objects.create_user("anna", email="anna@example.com")

    def mail(self: Any, job: RenderJob) -> None:
        notify_owner(type(job), job)

    monkeypatch.setattr(hooked_document, "on_completed", mail)

    def refuse(self: Any, messages: Any) -> int:
        raise ConnectionRefusedError

    with monkeypatch.context() as server_down:
        server_down.setattr(locmem.EmailBackend, "send_messages", refuse)
        job = run_until_finished(hooked_document.enqueue(invoice, owner=owner))
    assert event_kinds(job)[-1] == "mail_failed"
    repeat(job)
    repeat(job)
    assert [message.to for message in mailoutbox] == [["anna@example.com"]]
