"""Internal. What ``docraptor_tick --loop`` prints: the set-up, final jobs, and why nothing moves.

Never an API key, a document's content or a public URL.
"""

from urllib.parse import urlsplit

from django.core.management.base import OutputWrapper
from django.db import connections, router

from django_docraptor.conf import conf
from django_docraptor.health import restrictions
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.states import EventKind

FINAL_KINDS = (
    EventKind.COMPLETED,
    EventKind.REUSED,
    EventKind.UNCHANGED,
    EventKind.HELD,
    EventKind.FAILED,
    EventKind.CANCELLED,
)
ERROR_KINDS = (EventKind.NOT_ACCEPTED, EventKind.UNCONFIRMED, EventKind.STEP_FAILED)
# Maximum characters of an error: DocRaptor's messages may quote the document.
MAX_ERROR_LENGTH = 400


class LoopReport:
    """Print what has happened between two rounds of the engine."""

    def __init__(self, stdout: OutputWrapper) -> None:
        self.stdout = stdout
        # Events after the first ID are read; the second becomes the first in the next round.
        self._since_id: int | None = None
        self._latest_id = 0
        self._printed_ids: frozenset[int] = frozenset()
        self._error = ""

    def print_start(self) -> None:
        """Print the database, DocRaptor's URL and the mode, as far as accounts have no others."""
        connection = connections[router.db_for_write(RenderJob)]
        parts = urlsplit(conf.base_url)
        url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # no password
        self._print(
            f"Database: {connection.vendor}, {connection.settings_dict['NAME']}. "
            f"DocRaptor: {url}. Test mode: {'on' if conf.test_mode else 'off'}."
        )

    def begin_round(self) -> None:
        """Remember where the history stands before the first round."""
        if self._since_id is None:
            latest = RenderEvent.objects.order_by("-pk").values_list("pk", flat=True).first()
            self._since_id = self._latest_id = latest or 0

    def end_round(self, *, is_stuck: bool) -> None:
        """Print the jobs that have become final, and the last error if it is new.

        Args:
            is_stuck: jobs are unfinished, and the round found nothing to do.
        """
        self._print_final_jobs()
        error = last_error() if is_stuck else self._error
        if error and error != self._error:
            self._print(f"Waiting. Last error: {error}")
        self._error = error

    def _print_final_jobs(self) -> None:
        events = RenderEvent.objects.filter(pk__gt=self._since_id, kind__in=FINAL_KINDS)
        columns = ("pk", "kind", "job_id", "job__name", "job__error_code")
        rows = list(events.order_by("pk").values_list(*columns))
        for pk, kind, job_id, name, error_code in rows:
            if pk not in self._printed_ids:
                code = f", {error_code}" if kind == EventKind.FAILED else ""
                self._print(f"{one_line(name)} ({job_id}): {kind}{code}")
        # The last round's events are read again: another process may commit a lower ID later.
        self._printed_ids = frozenset(row[0] for row in rows)
        self._since_id = self._latest_id
        self._latest_id = max([self._latest_id, *self._printed_ids])

    def _print(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()  # a service's log must not lag behind


def last_error() -> str:
    """Return the latest error of an unfinished job, or else why an account is restricted."""
    jobs = RenderJob.objects.active().exclude(errors="")
    events = RenderEvent.objects.filter(job__in=jobs, kind__in=ERROR_KINDS).exclude(message="")
    message = events.order_by("-pk").values_list("message", flat=True).first()
    if message is None:
        message = next((restriction.reason for restriction in restrictions()), None)
    return one_line(message or "")[:MAX_ERROR_LENGTH]


def one_line(text: str) -> str:
    """Return the text on one line, without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)
