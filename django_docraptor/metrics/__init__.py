"""Internal. Receivers of metrics and traces, each a module for one package that is an extra.

A receiver is a module with ``receive(event)``, and perhaps ``trace_parent()``. Its dotted path is
in ``DOCRAPTOR["METRICS"]``, and it is imported at startup.
"""

import logging
from collections.abc import Iterable
from importlib import import_module

from django_docraptor import instrumentation

logger = logging.getLogger(__name__)


def load_receivers(paths: Iterable[str]) -> None:
    """Import the receivers, and let them have all events of this process.

    One that cannot be imported is left out: a check reports it, and documents do not wait for it.
    """
    for path in paths:
        if problem := receiver_problem(path):
            logger.error("DOCRAPTOR['METRICS'] contains %r: %s", path, problem)
            continue
        module = import_module(path)
        trace_source = getattr(module, "trace_parent", None)
        instrumentation.subscribe(module.receive, trace_source=trace_source)


def receiver_problem(path: str) -> str:
    """Return why a path names no receiver, as a sentence; "" if it does."""
    try:
        module = import_module(path)
    except ImportError as error:
        return f"it cannot be imported: {error}."
    except Exception as error:  # noqa: BLE001 - a module may raise anything
        return f"it raises {type(error).__name__} when it is imported: {error}."
    return (
        "" if callable(getattr(module, "receive", None)) else "it has no function receive(event)."
    )
