"""Drawing in the plane: samples, principal axes, error circles and their images."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator
from torch import Tensor

from phis_lab.reports.style import INK
from phis_lab.shapes import Float64

FIRST, SECOND = "#D55E00", "#0072B2"
"""Of the first and second principal axis: the paper's red and blue, told apart without colour vision."""
CLOUD = "#b4b4b4"
ARROW_HEAD = {"arrowstyle": "-|>,head_width=0.14,head_length=0.28", "shrinkA": 0, "shrinkB": 0}
MOST: dict[str, Any] = {"marker": "o", "markersize": 3.8, "color": INK}
LEAST: dict[str, Any] = {
    "marker": "o",
    "markersize": 3.8,
    "color": INK,
    "markerfacecolor": "white",
    "markeredgewidth": 1.1,
}
POINT: dict[str, Any] = {
    "marker": "s",
    "markersize": 5,
    "color": "#009E73",
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
}


def square(axes: Axes, centre: Sequence[float], half: float, tick: float) -> None:
    """Equal scales, a window of `half` to each side of the centre, and a tick at every multiple of `tick`."""
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(tick))
    axes.set_xlim(centre[0] - half, centre[0] + half)
    axes.set_ylim(centre[1] - half, centre[1] + half)


def cloud(axes: Axes, samples: Float64[Tensor, "samples 2"]) -> None:
    """The samples, in the background."""
    axes.plot(*samples.T.numpy(), ".", color=CLOUD, markersize=2.2, markeredgewidth=0, rasterized=True, zorder=1)


def principal_axes(axes: Axes, origin: Float64[Tensor, "2"], directions: Float64[Tensor, "2 2"]) -> None:
    """The principal axes (one per row) from their negative to their positive end, which has an arrow head."""
    for direction, color, width in zip(directions, (FIRST, SECOND), (2.0, 1.2), strict=True):
        start, end = (origin - direction).tolist(), (origin + direction).tolist()
        arrow = ARROW_HEAD | {"color": color, "linewidth": width}
        axes.annotate("", xy=end, xytext=start, arrowprops=arrow, zorder=3)


def curve(axes: Axes, points: Float64[Tensor, "points 2"], linestyle: str = "-") -> None:
    """A line through points, such as the circle of unit errors or the ellipse it becomes."""
    axes.plot(*points.T.numpy(), color=INK, linewidth=1.1, linestyle=linestyle, zorder=2)


def dots(axes: Axes, points: Float64[Tensor, "points 2"], look: dict[str, Any]) -> None:
    """Marked points."""
    axes.plot(*points.T.numpy(), linestyle="none", zorder=4, clip_on=False, **look)


def axis_handles() -> list[Line2D]:
    """The legend's entries for the samples and their principal axes."""
    return [
        Line2D([], [], linestyle="none", marker="o", markersize=4, markeredgewidth=0, color=CLOUD, label="features"),
        Line2D([], [], color=FIRST, linewidth=2.0, label="1st principal axis"),
        Line2D([], [], color=SECOND, linewidth=1.2, label="2nd principal axis"),
    ]


def handle(label: str, look: dict[str, Any]) -> Line2D:
    """A legend's entry for marked points."""
    return Line2D([], [], linestyle="none", label=label, **look)
