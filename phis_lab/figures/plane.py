"""A Gaussian in the plane: its samples, unit errors under a method, and how both are drawn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator
from torch import Tensor

from phis_lab.linalg import Moments
from phis_lab.normalizers import (
    GlobalStandardize,
    HadamardWhiten,
    Normalizer,
    PCAWhiten,
    PhiS,
    Standardize,
    ZCAWhiten,
)
from phis_lab.reports.style import INK
from phis_lab.shapes import Float64

EIGENVALUES = (3.8356, 0.0894)
"""Of the covariance, as in PHI-S, figure 6: phi, the root of their mean, is 1.400892."""
TILT = 30.0
MEAN = (1.5, -0.5)
"""Unequal, so that global standardisation, which counts the spread of the means, differs from PHI-S."""
SAMPLES = 400

METHODS: dict[str, type[Normalizer]] = {
    "Global Stdze": GlobalStandardize,
    "Standardize": Standardize,
    "PCA-W": PCAWhiten,
    "ZCA": ZCAWhiten,
    "HCA": HadamardWhiten,
    "PHI-S": PhiS,
}
"""By the paper's labels."""
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


class PlaneGaussian(NamedTuple):
    """Samples whose mean and covariance are exactly the asked ones, and the principal axes as columns."""

    samples: Float64[Tensor, "samples 2"]
    mean: Float64[Tensor, "2"]
    axes: Float64[Tensor, "2 2"]

    def fit(self, method: type[Normalizer]) -> Normalizer:
        """The method, fitted to the samples."""
        return method(2).fit(Moments(2).update(self.samples)).double()


def plane_gaussian(tilt: float = TILT, mean: tuple[float, float] = MEAN) -> PlaneGaussian:
    """The paper's Gaussian with its long axis at `tilt` degrees; the same samples at every tilt.

    Args:
        tilt: degrees, counter-clockwise from the first channel.
        mean: of the two channels.
    """
    drawn = torch.randn(SAMPLES, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    centred = drawn - drawn.mean(dim=0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(centred.T.cov()), centred.T, upper=False).T
    angle = torch.deg2rad(torch.tensor(tilt, dtype=torch.float64))
    axes = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    middle = torch.tensor(mean, dtype=torch.float64)
    deviations = torch.tensor(EIGENVALUES, dtype=torch.float64).sqrt()
    return PlaneGaussian(middle + white * deviations @ axes.T, middle, axes)


def unit_errors(angles: Float64[Tensor, "angles"]) -> Float64[Tensor, "angles 2"]:
    """Errors of size one in the normalised space, by their direction in radians."""
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def circle(steps: int = 360) -> Float64[Tensor, "angles 2"]:
    """Every direction of a unit error, closed."""
    return unit_errors(torch.linspace(0, 2 * torch.pi, steps + 1, dtype=torch.float64))


def error_radius(normalizer: Normalizer, angles: Float64[Tensor, "angles"]) -> Float64[Tensor, "angles"]:
    """Size in the teacher's space of a unit error in the normalised one, |W^-1 e|, by its direction (PHI-S, fig. 8)."""
    radius: Tensor = normalizer.unscale(unit_errors(angles)).norm(dim=1)
    return radius


class Extremes(NamedTuple):
    """The unit errors that grow most and least, each with its opposite."""

    most: Float64[Tensor, "2 2"]
    least: Float64[Tensor, "2 2"]


def extreme_errors(normalizer: Normalizer) -> Extremes | None:
    """Right singular vectors of W^-1; None where every direction fares alike."""
    inverse = normalizer.unscale(torch.eye(2, dtype=torch.float64)).T
    _, gains, directions = torch.linalg.svd(inverse)
    if torch.isclose(gains[0], gains[1], rtol=1e-9):
        return None
    return Extremes(*(torch.stack([direction, -direction]) for direction in directions))


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
