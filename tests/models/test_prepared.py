"""What is compiled once finds and stores the same as what Django compiles each time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models import CharField, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext

from django_docraptor.models import RenderEvent, RenderInput, RenderJob
from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.prepared import Parameter, insert_rows, insert_sql, prepared
from django_docraptor.states import EventKind, State
from tests.support.databases import connection_time_zone

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

TIME = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)


def insert(row: models.Model) -> None:
    """Store a row by its prepared INSERT."""
    with connection.cursor() as cursor:
        cursor.execute(*insert_sql(row, connection))


def stored_values(model: type[models.Model], **values: Any) -> dict[str, Any]:
    """Return the columns of the only such row, but for its key and what the database fills in."""
    (columns,) = model._base_manager.filter(**values).values()
    return {name: value for name, value in columns.items() if name not in {"id", "created_at"}}


@pytest.fixture(name="values")
def _values() -> dict[str, Any]:
    """A value in every column of a job that may be NULL, and in some others."""
    return {
        "name": "100 %.pdf",
        "document_type": "pdf",
        "state": State.QUEUED,
        "account": "other",
        "test": False,
        "priority": -3,
        "content_type": ContentType.objects.get_for_model(User),
        "object_id": "7",
        "owner": User.objects.create(username="ada"),
        "idempotency_key": "invoice-7",
        "due_at": TIME,
        "deadline_at": TIME + timedelta(days=1),
        "status_id": "status-1",
        "errors": "Line 1: {'a': \"%s\"}",
    }


def test_rows_are_those_that_django_inserts(values: dict[str, Any]) -> None:
    """Numbers, times, text with per cent signs, foreign keys and defaults: all as by Django."""
    RenderJob.objects.bulk_create([RenderJob(**values)])
    expected = stored_values(RenderJob, name=values["name"])
    RenderJob.objects.all().delete()
    insert(RenderJob(**values))
    assert stored_values(RenderJob, name=values["name"]) == expected


def test_field_of_our_own_decides_what_blank_is() -> None:
    """Two jobs are stored with a blank status ID: it is unique, and so NULL in the database."""
    rows = [
        RenderJob(name=name, document_type="pdf", state=State.COMPLETED, status_id="")
        for name in ("a.pdf", "b.pdf")
    ]
    insert_rows(rows, connection, batch_size=2)
    assert RenderJob.objects.filter(status_id__isnull=True).count() == 2


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_many_rows_are_those_that_django_inserts(values: dict[str, Any], batch_size: int) -> None:
    """Full rows beside empty ones, and one with an expression of its own, in any batches."""

    def rows() -> list[RenderJob]:
        bare = {"document_type": "pdf", "state": State.COMPLETED}
        due = {"state": State.PENDING, "due_at": TIME, "priority": 0}
        odd = {"errors": Concat(Value("a"), Value("b"))}
        given = [values, bare, bare | due, bare, bare | odd]
        return [RenderJob(**fields | {"name": f"{n}.pdf"}) for n, fields in enumerate(given)]

    RenderJob.objects.bulk_create(rows())
    expected = [stored_values(RenderJob, name=f"{number}.pdf") for number in range(5)]
    RenderJob.objects.all().delete()
    inserted = rows()
    insert_rows(inserted, connection, batch_size=batch_size)
    assert [stored_values(RenderJob, name=f"{number}.pdf") for number in range(5)] == expected
    assert {row._state.adding for row in inserted} == {False}
    assert {row._state.db for row in inserted} == {"default"}


def test_many_rows_take_few_statements() -> None:
    """One for each batch; none for no rows."""
    rows = [RenderJob(name="a.pdf", document_type="pdf", state=State.FAILED) for _ in range(5)]
    with CaptureQueriesContext(connection) as queries:
        insert_rows([], connection, batch_size=2)
        insert_rows(rows, connection, batch_size=2)
    assert len(queries) == 3
    assert RenderJob.objects.count() == 5


def test_columns_may_be_null_in_one_row_only(values: dict[str, Any]) -> None:
    """A row without a value, before and after a row with one, gets no other's value."""
    bare = {"document_type": "pdf", "state": State.COMPLETED}
    insert(RenderJob(name="first", **bare))
    insert(RenderJob(**values))
    insert(RenderJob(name="last", **bare))
    first, full, last = (stored_values(RenderJob, name=n) for n in ("first", "100 %.pdf", "last"))
    assert first | {"name": "last"} == last
    assert (first["due_at"], first["owner_id"], first["idempotency_key"]) == (None, None, None)
    assert (full["due_at"], full["owner_id"]) == (TIME, values["owner"].pk)
    assert full["idempotency_key"] == "invoice-7"


