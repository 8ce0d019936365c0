"""One look for every figure: readable in print, in grey and without colour vision, with panels laid out alike."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.labelcolor": "#222222",
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.dpi": 200,
    "font.size": 9,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "text.parse_math": False,  # a name with dollars is no formula
    "xtick.color": "#444444",
    "xtick.labelcolor": "#222222",
    "xtick.labelsize": 8,
    "ytick.color": "#444444",
    "ytick.labelcolor": "#222222",
    "ytick.labelsize": 8,
}

PAGE_WIDTH = 7.2
"""Inches: the text width of a one-column page."""

INK = "#222222"
GREY = "#777777"
_BLACK = "#000000"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", (0, (4, 1.2)), (0, (1.2, 1.0)), (0, (5, 1.2, 1.2, 1.2)))
_MARKERS = ("s", "^", "D", "v", "<", ">", "p")
_TITLE_LETTERS = 31
"""As many letters of a title as fit over one of three panels."""
_LETTER, _ENTRY = 0.07, 0.5
"""Inches that a letter of a legend takes, and everything else of an entry."""


class Look(NamedTuple):
    """How one method is drawn in every figure of a report."""

    color: str
    linestyle: Any
    marker: str


def short(name: str, letters: int = 36) -> str:
    """A name as a figure has room for it: of a longer one the beginning and the end."""
    if len(name) <= letters:
        return name
    end = letters // 3
    return f"{name[: letters - end - 1]}…{name[-end:]}"


def title(text: str) -> str:
    """A heading in the lines that fit over one of three panels."""
    return textwrap.fill(text, _TITLE_LETTERS, max_lines=3, placeholder="…")


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """A look per method by its place: the first is black, the others have Okabe and Ito's colours.

    After six the colours come again dashed, then dotted; neighbours differ in marker, for print in grey.
    """
    drawn = {method: Look(_BLACK, "-", "o") for method in methods[:1]}
    for i, method in enumerate(methods[1:]):
        cycle, place = divmod(i, len(_COLOURS))
        drawn[method] = Look(_COLOURS[place], _DASHES[cycle % len(_DASHES)], _MARKERS[i % len(_MARKERS)])
    return drawn


def panels(count: int, height: float, share_rows: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the page, with up to three panels side by side, each `height` inches high."""
    across = 2 if count in {2, 4} else min(3, count)
    down = math.ceil(count / across)
    figure = Figure(figsize=(PAGE_WIDTH, down * height + 0.5), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=share_rows)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:count])


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers at its decades: Matplotlib's own labels are formulas."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


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
