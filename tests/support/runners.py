"""A runner that records what it is asked to wake, and a task backend that records its tasks."""

from typing import Any, ClassVar

from django_docraptor.runners import Step
from django_docraptor.wakeups import run_step

try:
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import TaskResult, TaskResultStatus
except ImportError:
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.base import TaskResult, TaskResultStatus

RECORDING_RUNNER = "tests.support.runners.RecordingRunner"


class RecordingRunner:
    """Records each wake-up, and can be made to fail or to lack delays."""

    name = "recording"
    supports_delay = True
    sent: ClassVar[list[tuple[Step, float]]] = []
    error: ClassVar[Exception | None] = None

    @classmethod
    def reset(cls) -> None:
        """Forget the wake-ups and the error."""
        cls.sent.clear()
        cls.error = None

    @classmethod
    def steps(cls) -> list[str]:
        """Return the names of the steps that were woken, in order."""
        return [step.value for step, _delay in cls.sent]

    def wake(self, step: Step, delay: float = 0.0) -> bool:
        """Record the wake-up, or raise the error."""
        if self.error is not None:
            raise self.error
        self.sent.append((step, delay))
        return True

    def limitations(self) -> list[str]:
        """Return nothing: it can do everything."""
        return []


class InlineRunner:
    """Stands for a queue with a worker that is free: it runs each step at once."""

    name = "inline"
    supports_delay = False

    def wake(self, step: Step, delay: float = 0.0) -> bool:
        """Run the step."""
        run_step(step)
        return True

    def limitations(self) -> list[str]:
        """Return one thing."""
        return ["It runs in the process that enqueues."]


class RecordingTaskBackend(BaseTaskBackend):
    """A backend of django.tasks that stands for one with a worker: it records what is enqueued."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = False
    supports_priority = True
    enqueued: ClassVar[list[Any]] = []
    error: ClassVar[Exception | None] = None

    @classmethod
    def reset(cls) -> None:
        """Forget the tasks and the error."""
        cls.enqueued.clear()
        cls.error = None

    @classmethod
    def steps(cls) -> list[str]:
        """Return the steps that were enqueued, in order."""
        return [result.args[0] for result in cls.enqueued]

    def enqueue(self, task: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Record the task, or raise the error."""
        self.validate_task(task)
        if self.error is not None:
            raise self.error
        result: Any = TaskResult(
            task=task,
            id=str(len(self.enqueued)),
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=list(args),
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        self.enqueued.append(result)
        return result


class UndelayableTaskBackend(RecordingTaskBackend):
    """A backend with a worker that cannot delay tasks."""

    supports_defer = False
