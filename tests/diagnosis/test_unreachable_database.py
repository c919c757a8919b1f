"""The probe of a database that cannot be opened, which no test database can be."""

from django.db import connections

from django_docraptor.diagnosis import database
from tests.diagnosis.conftest import only


class GoneRouter:
    """Has the jobs in a database that cannot be opened."""

    def db_for_write(self, model: object, **hints: object) -> str:
        return "gone"


def test_unreachable_database_is_a_failure(settings, monkeypatch, django_db_blocker) -> None:
    """The driver's error is told with the alias, and with what to check."""
    gone = connections.settings["default"] | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "/dev/null/db.sqlite3",
        "OPTIONS": {},
    }
    monkeypatch.setitem(connections.settings, "gone", gone)
    settings.DATABASE_ROUTERS = [f"{__name__}.GoneRouter"]
    try:
        with django_db_blocker.unblock():
            status, text = only(database.probe_connection())
    finally:
        del connections["gone"]
    assert status == "fail"
    assert text.startswith("The database 'gone' cannot be read: OperationalError: ")
    assert text.endswith(database.DATABASE_REMEDY)
