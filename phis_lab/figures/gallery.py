"""Figures 4 and 5: distributions in the plane under several methods, and back in the teacher's space."""

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from phis_lab.figures.plane import (
    LEAST,
    METHODS,
    MOST,
    PlaneGaussian,
    axis_handles,
    circle,
    cloud,
    curve,
    dots,
    extreme_errors,
    handle,
    plane_gaussian,
    principal_axes,
    square,
)
from phis_lab.normalizers import Identity, Normalizer, PhiS, Standardize
from phis_lab.reports.style import INK, PAGE_WIDTH, RC

TILTS = (0.0, 40.0, 80.0, 120.0)
ROWS: dict[str, type[Normalizer]] = {"original": Identity, "Standardize": Standardize, "PHI-S": PhiS}
_TURNED_HALF = 4.4
_HALF, _TICK = 4.3, 3.0


def rotated_distributions() -> Figure:
    """What two methods make of one Gaussian at four tilts.

    Standardising by channel gives another shape at every tilt. PHI-S gives the same one, but for the signs of
    the principal axes, which eigenvectors leave open (PHI-S, fig. 4). The numbers are elongations.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, 5.6), layout="constrained")
        grid = figure.subplots(len(ROWS), len(TILTS), sharex="row", sharey="row")
        for column, tilt in enumerate(TILTS):
            gaussian = plane_gaussian(tilt, mean=(0.0, 0.0))
            for row, (name, method) in enumerate(ROWS.items()):
                _panel(grid[row, column], gaussian, gaussian.fit(method), _TURNED_HALF)
                if column == 0:
                    grid[row, 0].set_ylabel(name)
            grid[0, column].set_title(f"tilt {tilt:g}°", fontsize=9)
        figure.legend(handles=axis_handles(), loc="outside upper left", ncols=3)
        return figure


def _panel(axes: Axes, gaussian: PlaneGaussian, normalizer: Normalizer, half: float) -> None:
    normalised = normalizer(gaussian.samples)
    cloud(axes, normalised)
    origin = normalizer(gaussian.mean)
    principal_axes(axes, origin, normalizer(gaussian.mean + gaussian.axes.T) - origin)
    square(axes, (0.0, 0.0), half, tick=3.0)
    axes.text(0.04, 0.04, f"{elongation(normalised):.2f} : 1", transform=axes.transAxes, fontsize=8)


def elongation(samples: Tensor) -> float:
    """Standard deviation along the longest axis over that along the shortest."""
    variances = torch.linalg.eigvalsh(samples.T.cov())
    return float((variances[1] / variances[0]).sqrt())


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
