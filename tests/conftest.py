"""What the tests share: a sandbox, a broker-less engine, a clock that can be moved."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery.signals import before_task_publish
from django.db.models import F

from django_docraptor import lifecycle, shortcuts
from django_docraptor.models import Account, RenderEvent, RenderJob
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import FINAL, POLLED
from tests.services import missing_service

HTML = "<h1>Hello</h1>"


class Killed(BaseException):
    """A worker's death, as far as one process can play it: nothing catches it."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a services test whose service does not answer; fail it where services are required."""
    for mark in item.iter_markers("services"):
        for name in mark.args:
            if problem := missing_service(name):
                if os.environ.get("DOCRAPTOR_REQUIRE_SERVICES") == "1":
                    pytest.fail(problem, pytrace=False)
                pytest.skip(problem)


@pytest.fixture(scope="session")
def _one_sandbox() -> Iterator[Sandbox]:
    with Sandbox(renderer="canned") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_one_sandbox: Sandbox, settings: Any, tmp_path: Any) -> Iterator[Sandbox]:
    """A DocRaptor on this machine; the project's settings point to it."""
    _one_sandbox.reset()
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "BASE_URL": _one_sandbox.url,
        "RING_ON_COMMIT": False,
        "SPOOL_DIR": tmp_path / "spool",
        "TIMEOUT": {
            "connect": 1,
            "create_read": 1,
            "status_read": 1,
            "download_read": 1,
            "total": 3,
        },
    }
    yield _one_sandbox
    _one_sandbox.reset()


@pytest.fixture
def documents(settings: Any, tmp_path: Any) -> Any:
    """A storage of the test's own; yields its directory."""
    location = tmp_path / "documents"
    settings.STORAGES = settings.STORAGES | {
        "docraptor": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": location},
        }
    }
    return location


@pytest.fixture
def rings(settings: Any) -> Iterator[list[str]]:
    """Names of the tasks that are rung, with the doorbell on."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RING_ON_COMMIT": True}
    published: list[str] = []

    def note(sender: str, **kwargs: Any) -> None:
        published.append(sender)

    before_task_publish.connect(note)
    yield published
    before_task_publish.disconnect(note)


def enqueue(**order: Any) -> RenderJob:
    """A job for a small document."""
    job = shortcuts.enqueue(**{"name": "hello.pdf", "content": HTML, **order})
    job.refresh_from_db()
    return job


def skip_time(seconds: float) -> None:
    """Let so many seconds pass for every unfinished job, and for pauses and signals."""
    past = timedelta(seconds=seconds)
    RenderJob.objects.active().update(
        due_at=F("due_at") - past, sent_at=F("sent_at") - past, deadline_at=F("deadline_at") - past
    )
    Account.objects.update(paused_until=F("paused_until") - past)
    RenderEvent.objects.update(signal_due_at=F("signal_due_at") - past)


def drive(
    job: RenderJob, *, until: Callable[[RenderJob], bool] | None = None, rounds: int = 40
) -> RenderJob:
    """Run the engine, skipping the waits, until the job is final (or until ``until``)."""
    for _ in range(rounds):
        lifecycle.run()
        job = RenderJob.objects.get(pk=job.pk)
        if (until or (lambda job: job.state in FINAL))(job):
            return job
        if job.state in POLLED:
            time.sleep(0.05)  # two minutes for the job: its render needs some real time as well
        _make_due(job)
    raise AssertionError(f"still {job.state} after {rounds} rounds: {job.errors}")


def _make_due(job: RenderJob) -> None:
    """End the job's present wait, and pauses; let its attempt age by two minutes."""
    minutes = timedelta(minutes=2)
    RenderJob.objects.filter(pk=job.pk).active().update(
        due_at=F("due_at") - timedelta(hours=1),
        sent_at=F("sent_at") - minutes,
        deadline_at=F("deadline_at") - minutes,
    )
    Account.objects.update(paused_until=None, circuit_open_until=None)


def state_of(job: RenderJob) -> str:
    """The row's state now."""
    return RenderJob.objects.values_list("state", flat=True).get(pk=job.pk)


def kinds(job: RenderJob) -> list[str]:
    """The kinds of the job's events, in order."""
    return list(job.events.values_list("kind", flat=True))


def read(job: RenderJob) -> bytes:
    """The stored file's bytes."""
    with job.file.open("rb") as file:
        return bytes(file.read())
