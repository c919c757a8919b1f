"""An error about a missing table says what to run, on every database."""

import pytest
from django.db import DatabaseError, connection, transaction

from django_docraptor.migrated import tables_required

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("sql", "is_told"),
    [
        ("SELECT id FROM django_docraptor_nothing", True),
        ("SELECT django_docraptor_renderjob.absent FROM django_docraptor_renderjob", True),
        ("SELECT id FROM shop_nothing", False),
        ("SELECT absent FROM shop_invoice", False),
        ("SELECT FROM WHERE django_docraptor_renderjob", False),
    ],
)
def test_missing_table_names_the_command(sql: str, is_told: bool) -> None:
    """Only an error about a table of the app is explained, and it stays the database's."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), tables_required():
        connection.cursor().execute(sql)
    notes = getattr(caught.value, "__notes__", [])
    assert any("manage.py migrate" in note for note in notes) == is_told
