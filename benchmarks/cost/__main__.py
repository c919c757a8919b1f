"""The command line: ``python -m benchmarks.cost``; ``make bench`` runs it."""

import argparse
import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType

from benchmarks.cost import catalogue, report
from benchmarks.cost.metrics import Metric, as_json
from benchmarks.cost.site import Site
from tests.support.services import service_problem

# Option: its default and its description.
SIZES = {
    "documents": (1200, "documents for our throughput"),
    "baseline-documents": (12, "documents for the baseline's throughput"),
    "latency-documents": (40, "documents for the latency of callbacks"),
    "poll-documents": (80, "renders without callbacks"),
    "enqueue-many": (10_000, "documents in one enqueue_many call"),
    "enqueue-loop": (900, "documents enqueued in a loop"),
    "callbacks": (300, "callbacks for the time of the view"),
    "document-mib": (200, "MiB of the large document"),
    "history": (1_000_000, "finished jobs in the larger history"),
    "backlog": (1_000_000, "finished, and as many pending jobs of another account"),
    "retries": (10_000, "failed jobs that are retried together"),
    "paced-documents": (150, "documents enqueued one by one at a steady rate"),
    "process-documents": (400, "documents for one to eight engine processes"),
    "starts": (11, "starts of manage.py check"),
    "tls-creates": (100, "creates over https"),
}


def main() -> int:
    """Run the benchmarks, print and save the results.

    Returns:
        The exit status: 1 if a benchmark failed, or with ``--strict`` if a target was missed.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    options = _arguments()
    started = time.monotonic()
    metrics: list[Metric] = []
    failed: list[str] = []
    with Site() as site:
        for benchmark in catalogue.select(options.only):
            _print(f"{time.monotonic() - started:4.0f} s {', '.join(benchmark.keys)}")
            began = time.monotonic()
            try:
                measured = benchmark.measure(site, options)
                _print(f"{report.table(measured)}\n     took {time.monotonic() - began:.0f} s")
                metrics += measured
            except Exception:  # noqa: BLE001 - the other benchmarks can still run
                traceback.print_exc()
                failed += benchmark.keys
                site.print_logs()
    sys.stdout.write(f"{report.table(metrics)}\n")
    _print(f"{time.monotonic() - started:.0f} s")
    if path := os.environ.get("BENCH_JSON"):
        Path(path).write_text(json.dumps(as_json(metrics), indent=2) + "\n")
    if options.write_docs:
        from benchmarks.cost import docs_page

        docs_page.write(metrics)
    for key in failed:
        _print(f"failed: {key}")
    missed = [metric.key for metric in metrics if not metric.meets_target]
    return int(bool(failed) or (options.strict and bool(missed)))


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost",
        description="Measure the cost per document, compared with a plain Celery task. "
        "BENCH_JSON: path for the results as JSON.",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="KEY", choices=catalogue.KEYS)
    parser.add_argument(
        "--strict", action="store_true", help="exit with status 1 if a target is missed"
    )
    parser.add_argument("--write-docs", action="store_true", help="also update the results page")
    for name, (default, help_text) in SIZES.items():
        parser.add_argument(
            f"--{name}", type=int, default=default, help=f"{help_text} (%(default)s)"
        )
    arguments = parser.parse_args()
    problem = service_problem("postgresql")
    if not shutil.which("redis-server"):
        problem = "redis-server is missing: apt-get install redis-server"
    if problem:
        parser.error(problem)
    return arguments


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
