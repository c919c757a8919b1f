"""The command line: ``python -m benchmarks.bench``; ``make bench`` runs it."""

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

from benchmarks.bench import catalogue, report
from benchmarks.bench.figures import Figure, as_json
from benchmarks.bench.place import Place
from tests.services import missing_service


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
                figures += entry.measure(place, options)
            except Exception:  # noqa: BLE001 - the others can still be measured
                traceback.print_exc()
                broken += entry.keys
                place.show_logs()
    sys.stdout.write(f"{report.table(figures)}\n")
    _say(f"{time.monotonic() - began:.0f} s")
    if path := os.environ.get("BENCH_JSON"):
        Path(path).write_text(json.dumps(as_json(figures), indent=2) + "\n")
    for key in broken:
        _say(f"not measured: {key}")
    missed = [figure.key for figure in figures if not figure.is_reached]
    return int(bool(broken) or (options.strict and bool(missed)))


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench",
        description="Measure what a document costs, ours and the usual way.",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="KEY", choices=catalogue.KEYS)
    parser.add_argument("--strict", action="store_true", help="fail if a target is missed")
    parser.add_argument(
        "--documents", type=int, default=1200, help="for our throughput (%(default)s)"
    )
    parser.add_argument(
        "--usual-documents", type=int, default=12, help="for the usual way's (%(default)s)"
    )
    parser.add_argument(
        "--latency-documents", type=int, default=40, help="for the latency (%(default)s)"
    )
    parser.add_argument(
        "--poll-documents", type=int, default=40, help="for the polls (%(default)s)"
    )
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
