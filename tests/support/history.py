"""Create a history of finished jobs with SQL: a million in about a minute.

Each job has its input and five events, like a document that was rendered without callbacks. Without
inputs and events, and for a backlog of pending jobs, a million takes seconds.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Count, Field, Model, Q
from django.db.models.functions import TruncDate

from django_docraptor.models import RenderEvent, RenderInput, RenderJob, UsageDay, UsageMark
from django_docraptor.states import EventKind, State

ROWS_PER_STATEMENT = 100_000
# New rows from which it is faster to drop the indexes and create them afterwards.
DROP_INDEXES_FROM = 50_000
# A million jobs are about a year.
SECONDS_BETWEEN_JOBS = 30
DOCUMENTS = 5
TABLES = [model._meta.db_table for model in (RenderJob, RenderInput, RenderEvent)]
# Seconds after the job was enqueued, kind, and the states before and after.
EVENTS = [
    (0, EventKind.ENQUEUED, "", State.PENDING),
    (0, EventKind.SUBMITTING, State.PENDING, State.SUBMITTING),
    (1, EventKind.ACCEPTED, State.SUBMITTING, State.QUEUED),
    (6, EventKind.RENDERED, State.QUEUED, State.DOWNLOADING),
    (7, EventKind.COMPLETED, State.DOWNLOADING, State.COMPLETED),
]


@dataclass(frozen=True)
class Dialect:
    """SQL that differs between databases."""

    series: str
    key: str
    moment: str
    prepare: tuple[str, ...]
    restore: tuple[str, ...]
    # Statements that drop indexes, and those that create them again.
    indexes: str
    text: str = "text"


DIALECTS = {
    "postgresql": Dialect(
        series="SELECT n FROM generate_series({first}, {last}) AS n",
        key="gen_random_uuid()",
        moment="now() + ({0}) * interval '1 second'",
        # Without foreign key checks: the rows are consistent by construction.
        prepare=("SET session_replication_role = replica", "SET maintenance_work_mem = '512MB'"),
        restore=("RESET session_replication_role", "RESET maintenance_work_mem"),
        indexes=(
            "SELECT 'DROP INDEX ' || i.indexname, i.indexdef FROM pg_indexes i"
            " WHERE i.tablename IN ({tables})"
            " AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname)"
        ),
    ),
    "mysql": Dialect(  # MariaDB
        series="SELECT CAST(seq AS SIGNED) AS n FROM seq_{first}_to_{last}",
        key="uuid()",
        moment="UTC_TIMESTAMP(6) + INTERVAL ({0}) SECOND",
        text="char",
        prepare=(
            "SET sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')",
            "SET unique_checks = 0, foreign_key_checks = 0, check_constraint_checks = 0",
        ),
        restore=(
            "SET sql_mode = DEFAULT",
            "SET unique_checks = 1, foreign_key_checks = 1, check_constraint_checks = 1",
        ),
        # One statement for each, because each reads the whole table; not those of foreign keys.
        indexes=(
            "SELECT CONCAT('ALTER TABLE ', t, ' ', GROUP_CONCAT('DROP INDEX ' || i)),"
            " CONCAT('ALTER TABLE ', t, ' ', GROUP_CONCAT('ADD ' || kind || ' ' || i || c)) FROM"
            " (SELECT table_name AS t, index_name AS i, IF(non_unique, 'INDEX', 'UNIQUE') AS kind,"
            " CONCAT(' (', GROUP_CONCAT(column_name || IF(collation = 'D', ' DESC', '')"
            " ORDER BY seq_in_index), ')') AS c FROM information_schema.statistics"
            " WHERE table_schema = DATABASE() AND table_name IN ({tables})"
            " AND index_name LIKE 'docraptor%' GROUP BY 1, 2, 3) AS found GROUP BY t"
        ),
    ),
    "sqlite": Dialect(
        series=(
            "WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last})"
            " SELECT n FROM s"
        ),
        key="lower(hex(randomblob(16)))",
        moment="strftime('%Y-%m-%d %H:%M:%f000', 'now', ({0}) || ' seconds')",
        prepare=("PRAGMA foreign_keys = OFF", "PRAGMA cache_size = -400000"),
        restore=("PRAGMA foreign_keys = ON", "PRAGMA cache_size = -2000"),
        indexes=(
            "SELECT 'DROP INDEX ' || name, sql FROM sqlite_master"
            " WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({tables})"
        ),
    ),
}


def create_history(size: int) -> None:
    """Insert finished jobs until there are ``size``; new ones are older than the present ones."""
    present = RenderJob.objects.filter(due_at=None).count()
    with bulk_insertion(size - present) as dialect:
        for first in range(present + 1, size + 1, ROWS_PER_STATEMENT):
            insert_jobs(dialect, first, min(first + ROWS_PER_STATEMENT - 1, size))


def create_jobs_only(finished: int, pending: int, *, account: str) -> None:
    """Insert finished jobs, and pending ones of another account, without inputs and events.

    For a scratch database: on PostgreSQL, a crash of the server empties the tables.

    Args:
        finished: how many jobs of the default account have ended.
        pending: how many jobs are due.
        account: of the pending jobs.
    """
    if connection.vendor == "postgresql":
        children = [relation.related_model for relation in RenderJob._meta.related_objects]
        for model in (*children, RenderJob):  # a logged table must not refer to an unlogged one
            execute(f"ALTER TABLE {model._meta.db_table} SET UNLOGGED")
    with bulk_insertion(finished + pending) as dialect:
        numbers = dialect.series.format(first=1, last=finished)
        key = {"id": dialect.key}
        if finished:
            source = f"(SELECT n, -{SECONDS_BETWEEN_JOBS} * n AS t FROM ({numbers}) AS s) AS jobs"
            insert(RenderJob, job_columns(dialect) | key, source)
        if pending:
            numbers = dialect.series.format(first=1, last=pending)
            insert(RenderJob, pending_columns(dialect, account) | key, f"({numbers}) AS jobs")


def sum_up() -> None:
    """Sum up the usage of the jobs that were inserted, as ticks have done meanwhile."""
    days = RenderJob.objects.order_by().values_list(TruncDate("created_at", tzinfo=UTC), "document")
    states = {"completed": Count("pk", filter=~Q(state=State.FAILED)), "billed": Count("pk")}
    UsageDay.objects.all().delete()
    UsageDay.objects.bulk_create(
        UsageDay(
            day=day,
            account="default",
            document=document,
            test=False,
            **dict(zip(states, n, strict=True)),
        )
        for day, document, *n in days.annotate(**states)
    )
    last = RenderEvent.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    UsageMark.objects.update_or_create(pk=UsageMark.KEY, defaults={"event_id": last})


@contextmanager
def bulk_insertion(new_rows: int) -> Iterator[Dialect]:
    """Prepare the connection for the insertion of many rows; yield the database's dialect."""
    dialect = DIALECTS[connection.vendor]
    for statement in dialect.prepare:
        execute(statement)
    try:
        with without_indexes(dialect, new_rows):
            yield dialect
    finally:
        for statement in dialect.restore:
            execute(statement)


