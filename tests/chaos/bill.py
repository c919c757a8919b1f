"""The bill after a run: what the site itself finds if it compares DocRaptor's log with its jobs."""

import os
import re
import subprocess
from dataclasses import dataclass

from tests.chaos.accounts import GOOD_ACCOUNT
from tests.chaos.site import Site
from tests.support.processes import python_module

COMMAND = ("docraptor_usage", "--reconcile", "--days", "1", "--account")
FIGURE = re.compile(r"^billed by DocRaptor .* = (-?[\d,]+)$")
LINE = re.compile(r"^  \S+ \S+ UTC  [+-]\d  ")


@dataclass(frozen=True)
class Bill:
    """The figure *billed - accounted for*, ``None`` if there is none, and the lines about it."""

    difference: int | None
    lines: tuple[str, ...]


def compare_bill(site: Site, account: str = GOOD_ACCOUNT) -> Bill:
    """Run the command for an account in the site's environment, without the engine's faults."""
    done = subprocess.run(
        python_module("django", *COMMAND, account),
        env=os.environ | site.environment | {"CHAOS_DATABASE_FAILURE_RATES": "{}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return parse_bill(done.stdout, done.stderr)


def parse_bill(output: str, errors: str = "") -> Bill:
    """Return the figure and the lines of the command's output; an error is a line without one."""
    lines = output.splitlines()
    found = FIGURE.match(lines[-1]) if lines else None
    is_complete = found and not any("not complete" in line for line in lines)
    if not found or not is_complete:
        return Bill(None, (output, errors))
    differences = tuple(line.strip() for line in lines if LINE.match(line))
    return Bill(int(found[1].replace(",", "")), differences)
