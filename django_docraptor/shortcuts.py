"""The front door: make jobs, retry them, give them up.

Everything here checks its input before anything is stored and rings the worker after commit.
"""

from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, TypeAlias

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from django_docraptor import lifecycle, tasks
from django_docraptor.client import Download
from django_docraptor.conf import conf
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderInput, RenderJob, after, store
from django_docraptor.orders import Order, Terms, build_job, check_order, request_of
from django_docraptor.preflight import check_content
from django_docraptor.states import Kind, State

__all__ = [
    "Order",
    "cancel",
    "enqueue",
    "enqueue_latest",
    "enqueue_many",
    "expire",
    "render_now",
    "retry",
]

# Who does something: whatever a request has as its user.
Somebody: TypeAlias = AbstractBaseUser | AnonymousUser

# Databases bound the parameters of a query.
KEYS_AT_ONCE = 1000
# What two orders of an object must have in common to be for the same document.
IDENTITY = ("document", "document_type", "account", "test", "idempotency_key", "hosted")
# How many jobs of an object are searched for one with the same parameters.
LOOK_BACK = 20
# What a newer order changes in a job that waits.
RENEWED = ("name", "priority", "owner_id", "storage", "hosted_expires_at")
RENEWED_INPUT = ("content", "url", "options", "language", "time_zone")


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
        storage: alias in ``STORAGES`` of where the file goes; blank for the package's rule.
        hosted: DocRaptor keeps the document, at an address that **anyone** who has it may read:
            ``job.public_url``. The job gets no file.
        hosted_expires_at: aware time at which it ends; ``None``: it does not by itself.
        hosted_download_limit: downloads after which it ends; ``None``: any number.

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
        check_order(order)
    known = _known_keys(orders)
    # What orders share only if they ask for one job: their key, else their place.
    handles = [
        place if order.idempotency_key is None else order.idempotency_key
        for place, order in enumerate(orders)
    ]
    fresh: dict[object, tuple[RenderJob, RenderInput]] = {}
    terms = Terms()
    for handle, order in zip(handles, orders, strict=True):
        if handle not in known and handle not in fresh:
            fresh[handle] = build_job(order, terms)
    stored = known | (_store(fresh) if fresh else {})
    return [stored[handle] for handle in handles]


def enqueue_latest(order: Order) -> RenderJob:
    """Make one document of an object as it will be once this transaction has committed.

    If no worker has begun on the newest job for the same document (label, source, parameters,
    type, account, test, idempotency key), that job is brought up to date; else another one is
    made. So it is if that job is another owner's, or a snapshot and this order none. The row stays
    locked till the transaction ends, so no worker renders what is not yet committed.

    Raises:
        ValidationError: naming the field; nothing was stored.
    """
    check_order(order)
    new, stored = build_job(order, Terms())
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        _take_turns(order.source)
        old = _newest_like(new, stored, order.source)
        if old and _is_replaceable(old, new, stored) and _renew(old, new, stored):
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
    jobs = RenderJob.objects.for_source(source).filter(**same)
    jobs = jobs.annotate(is_snapshot=Q(input__content__gt=""))
    newest = jobs.select_related("input").defer("input__content").newest_first()
    return next((job for job in newest[:LOOK_BACK] if _params(job) == stored.params), None)


def _is_replaceable(old: RenderJob, new: RenderJob, stored: RenderInput) -> bool:
    """Whether nobody loses a document that is theirs, or that shows what was true at a moment."""
    is_snapshot: bool = getattr(old, "is_snapshot", False)
    return old.owner_id in (None, new.owner_id) and (bool(stored.content) or not is_snapshot)


def _params(job: RenderJob) -> Any:
    stored = getattr(job, "input", None)  # it may have been dropped after success
    return stored and stored.params


def _renew(old: RenderJob, new: RenderJob, stored: RenderInput) -> bool:
    """Give a waiting job what a newer order says. Returns whether it was still waiting."""
    job_columns = {name: getattr(new, name) for name in RENEWED}
    counted = {"renewals": F("renewals") + 1}
    if not RenderJob.objects.untouched().filter(pk=old.pk).update(**job_columns, **counted):
        return False
    input_columns = {name: getattr(stored, name) for name in RENEWED_INPUT}
    RenderInput.objects.filter(pk=old.pk).update(**input_columns, **counted)
    for name, value in job_columns.items():
        setattr(old, name, value)
    if not old.events.filter(kind=Kind.RENEWED).exists():  # a busy object's would fill the history
        old.record(Kind.RENEWED, note="A newer order was taken up by this job; later ones too.")
    tasks.ring_on_commit(tasks.submit)
    return True


def retry(job: RenderJob, *, by: Somebody | None = None) -> bool:
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
        # What was said of the old attempt holds no new one back.
        callback_at=None if target == State.PENDING else F("callback_at"),
    )
    if moved:
        tasks.ring_on_commit(tasks.submit if target == State.PENDING else tasks.wake)
    return moved


def cancel(job: RenderJob, *, by: Somebody | None = None) -> bool:
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


def expire(job: RenderJob, *, by: Somebody | None = None) -> bool:
    """End a hosted document now: its public address shows nothing any more.

    One call to DocRaptor; safe to repeat. Copies that somebody has made are out of reach. A job
    that is not finished yet is not ended: cancel it.

    Returns:
        Whether this call ended it; not if it is not hosted, not there yet, or has been ended.

    Raises:
        CallError: it may still be public; a retryable one is worth another call.
        ConfigurationError: there is no API key.
    """
    return lifecycle.end(job, note=_said_by(by))


def render_now(target: BinaryIO, **order: Any) -> Download:
    """Make a document synchronously into ``target``, without a job.

    For documents that take seconds: DocRaptor kills synchronous ones after 60 s.

    Raises:
        ValidationError: naming the field; nothing was sent.
        CallError: the call failed; ``sent`` says whether it may be on the bill.
    """
    wanted = Order(**order)
    check_order(wanted)
    if wanted.hosted:
        raise ValidationError({"hosted": ["Use django_docraptor.hosted.host_now() for that."]})
    request = request_of(wanted, wanted.content, Terms())
    check_content(request, max_bytes=conf.max_content_bytes)
    return client_for(wanted.account).create_doc(request, target)


def _said_by(user: Somebody | None) -> str:
    name = user.get_username() if user else ""  # of somebody anonymous, blank
    return f"by {name}" if name else ""


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
            with transaction.atomic(using=router.db_for_write(RenderJob)):  # all of them, or none
                one_by_one = [_store({handle: pair}) for handle, pair in fresh.items()]
            return {handle: job for stored in one_by_one for handle, job in stored.items()}
        handle = next(iter(fresh))
        job = RenderJob.objects.filter(idempotency_key=handle).first()
        if job is None or job.idempotency_key != handle:  # an order without a key has its place
            raise
        return {handle: job}
    for job, _stored in fresh.values():
        del job.due_at  # the database's clock gave it: it is read when somebody asks
    return {handle: job for handle, (job, _stored) in fresh.items()}
