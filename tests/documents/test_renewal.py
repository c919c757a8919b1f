"""What a signal enqueues shows the source as the whole transaction has left it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin import AdminSite, ModelAdmin, TabularInline
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models.signals import post_delete
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils import timezone, translation

from django_docraptor import lifecycle, registry
from django_docraptor.documents import Document, renewal
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.apps.shop.documents import Broken, InvoicePDF
from tests.apps.shop.models import Invoice, Label, Line, OverdueInvoice
from tests.support.jobs import event_kinds, run_until_finished
from tests.support.lines import has_lines, has_no_lines, only_job, save_with_lines
from tests.support.threads import run_in_threads
from tests.support.triggers import Connect

pytestmark = pytest.mark.django_db(transaction=True)


class _LineInline(TabularInline):
    model = Line
    extra = 0


class _InvoiceAdmin(ModelAdmin):
    """An admin as projects have it: lines are saved after the invoice."""

    inlines = [_LineInline]
    fields = ["number"]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        return HttpResponse("saved")


@pytest.fixture
def no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies right after each commit, before anything is decided again."""
    monkeypatch.setattr(renewal.Decision, "__call__", lambda self: None)


def save_in_admin(lines: int) -> Invoice:
    """Add an invoice with so many lines in the admin."""
    data = {"number": "17", "lines-TOTAL_FORMS": str(lines), "lines-INITIAL_FORMS": "0"}
    data |= {f"lines-{number}-text": "paper" for number in range(lines)}
    request = RequestFactory().post("/", data)
    request.user = get_user_model().objects.create_superuser("admin")
    request._dont_enforce_csrf_checks = True
    response = _InvoiceAdmin(Invoice, AdminSite()).add_view(request)
    assert response.content == b"saved"
    return Invoice.objects.get()


# --- after the commit ------------------------------------------------------------------------


@pytest.mark.fault("E10")
@pytest.mark.parametrize("save", [save_in_admin, save_with_lines])
@pytest.mark.parametrize(
    "options",
    [{}, {"when": has_lines}, {"snapshot": True}, {"when": has_lines, "snapshot": True}],
)
def test_job_is_as_the_transaction_leaves_the_source(
    on_save: Connect, save: Callable[[int], Invoice], options: dict[str, Any]
) -> None:
    """Lines that are saved after the invoice count, for everything that is computed from it."""
    on_save(**options)
    invoice = save(2)
    job = only_job()
    assert job.name == "2-lines.pdf"
    assert job.idempotency_key == f"invoice-{invoice.pk}-2"
    assert job.input.options["tag"] == "2 lines"
    assert job.input.content == ("<p>2 lines</p>" if options.get("snapshot") else "")
    assert job.input.recheck is None


@pytest.mark.parametrize(
    ("option", "value", "column"),
    [
        ("name", lambda invoice: f"{invoice.lines.count()}.pdf", ("name", "2.pdf")),
        ("priority", lambda invoice: invoice.lines.count(), ("priority", 2)),
        (
            "account",
            lambda invoice: "b" if invoice.lines.exists() else "a",
            ("account", "b"),
        ),
        (
            "document_type",
            lambda i: "xlsx" if i.lines.exists() else "pdf",
            ("document_type", "xlsx"),
        ),
        ("test", lambda invoice: not invoice.lines.exists(), ("test", False)),
        ("params", lambda i: {"lines": i.lines.count()}, ("input__params__lines", 2)),
        ("language", lambda i: "de" if i.lines.exists() else "en", ("input__language", "de")),
        (
            "time_zone",
            lambda i: "+02:00" if i.lines.exists() else "UTC",
            ("input__time_zone", "+02:00"),
        ),
    ],
)
def test_functions_of_the_source_are_called_again(
    on_save: Connect, option: str, value: Any, column: tuple[str, Any]
) -> None:
    """Every keyword that is a function sees the lines."""
    on_save(**{option: value})
    save_with_lines(2)
    assert RenderJob.objects.values_list(column[0], flat=True).get() == column[1]


def test_condition_that_no_longer_holds_withdraws_the_job(on_save: Connect) -> None:
    """If ``when`` held at the save and not at the end, nothing is left, nor is the key used."""
    on_save(when=has_no_lines, idempotency_key=lambda invoice: f"invoice-{invoice.pk}")
    invoice = save_with_lines(1)
    assert not RenderJob.objects.exists()
    invoice.lines.all().delete()
    invoice.save()
    assert only_job().idempotency_key == f"invoice-{invoice.pk}"


