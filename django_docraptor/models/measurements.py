"""Internal. Tell receivers of metrics that jobs were inserted or moved, after the commit.

Without a receiver, nothing is computed or registered. Knows a job only by its columns.
"""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from django_docraptor import instrumentation

if TYPE_CHECKING:
    from django_docraptor.instrumentation import JobMoved


def publish_insertions(jobs: Iterable[Any], *, using: str) -> None:
    """Publish that jobs were enqueued."""
    if instrumentation.receivers:
        _publish_on_commit([_moved(job, "", {}) for job in jobs], using=using)


def publish_move(job: Any, changes: Mapping[str, Any], *, using: str) -> None:
    """Publish that a job moved.

    Args:
        job: still as it was before.
        changes: what was written.
        using: alias of the database whose transaction is to be committed.
    """
    if instrumentation.receivers:
        seconds = _seconds_in_state(job)
        moved = _moved(job, job.state, changes, seconds_in_state=seconds)
        _publish_on_commit([moved], using=using)


def publish_step(job: Any, name: str, seconds: float) -> None:
    """Publish that a part of a job's way took so many seconds. Not part of a transaction."""
    if instrumentation.receivers:
        instrumentation.publish(
            instrumentation.StepTimed(
                name=name,
                job=job.pk,
                account=job.account,
                document=job.document,
                seconds=seconds,
                trace_parent=job.trace_parent,
            )
        )


def _moved(
    job: Any, from_state: str, changes: Mapping[str, Any], **measured: float | None
) -> "JobMoved":
    return instrumentation.JobMoved(
        job=job.pk,
        account=job.account,
        document=job.document,
        from_state=str(from_state),
        to_state=str(changes.get("state", job.state)),
        attempt=changes.get("attempt", job.attempt),
        is_test=job.test,
        error_code=changes.get("error_code", ""),
        trace_parent=job.trace_parent,
        **measured,
    )


def _seconds_in_state(job: Any) -> float | None:
    """Return for how long a job has been in its state. A column that is not loaded is not read."""
    if job.moved_here_at is not None:
        return float(time.monotonic() - job.moved_here_at)
    columns = vars(job)
    since = columns.get("moved_at") or columns.get("not_before") or columns.get("created_at")
    # The database's time by this host's clock: a metric survives a difference of seconds.
    return None if since is None else max(0.0, (timezone.now() - since).total_seconds())


def _publish_on_commit(events: "list[JobMoved]", *, using: str) -> None:
    def publish() -> None:
        for event in events:
            instrumentation.publish(event)

    transaction.on_commit(publish, using=using, robust=True)
