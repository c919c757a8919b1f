"""Measure on scratch databases, in separate processes; return plain data. No Django here."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.growth.probe_client import ProbeClient, start_probe

SIZES = (10_000, 100_000, 1_000_000)
IN_FLIGHT = (10, 100, 1_000, 10_000)
PROBES = ("tick", "claim", "admin_list", "admin_search", "job_page", "usage", "budget")
JOBS_TO_PRUNE = 20_000
# Turns between the sizes, and timed calls per turn.
TURNS, REPEATS = 15, 5
ReportProgress = Callable[[str], object]


def measure(
    database: str = "postgresql",
    *,
    sizes: Sequence[int] = SIZES,
    in_flight: Sequence[int] = IN_FLIGHT,
    jobs_to_prune: int = JOBS_TO_PRUNE,
    turns: int = TURNS,
    repeats: int = REPEATS,
    report_progress: ReportProgress = lambda line: None,
) -> dict[str, Any]:
    """Measure at each size of history, alternating between the sizes.

    Args:
        database: ``"postgresql"`` or ``"sqlite"``.
        sizes: finished jobs, ascending; each has five events.
        in_flight: unfinished jobs, measured at the smallest history.
        jobs_to_prune: jobs that are pruned from the largest history, at most half of it.
        turns: how often each operation is timed at each size.
        repeats: timed calls per turn.
        report_progress: called with each line of progress.

    Returns:
        ``history`` and ``in_flight``: median milliseconds by size and operation; ``scale_ratio``:
        at the largest history ÷ at the smallest, the median of the turns; ``prune``: how fast it
        was; ``seconds``: the duration of each part.
    """
    seconds: dict[str, float] = {}
    with ExitStack() as stack:
        probes = {size: stack.enter_context(start_probe(database)) for size in sizes}
        for size, probe in probes.items():
            with _timed(f"a history of {size:,} jobs", seconds, report_progress):
                probe.call("build", size=size)
        with _timed("cost against history", seconds, report_progress):
            timings = {name: _interleaved(probes, turns, name, repeats) for name in PROBES}
        with _timed("cost against jobs in flight", seconds, report_progress):
            smallest = probes[sizes[0]]
            in_flight_times = {
                str(count): smallest.call("in_flight", count=count, repeats=repeats)
                for count in in_flight
            }
        jobs = min(jobs_to_prune, sizes[-1] // 2)
        with _timed(f"a prune of {jobs:,} jobs", seconds, report_progress):
            prune = probes[sizes[-1]].call("prune", jobs=jobs)
    return {
        "database": database,
        "scale_ratio": {
            name: _ratio(by_size[sizes[0]], by_size[sizes[-1]]) for name, by_size in timings.items()
        },
        "history": {
            str(size): {
                name: round(statistics.median(by_size[size]), 2)
                for name, by_size in timings.items()
            }
            for size in sizes
        },
        "in_flight": in_flight_times,
        "prune": {"of": sizes[-1]} | prune,
        "seconds": seconds,
    }


def _interleaved(
    probes: dict[int, ProbeClient], turns: int, name: str, repeats: int
) -> dict[int, list[float]]:
    """Return the median of each turn, by size."""
    timings: dict[int, list[float]] = {size: [] for size in probes}
    for _ in range(turns):
        for size, probe in probes.items():
            milliseconds = probe.call("time", name=name, repeats=repeats)
            timings[size].append(statistics.median(milliseconds))
    return timings


def _ratio(first: Sequence[float], last: Sequence[float]) -> float:
    """Return the median of the ratios per turn.

    Temporary load affects both sides of a turn.
    """
    turns = (high / low for low, high in zip(first, last, strict=True))
    return round(statistics.median(turns), 2)


@contextmanager
def _timed(what: str, seconds: dict[str, float], report_progress: ReportProgress) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[what] = round(time.monotonic() - started, 1)
    report_progress(f"{what}: {seconds[what]} s")
