"""Internal. Look up what commands receive as text: labels, accounts, error codes, primary keys.

All functions raise CommandError.
"""

import difflib
import json
from typing import Any

from django.apps import AppConfig, apps
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Model, QuerySet

from django_docraptor import registry
from django_docraptor.account_settings import account_names
from django_docraptor.documents import Document
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models import Account, RenderJob, sources
from django_docraptor.states import ErrorCode

DocumentClass = type[Document[Any]]
# Option value for jobs without a document, as in the admin's filter.
AD_HOC = "-"
# Names that an error lists if none is similar.
MAX_NAMES = 10
# Primary keys per query.
QUERY_CHUNK_SIZE = 500


def find_document(label: str) -> DocumentClass:
    """Return the document with a label; if there is none, name similar labels."""
    registered = registry.find(label)
    if isinstance(registered, DocumentAdapter):
        return registered.document
    labels = sorted(registry.all_documents())
    hint = _hint(label, labels, "Registered documents")
    raise CommandError(f"No document is registered as {label!r}. {hint}")


def find_label(text: str) -> str:
    """Return the label of a registered document, or of one that jobs still refer to.

    Raises:
        CommandError: there is none; it names a similar label.
    """
    if text == AD_HOC:
        return ""
    documents = registry.all_documents()
    if text in documents or (text and RenderJob.objects.filter(document=text).exists()):
        return text
    hint = _hint(text, sorted(documents), "Registered documents")
    raise CommandError(f"--document: there is no document {text!r}. {hint}")


def find_account(name: str) -> str:
    """Return the name of an account of ``ACCOUNTS``, or of one that has ever had a job.

    Raises:
        CommandError: there is none; it names similar accounts.
    """
    try:
        configured = account_names()
    except ConfigurationError:  # a command that resumes accounts must work nevertheless
        configured = ()
    if (
        name in configured
        or Account.objects.filter(pk=name).exists()
        or RenderJob.objects.active().filter(account=name).exists()
    ):
        return name
    names = sorted({*configured, *Account.objects.values_list("name", flat=True)})
    if not names:
        raise CommandError(f"There is no account {name!r}. No account has had a job yet.")
    raise CommandError(f"There is no account {name!r}. {_hint(name, names, 'Known accounts')}")


def find_error_code(code: str) -> str:
    """Return an error code.

    Raises:
        CommandError: there is none; it names similar ones.
    """
    codes = sorted(code.value for code in ErrorCode)
    if code in codes:
        return code
    raise CommandError(f"--error-code: there is no {code!r}. {_hint(code, codes, 'Error codes')}")


def find_app(text: str) -> AppConfig:
    """Return the app with a label or a dotted name.

    Raises:
        CommandError: there is none; it names a similar one.
    """
    configs = {config.label: config for config in apps.get_app_configs()}
    by_name = {config.name: config for config in configs.values()}
    if found := configs.get(text) or by_name.get(text):
        return found
    raise CommandError(
        f"There is no app {text!r} in INSTALLED_APPS. {_hint(text, sorted(configs), 'Apps')}"
    )


def find_model(config: AppConfig, text: str) -> type[Model]:
    """Return the model of an app, or of another one if the text names it, such as ``auth.User``.

    Raises:
        CommandError: there is none; it names a similar one.
    """
    label, _, name = text.rpartition(".")
    if label:
        config = find_app(label)
    models = {model.__name__: model for model in config.get_models()}
    for known, model in models.items():
        if known.lower() == name.lower():
            return model
    hint = _hint(name, sorted(models), "Its models") if models else "It has no models."
    raise CommandError(f"The app {config.label} has no model {name!r}. {hint}")


def _hint(text: str, names: list[str], title: str) -> str:
    matches = difflib.get_close_matches(text, names, n=3, cutoff=0.5)
    if matches:
        return f"Did you mean {' or '.join(matches)}?"
    more = ", …" if len(names) > MAX_NAMES and title == "Known accounts" else ""
    shown = names[:MAX_NAMES] if more else names
    return f"{title}: {', '.join(shown)}{more}."


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
    parsed = list(dict.fromkeys(parse_key(model, key) for key in keys))
    objects: dict[Any, Model] = {}
    for start in range(0, len(parsed), QUERY_CHUNK_SIZE):
        objects |= model._base_manager.in_bulk(parsed[start : start + QUERY_CHUNK_SIZE])
    missing = [key for key in parsed if key not in objects]
    if missing:
        raise CommandError(_missing_message(model, missing))
    return [objects[key] for key in parsed]


def parse_key(model: type[Model], key: str) -> Any:
    """Return the text of a primary key as a value of the model's key.

    Raises:
        CommandError: it is none.
    """
    try:
        return sources.parse_key(model, key)
    except ValidationError as error:
        raise CommandError(
            f"{key!r} is not a valid primary key of {model._meta.label}: {' '.join(error.messages)}"
        ) from None


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
