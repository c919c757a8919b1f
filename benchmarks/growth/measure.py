"""Measure on scratch databases, in processes of their own; returns plain data. No Django here."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.growth.probe_client import Subject, subject

SIZES = (10_000, 100_000, 1_000_000)
IN_FLIGHT = (10, 100, 1_000, 10_000)
PROBES = ("tick", "claim", "admin_list", "admin_search", "job_page")
PRUNED = 20_000
# Turns between the sizes, and timed calls of each turn.
TURNS, REPEATS = 15, 5
Say = Callable[[str], object]


def measure(
    database: str = "postgresql",
    *,
    sizes: Sequence[int] = SIZES,
    in_flight: Sequence[int] = IN_FLIGHT,
    pruned: int = PRUNED,
    turns: int = TURNS,
    repeats: int = REPEATS,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Measure at each size of history, in turns.

    Args:
        database: ``"postgresql"`` or ``"sqlite"``.
        sizes: finished jobs, growing; each has five events.
        in_flight: unfinished jobs, measured at the smallest history.
        pruned: jobs that are removed from the largest history, at most half of it.
        turns: between the sizes, of ``repeats`` timed calls each.
        say: is given each line of progress.

    Returns:
        ``history`` and ``in_flight``: median milliseconds by size and operation; ``scale_ratio``:
        at the largest history ÷ at the smallest, the median of the turns; ``prune``: how fast it
        was; ``seconds``: what each part took.
    """
    seconds: dict[str, float] = {}
    with ExitStack() as stack:
        subjects = {size: stack.enter_context(subject(database)) for size in sizes}
        for size, one in subjects.items():
            with _told(f"a history of {size:,} jobs", seconds, say):
                one.ask("build", size=size)
        with _told("cost against history", seconds, say):
            taken = {name: _in_turns(subjects, turns, name, repeats) for name in PROBES}
        with _told("cost against jobs in flight", seconds, say):
            smallest = subjects[sizes[0]]
            flying = {
                str(count): smallest.ask("in_flight", count=count, repeats=repeats)
                for count in in_flight
            }
        with _told(f"a prune of {min(pruned, sizes[-1] // 2):,} jobs", seconds, say):
            prune = subjects[sizes[-1]].ask("prune", jobs=min(pruned, sizes[-1] // 2))
    return {
        "database": database,
        "scale_ratio": {name: _ratio(one[sizes[0]], one[sizes[-1]]) for name, one in taken.items()},
        "history": {
            str(size): {name: round(statistics.median(one[size]), 2) for name, one in taken.items()}
            for size in sizes
        },
        "in_flight": flying,
        "prune": {"of": sizes[-1]} | prune,
        "seconds": seconds,
    }


def _in_turns(
    subjects: dict[int, Subject], turns: int, name: str, repeats: int
) -> dict[int, list[float]]:
    """The median of each turn, by size."""
    taken: dict[int, list[float]] = {size: [] for size in subjects}
    for _ in range(turns):
        for size, one in subjects.items():
            taken[size].append(statistics.median(one.ask("time", name=name, repeats=repeats)))
    return taken


def _ratio(first: Sequence[float], last: Sequence[float]) -> float:
    """The median of the turns' own ratios: what slows the machine for a while slows both sides."""
    turns = (high / low for low, high in zip(first, last, strict=True))
    return round(statistics.median(turns), 2)


@contextmanager
def _told(what: str, seconds: dict[str, float], say: Say) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[what] = round(time.monotonic() - began, 1)
    say(f"{what}: {seconds[what]} s")
