"""What the engine does, as events for metrics and traces. Knows no package that receives them.

A receiver is any callable that takes an event. The engine publishes an event where one happens;
without a receiver that costs a look at an empty list. Receivers are called at once, in the thread
of the event and perhaps in several threads at a time, so they must be quick and safe for threads.
One that raises is logged and disturbs nothing.
"""

import logging
import re
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from django_docraptor.lazy_names import import_on_use

if TYPE_CHECKING:
    from django_docraptor.instrumentation.events import (
        CallMade,
        Event,
        JobMoved,
        QueueMeasured,
        StepTimed,
    )

else:  # hidden from type checkers, which would take any name for an Any
    __getattr__ = import_on_use(
        __name__, {"events": ["CallMade", "Event", "JobMoved", "QueueMeasured", "StepTimed"]}
    )

__all__ = [
    "CallMade",
    "Event",
    "JobMoved",
    "QueueMeasured",
    "Receiver",
    "StepTimed",
    "subscribe",
    "unsubscribe",
]

logger = logging.getLogger(__name__)

# What a job can keep: https://www.w3.org/TR/trace-context/. Neither the version ff nor an ID of
# zeros is valid: the spans of a job that had one would be a trace each.
TRACE_PARENT = r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# Minimum seconds between two messages about receivers that raise.
WARNING_INTERVAL = 60.0


Receiver: TypeAlias = "Callable[[Event], object]"

#: Internal. Who is told; change it by :func:`subscribe` and :func:`unsubscribe`.
receivers: list[Receiver] = []
# Return the ``traceparent`` in force, or "".
_trace_sources: list[Callable[[], str]] = []
_last_warned_at = -WARNING_INTERVAL


def subscribe(receiver: Receiver, *, trace_source: Callable[[], str] | None = None) -> None:
    """Call a receiver once for every event of this process.

    Args:
        receiver: takes an event. It must be quick, and safe for threads.
        trace_source: returns the W3C ``traceparent`` in force, or ""; jobs keep it.
    """
    if receiver not in receivers:
        receivers.append(receiver)
    if trace_source is not None and trace_source not in _trace_sources:
        _trace_sources.append(trace_source)


def unsubscribe(receiver: Receiver, *, trace_source: Callable[[], str] | None = None) -> None:
    """Undo :func:`subscribe`; nothing happens if it was not called.

    Args:
        receiver: as it was given.
        trace_source: as it was given.
    """
    if receiver in receivers:
        receivers.remove(receiver)
    if trace_source in _trace_sources:
        _trace_sources.remove(trace_source)


def publish(event: "Event") -> None:
    """Internal. Call all receivers with an event."""
    for receiver in tuple(receivers):
        try:
            receiver(event)
        except Exception as error:  # noqa: BLE001 - other people's code; it must disturb nothing
            _warn(f"A receiver of {type(event).__name__}", receiver, error)


def _warn(what: str, function: Callable[..., object], error: Exception) -> None:
    global _last_warned_at
    if time.monotonic() - _last_warned_at >= WARNING_INTERVAL:
        _last_warned_at = time.monotonic()
        logger.error(
            "%s in %s raised an exception; others within a minute are not logged",
            what,
            getattr(function, "__module__", "") or type(function).__name__,
            exc_info=error,
        )


def current_trace_parent() -> str:
    """Internal. Return the ``traceparent`` in force for a new job; "" without a valid one."""
    for source in _trace_sources:
        try:
            if re.fullmatch(TRACE_PARENT, trace_parent := source()):
                return trace_parent
        except Exception as error:  # noqa: BLE001 - other people's code; it must disturb nothing
            _warn("A source of traces", source, error)
    return ""


def log_fields(job: Any) -> dict[str, Any]:
    """Internal. Return what a log record about a job has in ``extra``. Reads no database.

    Args:
        job: a job; a column that is not loaded is ``None``.
    """
    columns = vars(job)
    names = ("attempt", "account", "document")
    return {"job": str(job.pk), **{name: columns.get(name) for name in names}}


def raised_at(error: BaseException) -> str:
    """Internal. Return an exception's type and location for the log, without its text.

    The text may name a customer. The history of the job, or the row of the group, keeps it.
    """
    kind = type(error).__qualname__
    frames = traceback.extract_tb(error.__traceback__)
    return f"{kind} in {frames[-1].filename}, line {frames[-1].lineno}" if frames else kind