def test_condition_sees_a_fresh_object(on_save: Connect) -> None:
    """The object that was saved may be old by the end, or partly loaded; it is read again."""
    seen: list[tuple[str, set[str]]] = []

    def remember(invoice: Invoice) -> bool:
        seen.append((invoice.number, invoice.get_deferred_fields()))
        return True

    invoice = Invoice.objects.create(number="17", total=5)
    on_save(when=remember)
    with transaction.atomic():
        Invoice.objects.only("total").get().save()
        Invoice.objects.filter(pk=invoice.pk).update(number="18")
    assert seen[-1] == ("18", set())


def test_relations_saved_later_count(on_save: Connect) -> None:
    """Many-to-many relations, as the admin saves them after the object, count."""
    on_save(when=lambda invoice: invoice.labels.exists())
    with transaction.atomic():
        invoice = Invoice.objects.create(number="17")
        Label.objects.create(text="urgent").invoices.add(invoice)
    assert RenderJob.objects.count() == 1


def test_condition_of_several_saves_is_asked_with_each(on_save: Connect) -> None:
    """An object that is created and saved again in the transaction was created in it."""
    on_save(when=lambda invoice, created: created and invoice.lines.exists())
    with transaction.atomic():
        invoice = save_with_lines(1)
        invoice.save()
    assert RenderJob.objects.count() == 1
    invoice.save()
    assert RenderJob.objects.count() == 1


def test_condition_of_one_save_is_not_mixed_with_another(on_save: Connect) -> None:
    """The keywords of two saves are not combined."""
    on_save(when=lambda invoice, update_fields: update_fields == {"total"})
    invoice = Invoice.objects.create(number="17")
    with transaction.atomic():
        invoice.save(update_fields=["total"])
        invoice.save()
    assert RenderJob.objects.count() == 1


def test_source_deleted_in_the_transaction_needs_no_document(on_save: Connect) -> None:
    """An object that does not exist at the end has no document."""
    on_save()
    with transaction.atomic():
        save_with_lines(1).delete()
    assert not RenderJob.objects.exists()


def test_snapshot_of_a_deleted_source_is_kept(lines_document: type[Document[Invoice]]) -> None:
    """A snapshot taken when the object is deleted shows it as it was."""
    invoice = save_with_lines(0)
    trigger = lines_document.on(post_delete, sender=Invoice, snapshot=True)
    invoice.delete()
    with transaction.atomic():
        save_with_lines(0, number="18").delete()
    trigger.disconnect()
    assert RenderInput.objects.filter(content="<p>0 lines</p>").count() == 2


def test_proxy_stays_a_proxy(on_save: Connect) -> None:
    """An object of a proxy class is read again as one."""
    seen: list[type] = []
    invoice = OverdueInvoice(number="17")

    class Reminder(Document[OverdueInvoice]):
        """Registered during the test."""

        model = OverdueInvoice
        template_name = "shop/invoice.html"

        def get_name(self) -> str:
            seen.append(type(self.source))
            return f"{self.source.reminder()}.pdf"

    trigger = Reminder.on_save()
    with transaction.atomic():
        invoice.save()
        OverdueInvoice.objects.update(number="18")
    trigger.disconnect()
    registry.unregister(Reminder.label)
    assert only_job().name == "Please pay 18.pdf"
    assert set(seen) == {OverdueInvoice}


def test_locale_of_the_save_is_active_again(on_save: Connect, no_decision: None) -> None:
    """A worker decides in the language and time zone of the save, not its own."""
    seen: list[tuple[str | None, str]] = []

    def remember(invoice: Invoice) -> bool:
        seen.append((translation.get_language(), timezone.get_current_timezone_name()))
        return True

    on_save(when=remember)
    with translation.override("de"), timezone.override(timezone.get_fixed_timezone(120)):
        save_with_lines(1)
    lifecycle.submit()
    assert len(seen) == 2
    assert seen[0][0] == seen[1][0] == "de"
    assert "02:00" in seen[1][1].replace("0200", "02:00")


# --- rollbacks, savepoints, other requests ---------------------------------------------------


