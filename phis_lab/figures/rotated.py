"""Figure 4: a distribution turned in its space, standardised by channel and by PHI-S."""

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from phis_lab.figures.plane import axis_handles, cloud, principal_axes, square
from phis_lab.figures.plane_gaussian import PlaneGaussian, plane_gaussian
from phis_lab.normalizers import Identity, Normalizer, PhiS, Standardize
from phis_lab.reports.style import PAGE_WIDTH, RC

TILTS = (0.0, 40.0, 80.0, 120.0)
ROWS: dict[str, type[Normalizer]] = {"original": Identity, "Standardize": Standardize, "PHI-S": PhiS}
_HALF = 4.4


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
                _panel(grid[row, column], gaussian, gaussian.fit(method), _HALF)
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
