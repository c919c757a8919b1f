"""Figures as a table."""

from collections.abc import Iterable

from benchmarks.cost.metrics import Case, Figure, number

HEAD = ("figure", "ours", "usual way", "value", "target", "")


def table(figures: Iterable[Figure]) -> str:
    """A row a case, with the notes below its figure."""
    blocks = [(_rows(figure), figure.notes) for figure in figures]
    rows = [HEAD, *(row for block, _ in blocks for row in block)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_line(HEAD, widths), "  ".join("-" * width for width in widths)]
    for block, notes in blocks:
        lines += [_line(row, widths) for row in block]
        lines += [f"    {note}" for note in notes]
    return "\n".join(lines)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _rows(figure: Figure) -> list[tuple[str, ...]]:
    return [
        (
            f"{figure.key} {case.name}".strip(),
            case.ours,
            case.usual,
            f"{number(case.value):g}",
            case.target,
            verdict(case),
        )
        for case in figure.cases
    ]


def verdict(case: Case) -> str:
    """A word or two."""
    if case.limit is None:
        return ""
    if case.is_bounded:
        return f"bounded by {case.bound:.4g}"
    return "reached" if case.is_reached else "MISSED"