def test_rolled_back_savepoint_leaves_nothing(on_save: Connect) -> None:
    """What a savepoint has rolled back is neither stored nor decided about."""
    calls: list[int] = []
    on_save(when=lambda invoice: bool(calls.append(invoice.pk)) or True)
    with transaction.atomic():
        kept = save_with_lines(1)
        with transaction.atomic():
            dropped = save_with_lines(1)
            kept.number = "18"
            kept.save()
            transaction.set_rollback(True)
    assert only_job().name == "1-lines.pdf"
    assert only_job().source == kept
    assert calls.count(dropped.pk) == 1


def test_saves_in_two_savepoints_enqueue_one_job(on_save: Connect) -> None:
    """Two savepoints decide twice about one job, and the last decision counts."""
    on_save(when=has_lines)
    with transaction.atomic():
        with transaction.atomic():
            invoice = save_with_lines(1)
        with transaction.atomic():
            invoice.save()
            Line.objects.create(invoice=invoice, text="ink")
    assert only_job().name == "2-lines.pdf"


def test_condition_that_fails_after_two_savepoints_withdraws_the_job(on_save: Connect) -> None:
    """The transaction that has inserted the job withdraws it, whichever save has stored it."""
    on_save(when=has_no_lines)
    with transaction.atomic():
        with transaction.atomic():
            invoice = save_with_lines(0)
        with transaction.atomic():
            invoice.save()
        Line.objects.create(invoice=invoice, text="ink")
    assert not RenderJob.objects.exists()


def save_again(invoice: Invoice, number: str) -> None:
    """Save an invoice with another number."""
    invoice.number = number
    invoice.save()


@pytest.mark.parametrize("document", [InvoicePDF, Broken], ids=["computed", "constant"])
def test_save_that_changes_nothing_writes_nothing(
    document: type[Document[Invoice]], django_assert_num_queries: Any
) -> None:
    """Each save after the first of a transaction takes one look at the job, beside its own UPDATE.

    Nine are eighteen statements, whether anything is computed from the source or not.
    """
    document.on_save()
    with transaction.atomic():
        invoice = Invoice.objects.create(number="17")
        with django_assert_num_queries(9 * 2):
            for total in range(9):
                invoice.total = total
                invoice.save()
    assert only_job().revision <= 1


def test_last_save_counts(on_save: Connect, no_decision: None) -> None:
    """What a later save says differently is stored, even if the process dies after the commit."""
    on_save(name=lambda invoice: f"{invoice.number}.pdf", idempotency_key=None, snapshot=True)
    with transaction.atomic():
        invoice = save_with_lines(0)
        for number in ("18", "18", "19"):
            save_again(invoice, number)
    job = only_job()
    assert (job.name, job.revision, job.input.revision) == ("19.pdf", 2, 2)


def test_snapshot_of_the_last_save_is_kept(on_save: Connect) -> None:
    """If the object does not exist at the end, its snapshot shows it as it was last saved."""
    on_save(idempotency_key=None, snapshot=True)
    with transaction.atomic():
        invoice = save_with_lines(0)
        Line.objects.create(invoice=invoice, text="ink")
        invoice.save()
        invoice.save()
        invoice.delete()
    assert only_job().input.content == "<p>1 lines</p>"


def test_save_after_a_rolled_back_one_is_stored(on_save: Connect, no_decision: None) -> None:
    """What a savepoint has rolled back is not taken for stored."""
    on_save(name=lambda invoice: f"{invoice.number}.pdf", idempotency_key=None)
    with transaction.atomic():
        invoice = save_with_lines(0)
        with transaction.atomic():
            save_again(invoice, "18")
            transaction.set_rollback(True)
        save_again(invoice, "18")
    assert only_job().name == "18.pdf"


def test_save_after_a_released_savepoint_is_stored(on_save: Connect, no_decision: None) -> None:
    """A save that says what an outer one has said counts after an inner one that said otherwise."""
    on_save(name=lambda invoice: f"{invoice.number}.pdf", idempotency_key=None)
    with transaction.atomic():
        invoice = save_with_lines(0)
        with transaction.atomic():
            save_again(invoice, "18")
        save_again(invoice, "17")
    assert only_job().name == "17.pdf"


