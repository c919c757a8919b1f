"""What is wanted, and what it becomes: an order in, a checked job and its input out.

Nothing here is stored, sent or rung for: that is the business of ``shortcuts``.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone, translation
from django.utils.translation import check_for_language

from django_docraptor.conf import conf
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.payloads import DocumentRequest, merge_options, options_to_json
from django_docraptor.preflight import check_content
from django_docraptor.states import State
from django_docraptor.storage import aliases

# Stands in for content that a worker will render, so that all else can be checked at once.
RENDERED_LATER = "<html></html>"
# What every database's smallint holds.
MAX_PRIORITY = 32767
# What the column of a storage's alias holds.
MAX_ALIAS = 64
# Arguments of an order that are options of DocRaptor's for hosted documents.
HOSTING = ("hosted_expires_at", "hosted_download_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted: the arguments of ``shortcuts.enqueue``, which says what each one means.

    What may hold secrets is not shown by ``repr``.
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
    account: str = "default"
    language: str | None = None
    time_zone: str | None = None
    storage: str = ""
    hosted: bool = False
    hosted_expires_at: datetime | None = None
    hosted_download_limit: int | None = None


def check_order(order: Order) -> None:
    """Refuse what no request shows and not every database refuses. Raises ValidationError."""
    problems = {name: [text] for name, text in _wrong_columns(order)}
    if problems:
        raise ValidationError(problems)
    _params_to_json(order)


def _wrong_columns(order: Order) -> Iterator[tuple[str, str]]:
    if order.idempotency_key is not None:
        yield from _wrong_text("idempotency_key", order.idempotency_key, blank=False)
    yield from _wrong_text("account", order.account, blank=False)
    yield from _wrong_text("document", order.document, blank=True)
    yield from wrong_mapping("options", order.options)
    yield from wrong_mapping("params", order.params)
    yield from _wrong_owner(order.owner)
    yield from wrong_place(order.language, order.time_zone)
    yield from wrong_storage(order.storage)
    yield from _wrong_hosting(order)
    priority = order.priority
    if not isinstance(priority, int) or isinstance(priority, bool):
        yield "priority", f"priority must be int, not {type(priority).__name__}."
    elif not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        yield "priority", f"priority must be from -{MAX_PRIORITY} to {MAX_PRIORITY}."


def wrong_mapping(name: str, value: object) -> Iterator[tuple[str, str]]:
    """What is wrong with the value of an argument that must be a dict, under its name."""
    if not isinstance(value, Mapping):
        yield name, f"{name} must be a dict, not {type(value).__name__}."


def _wrong_owner(owner: object) -> Iterator[tuple[str, str]]:
    if owner is None:
        return
    model = get_user_model()
    if not isinstance(owner, model):
        given = owner.__class__.__name__  # of what a lazy object holds, too
        yield "owner", f"owner must be a {model.__name__}, not {given}: leave it out for nobody."
    elif owner.pk is None or owner._state.adding:
        yield "owner", "The owner has not been saved yet: save it first."


def wrong_storage(alias: object) -> Iterator[tuple[str, str]]:
    """What is wrong with the alias of a storage, under its name; blank is right."""
    if alias not in ("", *aliases()):
        known = ", ".join(aliases())
        yield "storage", f"{alias!r} is no storage for documents; STORAGES has: {known}."
    elif len(str(alias)) > MAX_ALIAS:
        yield "storage", f"{alias!r} has more than the {MAX_ALIAS} characters that fit."


def _wrong_hosting(order: Order) -> Iterator[tuple[str, str]]:
    if not isinstance(order.hosted, bool):
        yield "hosted", f"hosted must be bool, not {type(order.hosted).__name__}."
    elif not order.hosted:
        for name in _hosting(order):
            yield name, f"{name} is for hosted documents: give hosted=True, or leave it out."


def wrong_place(language: object, time_zone: object) -> Iterator[tuple[str, str]]:
    """What is wrong with a language and a time zone, under their names; ``None`` is right."""
    if language is not None and not (isinstance(language, str) and check_for_language(language)):
        yield "language", f"{language!r} is no language that Django knows."
    if time_zone is not None and not _is_time_zone(time_zone):
        yield "time_zone", f"{time_zone!r} is no time zone, such as 'Europe/Vienna'."


def _is_time_zone(key: object) -> bool:
    try:
        return isinstance(key, str) and ZoneInfo(key).key == key
    except (KeyError, ValueError, OSError):  # by what the key is: unknown, a path, a directory
        return False


def _wrong_text(name: str, value: object, *, blank: bool) -> Iterator[tuple[str, str]]:
    column: Any = RenderJob._meta.get_field(name)
    limit: int = column.max_length
    if not isinstance(value, str):
        yield name, f"{name} must be str, not {type(value).__name__}."
    elif not value.strip() and not (blank and not value):
        yield name, f"{name} is blank: leave it out or give one."
    elif len(value) > limit:
        yield name, f"{name} has {len(value)} characters, more than the {limit} that fit."
    elif "\x00" in value or not _is_encodable(value):
        yield name, f"{name} has a character that no database takes."


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Terms:
    """What the orders of one call have in common, worked out once."""

    def __init__(self) -> None:
        self.now = Now()
        self.test_mode = conf.test_mode
        self.max_content_bytes = conf.max_content_bytes
        self.language = translation.get_language() or ""
        self.time_zone = _time_zone()
        self._defaults = conf.defaults
        self._options: dict[int, dict[str, Any]] = {}

    def options(self, order: Order) -> dict[str, Any]:
        """The order's options over the defaults, as JSON. Many orders share one dict of options.

        Raises ValidationError under an option's name.
        """
        # The orders outlive this object, so that an address stays one dict's.
        key = id(order.options) if order.options else 0
        if key not in self._options:
            self._options[key] = options_to_json(merge_options(self._defaults, order.options))
        known = self._options[key]
        return known | options_to_json(_hosting(order)) if order.hosted else known


def _hosting(order: Order) -> dict[str, Any]:
    """What a hosted document's order says beside its options, under DocRaptor's names."""
    said = {name: getattr(order, name) for name in HOSTING}
    return {name: value for name, value in said.items() if value is not None}


def _params_to_json(order: Order) -> dict[str, Any]:
    params: dict[str, Any] = {}
    return options_to_json({"params": order.params})["params"] if order.params else params


def build_job(order: Order, terms: Terms) -> tuple[RenderJob, RenderInput]:
    """The job that an order becomes, and its input; neither is stored.

    Raises:
        ValidationError: naming the field.
    """
    content = order.content or (RENDERED_LATER if order.document else "")
    request = request_of(order, content, terms)
    if not order.document or order.content:
        check_content(request, max_bytes=terms.max_content_bytes)
    expires_at = request.hosted_expires_at if order.hosted else None
    if expires_at is not None and expires_at <= timezone.now():
        said = f"hosted_expires_at is {expires_at.isoformat()}, which has passed: choose a later."
        raise ValidationError({"hosted_expires_at": [said]})
    job = RenderJob(
        id=uuid.uuid4(),
        account=order.account,
        document=order.document,
        name=request.name,
        document_type=str(request.document_type),
        test=request.test,
        priority=order.priority,
        idempotency_key=order.idempotency_key,
        state=State.PENDING,
        due_at=terms.now,
        storage=order.storage,
        hosted=order.hosted,
        hosted_expires_at=expires_at,
        **_owner(order.owner),
        **_source(order.source),
    )
    return job, _input(job, order, terms)


def request_of(order: Order, content: str, terms: Terms) -> DocumentRequest:
    """What is asked of DocRaptor, if the order's content is this. Raises ValidationError."""
    return DocumentRequest.from_options(
        name=order.name,
        document_type=order.document_type,
        content=content,
        url=order.url,
        test=terms.test_mode if order.test is None else order.test,
        options=terms.options(order),
    )


def _input(job: RenderJob, order: Order, terms: Terms) -> RenderInput:
    return RenderInput(
        job_id=job.pk,
        content=order.content,
        url=order.url,
        options=terms.options(order),
        params=_params_to_json(order),
        language=order.language or terms.language,
        time_zone=order.time_zone or terms.time_zone,
    )


def _owner(owner: AbstractBaseUser | None) -> dict[str, Any]:
    return {} if owner is None else {"owner": owner}


def _time_zone() -> str:
    """Key of the present time zone; blank, which means the default, for one without a key."""
    zone = timezone.get_current_timezone()
    return "UTC" if zone == UTC else getattr(zone, "key", "")


def _source(source: models.Model | None) -> dict[str, Any]:
    if source is None:
        return {}
    if source.pk is None or source._state.adding:
        raise ValidationError({"source": ["The source has not been saved yet: save it first."]})
    object_id = str(source.pk)
    if wrong := [message for _, message in _wrong_text("object_id", object_id, blank=False)]:
        raise ValidationError({"source": wrong})
    return {"content_type": ContentType.objects.get_for_model(source), "object_id": object_id}
