"""A measuring process: ``python -m benchmarks.growth.probe_server``, one for each size of history.

It reads a command a line (JSON, with ``do``) and answers with a line. So its driver can take turns
between sizes, and what else the machine does meets all of them alike.
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
    """A history of so many jobs, and a few that wait."""
    call_command("migrate", verbosity=0)
    history.build(size)
    history.tend()
    probes.unfinished(probes.WAITING, polled=0)


COMMANDS: dict[str, Callable[..., Any]] = {
    "build": build,
    "time": probes.timings,
    "in_flight": probes.against_in_flight,
    "prune": probes.prune,
}


def main() -> None:
    """Answer until there are no more commands."""
    for line in sys.stdin:
        command = json.loads(line)
        answer = COMMANDS[command.pop("do")](**command)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
