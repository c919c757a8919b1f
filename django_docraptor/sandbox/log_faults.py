"""What a read of the log sees if faults distort it.

Knows documents and faults, but neither queries nor HTTP.
"""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django_docraptor.sandbox.documents import Document
from django_docraptor.sandbox.faults import Fault

LOG_LINE = "msg|inf||A line that makes the log heavy.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogView:
    """What one read of the log sees."""

    # Latest first.
    documents: list[Document]
    now: datetime
    # asked: the documents that the query asks for. Others: see faults.WINDOWS.
    window: str = "asked"
    # By which the window `other` is later than the one asked for.
    delay: timedelta = timedelta()
    # Documents by which each page after the first begins too late.
    offset: int = 0
    # Length of each line's generation_log; 0: as it is.
    log_bytes: int = 0

    def pad(self, generation_log: str) -> str:
        """Return the generation log at the length that the view asks for."""
        missing = self.log_bytes - len(generation_log)
        if missing <= 0:
            return generation_log
        filler = LOG_LINE * (missing // len(LOG_LINE) + 1)
        return filler[:missing] + generation_log


def distort(documents: list[Document], faults: Collection[Fault], now: datetime) -> LogView:
    """Return what a read sees of the documents.

    Args:
        documents: all that the account may see, latest first.
        faults: those that the read has triggered.
        now: by the service's clock.
    """
    view = LogView(documents=documents, now=now)
    for fault in faults:
        view = DISTORTIONS[fault.action](view, fault)
    return view


def labels(document: Document) -> list[str]:
    """Return the texts that a fault's `match` is compared with."""
    return [document.options.tag, document.options.name]


def _without(view: LogView, fault: Fault, is_missing: Callable[[Document], bool]) -> LogView:
    """Return the view without the documents that match the fault and are missing."""
    kept = [
        document
        for document in view.documents
        if not (fault.matches(*labels(document)) and is_missing(document))
    ]
    return replace(view, documents=kept)


def _omit(view: LogView, fault: Fault) -> LogView:
    return _without(view, fault, lambda document: True)


def _patchy(view: LogView, fault: Fault) -> LogView:
    # Not security-relevant: random choice of the documents to hide.
    return _without(view, fault, lambda document: random.random() < fault.share)  # noqa: S311


def _late(view: LogView, fault: Fault) -> LogView:
    newest = view.now - timedelta(seconds=fault.delay)
    return _without(view, fault, lambda document: document.logged_at > newest)


def _misread(view: LogView, fault: Fault) -> LogView:
    return replace(view, window=fault.window, delay=timedelta(seconds=fault.delay))


def _heavy(view: LogView, fault: Fault) -> LogView:
    return replace(view, log_bytes=fault.byte_count)


def _shift(view: LogView, fault: Fault) -> LogView:
    return replace(view, offset=fault.offset)


DISTORTIONS: dict[str, Callable[[LogView, Fault], LogView]] = {
    "omit": _omit,
    "patchy": _patchy,
    "late": _late,
    "misread": _misread,
    "heavy": _heavy,
    "shift": _shift,
}
