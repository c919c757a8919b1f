"""Internal. Run the whole engine by one call: for a management command, cron or a test."""

from django.db import router

from django_docraptor.discarded_files import delete_due_files
from django_docraptor.lifecycle.clock_repair import repair_clock
from django_docraptor.lifecycle.downloading import download
from django_docraptor.lifecycle.erasing import finish_erasures
from django_docraptor.lifecycle.grouping import merge_groups
from django_docraptor.lifecycle.hosting import expire_discarded
from django_docraptor.lifecycle.polling import poll
from django_docraptor.lifecycle.reconciliation import reconcile
from django_docraptor.lifecycle.recovery import recover
from django_docraptor.lifecycle.submission import submit
from django_docraptor.models import RenderJob
from django_docraptor.models.conflicts import repeated_statements
from django_docraptor.usage import fold


def run_once() -> int:
    """Run every step once.

    Returns:
        The number of jobs, signals and files that were processed.
    """
    with repeated_statements(router.db_for_write(RenderJob)):
        repair_clock()
        steps = (recover(), reconcile(), poll().claimed, download(), submit(), merge_groups())
        discarded = delete_due_files() + expire_discarded() + finish_erasures()
        fold()
    return sum(steps) + discarded
