"""How the panels of a figure are laid out, and what they have in common."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from phis_lab.reports.style import PAGE_WIDTH

_LETTER, _ENTRY = 0.07, 0.5
"""Inches that a letter of a legend takes, and everything else of an entry."""


def panels(count: int, height: float, share_rows: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the page, with up to three panels side by side, each `height` inches high."""
    across = 2 if count in {2, 4} else min(3, count)
    down = math.ceil(count / across)
    figure = Figure(figsize=(PAGE_WIDTH, down * height + 0.5), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=share_rows)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:count])


def readable_log_ticks(axes: Axes) -> None:
    """Plain numbers on a logarithmic y axis, as many as can be read, and integers on the other."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(
        MaxNLocator(5) if high < 2.5 * low else LogLocator(subs=_steps_of_a_decade(high / low), numticks=12)
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def legend_above(figure: Figure, axes: Axes, across: int = 4) -> None:
    """One legend for all panels, in rows above them of up to `across` entries, fewer where they are long."""
    handles, labels = axes.get_legend_handles_labels()
    widest = _ENTRY + _LETTER * max((len(label) for label in labels), default=1)
    across = max(1, min(across, int(PAGE_WIDTH / widest)))
    figure.legend(handles, labels, loc="outside upper left", ncols=across, handlelength=2.6, columnspacing=1.6)


def _steps_of_a_decade(ratio: float) -> tuple[float, ...]:
    if ratio < 15:
        return 1.0, 1.5, 2.0, 3.0, 5.0, 7.0
    return (1.0, 2.0, 5.0) if ratio < 300 else (1.0,)
