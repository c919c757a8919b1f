"""Internal. The base of commands that read the app's tables."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from django_docraptor.migrated import is_migrated, not_migrated_message


class TablesCommand(BaseCommand):
    """A command that says so if the tables are missing, instead of a database's error."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command.

        Raises:
            CommandError: the tables are missing or old.
        """
        try:
            return super().execute(*args, **options)
        except Error as error:
            if is_migrated():
                raise
            raise CommandError(not_migrated_message()) from error
