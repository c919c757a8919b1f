"""The command line: ``python -m benchmarks.growth``."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import charts
from benchmarks.growth.measure import IN_FLIGHT, SIZES, measure
from tests.support.services import service_problem

DATABASES = ("postgresql", "sqlite")


def main() -> None:
    """Measure, print a table, and write the chart and the JSON if asked to."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the databases are dropped
    arguments = _arguments()
    results = {
        database: measure(
            database,
            sizes=arguments.sizes,
            in_flight=arguments.in_flight,
            report_progress=lambda line: print(line, file=sys.stderr, flush=True),
        )
        for database in arguments.database or DATABASES[:1]
    }
    sys.stdout.write("\n\n".join(map(table, results.values())) + "\n")
    if arguments.plot:
        arguments.plot.write_text(plot(results))
    if path := os.environ.get("BENCH_JSON"):
        first, *_others = results.values()
        report = {"scale_ratio": first["scale_ratio"], "growth": results}
        Path(path).write_text(json.dumps(report, indent=2) + "\n")


def plot(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return charts in a row per database: finished jobs left, unfinished jobs right."""
    return charts.line_charts(
        [
            [
                (database, "finished jobs", result["history"]),
                (database, "unfinished jobs", result["in_flight"]),
            ]
            for database, result in results.items()
        ]
    )


def table(results: dict[str, Any]) -> str:
    """Return the results of one database as text."""
    sizes, prune = list(results["history"]), results["prune"]
    lines = [_row(f"{results['database']}, ms", [f"{int(size):,} jobs" for size in sizes], "ratio")]
    for name, ratio in results["scale_ratio"].items():
        row = [f"{results['history'][size][name]:.1f}" for size in sizes]
        lines.append(_row(name, row, f"{ratio:.2f}"))
    in_flight = results["in_flight"]
    lines += ["", _row("in flight, ms", [f"{int(count):,}" for count in in_flight], "")]
    for name in next(iter(in_flight.values()), {}):
        lines.append(_row(name, [f"{row[name]:.1f}" for row in in_flight.values()], ""))
    lines += [
        "",
        f"prune at {prune['of']:,} jobs: {prune['jobs_per_second']:,} jobs/s with their files, "
        f"longest transaction {prune['longest_transaction_ms']:.0f} ms",
    ]
    return "\n".join(lines)


def _row(name: str, cells: list[str], last: str) -> str:
    return f"{name:<18}{''.join(f'{cell:>16}' for cell in cells)}{last:>10}".rstrip()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description="Cost against history and against jobs in flight. BENCH_JSON: path for JSON.",
    )
    parser.add_argument("--database", choices=DATABASES, action="append", help="(postgresql)")
    parser.add_argument(
        "--sizes", type=_numbers, default=SIZES, metavar="N,…", help="finished jobs of each history"
    )
    parser.add_argument(
        "--in-flight", type=_numbers, default=IN_FLIGHT, metavar="N,…", help="unfinished jobs"
    )
    parser.add_argument("--plot", type=Path, metavar="PATH", help="write the chart as SVG")
    arguments = parser.parse_args()
    for database in arguments.database or DATABASES[:1]:
        if database != "sqlite" and (problem := service_problem(database)):
            parser.error(problem)
    return arguments


def _numbers(text: str) -> tuple[int, ...]:
    """Return ascending whole numbers.

    Raises:
        ArgumentTypeError: The text is something else.
    """
    try:
        numbers = tuple(int(part.replace("_", "")) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 10 or list(numbers) != sorted(set(numbers)):
        raise argparse.ArgumentTypeError(f"{text!r} must be ascending whole numbers, at least 10")
    return numbers


if __name__ == "__main__":
    main()
