"""A real process whose broker is down or never responds."""

import json
import os
import socket
import subprocess
import sys

import pytest

SCRIPT = """
import json, time, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django_docraptor import shortcuts
from django_docraptor.models import RenderJob
started = time.monotonic()
shortcuts.enqueue(name="a.pdf", content="-")
seconds = time.monotonic() - started
print(json.dumps([seconds, list(RenderJob.objects.values_list("state", flat=True))]))
"""


def enqueue_with(broker: str, tmp_path) -> tuple[float, list[str], str]:
    """Enqueue in a process with that broker; return the seconds, the states and the log."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TEST_DATABASE": "sqlite",
        "TEST_SCRATCH": str(tmp_path),
        "TEST_BROKER": broker,
        "TEST_BROKER_OPTIONS": json.dumps({"socket_timeout": 1, "socket_connect_timeout": 1}),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    seconds, states = json.loads(done.stdout.splitlines()[-1])
    return seconds, states, done.stderr


@pytest.mark.fault("E2")
def test_enqueue_returns_if_broker_refuses(tmp_path) -> None:
    """If the broker refuses, enqueue returns, the job waits for a tick, and one warning is sent."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        seconds, states, log = enqueue_with(f"redis://127.0.0.1:{port}/0", tmp_path)
    assert seconds < 10
    assert states == ["pending"]
    assert log.count("Could not send a message to the broker") == 1


@pytest.mark.fault("E3")
def test_enqueue_returns_if_broker_never_responds(tmp_path) -> None:
    """If the broker never responds, enqueue returns after the socket timeout."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as hole:
        port = hole.getsockname()[1]
        seconds, states, log = enqueue_with(f"redis://127.0.0.1:{port}/0", tmp_path)
    assert seconds < 30
    assert states == ["pending"]
    assert "Could not send a message to the broker" in log
