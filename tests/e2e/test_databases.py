"""The engine on each database: its own tests again, and races between processes."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.databases import scratch_database
from tests.support.processes import ManagedProcess, python_module
from tests.support.services import service_problem

ROOT = Path(__file__).parents[2]
# Tests that depend on the database: conditional updates, clocks, constraints, locks. The random
# interleavings are left out, since the state machine is the same everywhere.
SUITE = [
    *(path for path in ROOT.glob("tests/lifecycle/test_*.py") if path.stem != "test_properties"),
    *ROOT.glob("tests/models/test_*.py"),
    ROOT / "tests/test_job_specs.py",
    ROOT / "tests/test_retention.py",
    ROOT / "tests/test_shortcuts.py",
]
# Tests of texts and database errors, which depend on the driver and on the tables' charset.
DRIVER_SUITE = [
    ROOT / "tests/lifecycle/test_isolation.py",
    ROOT / "tests/lifecycle/test_unstorable_text.py",
    ROOT / "tests/lifecycle/test_submission.py",
    *ROOT.glob("tests/models/test_*.py"),
]
REPORT = "report.xml"
NEEDS = {
    "postgresql": ["postgresql"],
    "mariadb": ["mariadb"],
    "mysqlclient": ["mariadb", "mysqlclient"],
}
POSTGRESQL, MARIADB, MYSQLCLIENT = (
    pytest.param(kind, marks=pytest.mark.services(*needs)) for kind, needs in NEEDS.items()
)
DATABASES = ["sqlite", POSTGRESQL, MARIADB]
SUITES = {"postgresql": SUITE, "mariadb": SUITE, "mysqlclient": DRIVER_SUITE}
# A database that always exists, from which others can be dropped.
HOME = {"postgresql": "postgres", "mariadb": "mysql", "mysqlclient": "mysql"}


@pytest.fixture(scope="module")
def suite_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ManagedProcess]]:
    """The engine's tests, running on all servers at once, since they mostly wait."""
    with ExitStack() as stack:
        started = {}
        for kind, paths in SUITES.items():
            if not any(map(service_problem, NEEDS[kind])):
                suite = [str(path.relative_to(ROOT)) for path in paths]
                started[kind] = stack.enter_context(run_suite(kind, suite, tmp_path_factory))
        yield started


@contextmanager
def run_suite(
    kind: str, suite: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ManagedProcess]:
    """Run pytest in a separate process with a separate database."""
    folder = tmp_path_factory.mktemp(f"{kind}-suite")
    command = ["-p", "no:randomly", "-p", "no:cacheprovider", "-q"]
    command += ["--junitxml", str(folder / REPORT), *suite]
    with scratch_database(kind, folder) as database:
        environment = {"DJANGO_SETTINGS_MODULE": "tests.settings"} | database.environment
        process = ManagedProcess("pytest", python_module("pytest", *command), environment, folder)
        process.start()
        try:
            yield process
        finally:
            process.kill_all()
            database.query(f"DROP DATABASE IF EXISTS test_{database.name}", HOME[kind])


@pytest.mark.fault("X4")
@pytest.mark.timeout(660)
@pytest.mark.parametrize("kind", [POSTGRESQL, MARIADB, MYSQLCLIENT])
def test_engine_tests_pass_on_each_database(kind, suite_runs):
    """The tests that pass on SQLite pass on the servers and drivers, too."""
    assert suite_runs[kind].popen.wait(600) == 0, suite_runs[kind].tail
    report = ElementTree.parse(suite_runs[kind].log.with_name(REPORT))
    [counts] = report.iter("testsuite")
    assert int(counts.get("tests", 0)) > 100
    assert [counts.get(word) for word in ("errors", "failures")] == ["0", "0"]
    # What only PostgreSQL has may be skipped on the others.
    reasons = [str(skipped.get("message")) for skipped in report.iter("skipped")]
    assert [text for text in reasons if kind == "postgresql" or "PostgreSQL" not in text] == []


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


@pytest.mark.slow
@pytest.mark.fault("S17")
@pytest.mark.parametrize("kind", DATABASES)
def test_parallel_workers_share_the_slots(start_site, kind):
    """MAX_IN_FLIGHT applies to all workers together."""
    site = start_site(kind, "files", MAX_IN_FLIGHT=5, delay=0.2)
    site.start_web_server()
    site.start_workers(3)
    jobs = site.enqueue(60, at_once=True)
    site.wait_for_all(90)
    site.assert_consistent(jobs)
    assert 1 < site.control.ledger.peak_concurrency <= 5
    assert site.control.ledger.create_calls == 60
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
