"""What was measured: numbers, their limits, and whether they were reached. No measuring here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# How near its bound a number must come for the bound to be what holds it.
NEAR = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One number of a figure.

    Args:
        value: what is compared with the limit, and written to the JSON.
        limit: what must be reached; ``None`` where the number is only told.
        name: the key in the JSON's object; blank if the figure is a single number.
        ours, usual: the two sides in words, for the table.
        at_least: the value must be at least the limit, instead of at most.
        bound: the most that was possible, measured alone in the same run; where that is known.
    """

    value: float
    limit: float | None = None
    name: str = ""
    ours: str = ""
    usual: str = ""
    at_least: bool = False
    bound: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether the number is within its limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def is_bounded(self) -> bool:
        """Whether the number is about as good as can be, though not within its limit."""
        return not self.is_reached and self.bound is not None and self.value >= NEAR * self.bound

    @property
    def target(self) -> str:
        """The limit in words."""
        if self.limit is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One key of the JSON.

    Args:
        key: as the issue names it.
        what: the figure in a few words, with its unit.
        notes: what bounds it, or what else was seen: a line each.
    """

    key: str
    what: str
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_reached(self) -> bool:
        """Whether every case is within its limit, or held by its bound."""
        return all(case.is_reached or case.is_bounded for case in self.cases)

    def as_json(self) -> Any:
        """A number, or an object if there are several cases."""
        if len(self.cases) == 1 and not self.cases[0].name:
            return number(self.cases[0].value)
        return {case.name: number(case.value) for case in self.cases}


def number(value: float) -> float:
    """As many digits as mean something; whole numbers stay whole."""
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() else short


def as_json(figures: Iterator[Figure] | list[Figure]) -> Mapping[str, Any]:
    """All figures by their keys."""
    return {figure.key: figure.as_json() for figure in figures}
