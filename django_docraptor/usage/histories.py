"""Internal. What jobs have used by a range of their events: a difference between two histories."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby
from typing import Any, Final, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from django_docraptor.billing import COUNTED_KINDS, Usage, usage_by_day
from django_docraptor.models import RenderEvent, RenderJob, RenderJobQuerySet
from django_docraptor.models.sources import parse_key
from django_docraptor.states import EventKind, State

# Jobs whose history is read at once.
JOBS_AT_ONCE: Final = 500
# Kinds of events that are read: those that count, and the one that says when an attempt was sent.
READ_KINDS: Final = COUNTED_KINDS | {EventKind.SUBMITTING}
JOB_COLUMNS: Final = (
    *("account", "document", "owner_id", "test", "state", "number_of_pages", "file_size"),
)
NOTHING: Final = Usage()
ALL_JOBS: Final = Q()


class Key(NamedTuple):
    """The key of a row of UsageDay."""

    day: date
    account: str
    document: str
    owner: str
    test: bool


Days = dict[Key, Usage]


def jobs_of(events: "QuerySet[RenderEvent]") -> list[Any]:
    """Return the keys of the jobs whose figures these events may change."""
    # In their order, and not distinct: for that, SQLite reads all jobs' events by another index.
    counted = events.filter(kind__in=COUNTED_KINDS).order_by("pk")
    return list(dict.fromkeys(counted.values_list("job_id", flat=True)))


def used_by(
    jobs: Iterable[Any],
    *,
    after: int,
    until: int | None = None,
    where: Q = ALL_JOBS,
    with_intents: bool = False,
) -> Days:
    """Return what jobs have used by their events in a range of numbers.

    That is a difference: a later event may take back what an earlier one has counted.

    Args:
        jobs: their keys.
        after: the number of the last event that is counted already.
        until: the number of the last event that counts; default: all.
        where: which of the jobs.
        with_intents: count attempts that are being sent, too.
    """
    days: Days = defaultdict(Usage)
    for job, events in histories(RenderJob.objects.filter(where), jobs, *JOB_COLUMNS):
        counted = (e for e in events if until is None or e.pk <= until)
        is_sending = with_intents and job.state == State.SUBMITTING
        now = usage_by_day(job, counted, with_intents=is_sending)
        before = usage_by_day(job, (e for e in events if e.pk <= after))
        owner = "" if job.owner_id is None else str(job.owner_id)
        for day in now.keys() | before.keys():
            if used := now.get(day, NOTHING) - before.get(day, NOTHING):
                for each in {"", owner}:
                    days[Key(day, job.account, job.document, each, job.test)] += used
    return {key: used for key, used in days.items() if used}


def histories(
    rows: RenderJobQuerySet, jobs: Iterable[Any], *columns: str
) -> Iterator[tuple[RenderJob, list[RenderEvent]]]:
    """Yield jobs with what counts of their history, a number of them at a time.

    Args:
        rows: the jobs that may be read.
        jobs: the keys of those that are.
        columns: of the jobs.
    """
    keys = list(jobs)
    for first in range(0, len(keys), JOBS_AT_ONCE):
        some = rows.filter(pk__in=keys[first : first + JOBS_AT_ONCE]).order_by()
        found = {job.pk: job for job in some.only(*columns)}
        events = RenderEvent.objects.filter(job__in=list(found), kind__in=READ_KINDS)
        read = ("job", "attempt", "kind", "from_state", "at", "detail")
        ordered = events.only(*read).order_by("job", "pk")
        grouped = groupby(ordered, lambda event: event.job_id)
        by_job = {key: list(history) for key, history in grouped}
        for key, job in found.items():
            yield job, by_job.get(key, [])


def owner_key(owner: Any) -> Any:
    """Return a user's primary key.

    Args:
        owner: the user, or the primary key, also of one who was deleted.

    Raises:
        ValidationError: it is neither, or an anonymous or unsaved user.
    """
    model = get_user_model()
    if isinstance(owner, Model) and not isinstance(owner, model):
        message = f"owner {owner!r} is no {model._meta.label}. Pass a user or a primary key."
        raise ValidationError({"owner": [message]})
    key = getattr(owner, "pk", None) if hasattr(owner, "is_authenticated") else owner
    if key is None:
        message = "owner has no primary key: an anonymous or unsaved user owns no jobs."
        raise ValidationError({"owner": [message]})
    try:
        return parse_key(model, key)
    except ValidationError as error:
        message = f"owner {owner!r} is no primary key of {model._meta.label}."
        raise ValidationError({"owner": [message]}) from error
