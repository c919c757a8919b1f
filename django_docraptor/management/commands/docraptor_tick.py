"""``manage.py docraptor_tick``: run the engine without a worker, from cron or as a process."""

import logging
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connections

from django_docraptor import lifecycle, queue_measurements
from django_docraptor.health import health_report, restrictions
from django_docraptor.health_reports import account_problem
from django_docraptor.management.arguments import seconds
from django_docraptor.management.loop_report import LoopReport, last_error, one_line
from django_docraptor.migrated import is_migrated, not_migrated_message
from django_docraptor.models import RenderGroup, RenderJob, record_heartbeat
from django_docraptor.models.schemas import current_schema

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Process due jobs once, or repeatedly with ``--loop``."""

    help = "Process every job that is due: submit, poll, download. No worker is needed."
    # What was logged last.
    _told = ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""
        parser.add_argument("--loop", action="store_true", help="repeat until interrupted")
        parser.add_argument(
            "--until-idle",
            action="store_true",
            help="repeat until no job is unfinished, or all of those are held",
        )
        parser.add_argument(
            "--interval",
            metavar="SECONDS",
            type=seconds,
            default=1.0,
            help="seconds between two rounds (default: 1)",
        )
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=seconds,
            help="with --loop or --until-idle: exit with status 1 after SECONDS",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one round, or many."""
        is_silent = options["verbosity"] == 0
        try:
            if options["loop"] or options["until_idle"]:
                self.run_loop(options, None if is_silent else LoopReport(self.stdout))
                return
            steps = self.run_once()
            if steps and not is_silent:
                self.stdout.write(f"Ran {steps} step{'' if steps == 1 else 's'}.")
            if not is_silent:
                self.print_reasons(steps)
        except Error as error:
            if is_migrated():
                raise
            # The other schemas of `all_tenants_command` must have their turn.
            if not current_schema():
                raise CommandError(not_migrated_message()) from error
            self.stderr.write(self.style.WARNING(f"Skipped: {not_migrated_message()}"))
        except KeyboardInterrupt:
            if not is_silent:
                self.stdout.write("Stopped.")

    def run_loop(self, options: dict[str, Any], report: LoopReport | None) -> None:
        """Run rounds until stopped, idle or out of time.

        Raises:
            CommandError: out of time.
        """
        if report:
            report.print_start()
        timeout = options["timeout"]
        stop = None if timeout is None else time.monotonic() + timeout
        while True:
            if self.run_round(report) and options["until_idle"]:
                queue_measurements.publish(is_last=True)
                return
            if stop is not None and time.monotonic() > stop:
                unfinished = RenderJob.objects.running().count()
                raise CommandError(
                    f"Timed out after {timeout:g} s: {unfinished} jobs are unfinished."
                )
            time.sleep(options["interval"])

    def run_round(self, report: LoopReport | None) -> bool:
        """Run one round and return whether no job is unfinished, except those that are held.

        A database error ends the round, not the process.
        """
        try:
            if report:
                report.begin_round()
            steps = self.run_once()
            is_idle = not (RenderJob.objects.running().exists() or RenderGroup.has_work())
            if report:
                report.end_round(is_stuck=not (steps or is_idle))
            return is_idle
        except Error:
            if is_migrated():
                logger.exception("Database unavailable; trying again in the next round")
            else:
                self.tell_once(f"{not_migrated_message()} Trying again until then.")
            connections.close_all()
            return False

    def tell_once(self, message: str) -> None:
        """Log what is wrong, once until it changes: a round per second would fill the log."""
        if message != self._told:
            self._told = message
            logger.error(message)

    def print_reasons(self, steps: int) -> None:
        """Print why jobs wait: their account, their last error, or that they are held."""
        reasons = [account_problem(restriction) for restriction in restrictions()]
        if not steps and RenderJob.objects.active().exists():
            reasons += health_report().waiting_problems()
        is_failing = RenderJob.objects.active().filter(failing_since__isnull=False).exists()
        if not reasons and is_failing:
            reasons = [f"Waiting, to try again. Last error: {last_error()}"]
        for reason in reasons:
            self.stdout.write(self.style.WARNING(one_line(reason)))

    def run_once(self) -> int:
        """Process due jobs and return the number of steps."""
        record_heartbeat("ticked_at")
        steps = lifecycle.run_once()
        queue_measurements.publish()
        return steps
