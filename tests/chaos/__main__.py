"""The command line: ``python -m tests.chaos``; ``make chaos`` runs it."""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.brokers import KINDS
from tests.chaos import SPEED, fault_rates
from tests.chaos.audit import Verdict, dump, table
from tests.chaos.run import CALM, RESERVE, Run
from tests.chaos.site import Options, Place
from tests.support.services import missing_service

SEED = 20261105
TOLD = 10
# Ten seconds of chaos, and what comes after.
MIN_SECONDS = RESERVE + CALM + 10


def main() -> int:
    """Run once and print the table; 1 if anything was twice, stuck, lost or wrong."""
    signal.signal(signal.SIGTERM, _interrupt)
    arguments = _arguments()
    options = Options(**{name: value for name, value in vars(arguments).items() if name != "json"})
    began = time.monotonic()
    sys.stdout.write(f"{_title(options)}\n")
    sys.stdout.flush()
    with Place(options) as place:
        run = Run(place, began)
        verdict = run.play()
        facts = run.facts()
    _tell(options, verdict, facts)
    if arguments.json:
        dump(arguments.json, vars(options) | facts | verdict.as_json())
    if options.keep:
        sys.stderr.write(f"kept: {place.scratch}\n")
    return 0 if verdict.is_clean or options.naive else 1


def _title(options: Options) -> str:
    way = "the usual Celery task" if options.naive else "django-docraptor"
    return (
        f"chaos: {way}, {options.jobs} jobs, seed {options.seed}, {options.broker}, "
        f"{options.database}, {options.workers} workers, the app's waits {SPEED} times shorter"
    )


def _tell(options: Options, verdict: Verdict, facts: dict[str, Any]) -> None:
    sys.stdout.write(f"{table(verdict, facts['events'], facts['played'])}\n")
    for problem in verdict.problems[:TOLD]:
        sys.stdout.write(f"{problem}\n")
    sys.stdout.write(f"{facts['took']:.0f} s, seed {options.seed}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Break everything at random while documents are made; count what came of it.",
    )
    parser.add_argument("--jobs", type=int, default=1000, help="documents (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=300, help="the longest it may take (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of all dice (%(default)s)")
    parser.add_argument("--broker", choices=sorted(KINDS), default="redis")
    parser.add_argument("--database", choices=["postgresql", "mariadb"], default="postgresql")
    parser.add_argument("--workers", type=int, default=3, help="Celery workers (%(default)s)")
    parser.add_argument(
        "--rates",
        type=_rates,
        default=fault_rates.defaults(),
        metavar="KIND=RATE,…",
        help="how often faults are played, e.g. create.reset=0.1,status=0,all=2: a kind gets that "
        f"rate, a call or all of them are multiplied. Kinds: {', '.join(fault_rates.defaults())}",
    )
    parser.add_argument("--naive", action="store_true", help="the usual Celery task instead")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the account there, too")
    parser.add_argument("--keep", action="store_true", help="keep logs and documents")
    arguments = parser.parse_args()
    if arguments.seconds < MIN_SECONDS:
        parser.error(f"--seconds: at least {MIN_SECONDS:.0f}")
    if arguments.jobs < 1 or arguments.workers < 1:
        parser.error("--jobs and --workers: at least 1")
    for problem in _missing(arguments):
        parser.error(problem)
    return arguments


def _missing(arguments: argparse.Namespace) -> Iterator[str]:
    """What this machine lacks, and how to get it."""
    services = [arguments.database] + ["rabbitmq"] * (arguments.broker == "rabbitmq")
    yield from filter(None, map(missing_service, services))
    if arguments.broker == "redis" and not shutil.which("redis-server"):
        yield "redis-server is missing: apt-get install redis-server"
    if not shutil.which("pgrep"):
        yield "pgrep is missing: apt-get install procps"


def _rates(text: str) -> dict[str, float]:
    try:
        return fault_rates.read(text)
    except fault_rates.RatesError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
