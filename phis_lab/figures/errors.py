"""Figures 6 to 8: unit errors under the methods, in the normalised and in the teacher's space."""

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from phis_lab.figures.gallery import error_handles, normalised_panel, original_panel
from phis_lab.figures.plane import (
    METHODS,
    POINT,
    axis_handles,
    circle,
    curve,
    dots,
    error_radius,
    extreme_errors,
    handle,
    plane_gaussian,
    unit_errors,
)
from phis_lab.normalizers import HadamardWhiten, Normalizer, PhiS
from phis_lab.reports.style import INK, PAGE_WIDTH, RC, looks
from phis_lab.shapes import Float64

QUARTERS = torch.arange(4, dtype=torch.float64) * torch.pi / 2
ONE_HOT = unit_errors(QUARTERS)
"""Errors of one channel alone, of either sign."""
DIAGONAL = unit_errors(QUARTERS + torch.pi / 4)
"""Errors of the same size in both channels."""
_FRACTIONS = ("0", "π/4", "π/2", "3π/4", "π", "5π/4", "3π/2", "7π/4", "2π")


def one_hot_errors() -> Figure:
    """HCA: an error of one channel, whichever it is, has one size in the teacher's space; others have not.

    Source:
        PHI-S, fig. 6 and eq. 28-32: the size is phi, 1.400892 for this Gaussian.
    """
    return _unit_errors("HCA", HadamardWhiten, ONE_HOT, "errors of one channel")


def isotropic_errors() -> Figure:
    """PHI-S: every unit error has the size phi, and those alike in all channels lie on the principal axes.

    Source:
        PHI-S, fig. 7 and eq. 27.
    """
    return _unit_errors("PHI-S", PhiS, DIAGONAL, "errors with |x| = |y|")


def _unit_errors(name: str, method: type[Normalizer], errors: Float64[Tensor, "errors 2"], label: str) -> Figure:
    gaussian = plane_gaussian()
    normalizer = gaussian.fit(method)
    in_teacher_space = normalizer.unscale(errors)
    radius = float(in_teacher_space.norm(dim=1).mean())
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        normalised_panel(left, gaussian, normalizer, half=2.6, tick=1.0)
        dots(left, errors, POINT)
        left.set_title(f"{name}: normalised space")
        original_panel(right, gaussian, normalizer, half=2.6, tick=1.0)
        curve(right, gaussian.mean + radius * circle(), linestyle=":")
        dots(right, gaussian.mean + in_teacher_space, POINT)
        right.set_title("teacher's space")
        _name_radius(right, gaussian.mean + in_teacher_space[0], gaussian.mean, radius)
        differ = extreme_errors(normalizer) is not None
        entries = [*axis_handles(), *error_handles(differ), handle(label, POINT)]
        figure.legend(handles=entries, loc="outside upper left", ncols=3)
        return figure


def _name_radius(axes: Axes, at: Float64[Tensor, "2"], mean: Float64[Tensor, "2"], radius: float) -> None:
    """The size of the marked errors, written beside one of them."""
    axes.annotate(
        f"radius φ = {radius:.4f}",
        xy=(float(at[0]), float(at[1])),
        xytext=(float(mean[0]) + 0.1, float(mean[1]) + 2.2),
        fontsize=8,
        color=INK,
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.7, "shrinkB": 4},
    )


def radius_against_angle() -> Figure:
    """One curve per method over a full turn (PHI-S, fig. 8).

    Flat for global standardisation and PHI-S, whose errors have no direction. The whitening methods share one
    curve, shifted: PCA-W is extremal on the channels' axes, where HCA meets PHI-S, and HCA between them.
    """
    angles = torch.linspace(0, 2 * torch.pi, 721, dtype=torch.float64)
    gaussian = plane_gaussian()
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        for name, look in looks(["PHI-S", *(name for name in METHODS if name != "PHI-S")]).items():
            radius = error_radius(gaussian.fit(METHODS[name]), angles)
            axes.plot(
                angles.numpy(), radius.numpy(), color=look.color, linestyle=look.linestyle,
                linewidth=2.2 if name == "PHI-S" else 1.5, marker=look.marker, markersize=4, markevery=(17, 90),
                label=name, zorder=3 if name == "PHI-S" else 2,
            )  # fmt: skip
        _turn(axes)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("size of the error in the teacher's space")
        figure.legend(loc="outside upper left", ncols=6, handlelength=2.4, columnspacing=1.4)
        return figure


def _turn(axes: Axes) -> None:
    """A full turn with its eighths."""
    axes.set_xlim(0, 2 * torch.pi)
    axes.set_xticks([torch.pi / 4 * eighth for eighth in range(9)], _FRACTIONS)
    axes.set_xlabel("direction θ of the unit error in the normalised space")
