"""Internal. System checks for document classes.

Check IDs continue those of ``django_docraptor.checks``.
"""

import difflib
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, cast

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import FileField, Model
from django.template.loader import get_template

from django_docraptor import registry
from django_docraptor.account_settings import fixed_accounts
from django_docraptor.conf import conf
from django_docraptor.docraptor_api import DocumentType
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.documents.declaration import Document
from django_docraptor.documents.reports import QuerysetDocument
from django_docraptor.documents.type_arguments import model_argument
from django_docraptor.keywords import MAX_PRIORITY, account_errors, locale_errors, storage_errors
from django_docraptor.setting_values import budget_error, duration_error, preflight_rules_error

DocumentClass = type[Document[Any]]
# Attributes that nothing reads here, such as those of Django's views, and what they should be.
OTHER_NAMES: Final[Mapping[str, str]] = {
    "template": "template_name",
    "template_names": "template_name",
    "get_template": "template_name",
    "get_template_name": "template_name",
    "get_template_names": "template_name",
    "name": "get_name",
    "filename": "get_name",
    "file_name": "get_name",
    "get_filename": "get_name",
    "get_file_name": "get_name",
    "context": "get_context",
    "context_data": "get_context",
    "get_context_data": "get_context",
    "get_html": "render",
    "get_content": "render",
    "render_html": "render",
    "render_to_string": "render",
    "model_class": "model",
    "get_model": "model",
    "queryset": "get_queryset",
    "doc_type": "document_type",
    "prince_options": "options",
    "secret_options": "get_secret_options",
    "idempotency_key": "get_idempotency_key",
    "url": "get_url",
    "form": "form_class",
    "test_mode": "test",
    "on_success": "on_completed",
    "on_failure": "on_failed",
    "on_error": "on_failed",
    "can_download": "may_download",
}
# How the names of classes begin or end that are meant to be extended.
BASE_NAMES: Final = re.compile(r"^(_|Base|Abstract)|(Base|Mixin)$")
# Public names of `Document` that can be misspelt; those that are shorter resemble too many others.
MIN_NAME_LENGTH: Final = 7
# How similar a name must be to one of `Document` to count as misspelt.
SIMILARITY: Final = 0.85


def _error(document: DocumentClass, number: int, message: str, hint: str) -> Error:
    text = f"{document.__name__}{message}"
    return Error(text, hint=hint, obj=document, id=f"django_docraptor.E{number:03}")


def check_documents(app_configs: Any) -> list[CheckMessage]:
    """Check every registered class, or those of the given apps; of base classes, their names."""
    labels = None if app_configs is None else {config.label for config in app_configs}
    registered = [
        message
        for label, adapter in registry.all_documents().items()
        if isinstance(adapter, DocumentAdapter)
        and (labels is None or label.partition(".")[0] in labels)
        for message in check_document(adapter.document)
    ]
    bases = [
        message
        for document in _base_classes(Document)
        if labels is None or _app_label(document) in labels
        for message in _attributes(document) or _content(document)
    ]
    return registered + bases


def _base_classes(document: DocumentClass) -> Iterator[DocumentClass]:
    """Yield a class's subclasses that are not registered because they have no template."""
    for subclass in document.__subclasses__():
        if not subclass.label and not _is_own(subclass):
            yield subclass
        yield from _base_classes(subclass)


def _app_label(document: DocumentClass) -> str:
    config = apps.get_containing_app_config(document.__module__)
    return config.label if config else ""


def _is_own(cls: type) -> bool:
    """Return whether a class is this package's."""
    return cls.__module__.partition(".")[0] == "django_docraptor"


def check_document(document: DocumentClass) -> list[CheckMessage]:
    """Check one class."""
    checks = (
        *(_label, _template, _type, _options, _model, _deliver_to, _defaults, _hosted, _storage),
        *(_live, _attributes),
    )
    return [message for check in checks for message in check(document)]


def _label(document: DocumentClass) -> Iterator[CheckMessage]:
    *others, used = registry.origins(document.label) or [""]
    if others:
        yield _error(
            document,
            24,
            f" is declared more than once as {document.label}, in {', '.join(others)} and {used}. "
            f"Workers render all of their jobs with {used}.",
            "Rename the other class, or import the one class instead of declaring it again.",
        )


def _attributes(document: DocumentClass) -> list[CheckMessage]:
    """Report attributes that nothing reads, because they have another name here.

    Only those of the class itself; those of its base classes are reported there.
    """
    meant = {name: _other_name(document, name) or _similar_name(name) for name in vars(document)}
    return [
        Warning(
            f"{document.__name__}.{name} is not an attribute that documents use.",
            hint=f"Did you mean {right}{'()' if callable(getattr(document, right)) else ''}?",
            obj=document,
            id="django_docraptor.W008",
        )
        for name, right in meant.items()
        if right and not _is_declared(document, right)
    ]