def vacuum() -> None:
    """Run VACUUM and CHECKPOINT, as PostgreSQL would within minutes; elsewhere ANALYZE."""
    if connection.vendor == "postgresql":
        execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}")
        execute("CHECKPOINT")
    else:
        analyze()


def analyze() -> None:
    """Collect statistics about the tables, for the query planner."""
    statement = "ANALYZE TABLE" if connection.vendor == "mysql" else "ANALYZE"
    tables = TABLES if connection.vendor == "mysql" else [""]
    for table in tables:
        execute(f"{statement} {table}")


def insert_jobs(dialect: Dialect, first: int, last: int) -> None:
    """Insert the jobs with these numbers, counted back from now."""
    series = dialect.series.format(first=first, last=last)
    execute("DROP TABLE IF EXISTS numbered_jobs")
    execute(
        f"CREATE TEMPORARY TABLE numbered_jobs AS"
        f" SELECT n, {dialect.key} AS id, -{SECONDS_BETWEEN_JOBS} * n AS t"
        f" FROM ({series}) AS numbers ORDER BY n DESC"
    )
    insert(RenderJob, job_columns(dialect), "numbered_jobs")
    insert(
        RenderInput,
        {"job_id": "id", "content": "'<h1>Invoice ' || n || '</h1>'", "options": "'{}'"},
        "numbered_jobs",
    )
    kinds = " UNION ALL ".join(
        f"SELECT {n} AS after, {sql_string(kind)} AS kind, {sql_string(before)} AS from_state,"
        f" {sql_string(state)} AS to_state"
        for n, kind, before, state in EVENTS
    )
    insert(
        RenderEvent,
        {
            "job_id": "numbered_jobs.id",
            "attempt": "CASE WHEN kind = 'enqueued' THEN 0 ELSE 1 END",
            "at": dialect.moment.format("t + after"),
            "kind": "kind",
            "from_state": "from_state",
            "to_state": "to_state",
        },
        f"numbered_jobs, ({kinds}) AS steps ORDER BY n DESC, after",
    )
    execute("DROP TABLE numbered_jobs")


