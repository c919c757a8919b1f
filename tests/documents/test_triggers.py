"""Signals that enqueue documents: once per transaction, and never with an old state."""

import functools
import operator
import threading
import time
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal

from django_docraptor import lifecycle
from django_docraptor.documents import Document
from django_docraptor.lifecycle.composition import compose_request
from django_docraptor.models import RenderInput, RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.shortcuts import JobSpec, enqueue_or_update
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import event_kinds
from tests.support.threads import background_worker, run_in_threads
from tests.support.triggers import Connect

pytestmark = pytest.mark.django_db


@pytest.fixture
def on_save() -> Connect:
    """Connect ``InvoicePDF.on_save`` for the duration of the test."""
    return InvoicePDF.on_save


@pytest.fixture
def recording_document() -> type[Document[Invoice]]:
    """A document that each save enqueues, and that records the totals that workers render."""

    class Totals(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"
        rendered: list[int] = []

        def render(self) -> str:
            self.rendered.append(int(self.source.total))
            return f"<p>{self.source.total}</p>"

    Totals.on_save()
    return Totals


def create_invoice(**values: Any) -> Invoice:
    """Create an invoice."""
    return Invoice.objects.create(**{"number": "17", **values})


# --- one job per document --------------------------------------------------------------------


def test_on_save_enqueues_the_document(on_save: Connect) -> None:
    """Saving an invoice enqueues its document."""
    on_save(priority=2)
    invoice = create_invoice()
    job = RenderJob.objects.get()
    assert (job.document, job.source, job.priority) == ("shop.InvoicePDF", invoice, 2)


def test_on_save_needs_a_model() -> None:
    """A document without a model cannot listen to a model's signal."""

    class Loose(Document[None]):
        """No model, no template."""

    with pytest.raises(ImproperlyConfigured, match=r"Loose\.on_save\(\) needs a model"):
        Loose.on_save()


def test_saves_in_a_transaction_enqueue_one_job(on_save: Connect) -> None:
    """Ten saves in one transaction leave one job, with the last name."""
    on_save()
    with transaction.atomic():
        invoice = create_invoice()
        for number in range(9):
            invoice.number = f"17-{number}"
            invoice.save()
    job = RenderJob.objects.get()
    assert job.name == "invoice-17-8.pdf"
    assert event_kinds(job) == ["enqueued", "updated"]


@pytest.mark.django_db(transaction=True)
def test_saves_in_a_transaction_make_one_create_call(sandbox: Sandbox, recording_document) -> None:
    """Ten saves in one transaction make one create call, which shows the last state."""
    with transaction.atomic():
        invoice = create_invoice()
        for total in range(1, 10):
            invoice.total = total
            invoice.save()
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 1
    assert recording_document.rendered == [9]


def test_later_save_updates_a_waiting_job(on_save: Connect) -> None:
    """A later save updates the job until a worker claims it."""
    anna = get_user_model().objects.create(username="anna")
    on_save(owner=lambda invoice: anna if invoice.total else None)
    invoice = create_invoice()
    assert RenderJob.objects.get().owner is None
    invoice.total = 5
    invoice.save()
    assert RenderJob.objects.get().owner == anna


@pytest.mark.parametrize(
    "columns",
    [
        {"lease_token": "claimed"},
        {"attempt": 1},
        {"state": State.SUBMITTING, "attempt": 1},
        {"state": State.COMPLETED, "due_at": None},
        {"state": State.CANCELLED, "due_at": None},
    ],
)
def test_save_enqueues_another_job_if_the_first_was_started(
    on_save: Connect, columns: dict[str, Any]
) -> None:
    """A claimed, sent or finished job is not changed; the save enqueues another one."""
    on_save()
    invoice = create_invoice()
    RenderJob.objects.update(**columns)
    first = RenderJob.objects.get()
    invoice.number = "18"
    invoice.save()
    assert RenderJob.objects.get(pk=first.pk).name == "invoice-17.pdf"
    assert RenderJob.objects.exclude(pk=first.pk).get().name == "invoice-18.pdf"


def test_save_does_not_update_an_older_waiting_job(on_save: Connect) -> None:
    """If the newest job was claimed, an older waiting job is not updated in its place."""
    invoice = create_invoice()
    older = InvoicePDF.enqueue(invoice)
    newer = InvoicePDF.enqueue(invoice)
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    RenderJob.objects.filter(pk=newer.pk).update(lease_token="claimed")
    on_save()
    invoice.save()
    assert RenderJob.objects.count() == 3


@pytest.mark.parametrize(
    "other",
    [{"params": {"copy": 2}}, {"document_type": "xlsx"}, {"test": False}, {"account": "other"}],
)
def test_save_does_not_update_another_document(on_save: Connect, other: dict[str, Any]) -> None:
    """Another type, account, test flag or other parameters make another document."""
    invoice = create_invoice()
    InvoicePDF.enqueue(invoice, **other)
    on_save()
    invoice.save()
    assert RenderJob.objects.count() == 2


def test_spec_without_a_source_is_never_updated() -> None:
    """Without a source each call stores another job."""
    spec = JobSpec(name="x.pdf", content="<p>x</p>")
    assert enqueue_or_update(spec) != enqueue_or_update(spec)


def test_snapshot_is_updated_by_the_next_save(on_save: Connect) -> None:
    """With `snapshot` the stored content is that of the last save."""
    on_save(snapshot=True)
    invoice = create_invoice()
    invoice.number = "18"
    invoice.save()
    stored = RenderInput.objects.get()
    assert "Invoice 18" in stored.content


def test_idempotency_key_may_depend_on_the_source(on_save: Connect) -> None:
    """A key made from the source decides whether a document is the same."""
    on_save(idempotency_key=lambda invoice: f"invoice-{invoice.number}")
    invoice = create_invoice()
    invoice.save()
    RenderJob.objects.update(lease_token="claimed")
    invoice.save()
    assert RenderJob.objects.get().idempotency_key == "invoice-17"
    invoice.number = "18"
    invoice.save()
    assert RenderJob.objects.count() == 2


# --- when nothing is enqueued ----------------------------------------------------------------


def test_on_save_respects_when(on_save: Connect) -> None:
    """Only a source that ``when`` accepts is enqueued."""
    on_save(when=lambda invoice: invoice.total > 3)
    create_invoice(total=3)
    assert not RenderJob.objects.exists()
    create_invoice(total=4)
    assert RenderJob.objects.count() == 1


def accept_new(invoice: Invoice, created: bool) -> bool:
    """Accept an object that is created."""
    return created


def accept_total(invoice: Invoice, *, update_fields: frozenset[str] | None) -> bool:
    """Accept a save of the total, alone or with everything else."""
    return update_fields is None or "total" in update_fields


class AcceptAll:
    """Accept what was created, or saved in part."""

    def __call__(self, invoice: Invoice, **save: Any) -> bool:
        return bool(save["created"] or save["update_fields"])


@pytest.mark.parametrize(
    ("when", "accepted"),
    [
        (lambda invoice: invoice.total > 0, [True, True, True, True]),
        (lambda invoice, created: created, [True, False, False, False]),
        (lambda invoice, *, created, update_fields: not created, [False, True, True, True]),
        (lambda created: created.total > 0, [True, True, True, True]),
        (lambda created, **save: created.total > 0 and len(save) == 1, [True, True, True, True]),
        (lambda invoice, created=True: created, [True, False, False, False]),
        (lambda invoice, created=True, /: created, [True, True, True, True]),
        (accept_new, [True, False, False, False]),
        (accept_total, [True, True, True, False]),
        (functools.partial(accept_total), [True, True, True, False]),
        (AcceptAll(), [True, False, True, True]),
        (operator.attrgetter("total"), [True, True, True, True]),
    ],
)
def test_when_is_told_what_the_save_was(on_save: Connect, when: Any, accepted: list[bool]) -> None:
    """``when`` gets the keywords that it takes, of a new object, a whole save and partial ones."""
    on_save(when=when, params=lambda invoice: {"save": len(seen)})
    seen: list[bool] = []
    invoice = Invoice(number="1", total=5)
    for update_fields in (None, None, ["total"], ["number"]):
        before = RenderJob.objects.count()
        invoice.save(update_fields=update_fields)
        seen.append(RenderJob.objects.count() > before)
    assert seen == accepted


def test_when_of_a_signal_without_these_keywords_gets_neutral_ones() -> None:
    """A signal that is not about a save has neither created an object nor named its fields."""
    paid, calls = Signal(), []

    def accept(invoice: Invoice, **save: Any) -> bool:
        calls.append(save)
        return False

    trigger = InvoicePDF.on(paid, when=accept)
    paid.send(Invoice, instance=create_invoice())
    trigger.disconnect()
    assert calls == [{"created": False, "update_fields": None}]


def test_disconnected_trigger_enqueues_nothing(on_save: Connect) -> None:
    """A disconnected trigger enqueues nothing."""
    trigger = on_save()
    assert trigger.disconnect()
    create_invoice()
    assert not RenderJob.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_rollback_undoes_new_and_updated_jobs(on_save: Connect) -> None:
    """After a rollback there is neither a new job nor a change to one."""
    on_save()
    invoice = create_invoice()
    with transaction.atomic():
        create_invoice(number="18")
        invoice.number = "19"
        invoice.save()
        transaction.set_rollback(True)
    assert RenderJob.objects.get().name == "invoice-17.pdf"


def test_loading_a_fixture_enqueues_nothing(on_save: Connect, tmp_path: Any) -> None:
    """Loading a fixture enqueues nothing."""
    create_invoice()
    file = tmp_path / "invoices.json"
    call_command("dumpdata", "shop.Invoice", output=file, stdout=StringIO())
    on_save()
    call_command("loaddata", file, stdout=StringIO())
    assert not RenderJob.objects.exists()


def test_migration_enqueues_nothing(on_save: Connect) -> None:
    """A data migration enqueues nothing, even if every sender is connected."""
    old_model = MigrationLoader(connection).project_state().apps.get_model("shop", "Invoice")
    invoice = create_invoice()
    trigger = InvoicePDF.on(post_save, get_source=lambda **kwargs: invoice)
    try:
        old_model.objects.create(number="old")
        assert not RenderJob.objects.exists()
        invoice.save()
        assert RenderJob.objects.count() == 1
    finally:
        trigger.disconnect()


def test_bulk_operations_enqueue_nothing(on_save: Connect) -> None:
    """Bulk operations send no signal; enqueue_many() is for them."""
    on_save()
    Invoice.objects.bulk_create([Invoice(number="1")])
    Invoice.objects.update(total=7)
    assert not RenderJob.objects.exists()
    InvoicePDF.enqueue_many(Invoice.objects.all())
    assert RenderJob.objects.count() == 1


def test_invalid_spec_raises_in_save(on_save: Connect) -> None:
    """A spec that cannot be stored raises in save(), instead of losing the document."""
    on_save(name=lambda invoice: "x" * 201)
    with pytest.raises(ValidationError, match="200"):
        create_invoice()


@pytest.mark.parametrize("name", ["ownr", "filters"])
def test_unknown_argument_raises_when_connecting(name: str) -> None:
    """A misspelt argument raises where it is written, and nothing is connected."""
    with pytest.raises(
        TypeError, match=f"InvoicePDF.on.. got an unexpected keyword argument '{name}'"
    ):
        InvoicePDF.on_save(**{name: 1})
    with pytest.raises(TypeError, match=name):
        InvoicePDF.on(post_save, sender=Invoice, **{name: 1})
    create_invoice()
    assert not RenderJob.objects.exists()


def test_on_save_accepts_the_arguments_of_enqueue(on_save: Connect) -> None:
    """The arguments of ``enqueue()`` are accepted."""
    on_save(snapshot=True, priority=5, params={"a": 1}, options=lambda invoice: {"strict": "html"})
    create_invoice()
    assert RenderJob.objects.get().priority == 5


# --- other signals ---------------------------------------------------------------------------


def test_any_signal_may_enqueue_a_document() -> None:
    """Any signal can enqueue the document of a source found in its arguments."""
    paid = Signal()
    trigger = InvoicePDF.on(paid, get_source=lambda *, invoice, **kwargs: invoice)
    invoice = create_invoice()
    paid.send("shop", invoice=invoice)
    assert RenderJob.objects.get().source == invoice
    trigger.disconnect()
    paid.send("shop", invoice=invoice)
    assert RenderJob.objects.count() == 1


def test_signal_without_a_source_enqueues_nothing() -> None:
    """A signal without a source for this document enqueues nothing."""
    trigger = InvoicePDF.on(post_delete, get_source=lambda **kwargs: None)
    create_invoice().delete()
    assert not RenderJob.objects.exists()
    trigger.disconnect()


# --- other databases -------------------------------------------------------------------------


class JobsDatabaseRouter:
    """A router that stores jobs in another database."""

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        """The database of jobs."""
        return "jobs" if model is RenderJob else None


def test_save_to_another_database_enqueues_nothing(on_save: Connect) -> None:
    """A copy in an archive, which no worker reads, enqueues nothing."""
    trigger = on_save()
    invoice = Invoice(number="17", pk=1)
    invoice._state.db = "archive"
    trigger.handle_signal(instance=invoice, raw=False)
    assert not RenderJob.objects.exists()


def test_job_in_another_database_waits_for_the_commit(
    on_save: Connect, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    """If jobs are stored in another database, the job is stored after the source's commit."""
    on_save()
    settings.DATABASE_ROUTERS = ["tests.documents.test_triggers.JobsDatabaseRouter"]
    with django_capture_on_commit_callbacks() as hooks:
        create_invoice()
    settings.DATABASE_ROUTERS = []
    assert not RenderJob.objects.exists()
    (hook,) = hooks
    hook()
    assert RenderJob.objects.get().name == "invoice-17.pdf"


# --- races -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_parallel_saves_lose_no_update(sandbox: Sandbox, recording_document) -> None:
    """Two parallel saves leave at most two jobs, and the newest shows the last state."""
    invoice = create_invoice(total=0)

    def add_one() -> None:
        with transaction.atomic():
            mine = Invoice.objects.select_for_update().get(pk=invoice.pk)
            mine.total += 1
            mine.save()

    run_in_threads(2, add_one)
    assert 1 <= RenderJob.objects.count() <= 2
    lifecycle.submit()
    assert recording_document.rendered[-1] == 2


@pytest.mark.django_db(transaction=True)
def test_last_save_is_rendered_last(sandbox: Sandbox, recording_document) -> None:
    """While a worker is busy all the time, the last document shows the last save."""
    with background_worker():
        invoice = create_invoice(total=0)
        for total in range(1, 11):
            time.sleep(0.02)
            invoice.total = total
            invoice.save()
    lifecycle.submit()
    assert recording_document.rendered[-1] == 10
    assert recording_document.rendered == sorted(recording_document.rendered)
    assert len(recording_document.rendered) == RenderJob.objects.count()
    # A worker may read a total whose own job follows: that one is unchanged, and not billed again.
    totals = set(recording_document.rendered)
    assert len(totals) <= sandbox.ledger.create_calls <= RenderJob.objects.count()


@pytest.mark.django_db(transaction=True)
def test_updated_job_is_not_rendered_before_the_commit(
    sandbox: Sandbox, recording_document
) -> None:
    """A job that an open transaction has updated is not rendered before its commit."""
    invoice = create_invoice(total=1)
    ran = threading.Event()

    def submit() -> None:
        lifecycle.submit()
        connections.close_all()
        ran.set()

    worker = threading.Thread(target=submit)
    with transaction.atomic():
        invoice.total = 2
        invoice.save()
        worker.start()
        ran.wait(0.5)
        assert recording_document.rendered == []
    worker.join()
    lifecycle.submit()
    assert recording_document.rendered == [2]


@pytest.mark.services("postgresql")
@pytest.mark.django_db(transaction=True)
def test_worker_skips_jobs_locked_by_a_transaction(sandbox: Sandbox, on_save: Connect) -> None:
    """If the database can skip locked rows, other jobs go on during a long transaction."""
    if not connections["default"].features.has_select_for_update_skip_locked:
        pytest.skip("this database cannot skip locked rows")
    on_save()
    invoice = create_invoice()
    create_invoice(number="other")
    with transaction.atomic():
        invoice.save()
        assert run_in_threads(1, lifecycle.submit) == [1]
    assert sandbox.ledger.create_calls == 1


@pytest.mark.django_db(transaction=True)
def test_parallel_first_specs_store_one_job() -> None:
    """Two transactions that enqueue an object's first document at once store one job."""
    invoice = create_invoice()
    spec = InvoicePDF.spec(invoice)
    run_in_threads(2, lambda: enqueue_or_update(spec))
    assert RenderJob.objects.count() == 1


@pytest.mark.parametrize("is_owned", [True, False])
def test_save_does_not_replace_another_users_job(on_save: Connect, is_owned: bool) -> None:
    """A document that a user requested is rendered, beside the one that the save enqueues."""
    user, other = (get_user_model().objects.create_user(name) for name in ("alice", "bob"))
    with transaction.atomic():
        invoice = create_invoice()
        theirs = InvoicePDF.enqueue(invoice, owner=user)
        on_save(**({"owner": other} if is_owned else {}))
        invoice.save()
    theirs.refresh_from_db()
    assert theirs.owner == user
    assert list(RenderJob.objects.exclude(pk=theirs.pk).values_list("owner", flat=True)) == [
        other.pk if is_owned else None
    ]


def test_save_adds_an_owner_to_an_unowned_job(on_save: Connect) -> None:
    """An owner is added to a job that had none."""
    user = get_user_model().objects.create_user("alice")
    with transaction.atomic():
        invoice = create_invoice()
        job = InvoicePDF.enqueue(invoice)
        on_save(owner=user)
        invoice.save()
    assert RenderJob.objects.get() == job
    job.refresh_from_db()
    assert job.owner == user


def test_save_does_not_replace_a_snapshot(on_save: Connect) -> None:
    """A snapshot shows the state at which it was enqueued."""
    with transaction.atomic():
        invoice = create_invoice()
        job = InvoicePDF.enqueue(invoice, snapshot=True)
        on_save()
        invoice.save()
    assert RenderInput.objects.get(pk=job.pk).content
    assert RenderInput.objects.exclude(pk=job.pk).get().content == ""


def test_updated_job_is_sent_with_its_new_input(on_save: Connect) -> None:
    """PostgreSQL may join a locked job to its old input, so the input is read again."""
    invoice = create_invoice()
    first = enqueue_or_update(JobSpec(name="a.pdf", content="<p>old</p>", source=invoice))
    read = RenderJob.objects.select_related("input").get(pk=first.pk)
    enqueue_or_update(JobSpec(name="b.pdf", content="<p>new</p>", source=invoice))
    job = RenderJob.objects.get()
    job.input = read.input
    assert compose_request(job).content == "<p>new</p>"
