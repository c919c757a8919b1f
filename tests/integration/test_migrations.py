"""Migrations match the models."""

import pytest
from django.core.management import call_command

pytestmark = pytest.mark.django_db


def test_migrations_are_complete(capsys) -> None:
    """``makemigrations`` finds no changes."""
    try:
        call_command("makemigrations", "django_docraptor", check=True, dry_run=True)
    except SystemExit:
        pytest.fail(capsys.readouterr().out)


def test_migrations_are_reversible() -> None:
    """Every operation is reversible, so that the app can be removed."""
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(connection)
    ours = [one for key, one in loader.disk_migrations.items() if key[0] == "django_docraptor"]
    assert ours
    assert all(operation.reversible for one in ours for operation in one.operations)
