"""A small `make chaos`: everything breaks at random, and no document is made twice or lost."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.support.processes import wait_until

pytestmark = [
    pytest.mark.services("postgresql"),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="apt-get install redis-server"),
]
ZERO = {"duplicates": 0, "stuck": 0, "lost": 0, "wrong": 0, "unordered": 0}
CHAOS = [sys.executable, "-m", "tests.chaos", "--workers", "2"]


@pytest.mark.timeout(240)
def test_nothing_is_twice_stuck_lost_or_wrong(tmp_path):
    """X1, P8: kills, freezes, flushes and DocRaptor's faults: the account is clean."""
    account = tmp_path / "account.json"
    done = subprocess.run(
        [*CHAOS, "--jobs", "60", "--seconds", "120", "--json", str(account)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr
    found = json.loads(account.read_text())
    assert {name: found[name] for name in ZERO} == ZERO
    assert found["jobs"] == 60
    assert sum(found["events"].values()) > 5, "too little was broken to prove anything"
    assert sum(found["played"].values()) > 5, "DocRaptor had too few faults to prove anything"


@pytest.mark.timeout(120)
def test_an_interrupted_run_leaves_nothing_behind(tmp_path):
    """Ctrl-C in the middle: processes, scratch files and database go."""
    scratch = {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*CHAOS, "--jobs", "10", "--seconds", "120"],
        env=os.environ | scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        line = run.stderr.readline()  # the first progress: everything is up
        children = processes_below(run.pid)
        run.send_signal(signal.SIGINT)
        _out, errors = run.communicate(timeout=60)
    assert "chaos" in line, line + errors
    assert len(children) >= 5
    assert run.returncode == 130, errors
    wait_until("all are gone", lambda: not any(map(is_there, children)), 20)
    assert not list(tmp_path.iterdir())


def is_there(pid):
    """Whether a process has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def processes_below(pid):
    """The children of a process, and theirs."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    children = [int(word) for word in found.stdout.split()]
    return children + [below for child in children for below in processes_below(child)]