def _content(document: DocumentClass) -> list[CheckMessage]:
    """Report a class of an app that cannot be enqueued, unless others extend it, or are to."""
    module = sys.modules.get(document.__module__)
    is_declared = getattr(module, document.__name__, None) is document and _app_label(document)
    is_base = document.__subclasses__() or vars(document).get("__parameters__")
    if is_base or not is_declared or BASE_NAMES.search(document.__name__):
        return []
    return [
        Warning(
            f"{document.__name__} has neither template_name nor get_url(): it cannot be enqueued.",
            hint='Set template_name = "app/template.html". If it is a base class that nothing '
            "extends yet, let its name begin with Base.",
            obj=document,
            id="django_docraptor.W014",
        )
    ]


def _other_name(document: DocumentClass, name: str) -> str:
    """Return what an attribute of other packages is called here, if the class has that at all."""
    right = OTHER_NAMES.get(name, "")
    return right if hasattr(document, right) else ""


def _similar_name(name: str) -> str:
    """Return the public name that this one misspells, or an empty string."""
    public = [known for known in dir(QuerysetDocument) if not known.startswith("_")]
    names = [known for known in public if len(known) >= MIN_NAME_LENGTH]
    if name.startswith("_") or name in public or name.removesuffix("s") in public:
        return ""
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=SIMILARITY)), "")


def _is_declared(document: DocumentClass, name: str) -> bool:
    """Return whether the class or a base class of the project has the right name as well."""
    return any(vars(cls).get(name) for cls in document.__mro__ if not _is_own(cls))


def _template(document: DocumentClass) -> Iterator[CheckMessage]:
    has_page = document._docraptor_has_page() and not document.template_name
    if has_page or document.render is not Document.render:  # it may not use the template at all
        return
    try:
        get_template(document.template_name)
    except Exception as error:  # noqa: BLE001 - a name of any type, a file, a project's own tags
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
    if document.options == {}:
        return
    from django_docraptor.job_specs import check_engine_options
    from django_docraptor.payloads import DocumentRequest, unknown_options

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
        return
    argument = model_argument(document)
    if argument and not issubclass(model, argument):
        given, generic = argument.__name__, _generic_name(document)
        yield _error(
            document,
            12,
            f".model is {model.__name__}, but the class is declared as {generic}[{given}].",
            f"Remove `model`, or declare the class as {generic}[{model.__name__}].",
        )


def _generic_name(document: DocumentClass) -> str:
    return (QuerysetDocument if issubclass(document, QuerysetDocument) else Document).__name__


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


def _live(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.test is False and not conf.is_live_allowed:
        yield _error(
            document,
            31,
            ".test is False, but DOCRAPTOR['ALLOW_LIVE'] allows no production documents on this "
            "host.",
            "Remove it to follow TEST_MODE, or allow production documents on this host.",
        )


def _value_errors(document: DocumentClass) -> Iterator[tuple[str, str]]:
    if conf.accounts is None or fixed_accounts():  # a provider is not asked: it may read tables
        yield from account_errors(document.account)
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
    if problem := budget_error(document.budget):
        yield "budget", f"it {problem}."
    name, model = cast(Any, document.changed_at_field), cast(Any, document.model)
    if name is not None and not isinstance(name, str):
        yield "changed_at_field", f"It must be a str or None, not {name!r}."
    elif name and model is not None and not hasattr(model, name):
        yield "changed_at_field", f"{document.__name__}.model has no attribute {name!r}."
    if problem := preflight_rules_error(document.preflight_ignore):
        yield "preflight_ignore", f"it {problem}."


def _hosted(document: DocumentClass) -> Iterator[CheckMessage]:
    if document.hosted and document.deliver_to:
        yield _error(
            document,
            18,
            ".hosted and .deliver_to cannot be combined: a hosted document has no file here.",
            "Remove one of them. Link to job.public_url instead of delivering a file.",
        )
    if document.hosted and document._docraptor_is_post_processed():
        yield _error(
            document,
            18,
            ".hosted and post_process() cannot be combined: a hosted document has no file here.",
            "Remove one of them.",
        )


def _storage(document: DocumentClass) -> Iterator[CheckMessage]:
    for _name, problem in storage_errors(document.storage):
        hint = "Set it to an alias in STORAGES, or remove it to use the default document storage."
        yield _error(document, 19, f".storage is invalid: {problem}", hint)
