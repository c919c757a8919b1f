"""What a history of a million jobs costs: the engine's and the admin's work against its size.

Measured by `benchmarks.growth` on a database of its own; here in the form of a figure.
"""

import argparse
import sys

from benchmarks.cost.metrics import Case, Figure
from benchmarks.cost.site import Place
from benchmarks.growth.measure import measure as grow

LIMIT = 1.3
SMALL = 10_000


def measure(_place: Place, options: argparse.Namespace) -> list[Figure]:
    """Ten thousand jobs beside so many more, in turns; then a prune of the larger history."""
    sizes = (SMALL, options.history)
    found = grow(
        sizes=sizes,
        in_flight=(10, 1_000),
        pruned=2_000,
        say=lambda line: sys.stderr.write(f"     {line}\n"),
    )
    history, prune = found["history"], found["prune"]
    flying = "; ".join(
        f"with {int(count):,} in flight: "
        + ", ".join(f"{name} {taken:.1f} ms" for name, taken in row.items())
        for count, row in found["in_flight"].items()
    )
    return [
        Figure(
            key="scale_ratio",
            what=f"time with {sizes[1]:,} finished jobs ÷ with {sizes[0]:,}",
            cases=tuple(
                Case(
                    name=name,
                    value=ratio,
                    limit=LIMIT,
                    ours=f"{history[str(sizes[1])][name]:.1f} ms",
                    usual=f"{history[str(sizes[0])][name]:.1f} ms with {sizes[0]:,}",
                )
                for name, ratio in found["scale_ratio"].items()
            ),
            notes=(
                flying,
                f"prune at {prune['of']:,} jobs: {prune['jobs_per_second']:,} jobs/s with their "
                f"files, longest transaction {prune['longest_transaction_ms']:.0f} ms",
            ),
        )
    ]
