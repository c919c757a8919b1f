"""A document that waits until its source is quiet."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.signals import post_save

from django_docraptor import lifecycle
from django_docraptor.documents import Document
from django_docraptor.models import RenderInput, RenderJob, seconds_from_now
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.apps.shop.models import Invoice, Line
from tests.support.jobs import run_until_finished, skip_time
from tests.support.lines import has_lines, only_job, save_with_lines
from tests.support.triggers import Connect

pytestmark = pytest.mark.django_db(transaction=True)


def due_in() -> float:
    """Return in how many seconds the only job is due."""
    row = RenderJob.objects.annotate(now=seconds_from_now(0)).get()
    return (row.due_at - row.now).total_seconds()


@pytest.mark.parametrize("delay", [30, 30.0, timedelta(seconds=30)])
def test_delay_waits_until_the_source_is_quiet(
    sandbox: Sandbox, on_save: Connect, delay: Any
) -> None:
    """Lines saved after the invoice, without a transaction, are in the document."""
    on_save(when=has_lines, delay=delay)
    invoice = Invoice.objects.create(number="17")
    assert 25 < due_in() <= 30
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 0
    for _ in range(2):
        Line.objects.create(invoice=invoice, text="paper")
    skip_time(31)
    job = run_until_finished(only_job())
    assert (job.state, job.name) == (State.COMPLETED, "2-lines.pdf")
    assert sandbox.ledger.create_calls == 1


def test_each_save_moves_the_time_up_to_a_limit(on_save: Connect) -> None:
    """Each save starts the delay again, but a source that is never quiet waits for ten delays."""
    on_save(delay=30)
    invoice = Invoice.objects.create(number="17")
    for age, expected in [(20, 30), (265, 30), (285, 15), (400, -100)]:
        RenderJob.objects.update(created_at=seconds_from_now(-age))
        invoice.save()
        assert expected - 3 < due_in() <= expected + 1
    assert RenderJob.objects.count() == 1


def test_delayed_job_is_withdrawn_if_the_condition_does_not_hold(
    sandbox: Sandbox, on_save: Connect
) -> None:
    """``when`` is asked when the time has come, and a deleted source needs no document."""
    on_save(when=has_lines, delay=30)
    save_with_lines(0)
    save_with_lines(1).delete()
    skip_time(31)
    lifecycle.submit()
    assert not RenderJob.objects.exists()
    assert sandbox.ledger.create_calls == 0


def test_delay_does_not_hold_back_a_job_that_a_person_has_asked_for(
    on_save: Connect, lines_document: type[Document[Invoice]]
) -> None:
    """A job without a delay stays due, and is not withdrawn."""
    invoice = save_with_lines(0)
    lines_document.enqueue(invoice)
    on_save(when=has_lines, delay=30)
    invoice.save()
    assert due_in() <= 0
    lifecycle.submit()
    assert RenderJob.objects.count() == 1


def test_snapshot_with_a_delay_is_taken_when_the_time_has_come(
    sandbox: Sandbox, on_save: Connect
) -> None:
    """A snapshot shows the source at the end of the delay."""
    on_save(snapshot=True, delay=30)
    invoice = Invoice.objects.create(number="17")
    Line.objects.create(invoice=invoice, text="ink")
    skip_time(31)
    run_until_finished(only_job())
    assert RenderInput.objects.get().content == "<p>1 lines</p>"
    assert sandbox.ledger.entries[0].tag.endswith(" 1 lines")


def test_signals_of_other_models_can_keep_a_document_waiting(
    on_save: Connect, lines_document: type[Document[Invoice]]
) -> None:
    """Signals of the lines, for the same document of the invoice, start its delay again."""
    on_save(delay=30, idempotency_key=None)
    lines = lines_document.on(
        post_save,
        sender=Line,
        get_source=lambda *, instance, **_: instance.invoice,
        delay=30,
        idempotency_key=None,
    )
    invoice = Invoice.objects.create(number="17")
    RenderJob.objects.update(due_at=seconds_from_now(5))
    Line.objects.create(invoice=invoice, text="ink")
    lines.disconnect()
    assert only_job().name == "1-lines.pdf"
    assert due_in() > 25


@pytest.mark.parametrize(
    ("delay", "error"),
    [("5", TypeError), (True, TypeError), (0, ValueError), (-1, ValueError), (1e6, ValueError)],
)
def test_invalid_delay_raises_when_connecting(
    on_save: Connect, delay: Any, error: type[Exception]
) -> None:
    """A delay that cannot be kept raises where it is written."""
    with pytest.raises(error, match="delay must be"):
        on_save(delay=delay)
