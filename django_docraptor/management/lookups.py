"""Internal. Look up what commands receive as text: documents by label, objects by primary key.

All functions raise CommandError.
"""

import difflib
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Model, QuerySet

from django_docraptor import registry
from django_docraptor.documents import Document
from django_docraptor.documents.adapter import DocumentAdapter

DocumentClass = type[Document[Any]]
# Primary keys per query.
QUERY_CHUNK_SIZE = 500


def find_document(label: str) -> DocumentClass:
    """Return the document with a label; if there is none, name similar labels."""
    registered = registry.find(label)
    if isinstance(registered, DocumentAdapter):
        return registered.document
    labels = sorted(registry.all_documents())
    matches = difflib.get_close_matches(label, labels, n=3, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(matches)}?"
        if matches
        else f"Registered documents: {', '.join(labels)}."
    )
    raise CommandError(f"No document is registered as {label!r}. {hint}")


def find_sources(document: DocumentClass, keys: list[str]) -> list[Any]:
    """Return the objects with these keys, in this order; ``[None]`` if there is no model."""
    model = document.model
    if model is None:
        if keys:
            raise CommandError(f"{document.label} has no model, so it takes no primary keys.")
        return [None]
    if not keys:
        raise CommandError(
            f"{document.label} needs at least one primary key of {model._meta.label}."
        )
    parsed = list(dict.fromkeys(_parse_key(model, key) for key in keys))
    objects: dict[Any, Model] = {}
    for start in range(0, len(parsed), QUERY_CHUNK_SIZE):
        objects |= model._base_manager.in_bulk(parsed[start : start + QUERY_CHUNK_SIZE])
    missing = [key for key in parsed if key not in objects]
    if missing:
        raise CommandError(_missing_message(model, missing))
    return [objects[key] for key in parsed]


def _parse_key(model: type[Model], key: str) -> Any:
    field = model._meta.pk
    try:
        value = field.to_python(key)
        field.run_validators(value)  # a number may be too large for the database
    except ValidationError as error:
        raise CommandError(
            f"{key!r} is not a valid primary key of {model._meta.label}: {' '.join(error.messages)}"
        ) from None
    return value


def _missing_message(model: type[Model], keys: list[Any]) -> str:
    """Return a message about missing objects, with the nearest existing keys."""
    rows: QuerySet[Model] = model._base_manager.all()
    before = rows.filter(pk__lt=keys[0]).order_by("-pk").values_list("pk", flat=True).first()
    after = rows.filter(pk__gt=keys[0]).order_by("pk").values_list("pk", flat=True).first()
    nearest = " and ".join(str(key) for key in (before, after) if key is not None)
    hint = f"The nearest keys are {nearest}." if nearest else "The table is empty."
    return f"No {model._meta.label} with primary key {', '.join(map(str, keys))}. {hint}"


def queryset_of(sources: list[Any]) -> QuerySet[Any]:
    """Return a queryset of these objects of one model."""
    rows: QuerySet[Any] = type(sources[0])._base_manager.filter(pk__in=[row.pk for row in sources])
    return rows


def parse_params(text: str) -> dict[str, Any]:
    """Parse document parameters from a JSON object."""
    try:
        params = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--params is not valid JSON: {error}") from None
    if not isinstance(params, dict):
        raise CommandError('--params must be a JSON object, such as {"pay_by": "2026-01-31"}.')
    return params
