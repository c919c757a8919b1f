"""The cost of a history of a million jobs: the engine's and the admin's work against its size.

Measured by `benchmarks.growth` on its own databases, and reported here as a metric.
"""

import argparse
import sys

from benchmarks.cost.metrics import Metric, Result
from benchmarks.cost.site import Site
from benchmarks.growth.measure import measure as measure_growth

TARGET = 1.3
SMALL_HISTORY = 10_000


def measure(_site: Site, options: argparse.Namespace) -> list[Metric]:
    """Compare a small history with a large one, alternately; then prune the large one."""
    sizes = (SMALL_HISTORY, options.history)
    growth = measure_growth(
        sizes=sizes,
        in_flight=(10, 1_000),
        jobs_to_prune=2_000,
        report_progress=lambda line: sys.stderr.write(f"     {line}\n"),
    )
    history, prune = growth["history"], growth["prune"]
    in_flight = "; ".join(
        f"with {int(count):,} in flight: "
        + ", ".join(f"{name} {milliseconds:.1f} ms" for name, milliseconds in row.items())
        for count, row in growth["in_flight"].items()
    )
    return [
        Metric(
            key="scale_ratio",
            description=f"time with {sizes[1]:,} finished jobs ÷ with {sizes[0]:,}",
            results=tuple(
                Result(
                    name=name,
                    value=ratio,
                    target=TARGET,
                    ours=f"{history[str(sizes[1])][name]:.1f} ms",
                    baseline=f"{history[str(sizes[0])][name]:.1f} ms with {sizes[0]:,}",
                )
                for name, ratio in growth["scale_ratio"].items()
            ),
            notes=(
                in_flight,
                f"prune at {prune['of']:,} jobs: {prune['jobs_per_second']:,} jobs/s with their "
                f"files, longest transaction {prune['longest_transaction_ms']:.0f} ms",
            ),
        )
    ]
