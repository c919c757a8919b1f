"""System checks of document classes. Ids go on from those in ``django_docraptor.checks``."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import FileField, Model
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template

from django_docraptor import registry
from django_docraptor.conf import wrong_duration
from django_docraptor.documents.declaration import ClassRecipe, Document
from django_docraptor.orders import MAX_PRIORITY, wrong_place, wrong_storage
from django_docraptor.payloads import DocumentRequest, DocumentType, unknown_options

DocumentClass = type[Document[Any]]


def _error(document: DocumentClass, number: int, message: str, hint: str) -> Error:
    text = f"{document.__name__}{message}"
    return Error(text, hint=hint, obj=document, id=f"django_docraptor.E{number:03}")


@register
def check_documents(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Every registered class, or those of some apps."""
    labels = None if app_configs is None else {config.label for config in app_configs}
    return [
        message
        for label, recipe in registry.all_recipes().items()
        if isinstance(recipe, ClassRecipe) and (labels is None or label.partition(".")[0] in labels)
        for message in check_document(recipe.document)
    ]


def check_document(document: DocumentClass) -> list[CheckMessage]:
    """What is wrong with one class."""
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
            f".template_name is {document.template_name!r}: {type(error).__name__}: {error}",
            "Correct the name or the template, or install the app that has it.",
        )


def _type(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.document_type not in list(DocumentType):
        hint = f"DocRaptor makes: {', '.join(DocumentType)}."
        yield _error(document, 10, f".document_type is {document.document_type!r}.", hint)


def _options(document: DocumentClass) -> Iterator[CheckMessage]:
    try:
        request = DocumentRequest.from_options(name="check", content="-", options=document.options)
    except (ValidationError, TypeError, ValueError, AttributeError) as error:
        hint = "The names are DocRaptor's own, as in its API documentation."
        yield _error(document, 11, f".options cannot be sent: {error}", hint)
        return
    for name, hint in unknown_options(request):
        yield Warning(
            f"{document.__name__}.options has {name}, which this version does not know.",
            hint=hint,
            obj=document,
            id="django_docraptor.W005",
        )


def _model(document: DocumentClass) -> Iterator[CheckMessage]:
    model: Any = document.model
    if model is None:
        return
    if not (isinstance(model, type) and issubclass(model, Model)) or model._meta.abstract:
        hint = "Give the class of a concrete model, or leave it out."
        yield _error(document, 12, f".model is {model!r}, which is no concrete model.", hint)


def _deliver_to(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.deliver_to and not _is_file_field(document):
        yield _error(
            document,
            13,
            f".deliver_to is {document.deliver_to!r}, which is no FileField of its model.",
            "Name a FileField of the class in `model`.",
        )


def _is_file_field(document: DocumentClass) -> bool:
    model: Any = document.model
    try:
        return isinstance(model._meta.get_field(document.deliver_to), FileField)
    except (FieldDoesNotExist, AttributeError):
        return False


def _defaults(document: DocumentClass) -> Iterator[CheckMessage]:
    for name, problem in [
        *wrong_place(document.language, document.time_zone),
        *_wrong_values(document),
    ]:
        hint = "Leave it out to have the default."
        yield _error(document, 14, f".{name} cannot be: {problem}", hint)


def _wrong_values(document: DocumentClass) -> Iterator[tuple[str, str]]:
    if document.test not in (None, True, False):
        yield "test", f"{document.test!r} is none of None, True and False."
    priority: Any = document.priority
    if type(priority) is not int or abs(priority) > MAX_PRIORITY:
        yield "priority", f"{priority!r} is no whole number within ±{MAX_PRIORITY}."
    if document.hosted not in (True, False):
        yield "hosted", f"{document.hosted!r} is neither True nor False."
    lifetime: Any = document.hosted_lifetime
    if lifetime is not None and not (isinstance(lifetime, timedelta) and lifetime > timedelta(0)):
        yield "hosted_lifetime", f"{lifetime!r} is no timedelta above zero."
    limit: Any = document.hosted_download_limit
    if limit is not None and (type(limit) is not int or limit < 1):
        yield "hosted_download_limit", f"{limit!r} is no whole number from 1."
    if document.retention is not None and (problem := wrong_duration(document.retention)):
        yield "retention", f"it {problem}."


def _hosted(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.hosted and document.deliver_to:
        yield _error(
            document,
            18,
            ".hosted and .deliver_to exclude each other: DocRaptor keeps a hosted document.",
            "Leave one of them out; link to job.public_url instead.",
        )


def _storage(document: DocumentClass) -> Iterator[CheckMessage]:
    for _name, problem in wrong_storage(document.storage):
        hint = "Name an alias of STORAGES, or leave it out for the package's rule."
        yield _error(document, 19, f".storage cannot be: {problem}", hint)
