"""Charts for the documentation, as SVG with real text.

Matplotlib takes a second of CPU to import: a function that draws imports it.
"""

import math
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Make the output reproducible.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "docraptor", "font.size": 9}
COLOURS = {"met": "#2a78b5", "missed": "#c8553d", "grid": "#dddddd"}


def bar_chart(title: str, values: Mapping[str, float]) -> str:
    """Return a bar per value, the first on top, with a line at 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1 + 0.26 * len(values)), layout="constrained")
    axes = figure.add_subplot(title=title)
    colours = [COLOURS["missed" if value > 1 else "met"] for value in values.values()]
    bars = axes.barh(list(values), list(values.values()), color=colours, height=0.7)
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    background = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.bar_label(bars, fmt="%.2g", padding=4, bbox=background)
    axes.set_xlim(0, max([1.1, *(value * 1.1 for value in values.values())]))
    axes.invert_yaxis()
    axes.margins(y=0.01)
    return _svg(figure)


def line_charts(
    panels: Sequence[Sequence[tuple[str, str, Mapping[str, Mapping[str, float]]]]],
) -> str:
    """Return charts in rows, both axes logarithmic, with a line per operation.

    Args:
        panels: of each chart its title, the label of its x axis, and at each x the value of every
            line, in milliseconds.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    columns = max(map(len, panels))
    figure = Figure(figsize=(5 * columns, 3.4 * len(panels)), layout="constrained")
    grid: Any = figure.subplots(len(panels), columns, squeeze=False)
    for row, axes_row in zip(panels, grid, strict=True):
        for (title, x_label, series), axes in zip(row, axes_row, strict=True):
            sizes = [int(size) for size in series]
            for name in next(iter(series.values()), {}):
                values = [at[name] for at in series.values()]
                axes.plot(sizes, values, label=name, marker="o", markersize=3, linewidth=1.2)
            axes.set(title=title, xlabel=x_label, ylabel="ms", xscale="log", yscale="log")
            axes.set_ylim(*_whole_decades(axes.get_ylim()))
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:,.7g}")
                axis.set_minor_formatter(NullFormatter())
            axes.grid(color=COLOURS["grid"], linewidth=0.6)
            axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return _svg(figure)


def _whole_decades(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))


def _svg(figure: "Figure") -> str:
    from matplotlib import rc_context

    text = StringIO()
    with rc_context(STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
