"""The probes of the database, on the one in which the tests run."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from django_docraptor.diagnosis import database
from django_docraptor.models import RenderJob
from tests.diagnosis.conftest import only

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def test_database_is_named_with_its_version() -> None:
    """Product, version and name are told; nothing of it is secret."""
    status, text = only(database.probe_connection())
    assert status == "ok"
    assert text.startswith(("SQLite ", "PostgreSQL ", "MariaDB ", "MySQL "))
    assert str(connection.settings_dict["NAME"]) in text


@pytest.mark.django_db(transaction=True)
def test_missing_tables_are_a_failure() -> None:
    """The remedy is the command to run."""
    table = RenderJob._meta.db_table
    assert only(database.probe_migrations())[0] == "ok"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO hidden_jobs")
    try:
        status, text = only(database.probe_migrations())
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE hidden_jobs RENAME TO {table}")
    assert (status, text) == (
        "fail",
        "The tables of django_docraptor are missing or old. Run manage.py migrate.",
    )


def test_isolation_of_the_tests_is_good() -> None:
    """READ COMMITTED, and IMMEDIATE on SQLite, are what the engine is made for."""
    status, text = only(database.probe_isolation())
    assert status == "ok"
    assert "READ COMMITTED" in text or "IMMEDIATE" in text


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has these modes")
def test_deferred_transactions_of_sqlite_are_told(monkeypatch) -> None:
    """Two processes that write would fail; the remedy is the whole setting."""
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    status, text = only(database.probe_isolation())
    assert status == "warn"
    assert "Transactions are DEFERRED" in text
    assert '"transaction_mode": "IMMEDIATE"' in text


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no isolation levels")
def test_isolation_of_the_session_is_read() -> None:
    """It is that of the session, not that of the settings."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        else:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    try:
        assert only(database.probe_isolation())[0] == "warn"
    finally:
        if connection.vendor == "mysql":
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_stricter_isolation_levels_are_a_warning(level: str) -> None:
    """The engine works at them, at a price."""
    result = database.isolation_result(level, "default")
    assert result.status == "warn"
    assert result.message.startswith(level.upper())


def test_character_set_is_read() -> None:
    """utf8mb4 and UTF-8 are good; tables of three bytes per character are a warning each."""
    results = list(database.probe_character_set())
    is_narrow = connection.vendor == "mysql" and "utf8mb3" in str(connection.settings_dict)
    assert {result.status for result in results} == ({"warn"} if is_narrow else {"ok"})


def test_time_zone_is_told() -> None:
    """Where times are stored, and the zone of the session, which does not matter."""
    status, text = only(database.probe_time_zone())
    assert (status, text.split(".")[0]) == ("ok", "Times are stored in UTC")


def test_clocks_of_one_machine_are_the_same() -> None:
    """A session in another time zone, as on MariaDB in these tests, makes no difference."""
    assert only(database.probe_clock())[0] == "ok"


def test_difference_is_measured_with_its_sign() -> None:
    """A time that is ahead gives a positive number of seconds."""
    assert 35 < database.seconds_ahead(datetime.now(UTC) + timedelta(seconds=40)) < 45
    assert -45 < database.seconds_ahead(datetime.now(UTC) - timedelta(seconds=40)) < -35


@pytest.mark.parametrize(
    ("seconds", "status", "text"),
    [
        (-5, "ok", "have the same time"),
        (40, "warn", "is 40 seconds ahead of the database's. Synchronize both"),
        (-300, "warn", "is 5 minutes behind the database's"),
        (7200, "fail", "is 2 hours ahead of the database's. Synchronize both with a time server "),
    ],
)
def test_difference_of_the_clocks(seconds: float, status: str, text: str) -> None:
    """Seconds are tolerated, minutes are told, and a difference of hours is that of a zone."""
    result = database.clock_result(seconds)
    assert result.status == status
    assert text in result.text
