"""Choose a sample of the mutants, and estimate the score of all from it."""

import random
from collections.abc import Mapping, Sequence
from math import sqrt

# Of the standard normal distribution: 95 % of it lie within so many standard deviations.
DEVIATIONS = 1.96


def choose(mutants: Mapping[str, Sequence[str]], size: int, seed: int) -> list[str]:
    """Choose mutants from every module, in proportion to how many it has.

    A larger sample of the same seed contains the smaller one.

    Args:
        mutants: the names by module.
        size: how many to choose; all if there are fewer.
        seed: the same seed chooses the same mutants.
    """
    ranked = []
    for module, names in sorted(mutants.items()):
        shuffled = sorted(names)
        random.Random(f"{seed}:{module}").shuffle(shuffled)
        ranked += [
            ((place + 0.5) / len(shuffled), module, name) for place, name in enumerate(shuffled)
        ]
    return [name for _rank, _module, name in sorted(ranked)[:size]]


def interval(killed: int, judged: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion (Wilson's score interval)."""
    if not judged:
        return 0.0, 1.0
    share, spread = killed / judged, DEVIATIONS**2 / judged
    middle = share + spread / 2
    margin = DEVIATIONS * sqrt(share * (1 - share) / judged + (spread / judged) / 4)
    return (middle - margin) / (1 + spread), (middle + margin) / (1 + spread)
