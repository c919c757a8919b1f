"""Celery's transport: what its messages carry, and what an absent or unreachable broker costs."""

import logging
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.signals import before_task_publish
from django.db import connection

from django_docraptor import tasks, wakeups
from django_docraptor.models import RenderJob
from django_docraptor.runners import Step
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import State
from tests.celery import app
from tests.support.jobs import enqueue

pytestmark = pytest.mark.django_db(transaction=True)

ALL_TASKS = [*tasks.TASKS.values(), tasks.tick]


class Message(str):
    """Name of a task that was published, with its message."""

    headers: dict[str, object]
    body: tuple[object, ...]


@pytest.fixture
def published(settings) -> Iterator[list[Message]]:
    """Every message that is handed to the broker, in order."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "celery"}
    messages: list[Message] = []

    def record(sender: str, headers: dict, body: tuple, **kwargs: object) -> None:
        message = Message(sender.removeprefix("django_docraptor."))
        message.headers, message.body = headers, body
        messages.append(message)

    before_task_publish.connect(record)
    yield messages
    before_task_publish.disconnect(record)


@pytest.fixture
def other_app(monkeypatch, settings) -> Iterator[Celery]:
    """Celery as it is in a project that does not configure it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "celery"}
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    other = Celery("unconfigured")
    yield other
    app.set_current()
    other.close()


@pytest.mark.parametrize("task", ALL_TASKS, ids=lambda task: task.name)
def test_tasks_are_never_retried_or_acknowledged_late(task) -> None:
    """A late acknowledgement, a retry or a soft time limit would bill twice or get stuck."""
    assert task.acks_late is False
    assert task.max_retries == 0
    assert task.ignore_result is True
    assert not getattr(task, "autoretry_for", ())
    assert task.soft_time_limit is None
    assert task.expires == tasks.MESSAGE_EXPIRES_SECONDS


def test_worker_knows_a_task_for_each_step() -> None:
    """A worker of the project finds each step, and the tick, by name."""
    names = {f"django_docraptor.{step}" for step in Step} | {"django_docraptor.tick"}
    assert names <= set(app.tasks)


def test_message_carries_nothing_but_a_name(published: list[Message]) -> None:
    """A message has no argument, expires, and leaves no result."""
    assert wakeups.notify(Step.SUBMIT) is True
    (message,) = published
    assert message == "submit"
    args, kwargs, _embedded = message.body
    assert (list(args), kwargs) == ([], {})
    assert message.headers["expires"] is not None
    assert message.headers["eta"] is None
    assert message.headers["ignore_result"] is True


@pytest.mark.fault("C7")
def test_message_outlives_a_difference_between_clocks(published: list[Message]) -> None:
    """A worker whose clock is half an hour ahead of the sender's does not discard the message."""
    wakeups.notify(Step.SUBMIT)
    expires = datetime.fromisoformat(str(published[0].headers["expires"]))
    assert expires - datetime.now(UTC) > timedelta(minutes=30)


def test_delayed_message_has_an_eta(published: list[Message]) -> None:
    """A wake-up for later is delivered later."""
    assert wakeups.notify(Step.DISPATCH, delay=20) is True
    (message,) = published
    assert message == "dispatch"
    assert message.headers["eta"] is not None


@pytest.mark.parametrize("task", ALL_TASKS, ids=lambda task: task.name)
def test_task_runs_its_step(task, sandbox: Sandbox, monkeypatch) -> None:
    """Each task runs the step of its name, and the tick runs the tick."""
    calls: list[str] = []
    monkeypatch.setattr(wakeups, "run_step", lambda step: calls.append(step.value))
    monkeypatch.setattr(wakeups, "tick", lambda: calls.append("tick"))
    task()
    assert calls == [task.name.removeprefix("django_docraptor.")]


@pytest.mark.fault("E2")
def test_unreachable_broker_costs_moments(other_app: Celery, monkeypatch, caplog) -> None:
    """A broker that refuses connections costs moments and one warning."""
    monkeypatch.setattr(wakeups, "_last_warned_at", float("-inf"))
    with socket.socket() as taken:  # bound but not listening, so that no other process has it
        taken.bind(("127.0.0.1", 0))
        other_app.conf.broker_url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        started = time.monotonic()
        with caplog.at_level(logging.WARNING, logger="django_docraptor"):
            assert [wakeups.notify(Step.SUBMIT) for _ in range(3)] == [False] * 3
        assert time.monotonic() - started < 5
    warnings = [record for record in caplog.records if record.name == "django_docraptor.wakeups"]
    assert len(warnings) == 1


def test_nothing_is_published_without_a_broker(other_app: Celery, published, caplog) -> None:
    """Celery's own default, RabbitMQ on this host, is not called, and nothing is logged."""
    assert wakeups.notify(Step.SUBMIT) is False
    enqueue()
    assert published == []
    assert caplog.messages == []
    assert tasks.CeleryRunner().limitations() == ["Celery has no broker."]


@pytest.mark.parametrize("name", ["broker_url", "broker_write_url"])
def test_either_name_of_a_broker_is_enough(
    other_app: Celery, published: list[Message], name: str
) -> None:
    """Celery takes its broker's URL under two names."""
    other_app.conf.update({name: "memory://"})
    assert wakeups.notify(Step.SUBMIT) is True
    assert published == ["submit"]
    assert tasks.CeleryRunner().limitations() == []


def test_eager_task_needs_no_broker(other_app: Celery, sandbox: Sandbox, settings) -> None:
    """Eager tasks run in the process that enqueues; the runner names that as a limitation."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "celery"}
    other_app.conf.task_always_eager = True
    job = enqueue()
    assert RenderJob.objects.get(pk=job.pk).state == State.QUEUED
    (limitation,) = tasks.CeleryRunner().limitations()
    assert "CELERY_TASK_ALWAYS_EAGER" in limitation


@pytest.mark.django_db(transaction=False)
@pytest.mark.parametrize("max_age", [0, None])
def test_eager_task_leaves_the_connection_of_a_test_open(
    other_app: Celery,
    sandbox: Sandbox,
    settings,
    documents_dir,
    monkeypatch: pytest.MonkeyPatch,
    max_age: int | None,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """A TestCase is a transaction: its connection is its own, and what it has written stays."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "celery"}
    other_app.conf.task_always_eager = True
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", max_age)
    before = connection.connection
    with django_capture_on_commit_callbacks(execute=True):
        job = enqueue()
    assert connection.connection is before
    assert RenderJob.objects.get(pk=job.pk).state == State.QUEUED
    wakeups.tick()
    assert connection.connection is before
    assert RenderJob.objects.filter(pk=job.pk).exists()
