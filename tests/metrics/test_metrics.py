"""Receivers are loaded from the setting; one that is missing disturbs nothing."""

import logging
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from django.test import override_settings

from django_docraptor import checks, instrumentation
from django_docraptor.metrics import load_receivers, receiver_problem

TRACE_PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the project's own, with a receiver and a source of traces."""
    monkeypatch.setattr(instrumentation, "receivers", [])
    monkeypatch.setattr(instrumentation, "_trace_sources", [])
    module: Any = ModuleType("shop_metrics")
    module.received = []
    module.receive = module.received.append
    module.trace_parent = lambda: TRACE_PARENT
    monkeypatch.setitem(sys.modules, "shop_metrics", module)
    return module


def test_receiver_is_loaded(receiver: Any) -> None:
    """A module that the setting names gets all events, and says which trace is in force."""
    load_receivers(["shop_metrics"])
    event = instrumentation.QueueMeasured(account="", state="pending", depth=0, lag_seconds=0.0)
    instrumentation.publish(event)
    assert receiver.received == [event]
    assert instrumentation.current_trace_parent() == TRACE_PARENT


@pytest.mark.fault("M1")
def test_missing_receiver_is_left_out(receiver: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A module that cannot be imported is logged, and the others are loaded."""
    with caplog.at_level(logging.ERROR, "django_docraptor"):
        load_receivers(["shop_missing_metrics", "shop_metrics"])
    assert instrumentation.receivers == [receiver.receive]
    assert "shop_missing_metrics" in caplog.text


@pytest.mark.check("E027")
def test_check_reports_what_is_no_receiver(receiver: Any) -> None:
    """The check names a module that is missing, one that is broken, and one that is another."""
    paths = ["shop_missing_metrics", "django_docraptor.conf", "shop_metrics"]
    with override_settings(DOCRAPTOR={"API_KEY": "key", "METRICS": paths}):
        found = checks.check_settings(None)
    assert [message.id for message in found] == ["django_docraptor.E027"] * 2
    assert "No module named 'shop_missing_metrics'" in found[0].msg
    assert "receive(event)" in found[1].msg


def test_module_that_raises_is_no_receiver(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a module is told, and is not the start's."""
    (tmp_path / "shop_broken_metrics.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "ZeroDivisionError" in receiver_problem("shop_broken_metrics")


@pytest.mark.parametrize("name", ["prometheus", "opentelemetry", "statsd"])
def test_receivers_of_the_package(name: str) -> None:
    """Each module of the package that the documentation names is a receiver."""
    assert receiver_problem(f"django_docraptor.metrics.{name}") == ""


STARTUP = """
from django.conf import settings
import django
settings.configure(
    SECRET_KEY="startup",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_docraptor"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DOCRAPTOR={"API_KEY": "startup", "METRICS": METRICS},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
import sys
from django_docraptor import instrumentation
print(*[receiver.__module__ for receiver in instrumentation.receivers])
print("prometheus_client" in sys.modules, "opentelemetry" in sys.modules)
"""


@pytest.mark.once
def test_setting_is_read_at_startup() -> None:
    """A process has the receivers of its setting, and imports no package of any other."""
    code = STARTUP.replace("METRICS}", "['django_docraptor.metrics.statsd', 'shop_missing']}")
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={key: value for key, value in os.environ.items() if "DJANGO" not in key},
    )
    assert done.stdout.split() == ["django_docraptor.metrics.statsd", "False", "False"]
    assert "shop_missing" in done.stderr
