"""Internal. UPDATEs of jobs that run for each document, alone or with the rows of their history.

Django takes longer to build such a statement than the database to run it, so they are put together
from the columns' own SQL. Knows neither jobs nor states.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from django.db import connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql import Query, UpdateQuery

from django_docraptor.models.clock import Now, as_datetime, offset_minutes

Model: TypeAlias = type[models.Model]
# SQL with its parameters.
Sql: TypeAlias = tuple[str, list[Any]]


class Update(NamedTuple):
    """An UPDATE of the rows whose columns have given values.

    Args:
        model: the rows' model.
        where: the values by column; ``None`` is NULL, and a list means *one of*. The primary key
            is among them.
        changes: columns to set, to values or expressions.
    """

    model: Model
    where: Mapping[str, Any]
    changes: Mapping[str, Any]

    @property
    def keys(self) -> list[Any]:
        """The primary keys of the rows that may match."""
        keys = self.where[self.model._meta.pk.name]
        return keys if isinstance(keys, list) else [keys]

    def sql(self, connection: BaseDatabaseWrapper) -> Sql:
        """Return the statement."""
        quote = connection.ops.quote_name
        changes = [*_assignments(connection, self.model, self.changes)]
        conditions = [_condition(connection, self.model, *item) for item in self.where.items()]
        clauses = (
            f"UPDATE {quote(self.model._meta.db_table)}",
            f"SET {', '.join(f'{column} = {value}' for column, value, _ in changes)}",
            f"WHERE {' AND '.join(condition for condition, _ in conditions)}",
        )
        params = [param for *_, params in (*changes, *conditions) for param in params]
        return " ".join(clauses), params


class Child(NamedTuple):
    """A row to insert for each updated row.

    Args:
        model: its model.
        parent: name of its foreign key to the updated row.
        columns: its other columns, the same for each.
        copied: columns that get a value of the updated row, by the name of the column there.
    """

    model: Model
    parent: str
    columns: Mapping[str, Any]
    copied: Mapping[str, str] = MappingProxyType({})

    @property
    def all_columns(self) -> dict[str, Any]:
        """All columns with their values, but for those that the database fills in."""
        given = self.columns
        return {
            name: given[name] if name in given else field.get_default()
            for name, field in _own_columns(self.model, self.parent, *self.copied)
        }


@lru_cache(maxsize=64)
def _own_columns(model: Model, *others: str) -> tuple[tuple[str, Any], ...]:
    """Return a model's columns by name, but for others and those that the database fills in."""
    return tuple(
        (field.name, field)
        for field in model._meta.concrete_fields
        if not (field.name in others or field.primary_key or field.has_db_default())
    )


def combines_writes(using: str) -> bool:
    """Return whether one statement can write to two tables, and so is a transaction of its own."""
    return connections[using].vendor == "postgresql"


def database_now(*, using: str) -> datetime:
    """Return the time by the database's clock."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_now_sql(using, offset_minutes(connection))}", [])
        now: datetime = as_datetime(cursor.fetchone()[0], connection.timezone)
    return now


def update_rows(update: Update, *, using: str) -> int:
    """Run an UPDATE, and return the number of rows that matched."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(*update.sql(connection))
        return int(cursor.rowcount)


def lock_row(model: Model, key: str, columns: Mapping[str, Any] | None = None) -> None:
    """Lock a row until the transaction ends; create it if there is none.

    It writes ``locked_at`` first, so it also works on databases without row locks.

    Args:
        model: has the column ``locked_at``.
        key: the row's primary key.
        columns: what else is written.
    """
    using, name = router.db_for_write(model), model._meta.pk.name
    columns = {"locked_at": Now(), **(columns or {})}
    if update_rows(Update(model, {name: key}, columns), using=using):
        return
    # One statement: on MariaDB, concurrent failed inserts share a lock and then deadlock.
    supports_target = connections[using].features.supports_update_conflicts_with_target
    model._default_manager.bulk_create(
        [model(**{name: key}, **columns)],
        update_conflicts=True,
        update_fields=list(columns),
        unique_fields=[name] if supports_target else None,
    )


def update_with_child(update: Update, child: Child, *, using: str) -> dict[Any, Any]:
    """Update rows and insert another row for each, in one transaction.

    PostgreSQL does both by one statement. Elsewhere it takes two; and if only some of several rows
    matched, a third one, which finds them by the lease token that the UPDATE must then write.

    Returns:
        The keys of the updated rows, each with that of the inserted one; the latter is ``None`` if
        the database cannot tell.
    """
    if combines_writes(using):
        return _update_with_child_at_once(update, child, using=using)
    with transaction.atomic(using=using, savepoint=False):
        count, token = update_rows(update, using=using), update.changes.get("lease_token", "")
        keys = changed_keys(update.model, update.keys, count, lease_token=token, using=using)
        copied = _copied_columns(update, child, keys, using=using)
        rows = [
            child.model(**{f"{child.parent}_id": key}, **child.columns, **copied.get(key, {}))
            for key in keys
        ]
        if len(rows) == 1:
            rows[0].save(force_insert=True, using=using)
        elif rows:
            child.model._base_manager.using(using).bulk_create(rows)
    return {key: row.pk for key, row in zip(keys, rows, strict=True)}


