"""Figures 3 and 9: errors in the teachers' spaces while training, and the losses of trained students."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from torch import Tensor

from phis_lab.reports.figures import error_curves
from phis_lab.reports.style import PAGE_WIDTH, RC, Look, logarithmic
from phis_lab.shapes import Float, Float64

GLOBAL, LARGEST = "#0072B2", "#D55E00"
_BINS = 60
_TAIL = 1e-4

ChannelLosses = Mapping[str, Mapping[str, Float[Tensor, "images channels"]]]
"""Method -> teacher -> squared error of each image and channel, in the space that the method trained in."""


def teacher_errors(history: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """MSE in the teacher's space against the step, one panel per teacher with a scale of its own (PHI-S, fig. 3).

    Args:
        history: columns method, seed, teacher, step, value.
        looks: how each method is drawn, in the order of the legend.
    """
    return error_curves(history, looks, "MSE in the teacher's space (log)")[0]


def loss_distributions(losses: ChannelLosses) -> Figure:
    """A row per method, a column per teacher, one logarithmic axis: all channels, and the one with the largest loss.

    The losses are those that training weighs: where they lie apart between teachers, the loud one dominates; where
    one channel's lie far above all others', it dominates its teacher (PHI-S, fig. 9).
    """
    teachers = list(dict.fromkeys(teacher for by_teacher in losses.values() for teacher in by_teacher))
    edges = _shared_bins(losses)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 0.5 * len(losses)), layout=ConstrainedLayoutEngine(w_pad=0.09))
        grid = figure.subplots(len(losses), len(teachers), squeeze=False, sharex=True)
        for row, (method, by_teacher) in zip(grid, losses.items(), strict=True):
            for axes, teacher in zip(row, teachers, strict=True):
                if teacher in by_teacher:
                    _panel(axes, by_teacher[teacher], edges)
                axes.set_yticks([])
                axes.spines["left"].set_visible(False)
            row[0].set_ylabel(method, rotation=0, ha="right", va="center", fontsize=8)
        for axes, teacher in zip(grid[0], teachers, strict=True):
            axes.set_title(teacher, fontsize=9)
        logarithmic(grid[0, 0], "x")
        figure.supxlabel("squared error of an image in one channel, in the space trained in (log)", fontsize=9)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
        return figure


def largest_loss_channel(losses: Float[Tensor, "images channels"]) -> int:
    """The channel whose largest loss over the images is the largest of all."""
    return int(losses.amax(dim=0).argmax())


def _panel(axes: Axes, losses: Tensor, edges: Float64[np.ndarray, "edges"]) -> None:
    largest = losses[:, largest_loss_channel(losses)]
    axes.stairs(_heights(losses, edges), edges, fill=True, color=GLOBAL, alpha=0.5, linewidth=0, label="all channels")
    axes.stairs(_heights(largest, edges), edges, color=LARGEST, linewidth=1.2, label="channel with the largest loss")
    axes.set_ylim(0, 1.08)
    axes.grid(axis="y", visible=False)


def _heights(losses: Tensor, edges: Float64[np.ndarray, "edges"]) -> Float64[np.ndarray, "bins"]:
    """Counts per bin relative to the fullest: curves of different sizes, comparable in place and width."""
    counts = np.histogram(losses.flatten().double().numpy(), edges)[0].astype(float)
    heights: np.ndarray = counts / max(counts.max(), 1.0)
    return heights


def _shared_bins(losses: ChannelLosses) -> Float64[np.ndarray, "edges"]:
    """Equal steps of the logarithm, from a small share of any panel's losses to the largest of all."""
    tables = [_positive(table) for by_teacher in losses.values() for table in by_teacher.values()]
    low = min(float(table.kthvalue(1 + int(_TAIL * len(table))).values) for table in tables)
    high = max(float(table.max()) for table in tables)
    return np.geomspace(low, high * (1 + 1e-6), _BINS + 1)


def _positive(losses: Tensor) -> Tensor:
    """What has a place on a logarithmic axis.

    Raises:
        ValueError: nothing has.
    """
    flat = losses.flatten()
    shown = flat[(flat > 0) & flat.isfinite()]
    if not len(shown):
        raise ValueError("every loss is zero or not finite: there is no distribution to draw")
    return shown
