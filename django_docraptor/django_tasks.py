"""Internal. The transport of django.tasks: one task, and the runner that enqueues it.

Django 6.0 has ``django.tasks``; Django 5.2 has it by the package ``django-tasks``. Task backends
with a database store a row for each message, so that messages are joined here, and stored rows name
:func:`perform` by its path: it must not move.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_docraptor import wakeups
from django_docraptor.conf import conf
from django_docraptor.models import RenderJob, SentWakeup
from django_docraptor.runners import (
    Step,
    django_tasks_limitations,
    find_task_backend,
    has_task_queue,
    import_django_tasks,
)

# Seconds for which a message that no worker has taken yet stands for all others of its step.
JOIN_SECONDS = 5.0
# Steps whose messages are joined: a message that waits sees every row that is due.
JOINED_STEPS = (Step.SUBMIT, Step.POLL, Step.DOWNLOAD, Step.MERGE)
# While jobs are unfinished, a worker looks again after so many seconds, even if the worker that
# would have sent the next message was killed.
WATCH_SECONDS = 15.0
WATCH = "watch"


def _task(function: Callable[[str], None]) -> Any:
    """Make a function a task of the configured backend and queue.

    Raises:
        ImproperlyConfigured: TASKS has no such backend, or the backend no such queue.
    """
    return import_django_tasks().task(
        function,
        backend=conf.django_tasks.get("backend", "default"),
        queue_name=conf.django_tasks.get("queue_name", "default"),
    )


@_task
def perform(step: str) -> None:
    """Run one step in a worker."""
    # First the next look, and the end of the joining: a worker may be killed in the step.
    _keep_watch()
    SentWakeup.forget(step)
    wakeups.run_step(Step(step))


def _keep_watch() -> None:
    """Have the schedule looked at again in WATCH_SECONDS, once, while jobs are unfinished."""
    if not perform.get_backend().supports_defer or not RenderJob.objects.running().exists():
        return
    # A second less, so that the message's own run finds that it must send the next one.
    if SentWakeup.claim(WATCH, WATCH_SECONDS - 1):
        wakeups.notify(Step.DISPATCH, delay=WATCH_SECONDS)


class DjangoTasksRunner:
    """Send wake-ups through the backend of django.tasks."""

    name = "django.tasks"

    @property
    def supports_delay(self) -> bool:
        """Whether the backend supports ``run_after``."""
        return bool(getattr(find_task_backend(), "supports_defer", False))

    def wake(self, step: Step, delay: float = 0.0) -> bool:
        """Enqueue the step, unless a message that no worker has taken does its work.

        Returns:
            False if the backend has no worker, or cannot delay a message that must be late.
        """
        if not has_task_queue():
            return False
        if delay:
            return self._wake_later(step, delay)
        if step not in JOINED_STEPS:
            perform.enqueue(step.value)
        elif SentWakeup.claim(step.value, JOIN_SECONDS):
            try:
                perform.enqueue(step.value)
            except Exception:
                SentWakeup.forget(step.value)
                raise
        return True

    def _wake_later(self, step: Step, delay: float) -> bool:
        if not self.supports_delay:
            return False
        run_after = timezone.now() + timedelta(seconds=delay)
        perform.using(run_after=run_after).enqueue(step.value)
        return True

    def limitations(self) -> list[str]:
        """Return what the backend cannot do."""
        return django_tasks_limitations()
