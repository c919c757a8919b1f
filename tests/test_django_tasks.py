"""The transport of django.tasks: joined messages, delays, and the look that outlives a worker."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from django_docraptor import wakeups
from django_docraptor.django_tasks import JOIN_SECONDS, WATCH, WATCH_SECONDS, perform
from django_docraptor.models import RenderJob, SentWakeup, seconds_from_now
from django_docraptor.runners import Step
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.support.jobs import enqueue, skip_time
from tests.support.runners import RecordingTaskBackend, UndelayableTaskBackend
from tests.support.threads import run_in_threads

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def backend(sandbox: Sandbox, settings) -> Iterator[type[RecordingTaskBackend]]:
    """The recording task backend, as the runner in force."""
    path = f"{RecordingTaskBackend.__module__}.{RecordingTaskBackend.__qualname__}"
    settings.TASKS = {"default": {"BACKEND": path}}
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "django.tasks"}
    RecordingTaskBackend.reset()
    yield RecordingTaskBackend
    RecordingTaskBackend.reset()


def expire_joins() -> None:
    """Simulate that the time has passed in which messages are joined."""
    SentWakeup.objects.exclude(step=WATCH).update(expires_at=seconds_from_now(-1))


def test_enqueue_sends_the_step_as_its_only_argument(backend) -> None:
    """A task names the step and carries nothing else."""
    enqueue()
    (result,) = backend.enqueued
    assert (result.args, result.kwargs) == (["submit"], {})
    assert result.task.func is perform.func


def test_messages_of_a_step_are_joined_until_a_worker_takes_one(backend) -> None:
    """Fifty requests leave one row: the waiting message sees all of their jobs."""
    for _ in range(50):
        enqueue()
    assert backend.steps() == ["submit"]
    SentWakeup.forget("submit")
    enqueue()
    assert backend.steps() == ["submit", "submit"]


def test_lost_message_is_replaced_after_the_join_time(backend) -> None:
    """A message that no worker took stands for others only for JOIN_SECONDS."""
    enqueue()
    backend.enqueued.clear()
    enqueue()
    assert backend.enqueued == []
    assert JOIN_SECONDS <= 5
    expire_joins()
    enqueue()
    assert backend.steps() == ["submit"]


def test_message_is_sent_again_after_the_backend_failed(backend) -> None:
    """A message that the backend refused does not stand for the next one."""
    backend.error = ConnectionRefusedError("connection refused")
    assert wakeups.notify(Step.SUBMIT) is False
    backend.error = None
    assert wakeups.notify(Step.SUBMIT) is True
    assert backend.steps() == ["submit"]


def test_only_one_of_many_processes_sends_the_message(backend) -> None:
    """Processes that notify at once leave one row."""
    assert run_in_threads(8, lambda: wakeups.notify(Step.POLL)) == [True] * 8
    assert backend.steps() == ["poll"]


def test_delayed_message_has_run_after(backend) -> None:
    """A wake-up for later is enqueued with the time to run."""
    assert wakeups.notify(Step.DISPATCH, delay=30) is True
    (result,) = backend.enqueued
    assert abs(result.task.run_after - timezone.now() - timedelta(seconds=30)) < timedelta(
        seconds=5
    )


def test_delayed_message_is_left_to_the_tick_without_run_after(backend, settings) -> None:
    """A backend that cannot delay is asked only for what is due now."""
    path = f"{UndelayableTaskBackend.__module__}.{UndelayableTaskBackend.__qualname__}"
    settings.TASKS = {"default": {"BACKEND": path}}
    assert wakeups.notify(Step.DISPATCH, delay=30) is False
    assert wakeups.notify(Step.DISPATCH) is True
    enqueue()
    backend.enqueued.clear()
    perform.func("dispatch")
    assert backend.steps() == []  # "submit" is joined with the one that was sent


def test_worker_has_the_schedule_looked_at_again_before_it_works(backend, monkeypatch) -> None:
    """A worker that is killed in its step has sent the next look already."""
    enqueue()
    backend.enqueued.clear()

    def die(step: Step) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wakeups, "run_step", die)
    with pytest.raises(KeyboardInterrupt):
        perform.func("submit")
    (look,) = backend.enqueued
    assert look.args == ["dispatch"]
    delay = look.task.run_after - timezone.now()
    assert timedelta(seconds=WATCH_SECONDS - 5) < delay <= timedelta(seconds=WATCH_SECONDS)


def test_looks_do_not_multiply(backend) -> None:
    """However many messages workers take, one look is sent in WATCH_SECONDS."""
    job = enqueue()
    RenderJob.objects.filter(pk=job.pk).update(due_at=seconds_from_now(3600))
    backend.enqueued.clear()
    for _ in range(5):
        perform.func("dispatch")
    looks = [result for result in backend.enqueued if result.task.run_after]
    delays = sorted(result.task.run_after - timezone.now() for result in looks)
    assert [delay < timedelta(seconds=WATCH_SECONDS + 1) for delay in delays] == [True, False]
    assert delays[1] <= timedelta(seconds=wakeups.MAX_DELAY)


def test_idle_worker_sends_no_look(backend) -> None:
    """With no unfinished job nothing is enqueued."""
    perform.func("dispatch")
    assert backend.enqueued == []


def test_messages_alone_complete_a_job(backend, documents_dir) -> None:
    """A worker that runs what is enqueued completes the job, and then all is quiet."""
    job = enqueue()
    for _ in range(40):
        if not backend.enqueued:
            break
        result = backend.enqueued.pop(0)
        if result.task.run_after:
            skip_time(2)
            SentWakeup.objects.update(expires_at=seconds_from_now(-1))
        perform.func(*result.args)
    assert RenderJob.objects.get(pk=job.pk).state == State.COMPLETED
    assert backend.enqueued == []
