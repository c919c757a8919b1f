"""The engine's own tests again, on each server and driver.

They take longer than any other file, and so they have one of their own (see `FIRST_FILES` in
`tests/conftest.py`).
"""

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
# interleavings are left out, since the state machine is the same everywhere, and so are the
# outages: many responses of DocRaptor to the steps that other tests run.
LEFT_OUT = ("test_properties", "test_outages")
SUITE = [
    *(path for path in ROOT.glob("tests/lifecycle/test_*.py") if path.stem not in LEFT_OUT),
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
@pytest.mark.timeout(960)
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.services(*needs)) for kind, needs in NEEDS.items()],
)
def test_engine_tests_pass_on_each_database(kind, suite_runs):
    """The tests that pass on SQLite pass on the servers and drivers, too."""
    assert suite_runs[kind].popen.wait(900) == 0, suite_runs[kind].tail
    report = ElementTree.parse(suite_runs[kind].log.with_name(REPORT))
    [counts] = report.iter("testsuite")
    assert int(counts.get("tests", 0)) > 100
    assert [counts.get(word) for word in ("errors", "failures")] == ["0", "0"]
    # What only PostgreSQL has may be skipped on the others.
    reasons = [str(skipped.get("message")) for skipped in report.iter("skipped")]
    assert [text for text in reasons if kind == "postgresql" or "PostgreSQL" not in text] == []
