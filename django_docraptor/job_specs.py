"""Internal. Validate the description of a document and build its job and input.

Nothing is saved, sent or notified here; ``shortcuts`` and ``stored_jobs`` do that.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone, translation

from django_docraptor import page_urls, preflight, registry
from django_docraptor.account_settings import (
    DEFAULT_ACCOUNT,
    AccountSettings,
    account_settings,
)
from django_docraptor.conf import conf
from django_docraptor.docraptor_api import MAX_TAG_LENGTH
from django_docraptor.instrumentation import current_trace_parent
from django_docraptor.keywords import (
    MAX_PRIORITY,
    EnqueueOptions,
    account_errors,
    check_keywords,
    live_errors,
    locale_errors,
    mapping_errors,
    owner_errors,
    storage_errors,
    text_errors,
)
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.models.sources import can_restore_key, source_key
from django_docraptor.payloads import DocumentRequest, merge_options, options_to_json
from django_docraptor.payloads.secrets import encrypt_secrets, has_secrets
from django_docraptor.setting_values import MAX_DURATION
from django_docraptor.states import State
from django_docraptor.time_zones import zone_to_text

# Placeholder for content that a worker renders, so that everything else can be validated now.
PLACEHOLDER_CONTENT: Final = "<html></html>"
# Characters that are left for a project's tag after the attempt's own, "<32 digits>:<attempt> ".
MAX_PROJECT_TAG_LENGTH: Final = MAX_TAG_LENGTH - len(f"{uuid.UUID(int=0).hex}:{MAX_PRIORITY} ")
# Fields that become DocRaptor options of hosted documents.
HOSTING_FIELDS: Final = ("hosted_expires_at", "hosted_download_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """The description of one document to generate.

    The fields are documented at ``enqueue()``, whose keywords they are. Fields that may contain
    secrets are left out of ``repr()``.
    """

    name: str
    content: str = field(default="", repr=False)
    url: str = field(default="", repr=False)
    document_type: str = "pdf"
    document: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    test: bool | None = None
    source: models.Model | None = None
    owner: AbstractBaseUser | None = None
    priority: int = 0
    idempotency_key: str | None = None
    account: str = DEFAULT_ACCOUNT
    language: str | None = None
    time_zone: str | None = None
    storage: str = ""
    hosted: bool = False
    hosted_expires_at: datetime | None = None
    hosted_download_limit: int | None = None
    reuse: timedelta | None = None
    not_before: datetime | None = None


SPEC_FIELDS: Final = frozenset(spec_field.name for spec_field in fields(JobSpec))


def spec_from_keywords(callee: str, kwargs: EnqueueOptions) -> JobSpec:
    """Return the spec that a function's keyword arguments describe.

    Raises:
        TypeError: a keyword is unknown, or there is no name.
    """
    check_keywords(callee, kwargs, SPEC_FIELDS)
    return JobSpec(**kwargs)


def read_specs(name: str, given: Iterable[JobSpec], *, limit: int | None = None) -> list[JobSpec]:
    """Return the specs that a function was given.

    Args:
        name: of its argument.
        given: what was given.
        limit: how many are read at most.

    Raises:
        ValidationError: it is no iterable of specs.
    """
    if not isinstance(given, Iterable):
        message = f"{name} must be a list or another iterable of JobSpec, not {_type_name(given)}."
        raise ValidationError({name: [message]})
    specs = list(islice(given, limit))
    for number, spec in enumerate(specs):
        if not isinstance(spec, JobSpec):
            message = (
                f"{name}[{number}] is no JobSpec, but of the type {_type_name(spec)}. Pass "
                "InvoicePDF.spec(invoice) of a document class, or JobSpec(name=…)."
            )
            raise ValidationError({name: [message]})
    return specs


def _type_name(value: object) -> str:
    return type(value).__name__


def validate_spec(spec: JobSpec) -> None:
    """Validate the fields that DocumentRequest does not check.

    Raises:
        ValidationError: a field is invalid.
    """
    errors = {name: [message] for name, message in _field_errors(spec)}
    if errors:
        raise ValidationError(errors)
    _json_params(spec)


def _field_errors(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if spec.idempotency_key is not None:
        yield from text_errors("idempotency_key", spec.idempotency_key, blank=False)
    yield from account_errors(spec.account)
    yield from live_errors(spec.test, spec.account)
    yield from text_errors("document", spec.document, blank=True)
    yield from mapping_errors("options", spec.options)
    yield from mapping_errors("params", spec.params)
    yield from owner_errors(spec.owner)
    yield from locale_errors(spec.language, spec.time_zone)
    yield from storage_errors(spec.storage)
    yield from _hosting_errors(spec)
    yield from _reuse_errors(spec)
    yield from _page_errors(spec)
    yield from _not_before_errors(spec)
    priority = spec.priority
    if not isinstance(priority, int) or isinstance(priority, bool):
        yield "priority", f"priority must be an integer, not {type(priority).__name__}."
    elif not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        yield "priority", f"priority must be between -{MAX_PRIORITY} and {MAX_PRIORITY}."


def _hosting_errors(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if not isinstance(spec.hosted, bool):
        yield "hosted", f"hosted must be True or False, not {type(spec.hosted).__name__}."
    elif not spec.hosted:
        for name in _hosting_options(spec):
            yield name, f"{name} requires hosted=True."
    elif isinstance(spec.document, str) and registry.post_processor(spec.document) is not None:
        yield (
            "hosted",
            f"hosted=True would leave out post_process() of {spec.document}: a hosted document has "
            "no file here. Pass hosted=False.",
        )


def _page_errors(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield errors of a page of this site."""
    if not isinstance(spec.url, str) or not page_urls.is_page(spec.url):
        return
    if error := page_urls.page_error(spec.url):
        yield "url", error
    elif spec.owner is None:
        yield (
            "owner",
            f"url={spec.url[:120]!r} is a page of this site, which DocRaptor sees as the owner of "
            "the job does. Pass an owner.",
        )


