"""Write the results page of the documentation: table and chart."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import charts
from benchmarks.cost.metrics import Metric, Result, round_significant
from benchmarks.cost.report import outcome

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "explanation" / "performance.md"
CHART = DOCS / "images" / "performance.svg"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def write(metrics: Iterable[Metric]) -> None:
    """Replace the results and the chart; the page's other text stays."""
    metrics = list(metrics)
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{_section(metrics)}\n\n{END}{after}")
    CHART.write_text(chart(metrics))


def _section(metrics: list[Metric]) -> str:
    today = f"{datetime.now(UTC):%-d %B %Y}"
    lines = [
        f"Measured on {today}: {os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
        "| metric | django-docraptor | baseline | value | target | |",
        "|---|---|---|---|---|---|",
    ]
    for metric in metrics:
        lines += [_row(metric, result) for result in metric.results]
    lines += ["", *(f"- `{metric.key}`: {metric.description}." for metric in metrics)]
    notes = [f"- `{metric.key}`: {note}" for metric in metrics for note in metric.notes]
    return "\n".join([*lines, "", "Notes:", "", *notes])


def _row(metric: Metric, result: Result) -> str:
    name = f"`{metric.key}` {result.name}".strip()
    value = f"{round_significant(result.value):g}"
    cells = [result.ours, result.baseline, value, result.target_text, outcome(result)]
    return f"| {name} | {' | '.join(cells)} |"


def chart(metrics: Iterable[Metric]) -> str:
    """Return a bar chart of each value as a share of its target: 1 just meets it."""
    shares = {
        f"{metric.key} {result.name}".strip(): _share_of_target(result, result.target)
        for metric in metrics
        for result in metric.results
        if result.target
    }
    return charts.bar_chart("Share of the target that is used (1: just met)", shares)


def _share_of_target(result: Result, target: float) -> float:
    return target / result.value if result.higher_is_better else result.value / target
