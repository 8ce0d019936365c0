"""Figure 1: features of several teachers in one plane, as they are and as PHI-S balances them."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from phis_lab.normalizers import Normalizer
from phis_lab.reports.style import INK, PAGE_WIDTH, RC, Look, looks
from phis_lab.shapes import Float, Float64

_WIDEST_QUANTILE = 0.995
_LEGEND: dict[str, Any] = {
    "loc": "outside upper left", "ncols": 4, "handletextpad": 0.2, "columnspacing": 1.4, "markerscale": 0.7,
}  # fmt: skip


def teacher_spaces(samples: Mapping[str, Float[Tensor, "tokens _"]], normalizers: Mapping[str, Normalizer]) -> Figure:
    """Every teacher's tokens on its own two strongest principal components, all on one scale, before and after.

    On the left a quiet teacher is a dot beside a loud one, and so are its errors in a loss; on the right all weigh
    alike (PHI-S, fig. 1).

    Args:
        samples: some tokens of each teacher.
        normalizers: one per teacher, fitted.
    """
    before = {name: principal_plane(tokens) for name, tokens in samples.items()}
    after = {name: principal_plane(normalizers[name](tokens)) for name, tokens in samples.items()}
    phi = {name: float(tokens.double().var(dim=0).mean().sqrt()) for name, tokens in samples.items()}
    loud_first = sorted(samples, key=phi.__getitem__, reverse=True)
    look = looks(loud_first)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, 3.45), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 0.42, 1))
        _scatter(left, {name: before[name] for name in loud_first}, look)
        _scatter(right, {name: after[name] for name in loud_first}, look)
        left.set_title("teachers' own spaces")
        right.set_title("PHI-S: the student's targets")
        _arrows(middle)
        figure.legend(handles=[_entry(look[name], name, phi[name]) for name in samples], **_LEGEND)
        return figure


def principal_plane(tokens: Float[Tensor, "tokens channels"]) -> Float64[Tensor, "tokens 2"]:
    """Tokens on the two principal components with the largest variance, around their mean; signs made positive.

    The sign of a component is such that its largest coordinate in the features is positive.
    """
    centred = tokens.double() - tokens.double().mean(dim=0)
    _, basis = torch.linalg.eigh(centred.T @ centred)
    plane = basis[:, -2:].flip(1)
    largest = plane.gather(0, plane.abs().argmax(dim=0, keepdim=True))
    projected: Tensor = centred @ (plane * largest.sign())
    return projected


def _entry(look: Look, name: str, phi: float) -> Line2D:
    """A teacher in the legend, with the root of its channels' mean variance."""
    return Line2D([], [], linestyle="none", color=look.color, marker=look.marker, label=f"{name}, φ = {phi:.2g}")


def _scatter(axes: Axes, points: Mapping[str, Tensor], look: Mapping[str, Look]) -> None:
    for name, of_teacher in points.items():
        axes.plot(
            *of_teacher.T.numpy(), look[name].marker, color=look[name].color, markersize=2.2, markeredgewidth=0,
            alpha=0.45, rasterized=True,
        )  # fmt: skip
    widest = max(float(of_teacher.abs().amax(dim=1).quantile(_WIDEST_QUANTILE)) for of_teacher in points.values())
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    axes.set_xlim(-1.05 * widest, 1.05 * widest)
    axes.set_ylim(-1.05 * widest, 1.05 * widest)
    axes.set_xlabel("principal component 1")
    axes.set_ylabel("principal component 2")


def _arrows(axes: Axes) -> None:
    """There by the normaliser for training, back by its inverse for inference."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for height, start, end, text, side in (
        (0.66, 0.0, 1.0, "training:\nnormalise;\nthe student's\nMSE is here", "bottom"),
        (0.34, 1.0, 0.0, "inference:\ninverse, folded\ninto the heads", "top"),
    ):
        axes.add_patch(FancyArrowPatch((start, height), (end, height), arrowstyle="-|>", mutation_scale=12, color=INK))
        axes.text(0.5, height + (0.03 if side == "bottom" else -0.03), text, ha="center", va=side, fontsize=8)