def changed_keys(
    model: Model, keys: list[Any], count: int, *, lease_token: str, using: str
) -> list[Any]:
    """Return the keys of the rows that an UPDATE has changed, from how many there were.

    Args:
        model: the rows' model.
        keys: of the rows that may have matched.
        count: how many did.
        lease_token: what the UPDATE has written, for this and no other claim; it is read only if
            some rows matched and others did not.
    """
    if count in (0, len(keys)):
        return keys[:count]
    rows = model._base_manager.using(using).filter(pk__in=keys, lease_token=lease_token)
    changed = set(rows.values_list("pk", flat=True))
    return [key for key in keys if key in changed]


def _copied_columns(
    update: Update, child: Child, keys: list[Any], *, using: str
) -> dict[Any, dict[str, Any]]:
    """Return what each child gets from its updated row."""
    if not child.copied or not keys:
        return {}
    rows = update.model._base_manager.using(using).filter(pk__in=keys)
    return {
        key: dict(zip(child.copied, values, strict=True))
        for key, *values in rows.values_list("pk", *child.copied.values())
    }


def _update_with_child_at_once(update: Update, child: Child, *, using: str) -> dict[Any, Any]:
    """Run the UPDATE as a common table expression, whose rows the INSERT selects."""
    connection = connections[using]
    quote = connection.ops.quote_name
    sql, params = update.sql(connection)
    columns = [*_assignments(connection, child.model, child.all_columns)]
    sources = [quote(_field(update.model, name).column) for name in child.copied.values()]
    updated_key = quote(_key(update.model))
    parent = quote(_field(child.model, child.parent).column)
    copies = [quote(_field(child.model, name).column) for name in child.copied]
    names = ", ".join([parent, *copies, *(column for column, *_ in columns)])
    values = ", ".join([updated_key, *sources, *(value for _, value, _ in columns)])
    clauses = (
        f"WITH updated AS ({sql} RETURNING {', '.join(dict.fromkeys([updated_key, *sources]))})",
        f"INSERT INTO {quote(child.model._meta.db_table)} ({names})",
        " ".join(("SELECT", values, "FROM updated")),
        f"RETURNING {parent}, {quote(_key(child.model))}",
    )
    params += [param for *_, params in columns for param in params]
    with connection.cursor() as cursor:
        cursor.execute(" ".join(clauses), params)
        return dict(cursor.fetchall())


def _assignments(
    connection: BaseDatabaseWrapper, model: Model, values: Mapping[str, Any]
) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield each column with the SQL of its new value, and the parameters of that."""
    for name, value in values.items():
        field = _field(model, name)
        sql = "%s"
        params: list[Any] = []
        if type(value) is Now:
            sql = _now_sql(connection.alias, offset_minutes(connection))
        elif hasattr(value, "resolve_expression"):
            sql, params = _compile(connection, model, value)
        else:
            params.append(field.get_db_prep_save(value, connection))
        yield connection.ops.quote_name(field.column), sql, params


@lru_cache(maxsize=16)
def _now_sql(using: str, _offset: int) -> str:
    """Compile the time that most statements write; again when the zone changes its offset."""
    sql, _params = Query(None).get_compiler(connection=connections[using]).compile(Now())
    return str(sql)


def _compile(connection: BaseDatabaseWrapper, model: Model, expression: Any) -> Sql:
    query = UpdateQuery(model)
    resolved = expression.resolve_expression(query, allow_joins=False, for_save=True)
    sql, params = query.get_compiler(connection=connection).compile(resolved)
    return sql, list(params)


def _condition(connection: BaseDatabaseWrapper, model: Model, name: str, value: Any) -> Sql:
    field = _field(model, name)
    column = connection.ops.quote_name(field.column)
    if value is None:
        return f"{column} IS NULL", []
    values = value if isinstance(value, list) else [value]
    params = [field.get_db_prep_value(item, connection) for item in values]
    return f"{column} IN ({', '.join(['%s'] * len(params))})", params


def _field(model: Model, name: str) -> Any:
    """Return the field of a column; in Django's types, it may be one without a column."""
    return model._meta.get_field(name)


def _key(model: Model) -> str:
    """Return the column of the primary key."""
    return str(model._meta.pk.column)
