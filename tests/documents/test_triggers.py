"""Signals that order documents: once per transaction, never stale, never out of thin air."""

import threading
import time
from collections.abc import Callable, Iterator
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

from django_docraptor import lifecycle, registry
from django_docraptor.documents import Document, Trigger
from django_docraptor.lifecycle.composition import compose_request
from django_docraptor.models import RenderInput, RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.shortcuts import JobSpec, enqueue_or_update
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import event_kinds
from tests.support.threads import run_in_threads, background_worker

pytestmark = pytest.mark.django_db

Connect = Callable[..., Trigger]


@pytest.fixture
def on_save() -> Iterator[Connect]:
    """``InvoicePDF.on_save`` for the time of the test."""
    triggers: list[Trigger] = []

    def connect(**order: Any) -> Trigger:
        triggers.append(InvoicePDF.on_save(**order))
        return triggers[-1]

    yield connect
    for trigger in triggers:
        trigger.disconnect()


@pytest.fixture
def totals() -> Iterator[type[Document[Invoice]]]:
    """A document, ordered by each save, that notes the totals that workers render."""

    class Totals(Document[Invoice]):
        """Of the time of a test."""

        model = Invoice
        template_name = "shop/invoice.html"
        rendered: list[int] = []

        def render(self) -> str:
            self.rendered.append(int(self.source.total))
            return "<p>total</p>"

    trigger = Totals.on_save()
    yield Totals
    trigger.disconnect()
    registry.unregister(Totals.label)


def save(**values: Any) -> Invoice:
    """A new invoice."""
    return Invoice.objects.create(**{"number": "17", **values})


# --- once ------------------------------------------------------------------------------------


def test_on_save_orders(on_save: Connect) -> None:
    """A save orders the document of what was saved."""
    on_save(priority=2)
    invoice = save()
    job = RenderJob.objects.get()
    assert (job.document, job.source, job.priority) == ("shop.InvoicePDF", invoice, 2)


def test_on_save_without_a_model() -> None:
    """A document that says no model cannot listen to one."""

    class Loose(Document[None]):
        """No model, no template."""

    with pytest.raises(ImproperlyConfigured, match=r"Loose\.model"):
        Loose.on_save()


def test_ten_saves_make_one_job(on_save: Connect) -> None:
    """Ten saves in one transaction are one job, named after the last one."""
    on_save()
    with transaction.atomic():
        invoice = save()
        for number in range(9):
            invoice.number = f"17-{number}"
            invoice.save()
    job = RenderJob.objects.get()
    assert job.name == "invoice-17-8.pdf"
    assert event_kinds(job) == ["enqueued", "renewed"]


@pytest.mark.django_db(transaction=True)
def test_ten_saves_make_one_create(sandbox: Sandbox, totals) -> None:
    """Ten saves in one transaction are one create call, which shows the last of them."""
    with transaction.atomic():
        invoice = save()
        for total in range(1, 10):
            invoice.total = total
            invoice.save()
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 1
    assert totals.rendered == [9]


def test_later_save_supersedes(on_save: Connect) -> None:
    """A save in a later transaction brings the job up to date while nobody has begun on it."""
    anna = get_user_model().objects.create(username="anna")
    on_save(owner=lambda invoice: anna if invoice.total else None)
    invoice = save()
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
def test_begun_job_is_left_alone(on_save: Connect, columns: dict[str, Any]) -> None:
    """What is claimed, sent or final is not touched: the save makes another job."""
    on_save()
    invoice = save()
    RenderJob.objects.update(**columns)
    first = RenderJob.objects.get()
    invoice.number = "18"
    invoice.save()
    assert RenderJob.objects.get(pk=first.pk).name == "invoice-17.pdf"
    assert RenderJob.objects.exclude(pk=first.pk).get().name == "invoice-18.pdf"


def test_older_job_is_not_renewed_past_a_newer_one(on_save: Connect) -> None:
    """If the newest job is under way, an older one that waits is not revived in its stead."""
    invoice = save()
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
def test_other_document_is_not_superseded(on_save: Connect, other: dict[str, Any]) -> None:
    """Another type, account, test flag or other parameters make it another document."""
    invoice = save()
    InvoicePDF.enqueue(invoice, **other)
    on_save()
    invoice.save()
    assert RenderJob.objects.count() == 2


def test_order_without_a_source_is_not_superseded() -> None:
    """What has no source cannot be told apart: every order is a job."""
    order = JobSpec(name="x.pdf", content="<p>x</p>")
    assert enqueue_or_update(order) != enqueue_or_update(order)


def test_snapshot_is_replaced(on_save: Connect) -> None:
    """With content rendered at the save, the stored content is that of the last save."""
    on_save(snapshot=True)
    invoice = save()
    invoice.number = "18"
    invoice.save()
    stored = RenderInput.objects.get()
    assert "Invoice 18" in stored.content


def test_idempotency_key_of_the_source(on_save: Connect) -> None:
    """A key made from the source decides what is the same document."""
    on_save(idempotency_key=lambda invoice: f"invoice-{invoice.number}")
    invoice = save()
    invoice.save()
    RenderJob.objects.update(lease_token="claimed")
    invoice.save()
    assert RenderJob.objects.get().idempotency_key == "invoice-17"
    invoice.number = "18"
    invoice.save()
    assert RenderJob.objects.count() == 2


# --- not -------------------------------------------------------------------------------------


def test_when(on_save: Connect) -> None:
    """Only what ``when`` lets through is ordered."""
    on_save(when=lambda invoice: invoice.total > 3)
    save(total=3)
    assert not RenderJob.objects.exists()
    save(total=4)
    assert RenderJob.objects.count() == 1


def test_disconnect(on_save: Connect) -> None:
    """What is disconnected orders nothing more."""
    trigger = on_save()
    assert trigger.disconnect()
    save()
    assert not RenderJob.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_rollback_leaves_nothing(on_save: Connect) -> None:
    """Neither a job nor a change to one survives a rollback."""
    on_save()
    invoice = save()
    with transaction.atomic():
        save(number="18")
        invoice.number = "19"
        invoice.save()
        transaction.set_rollback(True)
    assert RenderJob.objects.get().name == "invoice-17.pdf"


def test_fixture_orders_nothing(on_save: Connect, tmp_path: Any) -> None:
    """Loading a fixture is no event of the project."""
    save()
    file = tmp_path / "invoices.json"
    call_command("dumpdata", "shop.Invoice", output=file, stdout=StringIO())
    on_save()
    call_command("loaddata", file, stdout=StringIO())
    assert not RenderJob.objects.exists()


def test_historical_model_orders_nothing(on_save: Connect) -> None:
    """A data migration orders nothing, even where every sender is listened to."""
    old_model = MigrationLoader(connection).project_state().apps.get_model("shop", "Invoice")
    invoice = save()
    trigger = InvoicePDF.on(post_save, source=lambda **kwargs: invoice)
    try:
        old_model.objects.create(number="old")
        assert not RenderJob.objects.exists()
        invoice.save()
        assert RenderJob.objects.count() == 1
    finally:
        trigger.disconnect()


def test_bulk_create_and_update_send_no_signal(on_save: Connect) -> None:
    """What Django sends no signal for orders nothing: that is what enqueue_many is for."""
    on_save()
    Invoice.objects.bulk_create([Invoice(number="1")])
    Invoice.objects.update(total=7)
    assert not RenderJob.objects.exists()
    InvoicePDF.enqueue_many(Invoice.objects.all())
    assert RenderJob.objects.count() == 1


def test_wrong_order_reaches_who_saves(on_save: Connect) -> None:
    """An order that cannot be stored is an error of the save, not a document lost in silence."""
    on_save(name=lambda invoice: "x" * 201)
    with pytest.raises(ValidationError, match="200"):
        save()


@pytest.mark.parametrize("name", ["ownr", "filters"])
def test_unknown_argument(name: str) -> None:
    """A misspelt argument is told where it is written, not to whoever saves; nothing listens."""
    with pytest.raises(TypeError, match=f"InvoicePDF.enqueue.. has no argument '{name}'"):
        InvoicePDF.on_save(**{name: 1})
    with pytest.raises(TypeError, match=name):
        InvoicePDF.on(post_save, sender=Invoice, **{name: 1})
    save()
    assert not RenderJob.objects.exists()


def test_known_arguments(on_save: Connect) -> None:
    """What ``enqueue()`` takes is taken."""
    on_save(snapshot=True, priority=5, params={"a": 1}, options=lambda invoice: {"strict": "html"})
    save()
    assert RenderJob.objects.get().priority == 5


# --- other signals ---------------------------------------------------------------------------


def test_on_any_signal() -> None:
    """Any signal orders the document of the source that is found in its arguments."""
    paid = Signal()
    trigger = InvoicePDF.on(paid, source=lambda *, invoice, **kwargs: invoice)
    invoice = save()
    paid.send("shop", invoice=invoice)
    assert RenderJob.objects.get().source == invoice
    trigger.disconnect()
    paid.send("shop", invoice=invoice)
    assert RenderJob.objects.count() == 1


def test_on_signal_without_a_source() -> None:
    """A signal that has no source for this document orders nothing."""
    trigger = InvoicePDF.on(post_delete, source=lambda **kwargs: None)
    save().delete()
    assert not RenderJob.objects.exists()
    trigger.disconnect()


# --- other databases -------------------------------------------------------------------------


class JobsElsewhere:
    """A router that keeps jobs apart from everything else."""

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        """The database of jobs."""
        return "jobs" if model is RenderJob else None


def test_save_to_a_database_that_no_worker_reads(on_save: Connect) -> None:
    """A copy in an archive is not what a worker would find: it orders nothing."""
    trigger = on_save()
    invoice = Invoice(number="17", pk=1)
    invoice._state.db = "archive"
    trigger.receive(instance=invoice, raw=False)
    assert not RenderJob.objects.exists()


