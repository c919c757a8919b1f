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
from benchmarks.cost.metrics import Figure, as_json
from benchmarks.cost.site import Place
from tests.support.services import missing_service

# Option, how many by default, of what.
SIZES = {
    "documents": (1200, "documents for our throughput"),
    "usual-documents": (12, "documents for the usual way's throughput"),
    "latency-documents": (40, "documents for the latency of callbacks"),
    "poll-documents": (80, "renders that are polled for"),
    "enqueue-many": (10_000, "documents ordered at once"),
    "enqueue-loop": (900, "documents ordered one by one"),
    "callbacks": (300, "callbacks for the time of the view"),
    "document-mib": (200, "MiB of the large document"),
    "history": (1_000_000, "finished jobs of the larger history"),
    "paced-documents": (150, "documents ordered one by one at a steady pace"),
    "starts": (11, "starts of manage.py check"),
}


def main() -> int:
    """Measure, print, write; 1 if a figure could not be measured."""
    signal.signal(signal.SIGTERM, _interrupt)
    options = _arguments()
    began = time.monotonic()
    figures: list[Figure] = []
    broken: list[str] = []
    with Place() as place:
        for entry in catalogue.chosen(options.only):
            _say(f"{time.monotonic() - began:4.0f} s {', '.join(entry.keys)}")
            try:
                measured = entry.measure(place, options)
                _say(report.table(measured))
                figures += measured
            except Exception:  # noqa: BLE001 - the others can still be measured
                traceback.print_exc()
                broken += entry.keys
                place.show_logs()
    sys.stdout.write(f"{report.table(figures)}\n")
    _say(f"{time.monotonic() - began:.0f} s")
    if path := os.environ.get("BENCH_JSON"):
        Path(path).write_text(json.dumps(as_json(figures), indent=2) + "\n")
    if options.write_docs:
        from benchmarks.cost import docs_page  # needs matplotlib

        docs_page.write(figures)
    for key in broken:
        _say(f"not measured: {key}")
    missed = [figure.key for figure in figures if not figure.is_reached]
    return int(bool(broken) or (options.strict and bool(missed)))


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost",
        description="Measure what a document costs, ours and the usual way.",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="KEY", choices=catalogue.KEYS)
    parser.add_argument("--strict", action="store_true", help="fail if a target is missed")
    parser.add_argument("--write-docs", action="store_true", help="write the results page, too")
    for name, (default, what) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (%(default)s)")
    arguments = parser.parse_args()
    problem = missing_service("postgresql")
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
