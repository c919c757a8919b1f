"""Poll schedules in simulated time: the wait after the end of a render, and the status calls.

Nothing waits and nothing is called here; ``poll_lag`` and ``download_time`` are what real polls
take.
"""

# ruff: noqa: S311 - jitter and render times are no secrets
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Seconds until the next poll, by the age of the attempt.
Schedule = Callable[[float], float]
# The allowed wait: a share of the render time, but at least some seconds.
ALLOWED_WAIT_SHARE, MIN_ALLOWED_WAIT = 0.1, 0.75


def allowed_wait(render: float) -> float:
    """Return the wait that is allowed after a render, in seconds."""
    return max(ALLOWED_WAIT_SHARE * render, MIN_ALLOWED_WAIT)


@dataclass(frozen=True, slots=True)
class ObservedRender:
    """When polling noticed that a render had ended.

    Args:
        render: seconds of the render.
        wait: seconds from its end to the stored file.
        calls: status calls.
    """

    render: float
    wait: float
    calls: int

    @property
    def ratio(self) -> float:
        """The wait as a share of the allowed wait."""
        return self.wait / allowed_wait(self.render)


def simulate_polls(
    schedule: Schedule, render: float, *, poll_lag: float = 0.0, download_time: float = 0.0
) -> ObservedRender:
    """Poll one render to its end.

    Args:
        schedule: the schedule.
        render: seconds of the render.
        poll_lag: seconds by which each poll comes after it is due.
        download_time: seconds from the last poll to the stored file.
    """
    age, calls = 0.0, 0
    while True:
        age += schedule(age) + poll_lag
        calls += 1
        if age >= render:
            return ObservedRender(render, age - render + download_time, calls)


def log_spaced(shortest: float, longest: float, count: int) -> list[float]:
    """Return render times between two, evenly spaced on a logarithmic scale."""
    step = math.log(longest / shortest) / max(count - 1, 1)
    return [shortest * math.exp(step * number) for number in range(count)]


def fixed_schedule(
    floor: float, fraction: float, ceiling: float, jitter: tuple[float, float] = (0.9, 1.0)
) -> Schedule:
    """Return a schedule that waits a fraction of the age, between a floor and a ceiling."""
    return lambda age: min(ceiling, max(floor, fraction * age)) * random.uniform(*jitter)


def learned_schedule(past: Sequence[float], fallback: Schedule) -> Schedule:
    """Poll first when half of a document's past renders had ended, then at each further tenth.

    After the first call, never poll later than the fallback. The fallback is used alone if there
    are too few past renders, and after the longest of them.
    """
    if len(past) < 10:
        return fallback
    ordered = sorted(past)
    marks = [_quantile(ordered, tenth / 10) for tenth in range(5, 11)]

    def interval(age: float) -> float:
        if age < marks[0]:
            return marks[0] - age
        shortest = max(0.5, 0.05 * age)
        to_mark = next((mark - age for mark in marks if mark - age > shortest), math.inf)
        return min(to_mark, fallback(age))

    return interval


def simulate_learning(
    renders: Sequence[float],
    fallback: Schedule,
    *,
    poll_lag: float,
    download_time: float,
    memory: int = 50,
) -> list[ObservedRender]:
    """Poll a document's renders one after the other, learning only from what the polls observed.

    Args:
        renders: seconds of each render.
        fallback: the schedule before enough is known.
        poll_lag: seconds by which each poll comes after it is due.
        download_time: seconds from the last poll to the stored file.
        memory: how many of the last renders are remembered.
    """
    past: deque[float] = deque(maxlen=memory)
    observed = []
    for render in renders:
        schedule = learned_schedule(past, fallback)
        one = simulate_polls(schedule, render, poll_lag=poll_lag, download_time=download_time)
        past.append(render + one.wait - download_time)
        observed.append(one)
    return observed


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * (len(ordered) - 1)))]


def lognormal(median: float, sigma: float, count: int, rng: random.Random) -> list[float]:
    """Return render times of one document: most are similar, some much longer."""
    return [min(590.0, rng.lognormvariate(math.log(median), sigma)) for _ in range(count)]


def mean_ratio(observed: Sequence[ObservedRender]) -> float:
    """Return the mean wait as a share of the allowed wait."""
    return statistics.fmean(one.ratio for one in observed)


def mean_calls(observed: Sequence[ObservedRender]) -> float:
    """Return the mean number of status calls per document."""
    return statistics.fmean(one.calls for one in observed)
