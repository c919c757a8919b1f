"""What a command is told: a document by its label, objects by their primary keys, parameters."""

import difflib
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Model, QuerySet

from django_docraptor import registry
from django_docraptor.documents import Document
from django_docraptor.documents.declaration import ClassRecipe

DocumentClass = type[Document[Any]]
# Keys of one query.
KEYS_AT_ONCE = 500


def find_document(label: str) -> DocumentClass:
    """The document of a label. Raises CommandError naming those that are close."""
    recipe = registry.find(label)
    if isinstance(recipe, ClassRecipe):
        return recipe.document
    known = sorted(registry.all_recipes())
    close = difflib.get_close_matches(label, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(known)}."
    raise CommandError(f"No document is registered as {label!r}. {hint}")


def find_sources(document: DocumentClass, keys: list[str]) -> list[Any]:
    """The objects with these keys, in their order. Raises CommandError naming what is wrong."""
    model = document.model
    if model is None:
        if keys:
            raise CommandError(f"{document.label} names no model: give it no primary keys.")
        return [None]
    if not keys:
        raise CommandError(f"{document.label} is made from {model._meta.label}: give primary keys.")
    wanted = list(dict.fromkeys(_read(model, key) for key in keys))
    found: dict[Any, Model] = {}
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        found |= model._base_manager.in_bulk(wanted[start : start + KEYS_AT_ONCE])
    missing = [key for key in wanted if key not in found]
    if missing:
        raise CommandError(_missing(model, missing))
    return [found[key] for key in wanted]


def _read(model: type[Model], key: str) -> Any:
    field = model._meta.pk
    try:
        value = field.to_python(key)
        field.run_validators(value)  # a number may be too large for the database
    except ValidationError as error:
        said = f"{key!r} is no primary key of {model._meta.label}: {' '.join(error.messages)}"
        raise CommandError(said) from None
    return value


def _missing(model: type[Model], keys: list[Any]) -> str:
    """That there are no such objects, and which keys come before and after the first."""
    rows: QuerySet[Model] = model._base_manager.all()
    before = rows.filter(pk__lt=keys[0]).order_by("-pk").values_list("pk", flat=True).first()
    after = rows.filter(pk__gt=keys[0]).order_by("pk").values_list("pk", flat=True).first()
    near = " and ".join(str(key) for key in (before, after) if key is not None)
    hint = f"The nearest keys are {near}." if near else "There are none at all."
    return f"{model._meta.label} has no {', '.join(map(str, keys))}. {hint}"


def rows_of(sources: list[Any]) -> QuerySet[Any]:
    """Objects of one model as a report takes them."""
    rows: QuerySet[Any] = type(sources[0])._base_manager.filter(pk__in=[row.pk for row in sources])
    return rows


def read_params(text: str) -> dict[str, Any]:
    """A document's parameters as they are stored: a JSON object. Raises CommandError."""
    try:
        params = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--params is no JSON: {error}") from None
    if not isinstance(params, dict):
        raise CommandError('--params is no JSON object, such as {"pay_by": "2026-01-31"}.')
    return params
