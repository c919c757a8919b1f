"""``manage.py docraptor_pause``: let the jobs of an account wait until a time, or until resumed."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from django_docraptor.durations import format_whole
from django_docraptor.management.arguments import age
from django_docraptor.management.lookups import find_account
from django_docraptor.management.tables import TablesCommand
from django_docraptor.shortcuts import pause_account


class Command(TablesCommand):
    """Pause an account."""

    help = (
        "Pause an account: its jobs wait, and no time for retries passes. It goes on by itself "
        "after --for, or at once by docraptor_resume."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("account", metavar="ACCOUNT", help="name of an account")
        parser.add_argument(
            "--for",
            dest="seconds",
            metavar="DURATION",
            type=age,
            help="how long, such as 90m, 2h or 3d (default: until docraptor_resume)",
        )
        parser.add_argument(
            "--reason", metavar="TEXT", default="", help="why, for those who see that jobs wait"
        )
        parser.add_argument(
            "--creates-only",
            action="store_true",
            help="documents that DocRaptor has accepted go on; only new ones wait",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Pause the account and print until when.

        Raises:
            CommandError: there is no such account, or the duration or the reason is invalid.
        """
        account, seconds = find_account(options["account"]), options["seconds"]
        try:
            is_new = pause_account(
                account,
                duration=None if seconds is None else timedelta(seconds=seconds),
                reason=options["reason"],
                creates_only=options["creates_only"],
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        end = "until docraptor_resume"
        if seconds is not None:
            whole = seconds >= 60 and seconds % 60 == 0
            end = f"for {format_whole(int(seconds // 60)) if whole else f'{seconds:.0f} seconds'}"
        verb = "was paused" if is_new else "was paused already; it is now paused"
        self.stdout.write(f"Account {account} {verb} {end}.")
