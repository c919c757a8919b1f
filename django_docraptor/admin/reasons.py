"""Internal. Why a job failed, as its page shows it: reason, remedy, and the bill. No database here.

The sentences are those of ``explanations`` and ``operations``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_docraptor.models import RenderJob
from django_docraptor.models.text import TRACEBACK, summary_line
from django_docraptor.outcomes import retry_outcome
from django_docraptor.preflight.locations import Location, relative_path

# What a retry costs, by the code of its outcome.
RETRY_COSTS: Final[Mapping[str, Any]] = {
    "not_billed": gettext_lazy("A retry continues this attempt and is not billed."),
    "free": gettext_lazy("A retry is free: it is a test document."),
    "billed": gettext_lazy("A retry that succeeds is billed: 1 document."),
    "may_be_billed_twice": gettext_lazy(
        "A retry that succeeds is billed: 1 document, perhaps in addition to this one."
    ),
}
# The line of a template, as the engine adds it to a traceback; and a frame of Python.
_TEMPLATE: Final = re.compile(r"^In the template (.+), line (\d+)\.$", re.MULTILINE)
_FRAME: Final = re.compile(r'^[ |]*File "(.+)", line (\d+)', re.MULTILINE)

# Files of installed packages and of Python.
_FOREIGN: Final = re.compile(r"^<|[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReason:
    """What the page of a failed job says first.

    Args:
        location: file and line of a template or of Python; blank if unknown.
        words: what DocRaptor, a storage or an exception said.
        traceback: the whole one, if ``words`` is only its last line.
        can_help: whether a retry may succeed although nothing was corrected.
    """

    title: str
    location: str
    words: str
    traceback: str
    what: str
    remedy: str
    bill: str
    can_help: bool


def failure_reason(job: RenderJob) -> FailureReason | None:
    """Return why a job failed; ``None`` if it has not, or was erased: there is nothing to do."""
    explanation = job.explanation
    if explanation is None or job.erased_at is not None:
        return None
    words, traceback = split_errors(job.errors)
    return FailureReason(
        title=str(explanation.title),
        location=error_location(job.errors) if traceback else "",
        words=words,
        traceback=traceback,
        what=str(explanation.what),
        remedy=str(explanation.remedy),
        bill=bill_text(job),
        can_help=explanation.can_help,
    )


def bill_text(job: RenderJob) -> str:
    """Return what the failed attempt has cost, and what a retry would cost."""
    explanation, outcome = job.explanation, retry_outcome(job)
    costs = [] if job.test or explanation is None else [str(explanation.bill.value)]
    costs += [str(RETRY_COSTS[outcome.code])] if outcome else []
    return " ".join(costs) or _("Test documents are free.")


def split_errors(errors: str) -> tuple[str, str]:
    """Return the line that says what happened and the traceback, or all of the text and ""."""
    if TRACEBACK not in errors:
        return errors, ""
    return summary_line(errors), errors


def error_location(errors: str) -> str:
    """Return file and line at which an error was raised: a template's, or the last of Python."""
    frames = list(_FRAME.finditer(errors))
    own_frames = [frame for frame in frames if not _FOREIGN.search(frame[1])]
    found = list(_TEMPLATE.finditer(errors)) or own_frames or frames
    if not found:
        return ""
    file, line = found[-1].groups()
    return relative_path(Location(file, int(line)))
