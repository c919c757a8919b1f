"""The frequent queries with a million finished jobs and a million pending ones of another account.

Each database is compared with a small one of its own kind, in turns, by the CPU time of both sides
of the connection. No Django here.
"""

import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.growth.probe_client import ProbeClient, start_probe

# Finished and pending jobs of the small database.
SMALL = 1_000
TURNS, REPEATS = 5, 2
# What no backlog can make slower: the least growth that any query has.
FLOOR = "job_by_key"
QUERIES = (
    *("due_accounts", "admission", "claim_poll", "schedule", "tick", "health_report"),
    *("list_newest", "list_oldest", "list_pending", "job_page"),
)
# Searches and filters without a hit, compared with the list itself.
SEARCHES = (
    *("search_name", "search_key", "filter_type", "filter_test", "filter_document"),
    *("filter_error_code", "filter_owner", "key_prefix"),
)
LIST = "list_newest"
# Django's own list of the jobs, without a hit: the least that a page of the admin takes.
PLAIN_LIST = "plain_list"
ReportProgress = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Growth:
    """Median CPU milliseconds in the small and in the large database."""

    small: float
    large: float
    ratio: float


def measure_backlog(
    database: str,
    size: int,
    *,
    small: int = SMALL,
    turns: int = TURNS,
    repeats: int = REPEATS,
    report_progress: ReportProgress = lambda line: None,
) -> Mapping[str, Growth]:
    """Return the growth of each query.

    Args:
        database: ``"postgresql"``, ``"mariadb"`` or ``"sqlite"``.
        size: so many finished and so many pending jobs.
        small: as many in the small database.
        turns: how often each query is measured in each database.
        repeats: measured calls per turn.
        report_progress: called with each line of progress.
    """
    with ExitStack() as stack:
        probes = [stack.enter_context(start_probe(database)) for _ in range(2)]
        for probe, jobs in zip(probes, (small, size), strict=True):
            seconds = probe.call("build_backlog", finished=jobs, pending=jobs)
            report_progress(f"{database}: {jobs:,} finished and as many pending: {seconds:.0f} s")
        names = dict.fromkeys((FLOOR, PLAIN_LIST, *QUERIES, *SEARCHES))
        return {name: _measure(probes, name, turns, repeats) for name in names}


def _measure(probes: list[ProbeClient], name: str, turns: int, repeats: int) -> Growth:
    """Return the median of the ratios per turn: temporary load affects both sides of a turn."""
    rows = [
        [min(probe.call("cpu", name=name, repeats=repeats)) for probe in probes]
        for _ in range(turns)
    ]
    small, large = (statistics.median(column) for column in zip(*rows, strict=True))
    return Growth(small, large, statistics.median(high / low for low, high in rows))