@pytest.mark.parametrize(
    "change", [{"state": State.CANCELLED, "due_at": None}, {"lease_token": "x"}]
)
def test_save_after_the_job_has_moved_on_enqueues_another(
    on_save: Connect, change: dict[str, Any]
) -> None:
    """Within the transaction, a job may be cancelled, or claimed as by the engine of a test."""
    on_save(name="x.pdf", idempotency_key=None)
    with transaction.atomic():
        invoice = save_with_lines(0)
        RenderJob.objects.update(**change)
        invoice.save()
    assert RenderJob.objects.count() == 2


def test_earlier_job_is_renewed_but_not_withdrawn(on_save: Connect) -> None:
    """A job of an earlier transaction is not taken back by a later one."""
    on_save(when=has_no_lines, idempotency_key=None, name="x.pdf")
    invoice = save_with_lines(0)
    RenderJob.objects.update(idempotency_key=None)
    with transaction.atomic():
        invoice.save()
        Line.objects.create(invoice=invoice, text="ink")
    assert RenderJob.objects.count() == 1


def test_two_triggers_of_a_document_do_not_undo_each_other(on_save: Connect) -> None:
    """If one trigger's condition ends and another's holds, there is one document."""
    on_save(when=lambda invoice: True, idempotency_key=None)
    on_save(when=has_no_lines, idempotency_key=None)
    save_with_lines(1)
    assert only_job().name == "1-lines.pdf"


def test_key_that_another_job_has_by_now_withdraws_the_job(
    on_save: Connect, lines_document: type[Document[Invoice]]
) -> None:
    """If the key at the end is another job's, there is only that job."""
    on_save()
    with transaction.atomic():
        invoice = save_with_lines(0)
        Line.objects.create(invoice=invoice, text="ink")
        other = RenderJob.objects.create(
            name="other.pdf",
            state=State.COMPLETED,
            document_type="pdf",
            idempotency_key=f"invoice-{invoice.pk}-1",
        )
    assert only_job() == other


@pytest.mark.parametrize("is_enough", [True, False])
def test_value_that_changes_in_the_transaction_leaves_one_job(
    on_save: Connect, is_enough: bool
) -> None:
    """Two saves with different keys in a transaction leave one job, with the last key."""
    on_save(idempotency_key=lambda invoice: invoice.number)
    with transaction.atomic():
        invoice = save_with_lines(1, number="17")
        invoice.number = "18"
        invoice.save()
        if not is_enough:
            Invoice.objects.update(number="19")
    assert only_job().idempotency_key == ("18" if is_enough else "19")


# --- a worker that is faster, or a process that dies -----------------------------------------


@pytest.mark.fault("E10")
@pytest.mark.parametrize("options", [{}, {"snapshot": True}])
def test_worker_decides_if_the_process_died(
    sandbox: Sandbox,
    on_save: Connect,
    lines_document: Any,
    no_decision: None,
    options: dict[str, Any],
) -> None:
    """A job that was stored and not decided about is decided about by the worker."""
    on_save(**options)
    invoice = save_with_lines(2)
    job = only_job()
    assert job.name == "0-lines.pdf"
    job = run_until_finished(job)
    assert (job.state, job.name) == (State.COMPLETED, "2-lines.pdf")
    assert job.idempotency_key == f"invoice-{invoice.pk}-2"
    assert lines_document.rendered[-1] == "<p>2 lines</p>"
    assert sandbox.ledger.entries[0].tag.endswith(" 2 lines")


@pytest.mark.fault("E10")
def test_worker_withdraws_a_job_if_the_process_died(
    sandbox: Sandbox, on_save: Connect, no_decision: None
) -> None:
    """The worker sends nothing if ``when`` does not hold, and deletes the job."""
    on_save(when=has_no_lines)
    save_with_lines(1)
    lifecycle.submit()
    assert not RenderJob.objects.exists()
    assert sandbox.ledger.create_calls == 0


def test_condition_that_holds_only_at_the_end_is_lost_with_the_process(
    on_save: Connect, no_decision: None
) -> None:
    """What did not hold at the save is decided after the commit only, as documented."""
    on_save(when=has_lines)
    save_with_lines(1)
    assert not RenderJob.objects.exists()


