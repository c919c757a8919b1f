"""Write the results page of the documentation: table and chart."""

import os
import platform
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from benchmarks import charts
from benchmarks.cost.metrics import Metric, Result, round_significant
from benchmarks.cost.report import outcome

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "explanation" / "performance.md"
CHART = DOCS / "images" / "performance.svg"
# A metric with more results has one row: of the result that is nearest to its target, or beyond it.
MAX_ROWS = 2
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def write(metrics: Iterable[Metric]) -> None:
    """Replace the results and the chart; the page's other text stays."""
    metrics = list(metrics)
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    today = f"{datetime.now(UTC):%-d %B %Y}"
    PAGE.write_text(f"{before}{BEGIN}\n\n{section(metrics, today)}\n\n{END}{after}")
    CHART.write_text(chart(metrics))


def section(metrics: Iterable[Metric], date: str) -> str:
    """Return the table of the page."""
    return "\n".join(
        [
            f"Measured on {date}: {os.cpu_count()} cores, Python {platform.python_version()}.",
            "",
            "| metric | what it is | django-docraptor | baseline | value | target |",
            "|---|---|---|---|---|---|",
            *(row for metric in metrics for row in _rows(metric)),
        ]
    )


def _rows(metric: Metric) -> Iterator[str]:
    shown = metric.results
    count = len(shown)
    if count > MAX_ROWS:
        shown = (max(shown, key=share_of_target),)
    for number, result in enumerate(shown):
        name = f"`{metric.key}` {result.name}".strip()
        if count > MAX_ROWS:
            name += f", {'the worst' if result.target else 'one'} of {count}"
        target = ", ".join(filter(None, (result.target_text, outcome(result))))
        description = "" if number else metric.description
        value = f"{round_significant(result.value):g}"
        cells = [name, description, result.ours, result.baseline, value, target]
        yield f"| {' | '.join(cells)} |"


def chart(metrics: Iterable[Metric]) -> str:
    """Return a bar chart of each metric's largest share of its target: 1 just meets it."""
    shares = {
        metric.key: max(map(share_of_target, metric.results))
        for metric in metrics
        if any(result.target for result in metric.results)
    }
    return charts.bar_chart("Share of the target that is used (1: just met)", shares)


def share_of_target(result: Result) -> float:
    """Return the share of its target that a result uses; 0 if it has no target."""
    if not result.target:
        return 0.0
    if not result.higher_is_better:
        return result.value / result.target
    return result.target / result.value if result.value else inf
