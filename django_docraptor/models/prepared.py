"""Internal. Statements that are compiled once per process and then run with other values.

Django takes several times as long to build a large statement as the database to run it.
"""

from collections.abc import Callable, Sequence
from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeAlias, TypeVar

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression
from django.db.models.sql import InsertQuery

from django_docraptor.models.clock import Now, offset_minutes

if TYPE_CHECKING:
    from django.db.models.sql.compiler import SQLCompiler

RowT = TypeVar("RowT")
T = TypeVar("T")
P = ParamSpec("P")
# How a column's value is written: as a parameter, as NULL or a constant, or as the present.
Kind: TypeAlias = str | type[Now]
PARAMETER: Final = "%s"
NULL: Final = "NULL"
# The SQL of an empty text, False and zero, by the column's type and the value's.
CONSTANTS: Final[dict[type, dict[type, str]]] = {
    models.CharField: {str: "''"},
    models.TextField: {str: "''"},
    models.BooleanField: {bool: "FALSE"},
    models.IntegerField: {int: "0"},
}


class Parameter(Expression):
    """A value that is given when the query runs.

    Args:
        name: by which it is given.
        output_field: its type.
    """

    def __init__(self, name: str, output_field: "models.Field[Any, Any]") -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: "SQLCompiler", connection: BaseDatabaseWrapper) -> Any:
        """Return a mark, with this object in place of the value."""
        return "%s", [self]

    def prepare(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """Return a value as the database's driver expects it."""
        return self.output_field.get_db_prep_value(value, connection)


class PreparedQuery(Generic[RowT]):
    """A query, compiled when this object is created.

    Args:
        rows: the query; where its values differ it has a :class:`Parameter`.
    """

    def __init__(self, rows: "models.QuerySet[Any, RowT]") -> None:
        self._rows = rows
        self._compiler = rows.query.get_compiler(using=rows.db)
        self._sql, self._params = self._compiler.as_sql()

    def fetch(self, **values: Any) -> list[RowT]:
        """Run the query, in any thread, with values for its parameters."""
        connection = connections[self._rows.db]
        params = tuple(
            param.prepare(values[param.name], connection) if isinstance(param, Parameter) else param
            for param in self._params
        )
        compiler: Any = copy(self._compiler)
        compiler.connection = connection
        compiler.as_sql = lambda *args, **kwargs: (self._sql, params)
        found = list(compiler.execute_sql())
        if not found:  # as most often: what follows takes longer than the query
            return []
        compiler.execute_sql = lambda *args, **kwargs: found
        rows = self._rows.all()
        query: Any = rows.query
        query.get_compiler = lambda *args, **kwargs: compiler
        return list(rows)


def compiled_once(model: type[models.Model]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep what a function compiles for the database to which a model is written.

    It is compiled once for the same arguments, and again when the database's zone changes its
    offset, which is in the text of :class:`Now`. So whatever else changes while a process runs,
    such as a setting or a time of this machine, must be an argument, or a :class:`Parameter`.

    Args:
        model: by which routers find the database.
    """

    def decorate(build: Callable[P, T]) -> Callable[P, T]:
        @lru_cache(maxsize=64)
        def compile_for(_using: str, _offset: int, *args: P.args, **kwargs: P.kwargs) -> T:
            return build(*args, **kwargs)

        def get(*args: P.args, **kwargs: P.kwargs) -> T:
            using = router.db_for_write(model)
            offset = offset_minutes(connections[using])
            # Arguments are hashable; P cannot say so.
            return compile_for(using, offset, *args, **kwargs)  # type: ignore[arg-type]

        return get

    return decorate


def prepared(
    model: type[models.Model],
) -> "Callable[[Callable[P, models.QuerySet[Any, RowT]]], Callable[P, PreparedQuery[RowT]]]":
    """Let a function that builds a query return it prepared, see :func:`compiled_once`."""

    def decorate(
        build: "Callable[P, models.QuerySet[Any, RowT]]",
    ) -> Callable[P, PreparedQuery[RowT]]:
        @compiled_once(model)
        def prepare(*args: P.args, **kwargs: P.kwargs) -> PreparedQuery[RowT]:
            return PreparedQuery(build(*args, **kwargs).using(router.db_for_write(model)))

        return prepare

    return decorate


def insert_sql(row: models.Model, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """Return the INSERT of one row, without RETURNING, and its parameters.

    The text is compiled once for all rows that have the same constants and expressions in the same
    columns. The database generates the key if it is a number. As with ``bulk_create``, no signals
    are sent.
    """
    values = _row_values(row, connection)
    if values is None:
        return _compile_insert(row, connection)
    text, params = values
    return f"{_insert_text(type(row), connection.alias)} {text}", params


def insert_rows(
    rows: Sequence[models.Model], connection: BaseDatabaseWrapper, *, batch_size: int
) -> None:
    """Insert rows of one model by one statement for each batch, as :func:`insert_sql` does.

    Args:
        rows: may be none.
        connection: whose transaction they belong to.
        batch_size: rows of one statement, if the database takes so many.
    """
    if not rows:
        return
    model = type(rows[0])
    found = [_row_values(row, connection) for row in rows]
    size = min(batch_size, _max_rows(found, connection))
    with connection.cursor() as cursor:
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            values = [row for row in found[start : start + size] if row is not None]
            if len(values) < len(batch):
                model._base_manager.using(connection.alias).bulk_create(batch)
                continue
            texts = ", ".join(text for text, _params in values)
            params = [param for _text, params in values for param in params]
            cursor.execute(f"{_insert_text(model, connection.alias)} {texts}", params)
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def _max_rows(
    found: Sequence[tuple[str, list[Any]] | None], connection: BaseDatabaseWrapper
) -> int:
    """Return how many rows one statement takes: what is empty is no parameter."""
    limit = connection.features.max_query_params
    widest = max((len(row[1]) for row in found if row is not None), default=0)
    return max(1, limit // max(1, widest)) if limit else len(found)


def _row_values(row: models.Model, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]] | None:
    """Return a row of VALUES and its parameters; ``None`` if it has an expression of its own."""
    kinds: list[Kind] = []
    params = []
    for field, constants in _columns(type(row)):
        value = field.pre_save(row, add=True)
        kind = type(value)
        if value is None:
            kinds.append(NULL)
        elif kind in constants and not value:
            kinds.append(constants[kind])
        elif kind is str and kind in constants:  # stored as it is
            kinds.append(PARAMETER)
            params.append(value)
        elif kind is Now:
            kinds.append(kind)
        elif hasattr(value, "resolve_expression"):
            return None
        elif (value := field.get_db_prep_save(value, connection)) is None:
            kinds.append(NULL)
        else:
            kinds.append(PARAMETER)
            params.append(value)
    offset = offset_minutes(connection)
    return _row_text(type(row), connection.alias, offset, tuple(kinds)), params


@lru_cache(maxsize=16)
def _insert_text(model: type[models.Model], using: str) -> str:
    """Return the text of an INSERT up to its values."""
    quote = connections[using].ops.quote_name
    columns = ", ".join(quote(field.column) for field in _inserted_fields(model))
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES"


@lru_cache(maxsize=256)
def _row_text(model: type[models.Model], using: str, _offset: int, kinds: tuple[Kind, ...]) -> str:
    """Return the text of a row of VALUES; again when the database's zone changes its offset."""
    query = InsertQuery(model)
    compiler = query.get_compiler(connection=connections[using])
    values = []
    for kind in kinds:
        if isinstance(kind, str):
            values.append(kind)
            continue
        sql, _params = compiler.compile(kind().resolve_expression(query, for_save=True))
        values.append(sql)
    return f"({', '.join(values)})"


@lru_cache(maxsize=16)
def _columns(model: type[models.Model]) -> tuple[tuple[Any, dict[type, str]], ...]:
    """Return a model's columns, each with the SQL of its falsy values by their type.

    Most columns of a new row are empty. They take neither a parameter nor Django's conversion.
    """
    return tuple((field, _constants_of(field)) for field in _inserted_fields(model))


def _constants_of(field: Any) -> dict[type, str]:
    """Return the SQL of a column's empty values by their type; none for a field of our own.

    Such a field may store another value.
    """
    if type(field).__module__ != models.Field.__module__:
        return {}
    return next((sql for kind, sql in CONSTANTS.items() if isinstance(field, kind)), {})


@lru_cache(maxsize=16)
def _inserted_fields(model: type[models.Model]) -> tuple[Any, ...]:
    """Return a model's columns, but for a key that the database generates."""
    fields = model._meta.local_concrete_fields
    return tuple(field for field in fields if field is not model._meta.auto_field)


def _compile_insert(row: models.Model, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """Return the INSERT of a row as Django compiles it."""
    query = InsertQuery(type(row))
    query.insert_values(_inserted_fields(type(row)), [row])
    ((sql, params),) = query.get_compiler(connection=connection).as_sql()
    return sql, list(params)
