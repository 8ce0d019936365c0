"""One look for every figure: readable in print, in grey and without colour vision."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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


class Look(NamedTuple):
    """How one method is drawn in every figure of a report."""

    color: str
    linestyle: Any
    marker: str


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """A look per method by its place: the first is black, the others have Okabe and Ito's colours.

    After six the colours come again dashed, then dotted; neighbours differ in marker, for print in grey.
    """
    drawn = {method: Look(_BLACK, "-", "o") for method in methods[:1]}
    for i, method in enumerate(methods[1:]):
        cycle, place = divmod(i, len(_COLOURS))
        drawn[method] = Look(_COLOURS[place], _DASHES[cycle % len(_DASHES)], _MARKERS[i % len(_MARKERS)])
    return drawn
