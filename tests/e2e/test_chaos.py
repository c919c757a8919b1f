"""A small `make chaos`: under fault injection, no document is duplicated or lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.processes import wait_until

pytestmark = [
    pytest.mark.services("postgresql"),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="apt-get install redis-server"),
]
PROBLEMS = ("duplicates", "stuck", "lost", "corrupt", "not_enqueued")
CHAOS = [sys.executable, "-m", "tests.chaos", "--workers", "2"]


@pytest.mark.fault("X1", "P8")
@pytest.mark.timeout(360)
def test_chaos_run_is_clean(tmp_path):
    """The audit finds no problem after kills, freezes, flushes and DocRaptor's faults."""
    path = tmp_path / "result.json"
    done = subprocess.run(
        [*CHAOS, "--jobs", "25", "--seconds", "190", "--json", str(path)],
        capture_output=True,
        text=True,
        timeout=330,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr
    result = json.loads(path.read_text())
    assert {name: result[name] for name in PROBLEMS} == dict.fromkeys(PROBLEMS, 0)
    assert result["jobs"] == 25
    assert sum(result["events"].values()) > 5, "too few faults to prove anything"
    assert sum(result["triggered_faults"].values()) > 5, (
        "too few faults were triggered to prove anything"
    )


@pytest.mark.weekly
@pytest.mark.timeout(120)
def test_interrupted_chaos_run_cleans_up():
    """Ctrl-C during a run ends all processes and deletes its files and database."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user must reach its files
        interrupt_run(folder)
        assert not list(Path(folder).iterdir())


def interrupt_run(folder):
    """Start a run with this directory for temporary files, interrupt it, and wait for its end."""
    scratch = {"TMPDIR": folder}
    with subprocess.Popen(
        [*CHAOS, "--jobs", "10", "--seconds", "120"],
        env=os.environ | scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        line = run.stderr.readline()  # the first progress: every process is running
        children = descendants(run.pid)
        run.send_signal(signal.SIGINT)
        _out, errors = run.communicate(timeout=60)
    assert "chaos" in line, line + errors
    assert len(children) >= 5
    assert run.returncode == 130, errors
    wait_until("all processes have ended", lambda: not any(map(is_running, children)), 20)


def is_running(pid):
    """Return whether a process is running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def descendants(pid):
    """Return the IDs of the children of a process, and of their children."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    children = [int(word) for word in found.stdout.split()]
    return children + [pid for child in children for pid in descendants(child)]
