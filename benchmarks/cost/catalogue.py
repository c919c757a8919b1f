"""Which figures there are: modules with ``measure(place, options)``, in the order of the table.

They are named, not imported: they need Django, which is set up when the place is.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from benchmarks.cost.metrics import Figure
from benchmarks.cost.site import Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A module, and the keys that it measures."""

    module: str
    keys: tuple[str, ...]

    def measure(self, place: Place, options: argparse.Namespace) -> list[Figure]:
        """Measure all of its figures."""
        measured: Callable[[Place, argparse.Namespace], list[Figure]]
        measured = import_module(self.module).measure
        return measured(place, options)


ENTRIES = (
    Entry("benchmarks.cost.throughput", ("throughput_ratio", "worker_ms_per_document")),
    Entry("benchmarks.cost.latency", ("callback_latency_ms_p50", "callback_latency_ms_p95")),
    Entry("benchmarks.cost.polling", ("poll_delay_ratio", "status_calls")),
    Entry("benchmarks.cost.queries", ("queries_per_document", "transactions_per_document")),
    Entry("benchmarks.cost.idle_tick", ("idle_cost",)),
    Entry("benchmarks.cost.enqueue", ("bulk_enqueue_ratio",)),
    Entry("benchmarks.cost.callback_view", ("callback_view_ratio",)),
    Entry("benchmarks.cost.memory", ("memory_ratio",)),
    Entry("benchmarks.cost.scale", ("scale_ratio",)),
    Entry("benchmarks.cost.startup", ("startup_ms",)),
    Entry("benchmarks.cost.connections", ("connections",)),
)
KEYS = tuple(key for entry in ENTRIES for key in entry.keys)


def chosen(keys: list[str]) -> Iterator[Entry]:
    """The entries that measure one of the keys; all of them if there are none."""
    return (entry for entry in ENTRIES if not keys or set(keys) & set(entry.keys))
