"""Metrics as a table."""

from collections.abc import Iterable

from benchmarks.cost.metrics import Metric, Result, round_significant

HEAD = ("metric", "ours", "baseline", "value", "target", "")


def table(metrics: Iterable[Metric]) -> str:
    """Return a row per result, with the notes below their metric."""
    blocks = [(_rows(metric), metric.notes) for metric in metrics]
    rows = [HEAD, *(row for block, _ in blocks for row in block)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_line(HEAD, widths), "  ".join("-" * width for width in widths)]
    for block, notes in blocks:
        lines += [_line(row, widths) for row in block]
        lines += [f"    {note}" for note in notes]
    return "\n".join(lines)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _rows(metric: Metric) -> list[tuple[str, ...]]:
    return [
        (
            f"{metric.key} {result.name}".strip(),
            result.ours,
            result.baseline,
            f"{round_significant(result.value):g}",
            result.target_text,
            outcome(result),
        )
        for result in metric.results
    ]


def outcome(result: Result) -> str:
    """Return whether a result meets its target, in a word or two."""
    if result.target is None:
        return ""
    if result.is_near_bound:
        return f"bounded by {result.bound:.4g}{_distance(result)}"
    met = "met" if result.meets_target else "MISSED"
    return f"{met}{_distance(result)}"


def _distance(result: Result) -> str:
    return f"; {result.value / result.floor:.1f} x the floor" if result.floor else ""
