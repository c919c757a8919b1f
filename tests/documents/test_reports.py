"""Documents over many rows: what is stored about the rows, and how they are read."""

import tracemalloc
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import QuerySet
from django.template import Context, Template
from django.test.utils import isolate_apps

from django_docraptor.documents import QuerysetDocument, Rows
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.apps.shop.models import Invoice
from tests.support.jobs import run_until_finished

pytestmark = pytest.mark.django_db

MANY = 6_000
# The memory for the rows, in bytes, and for the parts that Django's templates join, as a multiple
# of the HTML. Measured: 0.7 MB and 8.2. All instances at once would need some 4 MB more.
ROWS_BOUND = 2 * 1024 * 1024
PARTS_BOUND = 10


@pytest.fixture
def report() -> type[QuerysetDocument[Invoice]]:
    """A report over invoices."""

    class Report(QuerysetDocument[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/report.html"

        def get_queryset(self) -> QuerySet[Invoice]:
            return super().get_queryset().order_by("number")

    return Report


def create_invoices(count: int) -> None:
    """Create invoices, numbered from zero."""
    Invoice.objects.bulk_create(
        (Invoice(number=f"{number:05}", total=number) for number in range(count)), batch_size=5000
    )


def numbers_of(rows: Rows[Invoice]) -> list[str]:
    """Return the invoices' numbers."""
    return [invoice.number for invoice in rows]


def stored_rows(job: RenderJob) -> Any:
    """Return what a job stores about its rows."""
    return RenderInput.objects.get(pk=job.pk).params["rows"]


# --- storage ---------------------------------------------------------------------------------


def test_queryset_is_stored_as_keys(report) -> None:
    """A queryset is stored as the primary keys of its rows, in its order."""
    create_invoices(3)
    chosen = Invoice.objects.exclude(number="00001").order_by("-number")
    job = report.enqueue(chosen)
    assert (job.source, job.name) == (None, "Report.pdf")
    assert stored_rows(job) == {"keys": [invoice.pk for invoice in chosen]}


def test_filters_are_stored_and_applied_later(report) -> None:
    """Filters are stored as they are, so rows that are created later are included."""
    job = report.enqueue(filters={"total__gte": 1})
    assert stored_rows(job) == {"filters": {"total__gte": 1}}
    create_invoices(3)
    assert numbers_of(report(None, {"rows": stored_rows(job)}).rows) == ["00001", "00002"]


def test_neither_queryset_nor_filters_means_all_rows(report) -> None:
    """Without a queryset or filters the report has all rows."""
    create_invoices(2)
    job = report.enqueue()
    assert len(report(None, {"rows": stored_rows(job)}).rows) == 2


def test_params_are_stored_beside_the_rows(report) -> None:
    """A report's own parameters are stored beside its rows."""
    job = report.enqueue(filters={}, params={"title": "All"})
    params = RenderInput.objects.get(pk=job.pk).params
    assert params == {"title": "All", "rows": {"filters": {}}}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"nothing": 1}, "nothing"),
        ({"total__gte": "much"}, "much"),
        ({"total__gte": object()}, "JSON"),
    ],
)
def test_invalid_filters_are_refused(report, filters: dict[str, Any], message: str) -> None:
    """Filters that no worker could use are refused at once."""
    with pytest.raises(ValidationError, match=message):
        report.enqueue(filters=filters)
    assert not RenderJob.objects.exists()


@pytest.mark.parametrize("name", ["filters", "params"])
@pytest.mark.parametrize("wrong", [[], "", [("total", 1)], 5])
def test_filters_must_be_a_dict(report, name: str, wrong: Any) -> None:
    """A value that is not a dict is reported under its name: an empty list is not "all rows"."""
    with pytest.raises(ValidationError, match=f"{name} must be a mapping") as caught:
        report.enqueue(**{name: wrong})
    assert list(caught.value.message_dict) == [name]
    assert not RenderJob.objects.exists()


@isolate_apps("tests.apps.shop")
def test_queryset_may_be_of_a_proxy(report) -> None:
    """A proxy counts as its model, both ways."""

    class Reminded(Invoice):
        """A proxy of the same rows."""

        class Meta:
            proxy = True
            app_label = "shop"

    create_invoices(1)
    keys = [Invoice.objects.get().pk]
    assert stored_rows(report.enqueue(Reminded.objects.all())) == {"keys": keys}
    report.model = Reminded
    assert stored_rows(report.enqueue(Invoice.objects.all())) == {"keys": keys}


def test_queryset_and_filters_exclude_each_other(report) -> None:
    """A queryset together with filters is refused."""
    with pytest.raises(ValidationError, match="not both"):
        report.enqueue(Invoice.objects.all(), filters={})


def test_other_sources_are_refused(report) -> None:
    """A source that is not a queryset of the report's model is refused."""
    for wrong in (Invoice(), [1], get_user_model().objects.all()):
        with pytest.raises(ValidationError, match="Report requires a queryset of Invoice"):
            report.enqueue(wrong)


