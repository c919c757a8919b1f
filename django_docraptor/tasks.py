"""Internal. Celery's transport: a task for each step, and the runner that sends them.

Nothing is retried, acknowledged late, or limited by a soft time limit: a step would then bill twice
or get stuck. The policy is `wakeups`'.
"""

from collections.abc import Mapping
from typing import Any

from celery import shared_task, signals
from celery.app.task import Task

from django_docraptor import wakeups
from django_docraptor.runners import Step, can_send, celery_limitations

# Seconds after which an undelivered message is discarded: the next one does the same. The worker
# compares it with its own clock, so it must exceed any difference between the clocks of two hosts.
MESSAGE_EXPIRES_SECONDS = 3600
PUBLISH_OPTIONS: dict[str, Any] = {
    "ignore_result": True,
    # What Celery would find out anew for each message: there are no arguments.
    "argsrepr": "()",
    "kwargsrepr": "{}",
    "retry": True,
    "retry_policy": {
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.2,
    },
}
TASK_OPTIONS: dict[str, Any] = {
    "ignore_result": True,
    "acks_late": False,
    "max_retries": 0,
    "expires": MESSAGE_EXPIRES_SECONDS,
}


@signals.worker_init.connect(dispatch_uid="django_docraptor.import_steps")
def import_steps(**kwargs: Any) -> None:
    """Import the steps before a worker forks, so that its processes share the memory."""
    wakeups.import_steps()


@shared_task(name="django_docraptor.submit", **TASK_OPTIONS)
def submit() -> None:
    """Submit pending jobs."""
    wakeups.run_step(Step.SUBMIT)


@shared_task(name="django_docraptor.poll", **TASK_OPTIONS)
def poll() -> None:
    """Poll the jobs that DocRaptor has; if a document is finished, download one at once."""
    wakeups.run_step(Step.POLL)


@shared_task(name="django_docraptor.reconcile", **TASK_OPTIONS)
def reconcile() -> None:
    """Settle unconfirmed attempts by DocRaptor's log."""
    wakeups.run_step(Step.RECONCILE)


@shared_task(name="django_docraptor.download", **TASK_OPTIONS)
def download() -> None:
    """Download and store finished documents."""
    wakeups.run_step(Step.DOWNLOAD)


@shared_task(name="django_docraptor.merge", **TASK_OPTIONS)
def merge() -> None:
    """Make the files of groups."""
    wakeups.run_step(Step.MERGE)


@shared_task(name="django_docraptor.dispatch", **TASK_OPTIONS)
def dispatch() -> None:
    """Handle a scheduled wake-up: notify the steps that are due."""
    wakeups.run_step(Step.DISPATCH)


@shared_task(name="django_docraptor.tick", **TASK_OPTIONS)
def tick() -> None:
    """Run the safety net, for Celery beat."""
    wakeups.tick()


TASKS: Mapping[Step, "Task[Any, Any]"] = {
    Step.SUBMIT: submit,
    Step.POLL: poll,
    Step.RECONCILE: reconcile,
    Step.DOWNLOAD: download,
    Step.MERGE: merge,
    Step.DISPATCH: dispatch,
}


class CeleryRunner:
    """Send wake-ups through Celery."""

    name = "celery"
    supports_delay = True

    def wake(self, step: Step, delay: float = 0.0) -> bool:
        """Publish the step's task.

        Returns:
            False if Celery has no broker; then nothing is tried.
        """
        task = TASKS[step]
        if not can_send(task.app):
            return False
        task.apply_async(
            countdown=delay, expires=MESSAGE_EXPIRES_SECONDS + delay, **PUBLISH_OPTIONS
        )
        return True

    def limitations(self) -> list[str]:
        """Return what is missing: a broker, or a queue at all."""
        return celery_limitations()
