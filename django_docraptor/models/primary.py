"""Reads go where writes go: a replica that lags behind would show states that are over."""

from typing import TypeVar

from django.db import models, router

M = TypeVar("M", bound=models.Model)


class PrimaryManager(models.Manager[M]):
    """Asks the database that the router names for writing, unless told another."""

    def get_queryset(self) -> models.QuerySet[M]:
        """All rows."""
        rows = super().get_queryset()
        return rows if self._db else rows.using(router.db_for_write(self.model))
