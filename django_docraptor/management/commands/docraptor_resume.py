"""``manage.py docraptor_resume``: end the pauses of accounts, whose jobs then go on at once."""

import difflib
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_docraptor.models import Account, RenderJob
from django_docraptor.shortcuts import resume_account

# Names that an error lists if none is similar.
MAX_NAMES = 10


class Command(BaseCommand):
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
            check_account(name)
        if not names:
            self.stdout.write("No account is paused. Nothing was changed.")
        for name in names:
            result = resume_account(name)
            ended = "was resumed" if result.was_restricted else "was not paused"
            jobs = "1 job is" if result.due == 1 else f"{result.due:,} jobs are"
            self.stdout.write(f"Account {name} {ended}. {jobs} due now.")


def check_account(name: str) -> None:
    """Check that an account with this name has ever had a job.

    Raises:
        CommandError: there is none; it names similar accounts.
    """
    known = Account.objects.filter(pk=name).exists()
    if known or RenderJob.objects.active().filter(account=name).exists():
        return
    names = sorted(Account.objects.values_list("name", flat=True))
    matches = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if matches:
        hint = f"Did you mean {' or '.join(matches)}?"
    elif names:
        more = ", …" if len(names) > MAX_NAMES else ""
        hint = f"Known accounts: {', '.join(names[:MAX_NAMES])}{more}."
    else:
        hint = "No account has had a job yet."
    raise CommandError(f"There is no account {name!r}. {hint}")
