"""The front door: make jobs, retry them, give them up.

Everything here checks its input before anything is stored and rings the worker after commit.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models.functions import Now
from django.utils import timezone, translation
from django.utils.translation import check_for_language

from django_docraptor import tasks
from django_docraptor.client import Download
from django_docraptor.conf import conf
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderInput, RenderJob, after, store
from django_docraptor.payloads import DocumentRequest, merge_options, options_to_json
from django_docraptor.preflight import check_content
from django_docraptor.states import Kind, State

# Stands in for content that a worker will render, so that all else can be checked at once.
RENDERED_LATER = "<html></html>"
# What every database's smallint holds.
MAX_PRIORITY = 32767
# Databases bound the parameters of a query.
KEYS_AT_ONCE = 1000
# What two orders of an object must have in common to be for the same document.
IDENTITY = ("document", "document_type", "account", "test", "idempotency_key")
# How many jobs of an object are searched for one with the same parameters.
LOOK_BACK = 20
# What a newer order changes in a job that waits.
RENEWED = ("name", "priority", "owner_id")
RENEWED_INPUT = ("content", "url", "options", "language", "time_zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted: the arguments of :func:`enqueue`, for :func:`enqueue_many`."""

    name: str
    content: str = ""
    url: str = ""
    document_type: str = "pdf"
    document: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    test: bool | None = None
    source: models.Model | None = None
    owner: AbstractBaseUser | None = None
    priority: int = 0
    idempotency_key: str | None = None
    account: str = "default"
    language: str | None = None
    time_zone: str | None = None


def enqueue(**order: Any) -> RenderJob:
    """Make one document: store a job in the present transaction, and start it after commit.

    Args:
        name: file name, at most 200 characters (DocRaptor's limit).
        content: the HTML; or
        url: where DocRaptor fetches it.
        document_type: ``"pdf"``, ``"xlsx"`` or ``"xls"``.
        document: label of a registered document that renders the content in the worker.
        options: DocRaptor's options, over ``DOCRAPTOR["DEFAULTS"]``.
        params: JSON for the document's template.
        test: a free, watermarked document; by default ``DOCRAPTOR["TEST_MODE"]``.
        source: the object the document is made from.
        owner: the user who may download it.
        priority: higher goes first.
        idempotency_key: at most one job ever has it; a second call returns the first one's job.
        account: name given to an ``API_KEY`` callable.
        language: in which a worker renders; by default the present one.
        time_zone: key of the zone in which a worker renders; by default the present one.

    Raises:
        ValidationError: naming the field; nothing was stored.
    """
    return enqueue_many([Order(**order)])[0]


def enqueue_many(orders: Iterable[Order]) -> list[RenderJob]:
    """Make many documents with few queries and one bell. Returns a job for each order.

    Raises:
        ValidationError: for the first order that is wrong; nothing was stored.
    """
    orders = list(orders)
    for order in orders:
        _check(order)
    known = _known_keys(orders)
    # What orders share only if they ask for one job: their key, else their place.
    handles = [
        place if order.idempotency_key is None else order.idempotency_key
        for place, order in enumerate(orders)
    ]
    fresh: dict[object, tuple[RenderJob, RenderInput]] = {}
    terms = _Terms()
    for handle, order in zip(handles, orders, strict=True):
        if handle not in known and handle not in fresh:
            fresh[handle] = _build(order, terms)
    stored = known | (_store(fresh) if fresh else {})
    return [stored[handle] for handle in handles]


def enqueue_latest(order: Order) -> RenderJob:
    """Make one document of an object as it will be once this transaction has committed.

    If no worker has begun on the newest job for the same document (label, source, parameters,
    type, account, test, idempotency key), that job is brought up to date; else another one is
    made. Its row stays locked till the transaction ends, so no worker renders what is not yet
    committed.

    Raises:
        ValidationError: naming the field; nothing was stored.
    """
    _check(order)
    new, stored = _build(order, _Terms())
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        _take_turns(order.source)
        old = _newest_like(new, stored, order.source)
        if old and _renew(old, new, stored):
            return old
        return enqueue_many([order])[0]


def _take_turns(source: models.Model | None) -> None:
    """Let one transaction at a time order documents of an object: else each would make a job."""
    using = router.db_for_write(RenderJob)
    features = transaction.get_connection(using).features
    if source is None or source._state.db != using or not features.has_select_for_update:
        return
    rows = type(source)._base_manager.using(using).filter(pk=source.pk)
    locked = rows.select_for_update(no_key=features.has_select_for_no_key_update)
    list(locked.values_list("pk"))


def _newest_like(
    new: RenderJob, stored: RenderInput, source: models.Model | None
) -> RenderJob | None:
    """The newest job for the same document. An older one must not be renewed past it."""
    if source is None:
        return None
    same = {name: getattr(new, name) for name in IDENTITY}
    jobs = RenderJob.objects.using(router.db_for_write(RenderJob)).for_source(source).filter(**same)
    newest = jobs.select_related("input").defer("input__content").newest_first()
    return next((job for job in newest[:LOOK_BACK] if _params(job) == stored.params), None)


def _params(job: RenderJob) -> Any:
    stored = getattr(job, "input", None)  # it may have been dropped after success
    return stored and stored.params


def _renew(old: RenderJob, new: RenderJob, stored: RenderInput) -> bool:
    """Give a waiting job what a newer order says. Returns whether it was still waiting."""
    job_columns = {name: getattr(new, name) for name in RENEWED}
    if not RenderJob.objects.untouched().filter(pk=old.pk).update(**job_columns):
        return False
    input_columns = {name: getattr(stored, name) for name in RENEWED_INPUT}
    RenderInput.objects.filter(pk=old.pk).update(**input_columns)
    for name, value in job_columns.items():
        setattr(old, name, value)
    if not old.events.filter(kind=Kind.RENEWED).exists():  # a busy object's would fill the history
        old.record(Kind.RENEWED, note="A newer order was taken up by this job; later ones too.")
    tasks.ring_on_commit(tasks.submit)
    return True


