"""Internal. Columns of a kind that Django does not have."""

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    TextColumn = models.CharField[Any, str]
else:
    TextColumn = models.CharField


class BlankAsNullField(TextColumn):
    """Text that is unique unless it is blank: a blank one is NULL in the database, ``""`` here.

    Unlike ``""``, NULLs may repeat in a unique index of every database.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "blank": True, "null": True})

    def get_prep_value(self, value: Any) -> Any:
        """Return what the database has."""
        return super().get_prep_value(value) or None

    def from_db_value(self, value: str | None, *args: Any) -> str:
        """Return the text."""
        return value or ""
