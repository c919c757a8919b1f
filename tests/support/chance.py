"""Fix what the engine decides at random: a test that passes must pass whatever is drawn."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

import pytest

# For each choice, what `random` returns, and which ends of its interval `uniform` returns in turn.
CHOICES = {"low": (0.0, (0,)), "high": (0.999, (1,)), "falling": (0.0, (1, 0))}


class FixedRandom:
    """Stands for the module ``random``; a test that replaces a function of that still has its way.

    Args:
        choice: ``low`` or ``high``; with ``falling``, what is scheduled first is due last.
    """

    def __init__(self, choice: str) -> None:
        self._number, ends = CHOICES[choice]
        self._ends = cycle(ends)
        self._original = random.random

    def random(self) -> float:
        """Return the same number each time."""
        is_replaced = random.random is not self._original
        return random.random() if is_replaced else self._number

    def uniform(self, low: float, high: float) -> float:
        """Return an end of the interval."""
        return (low, high)[next(self._ends)]


@contextmanager
def fixed_chance(choice: str) -> Iterator[None]:
    """Fix the random decisions of all modules of the engine that are imported."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            is_engine = name.startswith(("django_docraptor.lifecycle.", "django_docraptor.models."))
            if is_engine and vars(module).get("random") is random:
                patch.setattr(module, "random", FixedRandom(choice))
        yield
