"""Internal. Deliver wake-ups to workers: through Celery, through django.tasks, or not at all.

A runner is transport and knows no policy: `wakeups` decides which step to wake, and when. A project
may name a class of its own, with the methods of :class:`Runner`, in ``DOCRAPTOR["RUNNER"]``.
"""

import os
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib import import_module
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from django_docraptor import advice
from django_docraptor.conf import conf


class Step(StrEnum):
    """A step that a worker can be asked to run."""

    SUBMIT = "submit"
    POLL = "poll"
    RECONCILE = "reconcile"
    DOWNLOAD = "download"
    # Make the files of groups.
    MERGE = "merge"
    # Look at the schedule, and wake each step that has due jobs.
    DISPATCH = "dispatch"


class Runner(Protocol):
    """Deliver wake-ups to workers.

    Messages carry only the step's name, so that one may be lost, late or delivered twice.
    """

    #: ``"celery"``, ``"django.tasks"`` or ``"none"``; or what a project's own class is called.
    name: str
    #: Whether a wake-up can be delayed. If not, the next tick does its work.
    supports_delay: bool

    def wake(self, step: Step, delay: float = 0.0) -> bool:
        """Send one wake-up.

        Args:
            delay: seconds to wait before the step runs; 0 if the runner does not support delays.

        Returns:
            Whether a queue accepted it. It may raise what its queue raises.
        """
        ...

    def limitations(self) -> list[str]:
        """Return one sentence for each thing this runner cannot do as it is set up."""
        ...


class NullRunner:
    """Send nothing: ``docraptor_tick`` runs every step."""

    name = "none"
    supports_delay = False

    def wake(self, step: Step, delay: float = 0.0) -> bool:
        """Send nothing."""
        return False

    def limitations(self) -> list[str]:
        """Return why jobs move only with a tick."""
        return null_limitations()


RUNNERS = {
    "celery": "django_docraptor.tasks.CeleryRunner",
    "django.tasks": "django_docraptor.django_tasks.DjangoTasksRunner",
    "none": "django_docraptor.runners.NullRunner",
}


def get_runner() -> Runner:
    """Return the runner of ``DOCRAPTOR["RUNNER"]``; by default the first that can send messages.

    A runner that was named but has no queue sends nothing; a check says so.

    Raises:
        ImportError: the runner's library is not installed, or there is no such class.
    """
    name = conf.runner or default_runner_name()
    runner: Runner = import_string(RUNNERS.get(name, name))()
    return runner


def runner_limitations() -> tuple[str, list[str]]:
    """Return the name of the runner in force, and one sentence for each thing that it lacks.

    The package's own runners are not imported for that: they load the engine.

    Raises:
        ImportError: the runner's library is not installed, or there is no such class.
    """
    name = conf.runner or default_runner_name()
    if name in LIMITATIONS:
        return name, LIMITATIONS[name]()
    runner = get_runner()
    return runner.name, runner.limitations()


def default_runner_name() -> str:
    """Return "celery" if it has a broker, else "django.tasks" if its backend has workers."""
    # A project that has a Celery app has imported Celery; the others are spared the time.
    if ("celery" in sys.modules or "CELERY_BROKER_URL" in os.environ) and _has_celery_broker():
        return "celery"
    return "django.tasks" if has_task_queue() else "none"


def _has_celery_broker() -> bool:
    try:
        return can_send(_current_celery_app())
    except ImportError:
        return False


def _current_celery_app() -> Any:
    return import_module("celery").current_app


def broker_url(app: Any) -> str:
    """Return the URL of a Celery app's broker (the first of several), or an empty string."""
    urls = app.conf.broker_url or app.conf.broker_write_url
    return str((urls[0] if isinstance(urls, (list, tuple)) else urls) or "")


def can_send(app: Any) -> bool:
    """Return whether a Celery message can go anywhere: to a broker, or to a task that runs eagerly.

    Without a broker, Celery would call RabbitMQ on this host.
    """
    return bool(broker_url(app) or app.conf.task_always_eager)


def has_task_queue() -> bool:
    """Return whether the backend of django.tasks hands tasks to a worker.

    Django's ImmediateBackend would run the engine inside the web request, and its DummyBackend
    runs nothing: neither is a queue.
    """
    # The default runs tasks at once; most projects are spared the import.
    if not settings.is_overridden("TASKS"):  # type: ignore[misc] # unknown to the stubs
        return False
    backend = find_task_backend()
    return backend is not None and not _is_without_worker(backend)


