"""Internal. Recover what dead workers have left: creates of unknown outcome and unsent signals."""

from django_docraptor.lifecycle.transitions import mark_interrupted
from django_docraptor.models import SIGNAL_LEASE_SECONDS, RenderEvent, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.states import State

BATCH_SIZE = 100


def recover() -> int:
    """Recover interrupted creates and send overdue signals.

    Returns:
        The number of both.
    """
    return _recover_interrupted_creates() + _send_overdue_signals()


def _recover_interrupted_creates() -> int:
    interrupted = RenderJob.objects.filter(state=State.SUBMITTING).due()[:BATCH_SIZE]
    return sum(mark_interrupted(job) for job in interrupted)


def _send_overdue_signals() -> int:
    count = 0
    overdue = RenderEvent.objects.filter(signal_due_at__lte=Now()).select_related("job")
    for event in overdue.order_by("signal_due_at", "id")[:BATCH_SIZE]:
        unclaimed = RenderEvent.objects.filter(pk=event.pk, signal_due_at__lte=Now())
        if unclaimed.update(signal_due_at=seconds_from_now(SIGNAL_LEASE_SECONDS)):
            event.send_signal(event.job)
            count += 1
    return count
