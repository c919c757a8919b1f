"""The same engine on each database: its own tests again, and races between real processes."""

import json
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
# What rests on the database's ways: conditional updates, clocks, constraints, locks.
# Not the random walks: they search the state machine, which is the same everywhere.
SUITE = [
    *(path for path in ROOT.glob("tests/lifecycle/test_*.py") if path.stem != "test_properties"),
    *ROOT.glob("tests/models/test_*.py"),
    ROOT / "tests/test_job_specs.py",
    ROOT / "tests/test_retention.py",
    ROOT / "tests/test_shortcuts.py",
]
REPORT = "report.xml"
SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.services("postgresql")),
    pytest.param("mariadb", marks=pytest.mark.services("mariadb")),
]
DATABASES = ["sqlite", *SERVERS]
# A database that is always there, from which others can be dropped.
HOME = {"postgresql": "postgres", "mariadb": "mysql"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ManagedProcess]]:
    """The engine's own tests, running on all servers at once: they wait more than they work."""
    suite = [str(path.relative_to(ROOT)) for path in SUITE]
    with ExitStack() as stack:
        started = {}
        for kind in HOME:
            if not service_problem(kind):
                started[kind] = stack.enter_context(a_run(kind, suite, tmp_path_factory))
        yield started


@contextmanager
def a_run(
    kind: str, suite: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ManagedProcess]:
    """pytest in a process of its own, on a database of its own."""
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


@pytest.mark.parametrize("kind", SERVERS)
def test_the_engines_own_tests(kind, runs):
    """X4: what holds on SQLite holds on the servers, without an exception."""
    assert runs[kind].popen.wait(240) == 0, runs[kind].tail
    [counts] = ElementTree.parse(runs[kind].log.with_name(REPORT)).iter("testsuite")
    assert int(counts.get("tests", 0)) > 100
    assert [counts.get(word) for word in ("errors", "failures", "skipped")] == ["0", "0", "0"]


@pytest.mark.parametrize("kind", DATABASES)
def test_four_processes_claim_each_job_once(start_site, kind, tmp_path):
    """Four processes want the same 400 due jobs: all are claimed, none twice."""
    site = start_site(kind, "files")
    jobs = site.order(400, at_once=True)
    go = tmp_path / "go"
    claimers = [
        site.start(f"claimer{number}", "tests.e2e.claim_jobs", str(go)) for number in range(4)
    ]
    for claimer in claimers:
        claimer.wait_for_output("ready")
    go.touch()
    lines = [claimer.wait_for_output("claimed ") for claimer in claimers]
    claimed = [json.loads(line.removeprefix("claimed ")) for line in lines]
    assert Counter(key for keys in claimed for key in keys) == dict.fromkeys(jobs, 1)
    assert len([keys for keys in claimed if keys]) > 1, "one was so fast that there was no race"


@pytest.mark.parametrize("kind", DATABASES)
def test_three_workers_share_five_slots(start_site, kind):
    """MAX_IN_FLIGHT holds for all workers together, as DocRaptor counts."""
    site = start_site(kind, "files", MAX_IN_FLIGHT=5, delay=0.2)
    site.serve()
    site.work(3)
    jobs = site.order(60, at_once=True)
    site.wait_for_all(90)
    site.check(jobs)
    assert 1 < site.control.ledger.peak_concurrency <= 5
    assert site.control.ledger.create_calls == 60
    print(site.figures())
