"""Whether a source was saved after its document's content was rendered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps

from django_docraptor.documents import changes
from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue

T = datetime(2026, 11, 27, 14, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """Return a time so many minutes later."""
    return T + timedelta(minutes=minutes)


@pytest.fixture
def changed_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set when the invoices were changed."""
    monkeypatch.setattr(InvoicePDF, "changed_at_field", "changed_at")

    def change(value: Any) -> None:
        monkeypatch.setattr(Invoice, "changed_at", value, raising=False)

    return change


def job_at(state: State = State.COMPLETED, **columns: Any) -> RenderJob:
    """Return a stored job of an invoice, created at T and sent five minutes later."""
    content = columns.pop("content", "")
    invoice = Invoice.objects.create(number="1")
    job = enqueue(document=InvoicePDF.label, source=invoice, content=content)
    due = {"due_at": None} if state in (State.COMPLETED, State.FAILED) else {}
    values = {"created_at": T, "sent_at": at(5), **due, **columns}
    RenderJob.objects.filter(pk=job.pk).update(state=state, **values)
    job.refresh_from_db()
    return job


def is_changed(job: RenderJob) -> bool:
    """Return whether the job's document is older than its source."""
    return job.pk in changes.changed_times([(job, job.source, InvoicePDF)])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("columns", "first", "expected"),
    [
        ({}, 4, False),
        ({}, 5, False),
        ({}, 6, True),
        ({"content": "<p>snapshot</p>"}, 1, True),
        ({"content": "<p>snapshot</p>", "revision": 2}, 1, False),
        ({"sent_at": None, "rendered_at": at(8)}, 7, False),
        ({"sent_at": None, "rendered_at": at(8)}, 9, True),
        ({"state": State.PENDING, "sent_at": None}, 99, False),
        ({"state": State.PENDING}, 99, False),
        (
            {
                "state": State.FAILED,
                "error_code": ErrorCode.TEMPLATE_ERROR,
                "finished_at": at(9),
            },
            8,
            False,
        ),
        (
            {
                "state": State.FAILED,
                "error_code": ErrorCode.TEMPLATE_ERROR,
                "finished_at": at(9),
            },
            10,
            True,
        ),
    ],
)
def test_source_is_compared_with_the_content(
    changed_at: Any, columns: dict[str, Any], first: float, expected: bool
) -> None:
    """A snapshot is as old as its job, anything else as old as its attempt."""
    changed_at(at(first))
    assert is_changed(job_at(**columns)) is expected


@pytest.mark.django_db
def test_difference_of_clocks_is_no_change(changed_at: Any) -> None:
    """The source's time is another host's."""
    changed_at(at(5) + timedelta(seconds=0.9))
    assert not is_changed(job_at())


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value",
    [
        None,
        "yesterday",
        at(99).replace(tzinfo=None),
        property(lambda self: 1 / 0),
        at(99).date(),
    ],
)
def test_what_is_no_time_is_no_change(changed_at: Any, value: Any) -> None:
    """Without a time nothing is guessed."""
    changed_at(value)
    assert not is_changed(job_at())


@pytest.mark.django_db
def test_method_is_called(changed_at: Any) -> None:
    """The time may be computed."""
    changed_at(lambda self: at(99))
    assert is_changed(job_at())


@pytest.mark.django_db
def test_without_a_declared_time_there_is_no_query(django_assert_num_queries: Any) -> None:
    """Nothing is asked if no source was saved after its job was created."""
    job = job_at()
    source = job.source
    assert InvoicePDF.changed_at_field is None
    with django_assert_num_queries(0):
        assert changes.changed_times([(job, source, InvoicePDF)]) == {}


@isolate_apps("tests.apps.shop")
def test_auto_now_field_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that Django sets at each save is the time, unless the class says otherwise."""

    class Note(models.Model):
        day = models.DateField(auto_now=True)
        created = models.DateTimeField(auto_now_add=True)
        saved = models.DateTimeField(auto_now=True)

        class Meta:
            app_label = "shop"

        def __str__(self) -> str:
            return "note"

    note = Note(saved=T)
    assert changes.source_changed_at(InvoicePDF, note) == T
    monkeypatch.setattr(InvoicePDF, "changed_at_field", "")
    assert changes.source_changed_at(InvoicePDF, note) is None


@pytest.mark.django_db
def test_deferred_field_is_not_loaded(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    """A list that leaves the field out needs no query for each row."""
    monkeypatch.setattr(InvoicePDF, "changed_at_field", "total")
    Invoice.objects.create(number="1")
    source = Invoice.objects.only("number").get()
    with django_assert_num_queries(0):
        assert changes.source_changed_at(InvoicePDF, source) is None