def test_max_rows_limits_the_keys(report) -> None:
    """More keys than `max_rows` are refused, and the error suggests filters."""
    report.max_rows = 2
    create_invoices(3)
    assert len(stored_rows(report.enqueue(Invoice.objects.all()[:2]))["keys"]) == 2
    with pytest.raises(ValidationError, match=r"more than 2 rows.*filters="):
        report.enqueue(Invoice.objects.all())


def test_report_needs_a_model() -> None:
    """A report without a model raises an error."""

    class Nothing(QuerysetDocument[Any]):
        """No model."""

    with pytest.raises(ImproperlyConfigured, match=r"Nothing has no model: declare it as"):
        _ = Nothing().rows


# --- rows ------------------------------------------------------------------------------------


def test_rows_are_read_in_chunks(django_assert_num_queries: Any) -> None:
    """Keys are read in chunks, in their order, as often as they are iterated."""
    create_invoices(5)
    keys = list(Invoice.objects.order_by("-number").values_list("pk", flat=True))
    rows = Rows(Invoice.objects.all(), keys, chunk_size=2)
    with django_assert_num_queries(3):
        assert numbers_of(rows) == ["00004", "00003", "00002", "00001", "00000"]
    assert numbers_of(rows)[:2] == ["00004", "00003"]
    assert len(rows) == 5


def test_rows_are_counted_once(django_assert_num_queries: Any) -> None:
    """The length needs one query, however often a template uses it."""
    create_invoices(3)
    rows = Rows(Invoice.objects.all())
    with django_assert_num_queries(1):
        assert (len(rows), len(rows)) == (3, 3)


def test_deleted_rows_are_skipped() -> None:
    """Rows that were deleted meanwhile are skipped."""
    create_invoices(3)
    keys = list(Invoice.objects.order_by("number").values_list("pk", flat=True))
    Invoice.objects.filter(pk=keys[1]).delete()
    assert numbers_of(Rows(Invoice.objects.all(), keys)) == ["00000", "00002"]


def test_uuid_keys_are_stored_as_text() -> None:
    """UUIDs are stored as text and found again."""
    jobs = [RenderJob(id=uuid.uuid4(), name="x", state=State.CANCELLED) for _ in range(2)]
    RenderJob.objects.bulk_create(jobs)

    class Jobs(QuerysetDocument[RenderJob]):
        """A report over our own jobs."""

        model = RenderJob

    described = Jobs._docraptor_rows_param(RenderJob.objects.order_by("-pk"), None)
    rows = Jobs(None, {"rows": described}).rows
    # In the order of the database: MariaDB compares the parts of a UUID in another order.
    assert list(rows) == list(RenderJob.objects.order_by("-pk"))
    assert set(rows) == set(jobs)


def test_templates_read_rows_one_by_one() -> None:
    """``{% for %}`` reads the rows one by one, and makes no list of them."""
    create_invoices(3)
    fetched: list[str] = []

    class Watched(Rows[Invoice]):
        """Notes each row as it is handed out."""

        def __iter__(self) -> Iterator[Invoice]:
            for invoice in super().__iter__():
                fetched.append(invoice.number)
                yield invoice

    rows = Watched(Invoice.objects.order_by("number"))
    template = Template("{% for row in rows %}{{ fetched|length }} {% endfor %}")
    assert template.render(Context({"rows": rows, "fetched": fetched})) == "1 2 3 "


# --- rendering -------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF-"), ("xlsx", b"PK")])
def test_report_completes(sandbox: Sandbox, documents_dir, report, kind: str, start: bytes) -> None:
    """One class generates the PDF and the spreadsheet of the same rows."""
    create_invoices(3)
    job = run_until_finished(report.enqueue(Invoice.objects.all(), document_type=kind))
    assert (job.state, job.name) == (State.COMPLETED, f"Report.{kind}")
    with job.file.open("rb") as file:
        assert file.read().startswith(start)


def test_preview_has_the_rows(report) -> None:
    """The preview contains the rows."""
    create_invoices(2)
    html = report.preview_html(Invoice.objects.all())
    assert "<td>00000</td>" in html
    assert "<td>00001</td>" in html


@pytest.mark.django_db(transaction=True)
def test_oversized_report_fails_before_sending(sandbox: Sandbox, settings: Any, report) -> None:
    """A report above MAX_CONTENT_BYTES fails with the numbers before anything is sent."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_CONTENT_BYTES": 1000}
    create_invoices(100)
    job = run_until_finished(report.enqueue(Invoice.objects.all()))
    assert (job.state, job.error_code) == (State.FAILED, "invalid_request")
    assert "at most 1,000 are allowed" in job.errors
    assert sandbox.ledger.create_calls == 0


@pytest.mark.once
def test_memory_does_not_grow_with_the_rows(report) -> None:
    """6,000 rows need memory for the HTML and its parts, not for the instances."""
    create_invoices(MANY)
    document = report._docraptor_build(Invoice.objects.order_by("pk"), {})
    tracemalloc.start()
    try:
        count = sum(1 for _ in document.rows)
        rows_peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        html = document.render()
        render_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == html.count("<tr>") == MANY
    assert rows_peak < ROWS_BOUND
    assert render_peak < ROWS_BOUND + PARTS_BOUND * len(html)
