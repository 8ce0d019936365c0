"""Figure 5: six methods in the plane, in the space that the student learns in and back in the teacher's."""

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from phis_lab.figures.plane import (
    LEAST,
    MOST,
    axis_handles,
    cloud,
    curve,
    dots,
    handle,
    principal_axes,
    square,
)
from phis_lab.figures.plane_gaussian import METHODS, PlaneGaussian, circle, extreme_errors, plane_gaussian
from phis_lab.normalizers import Normalizer
from phis_lab.reports.style import INK, PAGE_WIDTH, RC

_HALF, _TICK = 4.3, 3.0


def gallery() -> Figure:
    """Each method's normalised features above, and below what a unit error there is in the teacher's space.

    Errors of every direction are a circle above. Below they are an ellipse, the distribution's own shape, under
    the whitening methods, and a circle of one radius under PHI-S (PHI-S, fig. 5).
    """
    gaussian = plane_gaussian()
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, 3.25), layout="constrained")
        grid = figure.subplots(2, len(METHODS), sharex="row", sharey="row")
        for column, (name, method) in enumerate(METHODS.items()):
            normalizer = gaussian.fit(method)
            normalised_panel(grid[0, column], gaussian, normalizer, _HALF, _TICK)
            original_panel(grid[1, column], gaussian, normalizer, _HALF, _TICK)
            grid[0, column].set_title(name, fontsize=9)
        grid[0, 0].set_ylabel("normalised space")
        grid[1, 0].set_ylabel("teacher's space")
        figure.legend(handles=[*axis_handles(), *error_handles()], loc="outside upper left", ncols=3)
        return figure


def normalised_panel(axes: Axes, gaussian: PlaneGaussian, normalizer: Normalizer, half: float, tick: float) -> None:
    """Features, principal axes and unit errors as the student sees them; errors start at the mean."""
    origin = normalizer(gaussian.mean)
    cloud(axes, normalizer(gaussian.samples))
    principal_axes(axes, origin, normalizer(gaussian.mean + gaussian.axes.T) - origin)
    curve(axes, origin + circle())
    extremes = extreme_errors(normalizer)
    if extremes is not None:
        dots(axes, origin + extremes.most, MOST)
        dots(axes, origin + extremes.least, LEAST)
    square(axes, (0.0, 0.0), half, tick)


def original_panel(axes: Axes, gaussian: PlaneGaussian, normalizer: Normalizer, half: float, tick: float) -> None:
    """The same in the teacher's space."""
    mean = gaussian.mean
    cloud(axes, gaussian.samples)
    principal_axes(axes, mean, gaussian.axes.T)
    curve(axes, mean + normalizer.unscale(circle()))
    extremes = extreme_errors(normalizer)
    if extremes is not None:
        dots(axes, mean + normalizer.unscale(extremes.most), MOST)
        dots(axes, mean + normalizer.unscale(extremes.least), LEAST)
    square(axes, mean.tolist(), half, tick)


def error_handles(extremes: bool = True) -> list[Line2D]:
    """The legend's entries for errors, with those that grow most and least where there are such."""
    every = Line2D([], [], color=INK, linewidth=1.1, label="errors of size 1 when normalised")
    return [every, handle("those that grow most", MOST), handle("those that grow least", LEAST)][: 3 if extremes else 1]
