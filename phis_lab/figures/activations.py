"""Figure 2: how the activations of each teacher are distributed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from phis_lab.linalg import Moments
from phis_lab.linalg.histograms import Histograms
from phis_lab.reports.style import INK, RC, legend_above, logarithmic, panels
from phis_lab.shapes import Float

GLOBAL = "all channels"
_LINES: dict[str, tuple[str, Any, float]] = {
    GLOBAL: (INK, "-", 1.8),
    "lowest mean": ("#0072B2", "-", 1.2),
    "highest mean": ("#D55E00", "-", 1.2),
    "smallest variance": ("#009E73", (0, (4, 1.2)), 1.2),
    "largest variance": ("#CC79A7", (0, (4, 1.2)), 1.2),
}
"""Colour, dashes and width; one channel can be extreme in two ways."""


class Activations:
    """Histograms of one teacher: of all channels together, and of those with extreme moments.

    Args:
        moments: of the very features that will be counted; they set the bounds, at 5 standard deviations.
        bins: bins of each histogram.
    """

    def __init__(self, moments: Moments, bins: int = 100) -> None:
        mean, variance = moments.mean, moments.variance
        total = variance.mean() + mean.var(correction=0)
        self.channels = extreme_channels(moments)
        chosen = list(self.channels.values())
        self.all = Histograms.around(mean.mean()[None], total.sqrt()[None], bins=bins)
        spread = torch.where(variance > 0, variance, total)[chosen].sqrt()  # a dead channel has the scale of all
        self.extreme = Histograms.around(mean[chosen], spread, bins=bins)

    def update(self, features: Float[Tensor, "*tokens channels"]) -> None:
        """Counts some tokens."""
        self.all.update(features.reshape(-1, 1))
        self.extreme.update(features[..., list(self.channels.values())])

    def curves(self) -> dict[str, "Curve"]:
        """Name -> edges and densities, all channels first."""
        named = {GLOBAL: (self.all, 0)} | {name: (self.extreme, row) for row, name in enumerate(self.channels)}
        return {name: Curve(h.edges()[row], h.density()[row]) for name, (h, row) in named.items()}


class Curve(NamedTuple):
    """One histogram: the borders of its bins, and the density in each."""

    edges: Tensor
    density: Tensor


def extreme_channels(moments: Moments) -> dict[str, int]:
    """The channels with the lowest and highest mean, and with the smallest and largest variance."""
    mean, variance = moments.mean, moments.variance
    return {
        "lowest mean": int(mean.argmin()),
        "highest mean": int(mean.argmax()),
        "smallest variance": int(variance.argmin()),
        "largest variance": int(variance.argmax()),
    }


def activation_histograms(teachers: Mapping[str, Activations]) -> Figure:
    """One panel per teacher, with a scale of its own: densities within 5 standard deviations (PHI-S, fig. 2)."""
    return activation_panels({name: activations.curves() for name, activations in teachers.items()})


def activation_panels(teachers: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """The same from the curves of each teacher, by the names of `Activations.curves`."""
    with mpl.rc_context(RC):
        figure, shown = panels(len(teachers), height=2.2)
        for axes, (name, curves) in zip(shown, teachers.items(), strict=True):
            for label, curve in curves.items():
                _draw(axes, label, curve)
            axes.set_title(name)
            logarithmic(axes, "y")
        figure.supxlabel("activation", fontsize=9)
        figure.supylabel("density (log)", fontsize=9)
        legend_above(figure, shown[0], across=3)
        return figure


def _draw(axes: Axes, label: str, curve: Curve) -> None:
    """A line through the bins' middles, broken where a bin is empty: zero has no place on the axis.

    A bin with empty neighbours, such as the only one of a dead channel, is a dot.
    """
    middles, filled = (curve.edges[:-1] + curve.edges[1:]) / 2, curve.density > 0
    density = curve.density.masked_fill(~filled, torch.nan)
    around = functional.pad(filled, (1, 1))
    alone = filled & ~around[:-2] & ~around[2:]
    color, linestyle, width = _LINES[label]
    axes.plot(middles.cpu(), density.cpu(), color=color, linestyle=linestyle, linewidth=width, label=label)
    axes.plot(middles[alone].cpu(), density[alone].cpu(), ".", color=color, markersize=3 * width)
