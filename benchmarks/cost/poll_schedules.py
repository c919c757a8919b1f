"""Poll schedules on a virtual clock: how long after its end a render is seen, by how many calls.

Nothing waits here and nothing is called; ``late`` and ``tail`` bring in what real polls have cost.
"""

# ruff: noqa: S311 - jitter and render times are no secrets
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Seconds until the next poll of an attempt of that age.
Schedule = Callable[[float], float]
# What a wait is measured against: a share of the render time, or seconds if that is less.
SHARE, LEAST = 0.1, 0.75


@dataclass(frozen=True, slots=True)
class Seen:
    """How one render was seen to have ended."""

    render: float
    wait: float
    calls: int

    @property
    def ratio(self) -> float:
        """The wait, against what it may be."""
        return self.wait / max(SHARE * self.render, LEAST)


def play(schedule: Schedule, render: float, *, late: float = 0.0, tail: float = 0.0) -> Seen:
    """Poll one render to its end.

    Args:
        late: seconds by which each poll comes after it is due.
        tail: seconds from the last poll to the stored file.
    """
    age, calls = 0.0, 0
    while True:
        age += schedule(age) + late
        calls += 1
        if age >= render:
            return Seen(render, age - render + tail, calls)


def spread(shortest: float, longest: float, count: int) -> list[float]:
    """Render times between two, evenly on a scale of ratios."""
    step = math.log(longest / shortest) / max(count - 1, 1)
    return [shortest * math.exp(step * number) for number in range(count)]


def fixed(
    floor: float, fraction: float, ceiling: float, jitter: tuple[float, float] = (0.9, 1.0)
) -> Schedule:
    """A fraction of the age between a floor and a ceiling."""
    return lambda age: min(ceiling, max(floor, fraction * age)) * random.uniform(*jitter)


def learned(past: Sequence[float], otherwise: Schedule) -> Schedule:
    """Ask first when half of the label's renders of the past were done, then at each tenth more.

    Never later than the other schedule after the first call; before there is enough of a past, and
    after its longest, the other one counts.
    """
    if len(past) < 10:
        return otherwise
    known = sorted(past)
    marks = [_quantile(known, tenth / 10) for tenth in range(5, 11)]

    def interval(age: float) -> float:
        if age < marks[0]:
            return marks[0] - age
        least = max(0.5, 0.05 * age)
        mark = next((mark - age for mark in marks if mark - age > least), math.inf)
        return min(mark, otherwise(age))

    return interval


def learn(
    renders: Sequence[float], otherwise: Schedule, *, late: float, tail: float, memory: int = 50
) -> list[Seen]:
    """Play a label's renders one after the other, learning only from what the polls have seen."""
    past: deque[float] = deque(maxlen=memory)
    seen = []
    for render in renders:
        one = play(learned(past, otherwise), render, late=late, tail=tail)
        past.append(render + one.wait - tail)
        seen.append(one)
    return seen


def _quantile(known: Sequence[float], share: float) -> float:
    return known[min(len(known) - 1, math.ceil(share * (len(known) - 1)))]


def lognormal(median: float, sigma: float, count: int, dice: random.Random) -> list[float]:
    """Render times of one label: mostly alike, some much longer."""
    return [min(590.0, dice.lognormvariate(math.log(median), sigma)) for _ in range(count)]


def mean_ratio(seen: Sequence[Seen]) -> float:
    """The waits, against what they may be."""
    return statistics.fmean(one.ratio for one in seen)


def mean_calls(seen: Sequence[Seen]) -> float:
    """Status calls for a document."""
    return statistics.fmean(one.calls for one in seen)
