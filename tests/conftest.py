"""Shared fixtures: a sandbox, a directory for documents, and the tasks that are published."""

import gc
import logging
import os
import signal
import zlib
from collections.abc import Generator, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from celery.signals import before_task_publish, setup_logging
from django.db import connection, connections
from django.db.models import signals as model_signals
from django.dispatch import Signal

from django_docraptor import instrumentation, registry, signals

# Also without an installed distribution, whose entry point names the plugin.
from django_docraptor.pytest_plugin import docraptor, docraptor_sandbox  # noqa: F401
from django_docraptor.sandbox import Fault, Sandbox
from tests.support.chance import CHOICES, fixed_chance
from tests.support.jobs import sandbox_offsets
from tests.support.services import service_problem

# A job in the background of a shell ignores Ctrl-C; the processes that tests interrupt must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Its assertions explain themselves, as those of a test do.
pytest.register_assert_rewrite("tests.e2e.site")

# A test that replaces TASKS leaves no backend behind. Before Django 6.0, its equal in django-tasks
# forgets the backends only if it is an installed app.
with suppress(ImportError):
    import django_tasks.signals  # noqa: F401


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let two databases share the tests, and let chance be fixed."""
    parser.addoption(
        "--chance",
        choices=list(CHOICES),
        help="let the engine draw the same numbers each time: falling makes later jobs due first",
    )
    parser.addoption(
        "--half",
        type=int,
        choices=(0, 1),
        help="of the files that are not marked databases, run this half; the other one is "
        "for another database",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files of the other half, unless they are marked databases."""
    half: int | None = config.getoption("half")
    if half is None or not collection_path.match("test_*.py"):
        return None
    if "pytest.mark.databases" in collection_path.read_text():
        return None
    path = collection_path.relative_to(config.rootpath).as_posix()
    return True if zlib.crc32(path.encode()) % 2 != half else None


# The files that take longest, the longest first, in tests/e2e.
FIRST_FILES = (
    *("test_runners", "test_mysqlclient", "test_services", "test_chaos", "test_benchmarks"),
    *("test_example_project", "test_databases"),
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; all others follow in their (random) order.

    Each file is run by one process: all others would wait for a long one that begins late.
    """

    def rank(item: pytest.Item) -> int:
        folder, stem = item.path.parent.name, item.path.stem
        if folder == "e2e" and stem in FIRST_FILES:
            return FIRST_FILES.index(stem)
        return len(FIRST_FILES) + (folder not in ("e2e", "integration", "typing"))

    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while the tests are collected, nor later among what that has made.

    All of it lives as long as they do; to look through it again and again took a sixth of the CPU.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose service is not running, or fail it if DOCRAPTOR_REQUIRE_SERVICES is set."""
    for mark in item.iter_markers("services"):
        for name in mark.args:
            if problem := service_problem(name):
                if os.environ.get("DOCRAPTOR_REQUIRE_SERVICES") == "1":
                    pytest.fail(problem, pytrace=False)
                pytest.skip(problem)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """End the sessions of threads that still run, before PostgreSQL drops the database."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        connections.close_all()


# Signals to which a document class that a test declares may connect its receivers.
SIGNALS = (
    *(signal for signal in vars(signals).values() if isinstance(signal, Signal)),
    model_signals.pre_save,
    model_signals.post_save,
    model_signals.pre_delete,
    model_signals.post_delete,
    model_signals.m2m_changed,
)


@pytest.fixture(autouse=True)
def _declarations_end_with_the_test() -> Iterator[None]:
    """Take back what a document class that a test declares has left: its label and its receivers.

    A class lives until it is collected. Another one of the same label is in its place again.
    """
    before = [(declared, list(declared.receivers)) for declared in SIGNALS]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_documents", "_origins"):
            patch.setattr(registry, name, dict(getattr(registry, name)))
        yield
    for declared, receivers in before:
        with declared.lock:
            declared.receivers = receivers
            declared.sender_receivers_cache.clear()


@pytest.fixture(autouse=True)
def _chance(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fix what the engine draws, if the option says so."""
    choice: str | None = pytestconfig.getoption("chance")
    with fixed_chance(choice) if choice else nullcontext():
        yield


@setup_logging.connect
def _keep_logging(**kwargs: Any) -> None:
    """Let a worker in a test's process leave the root logger's level and handlers as they are."""


@pytest.fixture(autouse=True)
def _levels_end_with_the_test() -> Iterator[None]:
    """Fail a test that leaves a level of logging behind: others would miss their messages."""
    levels = _levels_of_logging()
    yield
    assert _levels_of_logging() == levels


def _levels_of_logging() -> tuple[int, int, int]:
    root, ours = logging.getLogger(), logging.getLogger("django_docraptor")
    return root.level, ours.level, root.manager.disable


@pytest.fixture(scope="session")
def _session_sandbox() -> Iterator[Sandbox]:
    with Sandbox(renderer="canned") as sandbox:
        yield sandbox


# Seconds for which the client waits: a busy machine may take one for a response.
PATIENT = {"connect": 5, "create_read": 5, "status_read": 5, "download_read": 5, "total": 15}
IMPATIENT = {"connect": 1, "create_read": 1, "status_read": 1, "download_read": 1, "total": 3}


@pytest.fixture
def short_timeouts(sandbox: Sandbox, settings: Any) -> None:
    """Let the client give up soon: for a server that never responds, or slowly."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"TIMEOUT": IMPATIENT}


@pytest.fixture
def timeouts_for_fault(request: pytest.FixtureRequest, fault: Fault) -> None:
    """Let the client give up soon if the test's fault is that nothing responds."""
    if fault.action == "hang":
        request.getfixturevalue("short_timeouts")


@pytest.fixture
def sandbox(_session_sandbox: Sandbox, settings: Any, tmp_path: Any) -> Iterator[Sandbox]:
    """A running sandbox that the settings point to."""
    _session_sandbox.reset()
    sandbox_offsets[_session_sandbox] = 0.0
    settings.DOCRAPTOR = settings.DOCRAPTOR | {
        "BASE_URL": _session_sandbox.url,
        "RUNNER": "none",
        "SPOOL_DIR": tmp_path / "spool",
        "TIMEOUT": PATIENT,
    }
    yield _session_sandbox
    sandbox_offsets.clear()
    _session_sandbox.reset()


@pytest.fixture
def documents_dir(settings: Any, tmp_path: Any) -> Any:
    """The directory of a document storage that only this test uses."""
    location = tmp_path / "documents"
    settings.STORAGES = settings.STORAGES | {
        "docraptor": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": location},
        }
    }
    return location


@pytest.fixture
def events() -> Iterator[list[instrumentation.Event]]:
    """What the engine publishes for metrics during the test."""
    received: list[instrumentation.Event] = []

    def receive(event: instrumentation.Event) -> None:
        received.append(event)

    instrumentation.subscribe(receive)
    yield received
    instrumentation.unsubscribe(receive)


@pytest.fixture
def published_tasks(settings: Any) -> Iterator[list[str]]:
    """Names of the tasks that were published, with notifications switched on."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "celery"}
    published: list[str] = []

    def note(sender: str, **kwargs: Any) -> None:
        published.append(sender)

    before_task_publish.connect(note)
    yield published
    before_task_publish.disconnect(note)
