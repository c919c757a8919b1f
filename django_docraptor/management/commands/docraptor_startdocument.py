"""``manage.py docraptor_startdocument``: a class, a template and a test to begin with."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_docraptor.management.lookups import find_app, find_model
from django_docraptor.management.startdocument.plan import Plan, PlannedFile, make_plan


class Command(BaseCommand):
    """Write a document class for a model, its template, and a test that passes."""

    help = (
        "Write a document class for a model: the class in the app's documents.py, a template, and "
        "a test. Nothing is overwritten."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("app", metavar="APP", help="app of the class, such as shop")
        parser.add_argument(
            "model", metavar="MODEL", help="its model, such as Invoice, or auth.User of another app"
        )
        parser.add_argument(
            "--name", metavar="NAME", help="name of the class; default: the model's, and PDF"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="print the files instead of writing them"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the files, or print them.

        Raises:
            CommandError: a name is unknown or taken; nothing was written.
        """
        config = find_app(options["app"])
        model = find_model(config, options["model"])
        name = options["name"]
        plan = make_plan(config, model, f"{model.__name__}PDF" if name is None else name)
        for file in plan.files:
            if options["dry_run"]:
                self.stdout.write(f"--- {_relative(file.path)}\n{file.text}")
            else:
                self.write(file)
        if not options["dry_run"]:
            self.print_next_steps(plan, config.name)

    def write(self, file: PlannedFile) -> None:
        """Write one file; a new one never over another.

        Raises:
            CommandError: the file cannot be written.
        """
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            mode = "x" if file.is_new else "w"
            with file.path.open(mode, encoding="utf-8", newline="") as target:
                target.write(file.text)
        except OSError as error:
            raise CommandError(f"{_relative(file.path)} cannot be written: {error}") from error
        self.stdout.write(f"{_relative(file.path)}: {'written' if file.is_new else 'added to'}")

    def print_next_steps(self, plan: Plan, app: str) -> None:
        """Print what to do with the files."""
        test = ".".join(plan.files[-1].path.with_suffix("").parts[-1:])
        for field in plan.unknown:
            self.stdout.write(self.style.WARNING(f"The test needs a value for {field}: set it."))
        self.stdout.write(
            "Next:\n"
            f"  python manage.py test {app} -p {test}.py\n"
            f"  python manage.py docraptor_preflight {plan.label} <primary key>\n"
            f"  python manage.py docraptor_render {plan.label} <primary key> --in-process"
        )


def _relative(path: Path) -> Path:
    """Return a path relative to the working directory if possible."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