def test_jobs_in_another_database(
    on_save: Connect, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    """Where jobs are kept elsewhere, the order waits for the commit of the source's database."""
    on_save()
    settings.DATABASE_ROUTERS = ["tests.documents.test_triggers.JobsElsewhere"]
    with django_capture_on_commit_callbacks() as hooks:
        save()
    settings.DATABASE_ROUTERS = []
    assert not RenderJob.objects.exists()
    (hook,) = hooks
    hook()
    assert RenderJob.objects.get().name == "invoice-17.pdf"


# --- races -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_threads_save_at_once(sandbox: Sandbox, totals) -> None:
    """Two savers at once lose no update: at most two jobs, and the newest shows the last state."""
    invoice = save(total=0)

    def add_one() -> None:
        with transaction.atomic():
            mine = Invoice.objects.select_for_update().get(pk=invoice.pk)
            mine.total += 1
            mine.save()

    run_in_threads(2, add_one)
    assert 1 <= RenderJob.objects.count() <= 2
    lifecycle.submit()
    assert totals.rendered[-1] == 2


@pytest.mark.django_db(transaction=True)
def test_savers_and_a_worker_at_once(sandbox: Sandbox, totals) -> None:
    """While a worker is busy all the time, what is rendered last is what was saved last."""
    with background_worker():
        invoice = save(total=0)
        for total in range(1, 11):
            time.sleep(0.02)
            invoice.total = total
            invoice.save()
    lifecycle.submit()
    assert totals.rendered[-1] == 10
    assert totals.rendered == sorted(totals.rendered)
    assert len(totals.rendered) == RenderJob.objects.count() == sandbox.ledger.create_calls


@pytest.mark.django_db(transaction=True)
def test_worker_waits_for_the_commit(sandbox: Sandbox, totals) -> None:
    """A job that an open transaction has renewed is not rendered before its commit."""
    invoice = save(total=1)
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
        assert totals.rendered == []
    worker.join()
    lifecycle.submit()
    assert totals.rendered == [2]


@pytest.mark.services("postgresql")
@pytest.mark.django_db(transaction=True)
def test_worker_does_not_wait_behind_a_transaction(sandbox: Sandbox, on_save: Connect) -> None:
    """Where the database can skip locked rows, other jobs go on during a long transaction."""
    if not connections["default"].features.has_select_for_update_skip_locked:
        pytest.skip("this database cannot skip locked rows")
    on_save()
    invoice = save()
    save(number="other")
    with transaction.atomic():
        invoice.save()
        assert run_in_threads(1, lifecycle.submit) == [1]
    assert sandbox.ledger.create_calls == 1


@pytest.mark.django_db(transaction=True)
def test_first_orders_at_once_are_one_job() -> None:
    """Two transactions that order an object's first document at once take turns."""
    invoice = save()
    order = InvoicePDF.spec(invoice)
    run_in_threads(2, lambda: enqueue_or_update(order))
    assert RenderJob.objects.count() == 1


@pytest.mark.parametrize("is_owned", [True, False])
def test_nobody_loses_a_document_by_a_save(on_save: Connect, is_owned: bool) -> None:
    """What somebody has ordered for themselves is made, beside what the save orders."""
    user, other = (get_user_model().objects.create_user(name) for name in ("alice", "bob"))
    with transaction.atomic():
        invoice = save()
        theirs = InvoicePDF.enqueue(invoice, owner=user)
        on_save(**({"owner": other} if is_owned else {}))
        invoice.save()
    theirs.refresh_from_db()
    assert theirs.owner == user
    assert list(RenderJob.objects.exclude(pk=theirs.pk).values_list("owner", flat=True)) == [
        other.pk if is_owned else None
    ]


def test_nobodys_document_becomes_somebodys(on_save: Connect) -> None:
    """An owner is added to a document that had none."""
    user = get_user_model().objects.create_user("alice")
    with transaction.atomic():
        invoice = save()
        job = InvoicePDF.enqueue(invoice)
        on_save(owner=user)
        invoice.save()
    assert RenderJob.objects.get() == job
    job.refresh_from_db()
    assert job.owner == user


def test_a_snapshot_outlives_a_save(on_save: Connect) -> None:
    """It must show what was true when it was ordered."""
    with transaction.atomic():
        invoice = save()
        job = InvoicePDF.enqueue(invoice, snapshot=True)
        on_save()
        invoice.save()
    assert RenderInput.objects.get(pk=job.pk).content
    assert RenderInput.objects.exclude(pk=job.pk).get().content == ""


def test_a_renewed_order_is_sent_as_it_is_now(on_save: Connect) -> None:
    """PostgreSQL may join the newest job, which it locks, to an input as it was before."""
    invoice = save()
    first = enqueue_or_update(JobSpec(name="a.pdf", content="<p>old</p>", source=invoice))
    read = RenderJob.objects.select_related("input").get(pk=first.pk)
    enqueue_or_update(JobSpec(name="b.pdf", content="<p>new</p>", source=invoice))
    job = RenderJob.objects.get()
    job.input = read.input
    assert compose_request(job).content == "<p>new</p>"
