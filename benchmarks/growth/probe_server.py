"""A measuring process, one per size of history: ``python -m benchmarks.growth.probe_server``.

It reads one JSON command per line and writes one JSON result per line, so that the driver can
alternate between sizes and other load on the machine affects all of them equally.
"""

import json
import sys
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
    history.vacuum()
    probes.set_unfinished_jobs(probes.PENDING_JOBS, polled=0)


COMMANDS: dict[str, Callable[..., Any]] = {
    "build": build,
    "time": probes.time_operation,
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
