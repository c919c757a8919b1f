"""Races between processes on each database, and MariaDB's character sets."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.databases import scratch_database

ROOT = Path(__file__).parents[2]
DATABASES = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.services("postgresql")),
    pytest.param("mariadb", marks=pytest.mark.services("mariadb")),
]
# In one process, tests/lifecycle/test_submission.py counts the slots on each database.
SLOTS_DATABASES = [
    pytest.param("postgresql", marks=pytest.mark.services("postgresql")),
    pytest.param("sqlite", marks=pytest.mark.weekly),
    pytest.param("mariadb", marks=[pytest.mark.services("mariadb"), pytest.mark.weekly]),
]


@pytest.mark.once
@pytest.mark.fault("C1", "X4")
@pytest.mark.parametrize("kind", DATABASES)
def test_parallel_processes_claim_each_job_once(start_site, kind, tmp_path):
    """Four processes claim 400 due jobs: all are claimed, and none twice."""
    site = start_site(kind, "files")
    jobs = site.enqueue(400, at_once=True)
    start_file = tmp_path / "start"
    claimers = [
        site.start(f"claimer{number}", "tests.e2e.claim_jobs", str(start_file))
        for number in range(4)
    ]
    for claimer in claimers:
        claimer.wait_for_output("ready")
    start_file.touch()
    lines = [claimer.wait_for_output("claimed ") for claimer in claimers]
    claimed = [json.loads(line.removeprefix("claimed ")) for line in lines]
    assert Counter(key for keys in claimed for key in keys) == dict.fromkeys(jobs, 1)
    assert len([keys for keys in claimed if keys]) > 1, "one was so fast that there was no race"


@pytest.mark.once
@pytest.mark.fault("S17")
@pytest.mark.parametrize("kind", SLOTS_DATABASES)
def test_parallel_workers_share_the_slots(start_site, kind):
    """MAX_IN_FLIGHT applies to all workers together."""
    site = start_site(kind, "files", MAX_IN_FLIGHT=5, delay=0.2)
    site.start_web_server()
    site.start_workers(3)
    jobs = site.enqueue(30, at_once=True)
    site.wait_for_all(180)
    site.assert_consistent(jobs)
    assert 1 < site.control.ledger.peak_concurrency <= 5
    assert site.control.ledger.create_calls == 30
    print(site.statistics())


# What a command prints, in a project with this charset of the connection.
RUN_COMMAND = """
import importlib, sys
settings = importlib.import_module("tests.settings")
settings.DATABASES["default"]["OPTIONS"] |= {"charset": sys.argv[1]} if sys.argv[1] else {}
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[2:]])
"""


@pytest.mark.check("W012")
@pytest.mark.services("mariadb")
def test_narrow_character_sets_are_reported_and_mended(tmp_path: Path) -> None:
    """A database, tables and a connection without emoji are named; the hints' statements mend them.

    They leave keys compared as before.
    """

    def run(*command: str, charset: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-c", RUN_COMMAND, charset, *command],
            env=os.environ | database.environment | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return done.stderr

    check = ("check", "--database", "default")
    with scratch_database("mariadb", tmp_path) as database:
        database.query(f"ALTER DATABASE {database.name} CHARACTER SET utf8mb3")
        before = run("migrate")
        assert f"The database {database.name} has the character set utf8mb3" in before
        assert f"ALTER DATABASE `{database.name}` CHARACTER SET utf8mb4;" in before
        found = run(*check)
        statements = re.findall(r"ALTER TABLE `\w+` .*;", found)
        assert len(statements) == found.count("W012") > 5
        assert "The table django_docraptor_renderjob has columns with" in found
        for statement in statements:
            database.query(statement)
        assert "W012" not in run(*check)
        definition = str(database.query("SHOW CREATE TABLE django_docraptor_renderjob"))
        for column in ("account", "idempotency_key", "status_id"):
            assert re.search(rf"`{column}` [^,]*utf8mb4_nopad_bin", definition), column
        narrow = run(*check, charset="utf8mb3")
        assert "The connection 'default' has the character set utf8mb3" in narrow
        assert narrow.count("W012") == 1
