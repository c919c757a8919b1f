"""Migrations match the models."""

from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import models

# What names one account, class, object, owner or request, wherever a table has it.
EXACT_NAMES = {"account", "document", "object_id", "owner", "idempotency_key", "status_id"}
# It is read by its row's key only.
NOT_COMPARED = {"django_docraptor_discardeddocument.status_id"}

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


def test_names_are_compared_exactly_in_every_table() -> None:
    """On MariaDB and MySQL, no table takes "acme" for "ACME"; no column has become shorter."""
    migration = import_module("django_docraptor.migrations.0001_initial")
    exact = {f"{table}.{column.split(' {')[0]}" for table, column in migration.EXACT_COLUMNS}
    columns = [
        (f"{model._meta.db_table}.{field.column}", field)
        for model in apps.get_app_config("django_docraptor").get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField)
    ]
    wanted = {
        f"{column} varchar({field.max_length})"
        for column, field in columns
        if field.name in EXACT_NAMES and column not in NOT_COMPARED
    }
    assert exact == wanted | {"django_docraptor_account.name varchar(64)"}
