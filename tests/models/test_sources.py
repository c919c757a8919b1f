"""The primary key of a source as text: what is stored finds the same object again."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models
from django.test.utils import isolate_apps

from django_docraptor import shortcuts
from django_docraptor.documents import Document, latest_document
from django_docraptor.models import RenderJob
from django_docraptor.models.sources import can_restore_key, parse_key, source_key
from django_docraptor.states import State
from tests.apps.shop.models import DayReport, Invoice, ShopDayReport
from tests.support.jobs import run_until_finished

pytestmark = pytest.mark.databases

KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")


def source_with_key(field: Any, key: Any) -> models.Model:
    """Return an object, as if it was read from the database, of a model with this primary key."""
    with isolate_apps("tests.apps.shop"):
        body = {
            "id": field,
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "shop"}),
        }
        source: models.Model = type("Keyed", (models.Model,), body)(pk=key)
    source._state.adding = False
    return source


@pytest.mark.parametrize(
    ("field", "key", "text"),
    [
        (models.BigAutoField, 5, "5"),
        (models.BigAutoField, "5", "5"),
        (models.CharField, "a/b", "a/b"),
        (models.UUIDField, KEY, str(KEY)),
        (models.UUIDField, KEY.hex.upper(), str(KEY)),
        (models.DateField, date(2026, 11, 17), "2026-11-17"),
        (models.DateField, "2026-11-17", "2026-11-17"),
        (models.DateTimeField, datetime(2026, 11, 17, 8, tzinfo=UTC), "2026-11-17 08:00:00+00:00"),
        (models.TimeField, time(8, 30), "08:30:00"),
        (models.DurationField, timedelta(days=2, seconds=1), "2 days, 0:00:01"),
        (models.DurationField, timedelta(days=-1), "-1 day, 0:00:00"),
        (lambda **options: models.DecimalField(max_digits=5, decimal_places=2, **options),
         Decimal("1.50"), "1.50"),
        (models.FloatField, 1e300, "1e+300"),
        (models.BooleanField, True, "True"),
        (models.GenericIPAddressField, "::1", "::1"),
    ],
)  # fmt: skip
def test_key_is_restored_from_its_text(field: Any, key: Any, text: str) -> None:
    """The text of a key is read back as the same key, whatever its type."""
    source = source_with_key(field(primary_key=True), key)
    assert source_key(source) == text
    assert can_restore_key(source)
    assert source._meta.pk.to_python(text) == source._meta.pk.to_python(key)


def test_key_of_bytes_is_refused() -> None:
    """A key of bytes has no text from which it can be read back."""
    assert not can_restore_key(source_with_key(models.BinaryField(primary_key=True), b"\x00\xff"))


@pytest.mark.django_db
@pytest.mark.parametrize("other", ["ABC", "abc ", "\u00e1bc"])
def test_keys_of_text_are_compared_exactly(other: str) -> None:
    """Case, accents and spaces tell objects apart, on every database: so an erasure does, too."""
    sources = [source_with_key(models.CharField(primary_key=True), key) for key in ("abc", other)]
    jobs = [
        shortcuts.enqueue(name="a.pdf", content="<p>a</p>", source=source) for source in sources
    ]
    for job, source in zip(jobs, sources, strict=True):
        assert list(RenderJob.objects.for_source(source)) == [job]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "key", "message"),
    [
        (models.BinaryField, b"\xff", r"shop\.Keyed.* cannot be stored as text"),
        (models.CharField, "k" * 65, "primary key .* has 65 characters, but at most 64"),
        (models.CharField, "", "primary key .* must not be blank"),
    ],
)
def test_unusable_key_is_refused_when_enqueued(field: Any, key: Any, message: str) -> None:
    """A source that a worker could not find is refused, with its model and the reason."""
    source = source_with_key(field(primary_key=True), key)
    with pytest.raises(ValidationError, match=message) as caught:
        shortcuts.enqueue(name="a.pdf", content="<p>a</p>", source=source)
    assert list(caught.value.message_dict) == ["source"]
    assert not RenderJob.objects.exists()


@pytest.mark.django_db
@isolate_apps("tests.apps.shop")
def test_composite_key_is_refused_when_enqueued() -> None:
    """A source with a composite key is refused, with the way around it."""

    class Line(models.Model):  # noqa: DJ008 - it is not shown
        """Part of an invoice."""

        pk = models.CompositePrimaryKey("invoice", "position")
        invoice = models.IntegerField()
        position = models.IntegerField()

        class Meta:
            app_label = "shop"

    source = Line(invoice=1, position=2)
    source._state.adding = False
    with pytest.raises(ValidationError, match=r"\(1, 2\), which cannot be .* as params"):
        shortcuts.enqueue(name="a.pdf", content="<p>a</p>", source=source)
    assert not RenderJob.objects.for_source(source).exists()
    assert not RenderJob.objects.exists()
    with pytest.raises(ValidationError):  # a text that is no JSON
        parse_key(Line, "1,2")


@pytest.fixture
def report_document() -> type[Document[DayReport]]:
    """A document of a model whose key is a date."""

    class Day(Document[DayReport]):
        """Registered during the test."""

        model = DayReport
        template_name = "shop/invoice.html"

        def render(self) -> str:
            return f"<p>{type(self.source).__name__} of {self.source.day:%d %B %Y}</p>"

    return Day


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [DayReport, ShopDayReport])
def test_worker_finds_the_source_by_a_date(
    sandbox, documents_dir, report_document, model: type[DayReport]
) -> None:
    """A date as primary key works from the enqueueing to the file, also in an inherited model."""
    created = model.objects.create(day="2026-11-17")
    job = run_until_finished(report_document.enqueue(created))
    assert (job.state, job.errors) == (State.COMPLETED, "")
    read = model.objects.get()
    preview = report_document.preview_html(read)
    assert preview == f"<p>{model.__name__} of 17 November 2026</p>"
    assert sandbox.ledger.accepted()[0].tag.startswith(job.pk.hex)
    assert latest_document(read, report_document) == job
    assert job.source == read


@pytest.mark.django_db
def test_jobs_of_a_key_set_by_hand_are_found() -> None:
    """A key that was set as text finds the jobs of the object that was read."""
    source = Invoice.objects.create(number="7")
    job = shortcuts.enqueue(name="a.pdf", content="<p>a</p>", source=source)
    assert list(RenderJob.objects.for_source(Invoice(pk=f"0{source.pk}"))) == [job]
