"""All benchmarks: modules with ``measure(site, options)``, in the order of the table.

They are named, not imported: they need Django, which is set up when the site is.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from benchmarks.cost.metrics import Metric
from benchmarks.cost.site import Site


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module, and the keys of its metrics."""

    module: str
    keys: tuple[str, ...]

    def measure(self, site: Site, options: argparse.Namespace) -> list[Metric]:
        """Measure all metrics of the module."""
        measure: Callable[[Site, argparse.Namespace], list[Metric]]
        measure = import_module(self.module).measure
        return measure(site, options)


BENCHMARKS = (
    Benchmark("benchmarks.cost.throughput", ("throughput_ratio", "worker_ms_per_document")),
    Benchmark("benchmarks.cost.latency", ("callback_latency_ms_p50", "callback_latency_ms_p95")),
    Benchmark("benchmarks.cost.polling", ("poll_delay_ratio", "status_calls")),
    Benchmark(
        "benchmarks.cost.queries",
        (
            "queries_per_document",
            "transactions_per_document",
            "round_trips_lone",
            "round_trips_batch",
        ),
    ),
    Benchmark("benchmarks.cost.processes", ("cpu_growth_8", "claims_lost")),
    Benchmark("benchmarks.cost.idle_tick", ("queries_per_idle_tick",)),
    Benchmark("benchmarks.cost.enqueue", ("bulk_enqueue_ratio",)),
    Benchmark("benchmarks.cost.user_requests", ("enqueue_cpu_ratio", "on_save_ten_round_trips")),
    Benchmark("benchmarks.cost.asgi", ("asgi_extra_mib",)),
    Benchmark("benchmarks.cost.callback_view", ("callback_view_ratio",)),
    Benchmark("benchmarks.cost.memory", ("memory_ratio",)),
    Benchmark("benchmarks.cost.html_memory", ("worker_memory_html_mib",)),
    Benchmark("benchmarks.cost.scale", ("scale_ratio",)),
    Benchmark("benchmarks.cost.startup", ("startup_ms", "startup_cpu_ms")),
    Benchmark("benchmarks.cost.connections", ("connections",)),
    Benchmark("benchmarks.cost.tls", ("tls_create_cpu_ms",)),
    Benchmark("benchmarks.cost.preflight", ("preflight_ms_per_mb",)),
    Benchmark("benchmarks.cost.metrics_receiver", ("metrics_cpu_ratio",)),
    Benchmark("benchmarks.cost.backlog", ("backlog_ratio", "search_ratio", "search_ms")),
    Benchmark("benchmarks.cost.bulk_retry", ("bulk_retry_statements_per_1000",)),
)
KEYS = tuple(key for benchmark in BENCHMARKS for key in benchmark.keys)


def select(keys: list[str]) -> Iterator[Benchmark]:
    """Return the benchmarks that measure one of the keys; all of them if there are no keys."""
    return (benchmark for benchmark in BENCHMARKS if not keys or set(keys) & set(benchmark.keys))
