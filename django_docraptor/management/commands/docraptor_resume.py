"""``manage.py docraptor_resume``: end the pauses of accounts, whose jobs then go on at once."""

from argparse import ArgumentParser
from typing import Any

from django_docraptor.management.lookups import find_account
from django_docraptor.management.tables import TablesCommand
from django_docraptor.models import Account
from django_docraptor.shortcuts import resume_account


class Command(TablesCommand):
    """End pauses, close circuits and wake the engine."""

    help = (
        "Let accounts go on at once: end their pauses, forget the failures of DocRaptor and make "
        "their waiting jobs due. Without ACCOUNT, all accounts that are restricted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("account", metavar="ACCOUNT", nargs="*", help="name of an account")

    def handle(self, *args: Any, **options: Any) -> None:
        """Resume the accounts and print what was done.

        Raises:
            CommandError: there is no such account.
        """
        names = list(dict.fromkeys(options["account"])) or Account.restricted_names()
        for name in names:
            find_account(name)
        if not names:
            self.stdout.write("No account is paused. Nothing was changed.")
        for name in names:
            result = resume_account(name)
            ended = "was resumed" if result.was_restricted else "was not paused"
            jobs = "1 job is" if result.due == 1 else f"{result.due:,} jobs are"
            self.stdout.write(f"Account {name} {ended}. {jobs} due now.")