def _reuse_errors(spec: JobSpec) -> Iterator[tuple[str, str]]:
    reuse = spec.reuse
    if reuse is None:
        return
    if not isinstance(reuse, timedelta):
        given = f"{type(reuse).__name__} ({reuse!r})"[:200]
        yield "reuse", f"reuse must be a timedelta, such as timedelta(hours=1), not {given}."
    elif reuse < timedelta(0) or MAX_DURATION < reuse < timedelta.max:
        yield (
            "reuse",
            f"reuse must be between timedelta(0), which means never, and {MAX_DURATION.days} days, "
            f"or timedelta.max, not {reuse!r}.",
        )


def _not_before_errors(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield an error if it is unclear when the document is to be sent, or that is pointless."""
    time, expires_at = spec.not_before, spec.hosted_expires_at
    if time is None:
        return
    if not isinstance(time, datetime):
        given = f"{type(time).__name__} ({time!r})"[:200]
        yield "not_before", f"not_before must be an aware datetime or None, not {given}."
    elif timezone.is_naive(time):
        yield (
            "not_before",
            f"not_before must have a time zone: {time.isoformat()} is naive. Pass "
            "timezone.make_aware(…), or a time that is computed from timezone.now().",
        )
    elif time - timezone.now() > MAX_DURATION:
        yield (
            "not_before",
            f"not_before must be at most {MAX_DURATION.days} days from now, not "
            f"{time.isoformat()}.",
        )
    elif isinstance(expires_at, datetime) and timezone.is_aware(expires_at) and expires_at <= time:
        yield (
            "not_before",
            f"not_before ({time.isoformat()}) must be earlier than hosted_expires_at "
            f"({expires_at.isoformat()}): the document would be billed and expire at once.",
        )


class EnqueueContext:
    """Values shared by all specs of one call, computed once.

    Args:
        by_trigger: whether a signal asks for the documents.
        again_of: ID of the job whose document is generated again.
    """

    def __init__(self, *, by_trigger: bool = False, again_of: uuid.UUID | None = None) -> None:
        self.by_trigger, self.again_of = by_trigger, again_of
        self.now = Now()
        self.max_content_bytes = conf.max_content_bytes
        self.language = translation.get_language() or ""
        self.time_zone = zone_to_text(timezone.get_current_timezone())
        self._settings: dict[str, AccountSettings] = {}
        self._merged_by_id: dict[tuple[str, int], dict[str, Any]] = {}

    def settings_of(self, account: str) -> AccountSettings:
        """Return the settings of an account.

        Raises:
            ConfigurationError: there is no such account, or the provider failed.
        """
        if account not in self._settings:
            self._settings[account] = account_settings(account)
        return self._settings[account]

    def merged_options(self, spec: JobSpec) -> dict[str, Any]:
        """Return the spec's options merged over the defaults, as JSON.

        Specs of an account that share one dict share the result.

        Raises:
            ValidationError: keyed by option.
        """
        # The specs outlive this object, so an id() cannot be reused.
        key = (spec.account, id(spec.options) if spec.options else 0)
        if key not in self._merged_by_id:
            defaults = self.settings_of(spec.account).defaults
            self._merged_by_id[key] = options_to_json(merge_options(defaults, spec.options))
        merged = self._merged_by_id[key]
        return merged | options_to_json(_hosting_options(spec)) if spec.hosted else merged


def _hosting_options(spec: JobSpec) -> dict[str, Any]:
    """Return the hosting fields that are set, as DocRaptor options."""
    values = {name: getattr(spec, name) for name in HOSTING_FIELDS}
    return {name: value for name, value in values.items() if value is not None}


def _json_params(spec: JobSpec) -> dict[str, Any]:
    params: dict[str, Any] = {}
    return options_to_json({"params": spec.params})["params"] if spec.params else params


def build_job(spec: JobSpec, context: EnqueueContext) -> tuple[RenderJob, RenderInput]:
    """Build the job of a spec and its input, unsaved.

    Raises:
        ValidationError: a field is invalid.
    """
    if spec.reuse and (errors := dict(_reusability_errors(spec))):
        raise ValidationError(errors)
    is_page = bool(spec.url) and registry.has_page(spec.document)
    is_rendered = bool(spec.document) and not spec.content and not is_page
    content = PLACEHOLDER_CONTENT if is_rendered else spec.content
    page = page_urls.to_stored_path(spec.url) if page_urls.is_page(spec.url) else ""
    url = page_urls.unsigned_url(page) if page else spec.url
    request = build_request(replace(spec, url=url), content, context)
    check_engine_options(request)
    preflight_digest = ""
    if not is_rendered:
        preflight_digest = preflight.check_content(
            request,
            max_bytes=context.max_content_bytes,
            ignore=registry.preflight_ignore(spec.document),
            is_signed=bool(page),
        )
    # A time that has passed says nothing: the job would be late from the beginning.
    is_later = spec.not_before is not None and spec.not_before > timezone.now()
    not_before = spec.not_before if is_later else None
    expires_at = request.hosted_expires_at if spec.hosted else None
    if expires_at is not None and expires_at <= timezone.now():
        message = f"hosted_expires_at must be in the future, not {expires_at.isoformat()}."
        raise ValidationError({"hosted_expires_at": [message]})
    job = RenderJob(
        id=uuid.uuid4(),
        account=spec.account,
        document=spec.document,
        name=request.name,
        again_of=context.again_of,
        document_type=str(request.document_type),
        test=request.test,
        priority=spec.priority,
        idempotency_key=spec.idempotency_key,
        state=State.PENDING,
        due_at=not_before or context.now,
        not_before=not_before,
        storage=spec.storage,
        hosted=spec.hosted,
        hosted_expires_at=expires_at,
        trace_parent=current_trace_parent(),
        **_owner_fields(spec.owner),
        **_source_fields(spec.source),
    )
    job_input = _build_input(job, replace(spec, url=page or spec.url), context)
    job_input.preflight_digest = preflight_digest
    job.has_secrets = has_secrets(job_input.options)
    return job, job_input


def _reusability_errors(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield an error if there is no earlier document that a job could reuse."""
    if spec.source is None:
        yield (
            "reuse",
            f"reuse={spec.reuse!r} needs a source: it compares the document with the latest one of "
            "the same object. Without a source, pass an idempotency_key instead.",
        )
    if spec.hosted:
        yield (
            "reuse",
            f"reuse={spec.reuse!r} does not go with hosted=True: expiring one document would take "
            "the other's. Pass reuse=None.",
        )


def _reuse_window(spec: JobSpec, context: EnqueueContext) -> timedelta | None:
    """Return how old a reused document may be; ``None``: none is reused."""
    if spec.reuse is None:
        is_comparable = not spec.hosted and not spec.url  # a page may have changed
        return MAX_DURATION if context.by_trigger and is_comparable else None
    return min(spec.reuse, MAX_DURATION) or None


def build_request(spec: JobSpec, content: str, context: EnqueueContext) -> DocumentRequest:
    """Build the request to DocRaptor for a spec and its rendered content.

    Raises:
        ValidationError: a field is invalid.
    """
    return DocumentRequest.from_options(
        name=spec.name,
        document_type=spec.document_type,
        content=content,
        url=spec.url,
        test=context.settings_of(spec.account).test_mode if spec.test is None else spec.test,
        options=context.merged_options(spec),
    )


def check_engine_options(request: DocumentRequest) -> None:
    """Check the options that the engine sets itself, or adds to.

    Raises:
        ValidationError: ``callback_url`` is set, or ``tag`` does not fit beside the attempt's own.
    """
    if request.callback_url:
        message = (
            "callback_url is not an option: the engine sets its own for each attempt, from "
            "DOCRAPTOR['CALLBACK_BASE_URL']. Connect to the signal document_completed instead."
        )
        raise ValidationError({"callback_url": [message]})
    length = len(request.tag or "")
    if length > MAX_PROJECT_TAG_LENGTH:
        message = (
            f"tag has {length} characters, but only {MAX_PROJECT_TAG_LENGTH} are left beside the "
            "tag of each attempt, by which it is found in DocRaptor's log."
        )
        raise ValidationError({"tag": [message]})


def _build_input(job: RenderJob, spec: JobSpec, context: EnqueueContext) -> RenderInput:
    time_zone = spec.time_zone or context.time_zone
    if not time_zone and spec.document and not spec.content:
        message = (
            "The current time zone has neither a name nor a fixed offset, so a worker cannot "
            "restore it. Pass time_zone, such as 'Europe/Vienna'."
        )
        raise ValidationError({"time_zone": [message]})
    return RenderInput(
        job_id=job.pk,
        content=spec.content,
        url=spec.url,
        options=encrypt_secrets(context.merged_options(spec)),
        params=_json_params(spec),
        language=spec.language or context.language,
        time_zone=time_zone,
        source_model=_proxy_label(spec.source),
        reuse=_reuse_window(spec, context),
        by_trigger=context.by_trigger,
    )


def _owner_fields(owner: AbstractBaseUser | None) -> dict[str, Any]:
    return {} if owner is None else {"owner": owner}


def _proxy_label(source: models.Model | None) -> str:
    """Return the label of a source's class if it is a proxy: a content type has no proxies."""
    return source._meta.label if source is not None and source._meta.proxy else ""


def _source_fields(source: models.Model | None) -> dict[str, Any]:
    if source is None:
        return {}
    if source.pk is None or source._state.adding:
        raise ValidationError({"source": ["The source must be saved first."]})
    object_id = source_key(source)
    if errors := list(_key_errors(source, object_id)):
        raise ValidationError({"source": errors})
    return {"content_type": ContentType.objects.get_for_model(source), "object_id": object_id}


def _key_errors(source: models.Model, key: str) -> Iterator[str]:
    """Yield an error if a worker could not find the object by the stored text of its key."""
    called = f"The primary key of the source ({source._meta.label})"
    if can_restore_key(source):
        errors = text_errors("object_id", key, blank=False, called=called)
        yield from (message for _name, message in errors)
    else:
        yield (
            f"{called} is {source.pk!r}, which cannot be stored as text, such as a composite key. "
            "Pass its parts as params of a document without a model, and load the object in "
            "get_context()."
        )
