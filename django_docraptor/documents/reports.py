"""One document over many rows, rendered without having all of them in memory.

What a job stores about its rows is JSON: their primary keys, the arguments of ``filter()``, or how
somebody else finds them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar, cast

from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.db.models import Model, QuerySet

from django_docraptor.documents.declaration import Document
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models import RenderJob
from django_docraptor.orders import wrong_mapping
from django_docraptor.payloads import options_to_json

M = TypeVar("M", bound=Model)
# The parameter that describes a report's rows.
ROWS = "rows"
# Who finds the rows of a `Search`: name → function. The admin has one.
FINDERS: dict[str, Callable[[Mapping[str, Any]], QuerySet[Any]]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Rows that are found in the worker, by one of ``FINDERS``.

    Args:
        finder: its name.
        facts: what it is told, as JSON.
    """

    finder: str
    facts: Mapping[str, Any]


class Rows(Generic[M]):
    """Rows that are fetched chunk by chunk, every time they are iterated over.

    ``{% for %}`` makes a list of what has no length: hence the length.

    Args:
        queryset: where they are fetched.
        keys: which of them, in which order: primary keys, or a queryset that has the same ones.
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
        """The rows of these keys, in their order; those that are gone are left out."""
        read = self.queryset.model._meta.pk.to_python
        while chunk := [read(key) for key in islice(keys, self.chunk_size)]:
            found = self.queryset.in_bulk(chunk)
            yield from (found[key] for key in chunk if key in found)


class QuerysetDocument(Document[Any], Generic[M]):
    """A document over many rows of ``model``: a report, as PDF and as XLSX.

    Its template has ``rows``; they are fetched by ``get_queryset()`` in the worker.
    """

    #: Rows fetched at once.
    chunk_size: ClassVar[int] = 500
    #: Most rows that a queryset may have: their keys are stored with the job.
    max_rows: ClassVar[int] = 100_000

    _arguments = Document._arguments | {"filters"}

    def get_queryset(self) -> QuerySet[M]:
        """Where the rows are fetched: add ``select_related``, annotations, an order."""
        if self.model is None:
            raise ImproperlyConfigured(f"{type(self).__name__} has no model.")
        return cast("QuerySet[M]", self.model._default_manager.all())

    @property
    def rows(self) -> Rows[M]:
        """The report's rows; they can be iterated over more than once."""
        described = self.params.get(ROWS, {})
        queryset = self.get_queryset().filter(**described.get("filters", {}))
        return Rows(queryset, _keys(described), chunk_size=self.chunk_size)

    def get_base_context(self) -> dict[str, Any]:
        """As every document's, and ``rows``."""
        return {**super().get_base_context(), "rows": self.rows}

    @classmethod
    def enqueue(cls, source: "QuerySet[M] | Search | None" = None, **order: Any) -> RenderJob:
        """Make one report over a queryset, over ``filters=…``, or over everything, after commit.

        Args:
            source: its rows as they are now; their keys are stored, at most ``max_rows``. Or a
                `Search`.
            order: as for any document, and ``filters``: JSON for ``filter()`` in the worker,
                which may find rows that are not there yet.

        Raises:
            ValidationError: naming the field; nothing was stored.
        """
        return super().enqueue(source, **order)

    @classmethod
    def of(cls, source: Any, order: dict[str, Any]) -> "QuerysetDocument[M]":
        """The report over a queryset, or over what ``filters`` in the order finds."""
        given = {name: order.pop(name, None) for name in ("filters", "params")}
        said = {name: value for name, value in given.items() if value is not None}
        if wrong := [pair for name, value in said.items() for pair in wrong_mapping(name, value)]:
            raise ValidationError(dict(wrong))
        params = {**said.get("params", {}), ROWS: cls._describe(source, said.get("filters"))}
        document = cls(None, params, ordered_type=order.get("document_type", ""))
        _check_filters(document)
        return document

    @classmethod
    def is_made_from(cls, model: type) -> bool:
        """Whether rows of that model can be reported on: without a model, none can."""
        return cls.model is not None and super().is_made_from(model)

    @classmethod
    def _describe(cls, source: Any, filters: Mapping[str, Any] | None) -> dict[str, Any]:
        if source is None:
            return options_to_json({"filters": dict(filters or {})})
        if isinstance(source, Search):
            return options_to_json({source.finder: dict(source.facts)})
        if filters is not None:
            raise ValidationError({"filters": ["Give a queryset or filters, not both."]})
        if not isinstance(source, QuerySet) or not cls.is_made_from(source.model):
            wanted = f"a queryset of {cls.model.__name__}" if cls.model else "a queryset"
            raise ValidationError({"source": [f"{cls.__name__} is made from {wanted}."]})
        return {"keys": cls._keys(source)}

    @classmethod
    def _keys(cls, queryset: QuerySet[Any]) -> list[int | str]:
        keys = list(queryset.values_list("pk", flat=True)[: cls.max_rows + 1])
        if len(keys) > cls.max_rows:
            raise ValidationError(
                {
                    "source": [
                        f"The queryset has more than {cls.max_rows:,} rows ({cls.__name__}"
                        ".max_rows): give filters=… instead, which are stored as they are."
                    ]
                }
            )
        return [key if isinstance(key, (int, str)) else str(key) for key in keys]


def _keys(described: Mapping[str, Any]) -> "list[Any] | QuerySet[Any] | None":
    """Which rows a description means, beside its filters; ``None`` for all.

    Raises:
        ConfigurationError: nobody here knows how to find them.
    """
    for name in described.keys() - {"filters", "keys"}:
        if name not in FINDERS:
            raise ConfigurationError(f"Nobody here finds rows by {name!r}: is its app installed?")
        return FINDERS[name](described[name])
    return cast("list[Any] | None", described.get("keys"))


def _check_filters(document: QuerysetDocument[Any]) -> None:
    """Find out now what the worker could not do. No rows are fetched."""
    try:
        str(document.rows.queryset.query)
    except (FieldError, ValueError, TypeError, ValidationError) as error:
        raise ValidationError({"filters": [f"These filters do not work: {error}"]}) from error
