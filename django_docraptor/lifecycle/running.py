"""The whole engine in one call, for a management command, cron or a test."""

from django_docraptor.lifecycle.collection import collect
from django_docraptor.lifecycle.outlook import sweep
from django_docraptor.lifecycle.polling import poll
from django_docraptor.lifecycle.reconciliation import reconcile
from django_docraptor.lifecycle.submission import submit


def run() -> int:
    """Do once whatever is due, whatever its state. Returns how much was found to do."""
    return sum((sweep(), reconcile(), poll().claimed, collect(), submit()))
