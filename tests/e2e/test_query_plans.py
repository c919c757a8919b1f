"""The query plans of ``tests/integration/test_query_plans.py``, on PostgreSQL and MariaDB."""

from pathlib import Path

import pytest

from tests.support.databases import scratch_database
from tests.support.processes import ManagedProcess, python_module

# The databases, and where each is dropped from.
MAINTENANCE = {"postgresql": "postgres", "mariadb": "mysql"}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.services(kind)) for kind in MAINTENANCE],
)
def test_no_frequent_query_scans_a_table(kind: str, tmp_path: Path) -> None:
    """The same statements scan no table on the databases that most projects use."""
    command = [
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-q",
        "tests/integration/test_query_plans.py",
    ]
    with scratch_database(kind, tmp_path) as database:
        environment = {"DJANGO_SETTINGS_MODULE": "tests.settings"} | database.environment
        process = ManagedProcess("pytest", python_module("pytest", *command), environment, tmp_path)
        process.start()
        try:
            assert process.popen.wait(240) == 0, process.output
        finally:
            process.kill_all()
            database.query(f"DROP DATABASE IF EXISTS test_{database.name}", MAINTENANCE[kind])