def test_decision_leaves_a_job_that_a_worker_has_claimed(
    sandbox: Sandbox, on_save: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is faster than the commit's hook decides; the hook changes nothing."""
    on_save()
    decide = renewal.Decision.__call__

    def run_worker_first(decision: renewal.Decision) -> None:
        run_in_threads(1, lifecycle.submit)
        decide(decision)

    monkeypatch.setattr(renewal.Decision, "__call__", run_worker_first)
    save_with_lines(2)
    job = only_job()
    assert (job.state, job.name) == (State.QUEUED, "2-lines.pdf")
    assert sandbox.ledger.create_calls == 1


def test_decision_leaves_what_a_later_save_has_stored(
    on_save: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that runs late does not overwrite a later transaction's job with an older one."""
    on_save()
    decisions: list[renewal.Decision] = []
    with monkeypatch.context() as patch:
        patch.setattr(renewal.Decision, "__call__", lambda self: decisions.append(self))
        invoice = save_with_lines(0)
    with transaction.atomic():
        invoice.save()
        decisions[0]()
        assert RenderInput.objects.get().recheck is not None
    assert RenderInput.objects.get().recheck is None


def test_account_that_changes_in_a_worker_releases_the_job(
    sandbox: Sandbox, on_save: Connect, no_decision: None, settings: Any
) -> None:
    """The slot was another account's, so the next run sends the job."""
    on_save(account=lambda invoice: "b" if invoice.lines.exists() else "a")
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"API_KEY": lambda account: "YOUR_API_KEY_HERE"}
    save_with_lines(1)
    job = run_until_finished(only_job())
    assert (job.state, job.account) == (State.COMPLETED, "b")
    assert sandbox.ledger.create_calls == 1


def test_worker_of_another_version_sends_what_was_stored(
    sandbox: Sandbox, on_save: Connect, no_decision: None
) -> None:
    """If the trigger no longer exists, the job is sent as it was stored."""
    trigger = on_save(when=has_no_lines)
    save_with_lines(1)
    trigger.disconnect()
    assert run_until_finished(only_job()).name == "0-lines.pdf"


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.fault("E11")
@pytest.mark.parametrize("place", ["when", "name"])
@pytest.mark.parametrize("is_stored", [True, False])
def test_error_after_the_commit_is_shown_in_a_job(
    sandbox: Sandbox, on_save: Connect, place: str, is_stored: bool
) -> None:
    """The save succeeds, and a job shows the error, whether or not one had been stored."""

    def accept(invoice: Invoice) -> bool:
        if place == "when" and invoice.lines.exists():
            raise RuntimeError("no such customer")
        return is_stored or invoice.lines.exists()

    def name(invoice: Invoice) -> str:
        if place == "name" and invoice.lines.exists():
            raise RuntimeError("no such customer")
        return "x.pdf"

    on_save(when=accept, name=name)
    save_with_lines(1)
    job = only_job()
    assert "no such customer" in job.events.last().message
    assert event_kinds(job)[-1] == "step_failed"
    lifecycle.submit()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "template_error")
    assert "no such customer" in job.errors
    assert sandbox.ledger.create_calls == 0


@pytest.mark.fault("E11")
def test_invalid_value_at_the_end_fails_the_job(sandbox: Sandbox, on_save: Connect) -> None:
    """A value that cannot be stored at the end is named by the job."""
    on_save(name=lambda invoice: "x" * (1 + 200 * invoice.lines.count()))
    save_with_lines(1)
    lifecycle.submit()
    job = only_job()
    assert (job.state, job.error_code) == (State.FAILED, "invalid_request")
    assert "201" in job.errors


# --- autocommit and other databases ----------------------------------------------------------


def test_in_autocommit_everything_is_decided_at_once(on_save: Connect) -> None:
    """Without a transaction there is nothing to wait for."""
    on_save(when=has_no_lines)
    invoice = Invoice.objects.create(number="17")
    assert only_job().input.recheck is None
    Line.objects.create(invoice=invoice, text="ink")
    invoice.save()
    assert RenderJob.objects.count() == 1


def test_document_that_depends_on_nothing_is_not_decided_again(
    django_assert_num_queries: Any,
) -> None:
    """If nothing is computed from the source, a save costs no further query after the commit."""

    class Plain(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"

    trigger = Plain.on_save(priority=3)
    with transaction.atomic():
        save_with_lines(1)
        hooks = [h for _, h, *_ in connection.run_on_commit if isinstance(h, renewal.Decision)]
        with django_assert_num_queries(0):
            for hook in hooks:
                hook()
    trigger.disconnect()
    registry.unregister(Plain.label)
    assert only_job().input.recheck is None
