"""Sites whose jobs are in another database than their users and sources."""

import os
import subprocess
import sys

import pytest

from tests.support.databases import scratch_database


@pytest.mark.once
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("sqlite", marks=pytest.mark.weekly),
        pytest.param("postgresql", marks=pytest.mark.services("postgresql")),
    ],
)
def test_engine_works_with_a_second_database(kind, tmp_path):
    """Everything that reads or writes a job finds the rows of the other database."""
    suite = ["tests/e2e/second_database.py", "--ds", "tests.e2e.two_databases"]
    options = ["-q", "-p", "no:cacheprovider", "--create-db"]
    with scratch_database(kind, tmp_path) as database:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *suite, *options],
            env=os.environ | database.environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert not done.returncode, done.stdout + done.stderr
    assert " passed" in done.stdout
