"""Figure 8: the size of an error in the teacher's space against its direction in the normalised one."""

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phis_lab.figures.plane_gaussian import METHODS, error_radius, plane_gaussian
from phis_lab.reports.style import PAGE_WIDTH, RC, looks

_FRACTIONS = ("0", "π/4", "π/2", "3π/4", "π", "5π/4", "3π/2", "7π/4", "2π")


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
