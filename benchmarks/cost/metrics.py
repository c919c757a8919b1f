"""Results: numbers, their targets, and whether they were met. Nothing is measured here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Share of the upper bound from which a missed target is excused; a value above a floor likewise.
NEAR_BOUND = 0.8


def scaled_target(goal: float, baseline: float, reference: float) -> float:
    """Return a goal for this machine: it grows with a baseline that is measured in the same run.

    Args:
        goal: what to reach on a machine where the baseline takes no longer than the reference.
        baseline: of this run, such as what a plain library takes for the same.
        reference: what the baseline took where the goal was set, or less.
    """
    return goal * max(1.0, baseline / reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One number of a metric.

    Args:
        value: compared with the target, and written to the JSON.
        target: the value to reach; ``None`` if there is no target.
        name: the key in the JSON object; blank if the metric is a single number.
        ours: the value of django-docraptor in words, for the table.
        baseline: the value of the baseline in words, for the table.
        higher_is_better: whether the value must be at least the target, instead of at most.
        upper_bound: upper bound measured in the same run, if known.
        floor: the least that the value can be, measured in the same run, if known.
        max_distance: how many times the floor a missed target is excused; docs/explanation/
            performance.md says why, if it is more than usual.
    """

    value: float
    target: float | None = None
    name: str = ""
    ours: str = ""
    baseline: str = ""
    higher_is_better: bool = False
    upper_bound: float | None = None
    floor: float | None = None
    max_distance: float = 1 / NEAR_BOUND

    @property
    def bound(self) -> float | None:
        """The upper bound or the floor."""
        return self.upper_bound if self.higher_is_better else self.floor

    @property
    def meets_target(self) -> bool:
        """Whether the value meets the target, or there is none."""
        if self.target is None:
            return True
        return self.value >= self.target if self.higher_is_better else self.value <= self.target

    @property
    def is_near_bound(self) -> bool:
        """Whether the target was missed but the value is close to its bound."""
        if self.meets_target or self.bound is None:
            return False
        if self.higher_is_better:
            return self.value >= NEAR_BOUND * self.bound
        return self.value <= self.max_distance * self.bound

    @property
    def target_text(self) -> str:
        """The target in words."""
        if self.target is None:
            return ""
        return f"{'≥' if self.higher_is_better else '≤'} {round_significant(self.target):g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One key of the JSON.

    Args:
        key: stable name in the JSON.
        description: a few words, with the unit.
        results: one or more numbers.
        notes: a line each: what limits the metric, or what else was observed.
    """

    key: str
    description: str
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()

    @property
    def meets_target(self) -> bool:
        """Whether every result meets its target or is close to its upper bound."""
        return all(result.meets_target or result.is_near_bound for result in self.results)

    def as_json(self) -> Any:
        """Return a number, or an object if there are several results."""
        if len(self.results) == 1 and not self.results[0].name:
            return round_significant(self.results[0].value)
        return {result.name: round_significant(result.value) for result in self.results}


def round_significant(value: float) -> float:
    """Round to four significant digits; return an int if it is whole."""
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def as_json(metrics: Iterable[Metric]) -> Mapping[str, Any]:
    """Return all metrics by their keys."""
    return {metric.key: metric.as_json() for metric in metrics}
