"""``manage.py docraptor_erase``: erase a person's documents, and report what is left."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Model

from django_docraptor.erasure import erase
from django_docraptor.management.lookups import find_app, find_model, parse_key
from django_docraptor.management.tables import TablesCommand


class Command(TablesCommand):
    """Erase what jobs say about an owner or a source, and print a report."""

    help = (
        "Erase all that jobs say about one owner or one source: files, copies, hosted documents, "
        "inputs, names, texts. A line for the bill stays. Repeat it to see what is still open."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--owner", metavar="ID", help="primary key of the user")
        whose.add_argument(
            "--source", metavar="APP.MODEL:PK", help="an object, such as shop.Invoice:17"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would be erased, and erase nothing"
        )
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="of the report"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase or count.

        Raises:
            CommandError: there is no such model or key, or something was not reached.
        """
        source = None if options["source"] is None else find_object(options["source"])
        try:
            report = erase(owner=options["owner"], source=source, dry_run=options["dry_run"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(report.to_text(options["format"]))
        if report.remaining and not report.dry_run:
            raise CommandError("Not everything was reached yet. Ticks go on; see the report.")


def find_object(text: str) -> Model:
    """Return an object, which may have been deleted, by a text such as ``shop.Invoice:17``.

    Raises:
        CommandError: there is no such model, or the key is none of it.
    """
    label, _, key = text.partition(":")
    app, _, name = label.rpartition(".")
    if not (app and name and key):
        raise CommandError(f"--source {text!r} must be like shop.Invoice:17.")
    model = find_model(find_app(app), name)
    return model(pk=parse_key(model, key))
