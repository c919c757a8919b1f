"""The indexes of unfinished jobs."""

import pytest
from django.db import connection
from django.db.migrations.writer import MigrationWriter
from django.db.models import Q

from django_docraptor.models import RenderJob
from django_docraptor.models.indexes import PartialIndex

INDEX = PartialIndex(fields=["state", "-due_at"], name="unfinished", where=Q(due_at__isnull=False))


def create_statement(index: PartialIndex) -> str:
    """Return the statement that creates an index of jobs."""
    return str(index.create_sql(RenderJob, connection.schema_editor(collect_sql=True)))


def test_condition_is_in_the_statement_if_possible() -> None:
    """Databases with partial indexes get the condition; the others index all rows."""
    is_partial = connection.features.supports_partial_indexes
    assert ("WHERE" in create_statement(INDEX)) == is_partial
    assert "DESC" in create_statement(INDEX)


def test_all_rows_are_indexed_without_partial_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database without partial indexes gets the same index without the condition."""
    monkeypatch.setattr(connection.features, "supports_partial_indexes", False)
    assert "WHERE" not in create_statement(INDEX)


def test_index_is_the_same_after_a_migration() -> None:
    """A migration that was written and read again creates the same index."""
    text, imports = MigrationWriter.serialize(INDEX)
    scope: dict[str, object] = {}
    exec("\n".join(["from django.db import models", *imports]), scope)
    assert eval(text, scope) == INDEX