def retry(job: RenderJob, *, by: AbstractBaseUser | None = None) -> bool:
    """Take up a failed job again: where DocRaptor still has the document, or by a new attempt.

    Nothing is erased from its history. Returns whether the job was still failed. A new attempt is
    billed (unless it is a test document); see ``job.resumes_at``.
    """
    if job.state != State.FAILED:  # an attempt under way must not be sent a second time
        return False
    target = job.resumes_at or State.PENDING
    moved = job.move(
        target,
        kind=Kind.RETRIED,
        note=_said_by(by),
        due_at=Now(),
        finished_at=None,
        fetch_attempts=0,
        deadline_at=after(conf.deadline),
    )
    if moved:
        tasks.ring_on_commit(tasks.submit if target == State.PENDING else tasks.wake)
    return moved


def cancel(job: RenderJob, *, by: AbstractBaseUser | None = None) -> bool:
    """Give up an unfinished job. Returns whether it was still unfinished.

    DocRaptor has no cancel: what it has accepted it finishes, and may bill; the result is ignored.
    """
    for _ in State:  # each turn of the loop, the job has gone on by a state
        if job.is_final:
            break
        if job.move(State.CANCELLED, kind=Kind.CANCELLED, note=_said_by(by)):
            return True
        job.refresh_from_db()
    return False


def render_now(target: BinaryIO, **order: Any) -> Download:
    """Make a document synchronously into ``target``, without a job.

    For documents that take seconds: DocRaptor kills synchronous ones after 60 s.

    Raises:
        ValidationError: naming the field; nothing was sent.
        CallError: the call failed; ``sent`` says whether it may be on the bill.
    """
    wanted = Order(**order)
    request = _request(wanted, wanted.content, _Terms())
    check_content(request, max_bytes=conf.max_content_bytes)
    return client_for(wanted.account).create_doc(request, target)


def _said_by(user: AbstractBaseUser | None) -> str:
    return f"by {user.get_username()}" if user else ""


def _check(order: Order) -> None:
    """Refuse what no request shows and not every database refuses. Raises ValidationError."""
    problems = {name: [text] for name, text in _wrong_columns(order)}
    if not isinstance(order.params, Mapping):
        problems["params"] = [f"params must be a dict, not {type(order.params).__name__}."]
    if problems:
        raise ValidationError(problems)
    _params_to_json(order)


def _params_to_json(order: Order) -> dict[str, Any]:
    params: dict[str, Any] = {}
    return options_to_json({"params": order.params})["params"] if order.params else params


def _wrong_columns(order: Order) -> Iterator[tuple[str, str]]:
    if order.idempotency_key is not None:
        yield from _wrong_text("idempotency_key", order.idempotency_key, blank=False)
    yield from _wrong_text("account", order.account, blank=False)
    yield from _wrong_text("document", order.document, blank=True)
    yield from wrong_place(order.language, order.time_zone)
    priority = order.priority
    if not isinstance(priority, int) or isinstance(priority, bool):
        yield "priority", f"priority must be int, not {type(priority).__name__}."
    elif not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        yield "priority", f"priority must be from -{MAX_PRIORITY} to {MAX_PRIORITY}."


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
    limit: int = RenderJob._meta.get_field(name).max_length  # type: ignore[union-attr, assignment]
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


def _known_keys(orders: list[Order]) -> dict[object, RenderJob]:
    keys = [order.idempotency_key for order in orders if order.idempotency_key is not None]
    known: dict[object, RenderJob] = {}
    for start in range(0, len(keys), KEYS_AT_ONCE):
        some = keys[start : start + KEYS_AT_ONCE]
        jobs = RenderJob.objects.filter(idempotency_key__in=some)
        known |= {job.idempotency_key: job for job in jobs}
    return known


def _store(fresh: Mapping[object, tuple[RenderJob, RenderInput]]) -> dict[object, RenderJob]:
    """Store jobs; where another process was faster with a key, that process's job counts."""
    try:
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            store(fresh.values())
            tasks.ring_on_commit(tasks.submit)
    except IntegrityError:
        if len(fresh) > 1:
            one_by_one = (_store({handle: pair}) for handle, pair in fresh.items())
            return {handle: job for stored in one_by_one for handle, job in stored.items()}
        handle = next(iter(fresh))
        job = RenderJob.objects.filter(idempotency_key=handle).first()
        if job is None:
            raise
        return {handle: job}
    for job, _stored in fresh.values():
        del job.due_at  # the database's clock gave it: it is read when somebody asks
    return {handle: job for handle, (job, _stored) in fresh.items()}


class _Terms:
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
        return self._options[key]


def _build(order: Order, terms: _Terms) -> tuple[RenderJob, RenderInput]:
    content = order.content or (RENDERED_LATER if order.document else "")
    request = _request(order, content, terms)
    if not order.document or order.content:
        check_content(request, max_bytes=terms.max_content_bytes)
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
        **_owner(order.owner),
        **_source(order.source),
    )
    return job, _input(job, order, terms)


def _request(order: Order, content: str, terms: _Terms) -> DocumentRequest:
    return DocumentRequest.from_options(
        name=order.name,
        document_type=order.document_type,
        content=content,
        url=order.url,
        test=terms.test_mode if order.test is None else order.test,
        options=terms.options(order),
    )


def _input(job: RenderJob, order: Order, terms: _Terms) -> RenderInput:
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
