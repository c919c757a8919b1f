"""Internal. Documents over many rows, rendered without loading all of them into memory.

A job stores its rows as JSON: primary keys, arguments of ``filter()``, or a stored query.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import (
    TYPE_CHECKING,
    Any,
    BinaryIO,
    ClassVar,
    Generic,
    NamedTuple,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.db.models import Model, QuerySet

from django_docraptor.documents.declaration import Document
from django_docraptor.documents.presentation import newest_objects
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.keywords import DocumentOptions, check_keywords, mapping_errors
from django_docraptor.models import RenderJob

if TYPE_CHECKING:
    from django_docraptor.client import SavedDocument
    from django_docraptor.job_specs import JobSpec

M = TypeVar("M", bound=Model)
# The parameter that describes a report's rows.
ROWS_PARAM = "rows"
# Rows of the report that is previewed.
PREVIEW_ROWS = 50
# Functions that resolve a `StoredQuery`, by name. The admin registers one.
QUERY_RESOLVERS: dict[str, Callable[[Mapping[str, Any]], QuerySet[Any]]] = {}


class StoredQuery(NamedTuple):
    """A query that one of ``QUERY_RESOLVERS`` runs in the worker.

    Args:
        resolver: name of the function.
        arguments: its JSON-serializable arguments.
    """

    resolver: str
    arguments: Mapping[str, Any]


class ReportOptions(DocumentOptions, total=False):
    """Keywords of a report: those of a document, and ``filters``."""

    filters: Mapping[str, Any]


class Rows(Generic[M]):
    """Rows fetched in chunks, anew for every iteration.

    They have a length because ``{% for %}`` copies an iterable without one into a list.

    Args:
        queryset: fetches the rows.
        keys: primary keys in order, or a queryset with these keys.
        chunk_size: rows per query.
    """

    def __init__(
        self,
        queryset: QuerySet[M],
        keys: "list[Any] | QuerySet[Any] | None" = None,
        *,
        chunk_size: int = 500,
    ) -> None:
        self.queryset = queryset
        self.keys = keys
        self.chunk_size = chunk_size
        self._length: int | None = None

    def __len__(self) -> int:
        if self._length is None:
            keys = self.queryset if self.keys is None else self.keys
            self._length = len(keys) if isinstance(keys, list) else keys.count()
        return self._length

    def __iter__(self) -> Iterator[M]:
        if self.keys is None:
            return self.queryset.iterator(chunk_size=self.chunk_size)
        if isinstance(self.keys, list):
            return self._in_order(iter(self.keys))
        keys = self.keys.values_list("pk", flat=True)
        return self._in_order(keys.iterator(chunk_size=self.chunk_size))

    def _in_order(self, keys: Iterator[Any]) -> Iterator[M]:
        """Yield the rows in the order of the keys, skipping deleted ones."""
        to_python = self.queryset.model._meta.pk.to_python
        while chunk := [to_python(key) for key in islice(keys, self.chunk_size)]:
            rows = self.queryset.in_bulk(chunk)
            yield from (rows[key] for key in chunk if key in rows)


class QuerysetDocument(Document[Any], Generic[M]):
    """A document over many rows of ``model``: a report, as PDF and as XLSX.

    Its template has ``rows``; they are fetched by ``get_queryset()`` in the worker.
    """

    #: Rows per query.
    chunk_size: ClassVar[int] = 500
    #: Maximum number of rows in a queryset, whose keys are stored with the job.
    max_rows: ClassVar[int] = 100_000

    _docraptor_keywords = ReportOptions.__required_keys__ | ReportOptions.__optional_keys__

    def get_queryset(self) -> QuerySet[M]:
        """Return the base queryset.

        Override it to add ``select_related``, annotations or an ordering.
        """
        if self.model is None:
            raise ImproperlyConfigured(
                f"{type(self).__name__} has no model: declare it as QuerysetDocument[Invoice], or "
                "set `model`."
            )
        return cast("QuerySet[M]", self.model._default_manager.all())

    @classmethod
    def get_preview_sources(cls) -> Iterable[Any]:
        """Return what the previews show: querysets, or ``None`` for all rows.

        Default: one report, on the newest 50 rows.
        """
        return [newest_objects(cls.model, PREVIEW_ROWS)] if cls.model else []

    @property
    def rows(self) -> Rows[M]:
        """Return the report's rows; they can be iterated over more than once."""
        rows_param = self.params.get(ROWS_PARAM, {})
        queryset = self.get_queryset().filter(**rows_param.get("filters", {}))
        return Rows(queryset, _keys(rows_param), chunk_size=self.chunk_size)

    def get_base_context(self) -> dict[str, Any]:
        """Add ``rows`` to the base context."""
        return {**super().get_base_context(), "rows": self.rows}

    @classmethod
    def enqueue(
        cls,
        source: "QuerySet[M] | StoredQuery | None" = None,
        *,
        snapshot: bool = False,
        **kwargs: Unpack[ReportOptions],
    ) -> RenderJob:
        """Enqueue a report on a queryset, on ``filters=…``, or on all rows, starting after commit.

        Args:
            source: a queryset whose keys are stored now (at most ``max_rows``), or a
                `StoredQuery`.
            snapshot: render the template now, so that the report shows the current data.
            kwargs: as for any document, and ``filters``: JSON arguments for ``filter()``,
                evaluated in the worker, so later rows are included.

        Raises:
            TypeError: a keyword is unknown.
            ValidationError: a field is invalid; nothing was saved.
        """
        from django_docraptor.shortcuts import enqueue_many

        return enqueue_many([cls.spec(source, snapshot=snapshot, **kwargs)])[0]

    if TYPE_CHECKING:  # The inherited methods take the same source and keywords as `enqueue`.

        @classmethod
        async def aenqueue(
            cls,
            source: QuerySet[M] | StoredQuery | None = None,
            *,
            snapshot: bool = False,
            **kwargs: Unpack[ReportOptions],
        ) -> RenderJob:
            """Enqueue a report from async code."""

        @overload
        @classmethod
        def render_now(
            cls,
            source: QuerySet[M] | StoredQuery | None = None,
            target: None = None,
            **kwargs: Unpack[ReportOptions],
        ) -> bytes: ...

        @overload
        @classmethod
        def render_now(
            cls,
            source: QuerySet[M] | StoredQuery | None,
            target: BinaryIO,
            **kwargs: Unpack[ReportOptions],
        ) -> "SavedDocument": ...

        @classmethod
        def render_now(cls, *args: Any, **kwargs: Any) -> Any:
            """Render a report synchronously, without a job."""

        @classmethod
        def preview_html(
            cls,
            source: QuerySet[M] | StoredQuery | None = None,
            **kwargs: Unpack[ReportOptions],
        ) -> str:
            """Return the HTML that would be sent now."""

        @classmethod
        def spec(
            cls,
            source: QuerySet[M] | StoredQuery | None = None,
            *,
            snapshot: bool = False,
            **kwargs: Unpack[ReportOptions],
        ) -> "JobSpec":
            """Return the JobSpec of a report."""

    @classmethod
    def _docraptor_build(cls, source: Any, overrides: dict[str, Any]) -> "QuerysetDocument[M]":
        """Return the report on a queryset, or on the rows of ``filters`` in the overrides."""
        check_keywords(cls.__name__, overrides, cls._docraptor_keywords)
        options = {name: overrides.pop(name, None) for name in ("filters", "params")}
        values = {name: value for name, value in options.items() if value is not None}
        if errors := [pair for item in values.items() for pair in mapping_errors(*item)]:
            raise ValidationError(dict(errors))
        rows_param = cls._docraptor_rows_param(source, values.get("filters"))
        params = {**values.get("params", {}), ROWS_PARAM: rows_param}
        document = cls(None, params, requested_type=overrides.get("document_type", ""))
        _validate_filters(document)
        return document

    @classmethod
    def _docraptor_accepts_model(cls, model: type) -> bool:
        """Return whether the report accepts rows of this model. Without a model it accepts none."""
        return cls.model is not None and super()._docraptor_accepts_model(model)

    @classmethod
    def _docraptor_rows_param(
        cls, source: Any, filters: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        from django_docraptor.payloads import options_to_json

        if source is None:
            return options_to_json({"filters": dict(filters or {})})
        if isinstance(source, StoredQuery):
            return options_to_json({source.resolver: dict(source.arguments)})
        if filters is not None:
            raise ValidationError({"filters": ["Pass either a queryset or filters, not both."]})
        if not isinstance(source, QuerySet) or not cls._docraptor_accepts_model(source.model):
            expected = f"a queryset of {cls.model.__name__}" if cls.model else "a queryset"
            raise ValidationError({"source": [f"{cls.__name__} requires {expected}."]})
        return {"keys": cls._docraptor_keys(source)}

    @classmethod
    def _docraptor_keys(cls, queryset: QuerySet[Any]) -> list[int | str]:
        keys = list(queryset.values_list("pk", flat=True)[: cls.max_rows + 1])
        if len(keys) > cls.max_rows:
            raise ValidationError(
                {
                    "source": [
                        f"The queryset has more than {cls.max_rows:,} rows ({cls.__name__}"
                        ".max_rows). Pass filters=… instead: they are stored without the rows."
                    ]
                }
            )
        return [key if isinstance(key, (int, str)) else str(key) for key in keys]


def _keys(rows_param: Mapping[str, Any]) -> "list[Any] | QuerySet[Any] | None":
    """Return the keys of a rows parameter; ``None`` for all rows.

    Raises:
        ConfigurationError: its resolver is not registered.
    """
    for name in rows_param.keys() - {"filters", "keys"}:
        if name not in QUERY_RESOLVERS:
            raise ConfigurationError(
                f"No query resolver is registered as {name!r}. Is its app in INSTALLED_APPS?"
            )
        return QUERY_RESOLVERS[name](rows_param[name])
    return cast("list[Any] | None", rows_param.get("keys"))


def _validate_filters(document: QuerysetDocument[Any]) -> None:
    """Report invalid filters now instead of in the worker. No rows are fetched."""
    try:
        str(document.rows.queryset.query)
    except (FieldError, ValueError, TypeError, ValidationError) as error:
        raise ValidationError({"filters": [f"Invalid filters: {error}"]}) from error
