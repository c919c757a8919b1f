"""The runner in force: which one is chosen, and what each says that it lacks."""

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from django_docraptor import advice, runners
from django_docraptor.django_tasks import DjangoTasksRunner
from django_docraptor.runners import NullRunner, Step, celery_worker_problem, get_runner
from django_docraptor.tasks import CeleryRunner
from tests.celery import app
from tests.support.runners import RECORDING_RUNNER, RecordingRunner

BACKENDS = "tests.support.runners."
IMMEDIATE = "django_tasks.backends.immediate.ImmediateBackend"
DUMMY = "django_tasks.backends.dummy.DummyBackend"
try:
    import django.tasks  # noqa: F401
except ImportError:
    pass
else:
    IMMEDIATE, DUMMY = (name.replace("django_tasks", "django.tasks") for name in (IMMEDIATE, DUMMY))


class DerivedBackend(runners.import_string(IMMEDIATE)):  # type: ignore[misc]
    """A project's own variant of the backend that runs tasks in the web request."""


@pytest.fixture
def no_broker(monkeypatch):
    """Celery without a broker."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    other = Celery("unconfigured")
    yield other
    app.set_current()
    other.close()


def use(settings, runner: str | None = None, backend: str | None = None) -> None:
    """Set the runner, and the default backend of django.tasks."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": runner}
    if backend is not None:
        settings.TASKS = {"default": {"BACKEND": backend}}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("celery", CeleryRunner),
        ("django.tasks", DjangoTasksRunner),
        ("none", NullRunner),
        (RECORDING_RUNNER, RecordingRunner),
    ],
)
def test_runner_of_the_setting_is_used(settings, name: str, kind: type) -> None:
    """A name or a dotted path decides."""
    use(settings, name)
    assert type(get_runner()) is kind


def test_celery_is_the_default_if_it_has_a_broker(settings) -> None:
    """Celery comes first, even beside a task backend."""
    use(settings, backend=BACKENDS + "RecordingTaskBackend")
    assert get_runner().name == "celery"


def test_django_tasks_is_the_default_without_a_broker(settings, no_broker) -> None:
    """Without a broker, a backend with a worker is used."""
    use(settings, backend=BACKENDS + "RecordingTaskBackend")
    assert get_runner().name == "django.tasks"


@pytest.mark.parametrize("backend", [IMMEDIATE, DUMMY, f"{__name__}.DerivedBackend"])
def test_backend_without_a_worker_is_no_runner(settings, no_broker, backend: str) -> None:
    """ImmediateBackend would run the engine in the web request; DummyBackend runs nothing."""
    use(settings, backend=backend)
    assert get_runner().name == "none"


@pytest.mark.parametrize("backend", [IMMEDIATE, DUMMY])
def test_backend_without_a_worker_sends_nothing_if_chosen_by_hand(settings, backend: str) -> None:
    """RUNNER "django.tasks" does not run the engine inside the caller either, and says so."""
    use(settings, "django.tasks", backend)
    runner = get_runner()
    assert runner.wake(Step.SUBMIT) is False
    (limitation,) = runner.limitations()
    assert "hands no task to a worker" in limitation


def test_unknown_backend_alias_is_a_limitation(settings) -> None:
    """An alias that TASKS does not have is named, and raises nothing."""
    use(settings, "django.tasks", BACKENDS + "RecordingTaskBackend")
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"DJANGO_TASKS": {"backend": "absent"}}
    runner = get_runner()
    assert runner.wake(Step.SUBMIT) is False
    assert runner.limitations() == ["TASKS has no such backend."]


def test_backend_without_delays_says_so(settings) -> None:
    """A backend without run_after leaves delayed wake-ups to the tick."""
    use(settings, "django.tasks", BACKENDS + "UndelayableTaskBackend")
    runner = get_runner()
    assert runner.supports_delay is False
    (limitation,) = runner.limitations()
    assert "run_after" in limitation


def test_null_runner_says_that_a_tick_is_needed(settings) -> None:
    """Without a queue the limitation names the command that does the work."""
    use(settings, "none")
    assert get_runner().wake(Step.SUBMIT) is False
    (limitation,) = get_runner().limitations()
    assert "docraptor_tick" in limitation


@pytest.mark.once
@pytest.mark.parametrize(
    ("queues", "expected"),
    [
        (["celery"], ""),
        (["other"], "No Celery worker listens to the queue 'celery': start one with -Q celery."),
    ],
)
def test_celery_workers_are_asked_for_their_queues(db, queues: list[str], expected: str) -> None:
    """A worker that listens to another queue never takes the engine's tasks."""
    app.control.purge()  # what other tests have sent: it would be run, and committed
    with start_worker(app, perform_ping_check=False, queues=queues, pool="solo"):
        assert celery_worker_problem(seconds=5) == expected


def test_no_celery_worker_is_told_with_both_ways_to_run_the_engine() -> None:
    """Without an answer, the remedy is to start one, or docraptor_tick."""
    problem = celery_worker_problem(seconds=0.2)
    assert problem == f"No Celery worker answers. {advice.START_ENGINE}"
