"""``manage.py docraptor_tick``: the engine without Celery, for cron or as a process of its own."""

import logging
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connections

from django_docraptor import lifecycle
from django_docraptor.health import note
from django_docraptor.management.arguments import seconds
from django_docraptor.models import RenderJob

logger = logging.getLogger("django_docraptor")


class Command(BaseCommand):
    """Do whatever is due; with ``--loop``, again and again."""

    help = "Submits, polls, fetches and stores whatever is due. Needs no Celery worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define the options."""
        parser.add_argument("--loop", action="store_true", help="go on until stopped")
        parser.add_argument("--until-idle", action="store_true", help="go on until no job is left")
        parser.add_argument("--interval", type=seconds, default=1.0, help="seconds between rounds")
        parser.add_argument("--timeout", type=seconds, help="after which to give up (exit 1)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one round, or many."""
        try:
            if options["loop"] or options["until_idle"]:
                self.repeat(options)
            else:
                self.round()
        except KeyboardInterrupt:
            self.stdout.write("stopped")

    def repeat(self, options: dict[str, Any]) -> None:
        """Run rounds until stopped, idle or out of time. Raises CommandError if out of time."""
        stop = None if options["timeout"] is None else time.monotonic() + options["timeout"]
        while True:
            if self.is_idle_after_round() and options["until_idle"]:
                return
            if stop is not None and time.monotonic() > stop:
                left = RenderJob.objects.active().count()
                raise CommandError(f"Gave up after {options['timeout']} s: {left} unfinished.")
            time.sleep(options["interval"])

    def is_idle_after_round(self) -> bool:
        """Run a round; a database that is away ends the round, not the process."""
        try:
            self.round()
            return not RenderJob.objects.active().exists()
        except Error:
            logger.exception("The database is away: the next round comes in a moment")
            connections.close_all()
            return False

    def round(self) -> None:
        """Do whatever is due, and say so."""
        note("ticked_at")
        done = lifecycle.run()
        if done:
            self.stdout.write(f"{done} steps")
