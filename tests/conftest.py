"""What the tests share: a sandbox, a broker-less engine, a clock that can be moved."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from celery.signals import before_task_publish

from django_docraptor.sandbox import Sandbox
from tests.support.services import missing_service


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
