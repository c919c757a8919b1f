"""Internal. A manager that reads from the primary database.

A replica may lag behind and show outdated states.
"""

from typing import TypeVar

from django.db import models, router

ModelT = TypeVar("ModelT", bound=models.Model)


class PrimaryDatabaseManager(models.Manager[ModelT]):
    """Read from the database that the router chooses for writes, unless another one is given."""

    def get_queryset(self) -> models.QuerySet[ModelT]:
        """Return all rows."""
        rows = super().get_queryset()
        return rows if self._db else rows.using(router.db_for_write(self.model))
