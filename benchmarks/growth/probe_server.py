"""A measuring process, one per size of history: ``python -m benchmarks.growth.probe_server``.

It reads one JSON command per line and writes one JSON result per line, so that the driver can
alternate between sizes and other load on the machine affects all of them equally.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402 - needs the settings

from benchmarks.growth import probes  # noqa: E402
from tests.support import history  # noqa: E402


def build(size: int) -> None:
    """Create a history of so many jobs, and a few pending ones."""
    call_command("migrate", verbosity=0)
    history.create_history(size)
    history.sum_up()
    history.vacuum()
    probes.set_unfinished_jobs(probes.PENDING_JOBS, polled=0)


def build_backlog(finished: int, pending: int) -> float:
    """Create finished jobs, pending ones of another account, and a few pending ones beside them.

    Returns:
        The seconds that the creation has taken.
    """
    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    history.create_jobs_only(finished, pending, account=probes.BACKLOG_ACCOUNT)
    probes.add_pending_jobs()
    history.vacuum()
    return time.perf_counter() - started


COMMANDS: dict[str, Callable[..., Any]] = {
    "build": build,
    "build_backlog": build_backlog,
    "time": probes.time_operation,
    "cpu": probes.cpu_of_operation,
    "in_flight": probes.time_with_in_flight,
    "prune": probes.prune,
}


def main() -> None:
    """Execute commands until the input ends."""
    for line in sys.stdin:
        arguments = json.loads(line)
        result = COMMANDS[arguments.pop("command")](**arguments)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
