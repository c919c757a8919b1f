"""The tests of texts and database errors again, with mysqlclient and tables of `utf8`.

All tests run on a server with ``make matrix DATABASE=postgresql`` or ``DATABASE=mariadb``; the
latter uses the other driver, PyMySQL, and tables of `utf8mb4`.
"""

from xml.etree import ElementTree

import pytest

from tests.support.databases import scratch_database
from tests.support.processes import ManagedProcess, python_module

SUITE = [
    "tests/lifecycle/test_isolation.py",
    "tests/lifecycle/test_unstorable_text.py",
    *(f"tests/models/test_{name}.py" for name in ("text", "insertion", "inputs", "statements")),
]


@pytest.mark.fault("X4")
@pytest.mark.services("mariadb", "mysqlclient")
def test_tests_pass_with_mysqlclient(tmp_path) -> None:
    """In a process of their own, the tests that pass on SQLite pass, and few are skipped."""
    report = tmp_path / "report.xml"
    command = ["-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--junitxml", str(report)]
    with scratch_database("mysqlclient", tmp_path) as database:
        environment = {"DJANGO_SETTINGS_MODULE": "tests.settings"} | database.environment
        process = ManagedProcess(
            "pytest", python_module("pytest", *command, *SUITE), environment, tmp_path
        )
        process.start()
        try:
            assert process.popen.wait(280) == 0, process.tail
        finally:
            process.kill_all()
            database.query(f"DROP DATABASE IF EXISTS test_{database.name}", "mysql")
    [counts] = ElementTree.parse(report).iter("testsuite")
    assert int(counts.get("tests", 0)) > 60
    assert [counts.get(word) for word in ("errors", "failures")] == ["0", "0"]
    reasons = [str(skipped.get("message")) for skipped in ElementTree.parse(report).iter("skipped")]
    assert [text for text in reasons if "PostgreSQL" not in text] == []
