"""The results page of the docs: its table, and a plot of how near each limit is."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import charts
from benchmarks.cost.metrics import Case, Figure, number
from benchmarks.cost.report import verdict

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "explanation" / "performance.md"
PLOT = DOCS / "images" / "performance.svg"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def write(figures: Iterable[Figure]) -> None:
    """Put figures and plot into the page; its other text stays."""
    figures = list(figures)
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{_section(figures)}\n\n{END}{after}")
    PLOT.write_text(plot(figures))


def _section(figures: list[Figure]) -> str:
    today = f"{datetime.now(UTC):%-d %B %Y}"
    lines = [
        f"Measured on {today}: {os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
        "| figure | ours | the usual way | value | target | |",
        "|---|---|---|---|---|---|",
    ]
    for figure in figures:
        lines += [_row(figure, case) for case in figure.cases]
    lines += ["", *(f"- `{figure.key}`: {figure.what}." for figure in figures)]
    notes = [f"- `{figure.key}`: {note}" for figure in figures for note in figure.notes]
    return "\n".join([*lines, "", "What else the run says:", "", *notes])


def _row(figure: Figure, case: Case) -> str:
    name = f"`{figure.key}` {case.name}".strip()
    cells = [case.ours, case.usual, f"{number(case.value):g}", case.target, verdict(case)]
    return f"| {name} | {' | '.join(cells)} |"


def plot(figures: Iterable[Figure]) -> str:
    """Each value as a share of its limit: left of 1 it is reached."""
    shares = {
        f"{figure.key} {case.name}".strip(): share_of_limit(case)
        for figure in figures
        for case in figure.cases
        if case.limit
    }
    return charts.shares("Share of the limit that is used (1: just reached)", shares)


def share_of_limit(case: Case) -> float:
    """How much of the limit is used."""
    limit = case.limit or 1.0
    return limit / case.value if case.at_least else case.value / limit