def job_columns(dialect: Dialect) -> dict[str, str]:
    """Return the columns of a finished job that differ from the defaults; one in 25 has failed."""
    failed = "n % 25 = 0"
    moments = {"created_at": 0, "sent_at": 0, "submitted_at": 1, "rendered_at": 6, "finished_at": 7}
    invoice = ContentType.objects.get(app_label="shop", model="invoice").pk
    return {
        "id": "id",
        "document": f"'growth.Document' || (n % {DOCUMENTS})",
        "name": "'invoice-' || n || '.pdf'",
        "document_type": "'pdf'",
        "content_type_id": str(invoice),
        "object_id": f"CAST(n AS {dialect.text})",
        "state": f"CASE WHEN {failed} THEN 'failed' ELSE 'completed' END",
        "error_code": f"CASE WHEN {failed} THEN 'render_failed' ELSE '' END",
        "errors": f"CASE WHEN {failed} THEN 'Unclosed tag on line 7.' ELSE '' END",
        "attempt": "1",
        "status_id": "'status-' || n",
        "download_id": "'download-' || n",
        "download_attempts": "1",
        "number_of_pages": "2",
        "file": f"CASE WHEN {failed} THEN '' ELSE 'docraptor/growth/' || n || '.pdf' END",
        "file_size": "50000",
        "sha256": "'" + "0" * 64 + "'",
    } | {name: dialect.moment.format(f"t + {after}") for name, after in moments.items()}


def pending_columns(dialect: Dialect, account: str) -> dict[str, str]:
    """Return the columns of a due job that differ from the defaults; priorities repeat."""
    moments = {name: dialect.moment.format("-0.01 * n") for name in ("created_at", "due_at")}
    return moments | {
        "account": sql_string(account),
        "name": "'backlog-' || n || '.pdf'",
        "document_type": "'pdf'",
        "state": sql_string(State.PENDING),
        "priority": "n % 3",
    }


def insert(model: type[Model], columns: dict[str, str], source: str) -> None:
    """Run INSERT … SELECT, with the model's defaults for the other columns."""
    known = {field.column for field in model._meta.concrete_fields}
    assert set(columns) <= known, set(columns) - known
    everything = dict(defaults(model)) | columns
    names = ", ".join(map(connection.ops.quote_name, everything))
    execute(
        f"INSERT INTO {model._meta.db_table} ({names})"
        f" SELECT {', '.join(everything.values())} FROM {source}"
    )


def defaults(model: type[Model]) -> Iterator[tuple[str, str]]:
    """Yield every column that the database does not fill itself, with its default as SQL."""
    for field in model._meta.concrete_fields:
        if not (field.primary_key or field.has_db_default()):
            yield field.column, sql_default(field)


def sql_default(field: "Field[Any, Any]") -> str:
    """Return the default of a field as SQL."""
    value = field.get_default()
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return ("false", "true")[value] if connection.vendor == "postgresql" else str(int(value))
    return str(value) if isinstance(value, int) else sql_string("{}" if value == {} else str(value))


def sql_string(text: str) -> str:
    """Return a string literal in SQL."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def without_indexes(dialect: Dialect, new_rows: int) -> Iterator[None]:
    """Drop indexes that are not constraints while many rows are inserted."""
    found: Iterable[tuple[str, str]] = ()
    if new_rows >= DROP_INDEXES_FROM:
        found = list(execute(dialect.indexes.format(tables=", ".join(map(sql_string, TABLES)))))
    for statement, _definition in found:
        execute(statement)
    yield
    for _statement, definition in found:
        execute(definition)


def execute(sql: str) -> list[Any]:
    """Execute a statement without parameters; return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []
