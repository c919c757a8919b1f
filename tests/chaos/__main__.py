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

from tests.chaos import SPEED, fault_rates
from tests.chaos.accounts_run import AccountsRun
from tests.chaos.audit import Verdict, format_table, write_json
from tests.chaos.run import DRAIN_SECONDS, SHUTDOWN_SECONDS, ChaosRun
from tests.chaos.site import RunOptions, Site
from tests.support.breakable_brokers import BROKERS
from tests.support.services import service_problem

DEFAULT_SEED = 20261105
MAX_PROBLEMS_SHOWN = 10
# Ten seconds with faults, and what comes after.
MIN_SECONDS = SHUTDOWN_SECONDS + DRAIN_SECONDS + 10


def main() -> int:
    """Run once and print the table.

    Returns:
        The exit status: 1 if a document was duplicated, stuck, lost or corrupt, or if the bill
        differs.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    arguments = _arguments()
    options = RunOptions(
        **{name: value for name, value in vars(arguments).items() if name != "json"}
    )
    sys.stdout.write(f"{_title(options)}\n")
    sys.stdout.flush()
    if options.accounts:
        return _run_accounts(options)
    with Site(options) as site:
        # A busy machine takes long to start the site; that time is not the run's.
        run = ChaosRun(site, time.monotonic())
        verdict = run.run()
        statistics = run.statistics()
    _print_result(options, verdict, statistics)
    if arguments.json:
        write_json(arguments.json, vars(options) | statistics | verdict.as_json())
    if options.keep:
        sys.stderr.write(f"kept: {site.scratch}\n")
    return 0 if verdict.is_clean or options.baseline else 1


def _run_accounts(options: RunOptions) -> int:
    """Run the preset with several accounts, and print what it has measured."""
    with Site(options) as site:
        verdict = AccountsRun(site).run()
    lines = [line for bill in verdict.bills.values() for line in bill.lines]
    sys.stdout.write("\n".join([*verdict.lines(), *lines[:MAX_PROBLEMS_SHOWN]]) + "\n")
    return 0 if verdict.is_clean else 1


def _title(options: RunOptions) -> str:
    subject = "the baseline, a plain Celery task" if options.baseline else "django-docraptor"
    return (
        f"chaos: {subject}, {options.jobs} jobs, seed {options.seed}, {options.broker}, "
        f"{options.database}, {options.workers} workers, the app's waiting times divided by {SPEED}"
    )


def _print_result(options: RunOptions, verdict: Verdict, statistics: dict[str, Any]) -> None:
    table = format_table(
        verdict,
        statistics["events"],
        statistics["triggered_faults"],
        statistics["retried_by_operator"],
    )
    sys.stdout.write(f"{table}\n")
    lines = verdict.bill_lines if verdict.bill_difference != 0 else ()
    for problem in (*verdict.problems[:MAX_PROBLEMS_SHOWN], *lines[:MAX_PROBLEMS_SHOWN]):
        sys.stdout.write(f"{problem}\n")
    sys.stdout.write(f"{statistics['elapsed_seconds']:.0f} s, seed {options.seed}\n")


def _arguments() -> argparse.Namespace:
    kinds = fault_rates.default_rates()
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Inject random faults while documents are generated, then count the results.",
    )
    parser.add_argument("--jobs", type=int, default=1000, help="documents (%(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=300,
        help="duration, from when the site runs, unless all is done earlier (%(default)s); a "
        "document of which DocRaptor's log contradicts itself is waited for longer",
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="random seed (%(default)s)")
    parser.add_argument("--broker", choices=sorted(BROKERS), default="redis")
    parser.add_argument("--database", choices=["postgresql", "mariadb"], default="postgresql")
    parser.add_argument("--workers", type=int, default=3, help="Celery workers (%(default)s)")
    parser.add_argument(
        "--rates",
        type=_rates,
        default=kinds,
        metavar="KIND=RATE,…",
        help="fault rates, e.g. create.reset=0.1,status=0,all=2: sets the rate of a kind, or "
        f"multiplies the rates of a call or of all. Kinds: {', '.join(kinds)}",
    )
    parser.add_argument("--baseline", action="store_true", help="run the plain Celery task instead")
    parser.add_argument(
        "--accounts",
        action="store_true",
        help="run beside a wrong key, a hard budget and a server that hangs, and measure the "
        "disturbance, the budget and the bills instead",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the result as JSON")
    parser.add_argument("--keep", action="store_true", help="keep logs and documents")
    arguments = parser.parse_args()
    if arguments.seconds < MIN_SECONDS:
        parser.error(f"--seconds: at least {MIN_SECONDS:.0f}")
    if arguments.jobs < 1 or arguments.workers < 1:
        parser.error("--jobs and --workers: at least 1")
    for problem in _missing_services(arguments):
        parser.error(problem)
    return arguments


def _missing_services(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield what is missing on this machine and how to install it."""
    services = [arguments.database] + ["rabbitmq"] * (arguments.broker == "rabbitmq")
    yield from filter(None, map(service_problem, services))
    if arguments.broker == "redis" and not shutil.which("redis-server"):
        yield "redis-server is missing: apt-get install redis-server"
    if not shutil.which("pgrep"):
        yield "pgrep is missing: apt-get install procps"


def _rates(text: str) -> dict[str, float]:
    try:
        return fault_rates.parse_rates(text)
    except fault_rates.FaultRateError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
