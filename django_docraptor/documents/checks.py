"""Internal. System checks for document classes.

Check IDs continue those of ``django_docraptor.checks``.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import FileField, Model
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template

from django_docraptor import registry
from django_docraptor.conf import duration_error
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.documents.declaration import Document
from django_docraptor.documents.reports import QuerysetDocument
from django_docraptor.job_specs import (
    MAX_PRIORITY,
    check_engine_options,
    locale_errors,
    storage_errors,
)
from django_docraptor.payloads import DocumentRequest, DocumentType, unknown_options

DocumentClass = type[Document[Any]]


def _error(document: DocumentClass, number: int, message: str, hint: str) -> Error:
    text = f"{document.__name__}{message}"
    return Error(text, hint=hint, obj=document, id=f"django_docraptor.E{number:03}")


@register
def check_documents(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check every registered class, or those of the given apps."""
    labels = None if app_configs is None else {config.label for config in app_configs}
    return [
        message
        for label, adapter in registry.all_documents().items()
        if isinstance(adapter, DocumentAdapter)
        and (labels is None or label.partition(".")[0] in labels)
        for message in check_document(adapter.document)
    ]


def check_document(document: DocumentClass) -> list[CheckMessage]:
    """Check one class."""
    checks = (_template, _type, _options, _model, _deliver_to, _defaults, _hosted, _storage)
    return [message for check in checks for message in check(document)]


def _template(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.render is not Document.render:  # it may not use the template at all
        return
    try:
        get_template(document.template_name)
    except (TemplateDoesNotExist, TemplateSyntaxError, UnicodeDecodeError) as error:
        yield _error(
            document,
            9,
            f".template_name is {document.template_name!r}, which cannot be loaded: "
            f"{type(error).__name__}: {error}",
            "Fix the name or the template, or add the app that contains it to INSTALLED_APPS.",
        )


def _type(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.document_type not in list(DocumentType):
        message = f".document_type is {document.document_type!r}, which is not a document type."
        yield _error(document, 10, message, f"Use one of: {', '.join(DocumentType)}.")


def _options(document: DocumentClass) -> Iterator[CheckMessage]:
    try:
        request = DocumentRequest.from_options(name="check", content="-", options=document.options)
        check_engine_options(request)
    except (ValidationError, TypeError, ValueError, AttributeError) as error:
        hint = "Use the option names and values of DocRaptor's API documentation."
        yield _error(document, 11, f".options is invalid: {error}", hint)
        return
    for name, hint in unknown_options(request):
        yield Warning(
            f"{document.__name__}.options contains {name}, which this version of django_docraptor "
            "does not know.",
            hint=hint,
            obj=document,
            id="django_docraptor.W005",
        )


def _model(document: DocumentClass) -> Iterator[CheckMessage]:
    model: Any = document.model
    if model is None:
        return
    if not (isinstance(model, type) and issubclass(model, Model)) or model._meta.abstract:
        hint = "Set it to a concrete model class, or remove it."
        yield _error(document, 12, f".model is {model!r}, which is not a concrete model.", hint)


def _deliver_to(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.deliver_to and not _is_file_field(document):
        yield _error(
            document,
            13,
            f".deliver_to is {document.deliver_to!r}, which is not a FileField of its model.",
            "Set it to the name of a FileField of `model`.",
        )


def _is_file_field(document: DocumentClass) -> bool:
    model: Any = document.model
    try:
        return isinstance(model._meta.get_field(document.deliver_to), FileField)
    except (FieldDoesNotExist, AttributeError):
        return False


def _defaults(document: DocumentClass) -> Iterator[CheckMessage]:
    for name, problem in [
        *locale_errors(document.language, document.time_zone),
        *_value_errors(document),
    ]:
        hint = "Remove it to use the default."
        yield _error(document, 14, f".{name} is invalid: {problem}", hint)


def _value_errors(document: DocumentClass) -> Iterator[tuple[str, str]]:
    if document.test not in (None, True, False):
        yield "test", f"It must be True, False or None, not {document.test!r}."
    priority: Any = document.priority
    if type(priority) is not int or abs(priority) > MAX_PRIORITY:
        limits = f"between -{MAX_PRIORITY} and {MAX_PRIORITY}"
        yield "priority", f"It must be an integer {limits}, not {priority!r}."
    if document.hosted not in (True, False):
        yield "hosted", f"It must be True or False, not {document.hosted!r}."
    lifetime: Any = document.hosted_lifetime
    if lifetime is not None and not (isinstance(lifetime, timedelta) and lifetime > timedelta(0)):
        yield "hosted_lifetime", f"It must be a positive timedelta, not {lifetime!r}."
    limit: Any = document.hosted_download_limit
    if limit is not None and (type(limit) is not int or limit < 1):
        yield "hosted_download_limit", f"It must be an integer of at least 1, not {limit!r}."
    if document.retention is not None and (problem := duration_error(document.retention)):
        yield "retention", f"it {problem}."


def _hosted(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.hosted and document.deliver_to:
        yield _error(
            document,
            18,
            ".hosted and .deliver_to cannot be combined: a hosted document has no file here.",
            "Remove one of them. Link to job.public_url instead of delivering a file.",
        )


def _storage(document: DocumentClass) -> Iterator[CheckMessage]:
    for _name, problem in storage_errors(document.storage):
        hint = "Set it to an alias in STORAGES, or remove it to use the default document storage."
        yield _error(document, 19, f".storage is invalid: {problem}", hint)