def find_task_backend() -> Any:
    """Return the configured backend of django.tasks, or ``None`` if there is none."""
    try:
        return import_django_tasks().task_backends[conf.django_tasks.get("backend", "default")]
    except Exception:  # noqa: BLE001 - no library, no such alias, or a backend that cannot be made
        return None


def import_django_tasks() -> Any:
    """Return the module ``django.tasks``; before Django 6.0, its equal in the package django-tasks.

    Raises:
        ImportError: there is neither.
    """
    try:
        return import_module("django.tasks")
    except ImportError:
        return import_module("django_tasks")


def _is_without_worker(backend: Any) -> bool:
    """Return whether a backend is an ImmediateBackend or a DummyBackend, or derived from one."""
    without_worker = {
        f"{package}.backends.{kind}"
        for package in ("django.tasks", "django_tasks")
        for kind in ("immediate", "dummy")
    }
    return any(base.__module__ in without_worker for base in type(backend).__mro__)


def is_celery_eager() -> bool:
    """Return whether Celery runs each task at once, in the process that sends it."""
    return "celery" in sys.modules and bool(_current_celery_app().conf.task_always_eager)


def broker_problem(*, seconds: float) -> str:
    """Return why Celery's broker cannot be reached, or "". For a diagnosis, not for the engine.

    Args:
        seconds: to establish a connection.
    """
    app = _current_celery_app()
    try:
        with app.connection_for_write(connect_timeout=seconds, heartbeat=0) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=seconds)
            connection.default_channel.connection  # noqa: B018 - some transports connect only now
            url = connection.as_uri()  # without the password
    except Exception as error:  # noqa: BLE001 - each transport raises its own errors
        return (
            f"Celery's broker cannot be reached: {type(error).__name__}: {error}".rstrip(".") + "."
        )
    return "" if url else "Celery has no broker."


def celery_worker_problem(*, seconds: float) -> str:
    """Return why Celery's workers take no tasks of the engine, and what to do, or "".

    Args:
        seconds: to wait for the workers.
    """
    app = _current_celery_app()
    task = "django_docraptor.dispatch"
    try:
        inspect = app.control.inspect(timeout=seconds)
        registered, queues = inspect.registered(), inspect.active_queues()
        routed: Any = app.amqp.router.route({}, task).get("queue")
    except Exception as error:  # noqa: BLE001 - each transport raises its own errors
        return f"The workers cannot be asked: {type(error).__name__}: {error}".rstrip(".") + "."
    if not registered:
        return f"No Celery worker answers. {advice.START_ENGINE}"
    if not any(task in tasks for tasks in registered.values()):
        return f"No Celery worker knows the task {task}: call autodiscover_tasks() in its app."
    name = str(getattr(routed, "name", routed) or app.conf.task_default_queue)
    heard = {queue["name"] for each in (queues or {}).values() for queue in each or ()}
    if name not in heard:
        return f"No Celery worker listens to the queue {name!r}: start one with -Q {name}."
    return ""


def celery_limitations() -> list[str]:
    """Return what Celery lacks: a broker, or a queue at all.

    Raises:
        ImportError: Celery is not installed.
    """
    app = _current_celery_app()
    if app.conf.task_always_eager:
        return ["CELERY_TASK_ALWAYS_EAGER runs the engine in the process that enqueues."]
    return [] if broker_url(app) else ["Celery has no broker."]


def django_tasks_limitations() -> list[str]:
    """Return what the backend of django.tasks lacks: a worker, the queue, or delays.

    Raises:
        ImportError: neither Django's nor the package's django.tasks is installed.
    """
    import_django_tasks()
    backend = find_task_backend()
    if backend is None:
        return ["TASKS has no such backend."]
    if _is_without_worker(backend):
        return [f"{type(backend).__name__} hands no task to a worker."]
    limitations = []
    queue_name = conf.django_tasks.get("queue_name", "default")
    if backend.queues and queue_name not in backend.queues:
        limitations.append(f"TASKS does not list the queue {queue_name!r}: nothing can be sent.")
    if not backend.supports_defer:
        limitations.append(
            f"{type(backend).__name__} cannot delay a task (run_after): run docraptor_tick beside "
            "its workers."
        )
    return limitations


def null_limitations() -> list[str]:
    """Return why jobs move only with a tick."""
    return ["No queue wakes a worker: jobs move only while manage.py docraptor_tick runs."]


LIMITATIONS: Mapping[str, Callable[[], list[str]]] = {
    "celery": celery_limitations,
    "django.tasks": django_tasks_limitations,
    "none": null_limitations,
}
