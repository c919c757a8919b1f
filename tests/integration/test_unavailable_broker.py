"""A broker that is down or silent (rows E2 and E3 of the fault matrix), met by a real process."""

import json
import os
import socket
import subprocess
import sys

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
    """Enqueue in a process that has that broker; seconds it took, states, what it logged."""
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


def test_E2_broker_refuses(tmp_path) -> None:
    """Nothing listens: enqueue returns, the job waits for the next tick, one warning says so."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        seconds, states, log = enqueue_with(f"redis://127.0.0.1:{port}/0", tmp_path)
    assert seconds < 10
    assert states == ["pending"]
    assert log.count("The broker took no message") == 1


def test_E3_broker_is_a_black_hole(tmp_path) -> None:
    """It accepts and never answers: with a socket timeout, enqueue returns within a bound."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as hole:
        port = hole.getsockname()[1]
        seconds, states, log = enqueue_with(f"redis://127.0.0.1:{port}/0", tmp_path)
    assert seconds < 30
    assert states == ["pending"]
    assert "The broker took no message" in log
