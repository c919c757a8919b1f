"""``manage.py docraptor_tick``: the engine without Celery, for cron or as a process of its own."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_docraptor import lifecycle
from django_docraptor.health import note
from django_docraptor.models import RenderJob


class Command(BaseCommand):
    """Do whatever is due; with ``--loop``, again and again."""

    help = "Submits, polls, fetches and stores whatever is due. Needs no Celery worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("--loop", action="store_true", help="go on until stopped")
        parser.add_argument("--until-idle", action="store_true", help="go on until no job is left")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between rounds")
        parser.add_argument("--timeout", type=float, help="seconds after which to give up (exit 1)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one round, or many."""
        stop = None if options["timeout"] is None else time.monotonic() + options["timeout"]
        try:
            while self.round() and (options["loop"] or options["until_idle"]):
                if options["until_idle"] and not RenderJob.objects.active().exists():
                    break
                if stop is not None and time.monotonic() > stop:
                    left = RenderJob.objects.active().count()
                    raise CommandError(f"Gave up after {options['timeout']} s: {left} unfinished.")
                time.sleep(options["interval"])
        except KeyboardInterrupt:
            self.stdout.write("stopped")

    def round(self) -> bool:
        """Do whatever is due, and say so."""
        note("ticked_at")
        done = lifecycle.run()
        if done:
            self.stdout.write(f"{done} steps")
        return True
