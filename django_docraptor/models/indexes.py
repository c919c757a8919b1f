"""Internal. An index that leaves out most of a table, if the database can do that."""

from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Q


class PartialIndex(models.Index):
    """An index of the rows that meet a condition; of all rows on MariaDB and MySQL.

    Django's ``Index(condition=…)`` is the same, but warns on those databases in every project.

    Args:
        where: the condition, a keyword argument.
    """

    def __init__(self, *expressions: Any, where: Q, **options: Any) -> None:
        super().__init__(*expressions, **options)
        self.where = where

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **options: Any,
    ) -> Any:
        """Return the statement that creates the index."""
        is_partial = schema_editor.connection.features.supports_partial_indexes
        index = models.Index(
            fields=[f"{order and '-'}{name}" for name, order in self.fields_orders],
            name=self.name,
            condition=self.where if is_partial else None,
        )
        return index.create_sql(model, schema_editor, using, **options)

    def deconstruct(self) -> Any:
        """Return what a migration writes."""
        path, expressions, options = super().deconstruct()
        return path, expressions, {**options, "where": self.where}