def test_expressions_are_the_databases() -> None:
    """A time may be now, a default of the database, or now and some seconds, whatever those are."""
    for delay in (60, 600):
        due_at = seconds_from_now(delay)
        insert(RenderJob(name=str(delay), document_type="pdf", state=State.PENDING, due_at=due_at))
    insert(RenderJob(name="0", document_type="pdf", state=State.PENDING, due_at=Now()))
    for job in RenderJob.objects.all():
        assert job.due_at is not None
        assert round((job.due_at - job.created_at).total_seconds()) == int(job.name)


@pytest.mark.parametrize("zone", [None, "Asia/Kathmandu"])
def test_times_follow_the_zone_in_which_they_are_stored(zone: str | None) -> None:
    """After ``DATABASES[…]["TIME_ZONE"]`` has changed, the statement is compiled again."""
    for name in ("Pacific/Honolulu", zone):
        with connection_time_zone(name):
            insert(RenderJob(name=str(name), document_type="pdf", state=State.COMPLETED))
            job = RenderJob.objects.get(name=str(name))
            assert abs(datetime.now(UTC) - job.created_at) < timedelta(minutes=5)


@pytest.mark.parametrize(
    "insert_row", [insert, RenderJob.save, lambda row: RenderJob.objects.bulk_create([row])]
)
def test_the_present_does_not_come_from_the_table(insert_row: Any) -> None:
    """The table's default keeps the zone's offset of the day on which the table was made."""
    with connection_time_zone("Pacific/Honolulu"):
        insert_row(RenderJob(name="a.pdf", document_type="pdf", state=State.COMPLETED))
        (job,) = RenderJob.objects.all()
        assert abs(datetime.now(UTC) - job.created_at) < timedelta(minutes=5)


def test_json_and_generated_keys() -> None:
    """JSON is stored as JSON, a missing one as NULL, and events get keys of their own."""
    job = RenderJob(name="a.pdf", document_type="pdf", state=State.COMPLETED)
    insert(job)
    insert(RenderInput(job_id=job.pk, content="<p>", options={"a": [None, "%s"]}, params={}))
    other = RenderJob(name="b.pdf", document_type="pdf", state=State.COMPLETED)
    insert(other)
    insert(RenderInput(job_id=other.pk, options="", params=0, recheck=False))
    for _ in range(2):
        insert(RenderEvent(job_id=job.pk, kind=EventKind.ENQUEUED, to_state=job.state))
    stored = RenderInput.objects.get(pk=job.pk)
    assert (stored.options, stored.params, stored.recheck) == ({"a": [None, "%s"]}, {}, None)
    falsy = RenderInput.objects.get(pk=other.pk)
    assert (falsy.options, falsy.params, falsy.recheck) == ("", 0, False)
    assert RenderInput.objects.filter(recheck__isnull=True, reuse=None).exists()
    assert len(set(job.events.values_list("pk", flat=True))) == 2


@pytest.mark.parametrize("zone", ["Asia/Kolkata", None])
def test_query_is_compiled_once_for_its_arguments(values: dict[str, Any], zone: str | None) -> None:
    """It finds what the same query of Django finds, and again after the zone has changed."""
    built: list[str] = []

    @prepared(RenderJob)
    def due(state: str) -> models.QuerySet[RenderJob]:
        built.append(state)
        named = RenderJob.objects.filter(state=state, account=Parameter("account", CharField()))
        return named.filter(due_at__lte=Now()).order_by("due_at")

    with connection_time_zone(zone):
        for name, seconds in {"a": -60, "b": 60}.items():
            values |= {"idempotency_key": name, "status_id": name}
            due_at = seconds_from_now(seconds)
            RenderJob.objects.create(**values | {"name": name, "due_at": due_at})
        assert [job.name for job in due(State.QUEUED).fetch(account="other")] == ["a"]
        assert due(State.QUEUED).fetch(account="OTHER") == []
        assert due(State.PENDING).fetch(account="other") == []
    assert built == [State.QUEUED, State.PENDING]
    due(State.QUEUED)
    assert len(built) == (3 if zone else 2)
