"""The figures of a report: losses against steps, and methods side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from phis_lab.reports.sheets import heading
from phis_lab.reports.style import GREY, RC, Look, legend_above, panels, readable_log_ticks, short, title
from phis_lab.reports.tables import Column, by_method, summary

_STEPS = 100
"""About as many points of a curve as a panel can show."""

CAPTIONS = {
    "values": (
        "Mean ± standard deviation over seeds; small dots are seeds; arrows point to where better is. A dotted line is "
        "the floor, which a student that knows nothing reaches, where it is near."
    ),
    "losses": "Error in the teacher's own space during training: mean and range over seeds.",
    "differences": "Paired differences with 95 % t intervals; hollow where the interval includes zero.",
    "critical_difference": (
        "Mean over seeds of a method's place by average rank, best on the left, with Friedman's p and Kendall's W. The "
        "blocks are seeds, for metrics of the same runs are not independent. A bar joins methods that Nemenyi's test "
        "does not tell apart (5 % over all pairs): their mean ranks differ by less than the critical difference CD."
    ),
}


def loss_curves(history: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """Error relative to the teacher's variance (1 / fidelity) against the step, one panel per teacher.

    At 1 a student is no better than the teacher's mean; fidelity has no unit, so that teachers compare too.

    Args:
        history: columns method, seed, teacher, step, value.
        looks: how each method is drawn, in the order of the legend.
    """
    figure, shown = error_curves(history, looks, "MSE / teacher variance (log)")
    for axes in shown:
        axes.axhline(1, color=GREY, linewidth=0.9, linestyle=":", zorder=1)
        readable_log_ticks(axes)
    shown[0].annotate(
        "predicting the teacher's mean",
        xy=(0.99, 1),
        xycoords=shown[0].get_yaxis_transform(),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        fontsize=7,
        color=GREY,
    )
    return figure


def error_curves(history: pd.DataFrame, looks: Mapping[str, Look], label: str) -> tuple[Figure, list[Axes]]:
    """Errors in the teacher's own space, so that methods compare, against the step; one panel per teacher.

    Lines are means over seeds; bands span the lowest and the highest seed (PHI-S, fig. 3).

    Args:
        history: columns method, seed, teacher, step, value.
        looks: how each method is drawn, in the order of the legend.
        label: of the logarithmic axis.
    """
    with mpl.rc_context(RC):
        teachers = list(dict.fromkeys(history["teacher"]))
        figure, shown = panels(len(teachers), height=2.3)
        for axes, teacher in zip(shown, teachers, strict=True):
            of_teacher = history[history["teacher"] == teacher]
            for method, look in looks.items():
                _curve(axes, of_teacher[of_teacher["method"] == method], method, look)
            axes.set_title(title(teacher))
            axes.set_yscale("log")
            readable_log_ticks(axes)
        figure.supxlabel("optimiser step", fontsize=9)
        figure.supylabel(label, fontsize=9)
        legend_above(figure, shown[0])
        return figure, shown


def method_values(numbers: pd.DataFrame, shown: Sequence[Column], looks: Mapping[str, Look]) -> Figure:
    """Each method's mean and standard deviation over seeds, a panel per metric; small dots are seeds."""
    frame = summary(numbers)
    frame = frame.assign(low=frame["mean"] - frame["std"], high=frame["mean"] + frame["std"], certain=True)
    with mpl.rc_context(RC):
        figure, grid = _rows_of_methods(frame, shown, looks)
        places = {method: place for place, method in enumerate(looks)}
        for axes, column in zip(grid, shown, strict=True):
            seeds = numbers[(numbers["metric"] == column.metric) & np.isfinite(numbers["value"])]
            colors = [looks[method].color for method in seeds["method"]]
            heights = seeds["method"].map(places) + 0.27
            axes.scatter(seeds["value"], heights, s=6, c=colors, alpha=0.7, linewidths=0)
            low, high = axes.get_xlim()
            if column.floor is not None and low <= column.floor <= high:
                axes.axvline(column.floor, color=GREY, linewidth=0.9, linestyle=":", zorder=1)
        return figure


def method_differences(
    differences: pd.DataFrame, baseline: str, shown: Sequence[Column], looks: Mapping[str, Look]
) -> Figure:
    """Paired differences to the baseline with their intervals; hollow where the interval includes zero."""
    others = {method: look for method, look in looks.items() if method != baseline}
    with mpl.rc_context(RC):
        certain = (differences["low"] > 0) | (differences["high"] < 0)
        figure, grid = _rows_of_methods(differences.assign(certain=certain), shown, others)
        for axes in grid:
            axes.axvline(0, color=looks[baseline].color, linewidth=0.9, zorder=1)
        figure.supxlabel(f"difference to {short(baseline)}, same seeds", fontsize=9)
        return figure


def _rows_of_methods(
    frame: pd.DataFrame, shown: Sequence[Column], looks: Mapping[str, Look]
) -> tuple[Figure, list[Axes]]:
    figure, grid = panels(len(shown), height=0.55 + 0.2 * len(looks), share_rows=True)
    for axes, column in zip(grid, shown, strict=True):
        rows = by_method(frame, column.metric)
        for place, (method, look) in enumerate(looks.items()):
            if method in rows:
                _whisker(axes, place, rows[method], look)
        axes.set_title(title(heading(column)), fontsize=9)
        axes.set_yticks(range(len(looks)), map(short, looks))
        axes.set_ylim(len(looks) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.tick_params(axis="y", length=0)
    return figure, grid


def _whisker(axes: Axes, place: int, row: dict[str, Any], look: Look) -> None:
    if not math.isnan(row["low"]):
        axes.plot([row["low"], row["high"]], [place, place], color=look.color, linewidth=1.4)
    face = look.color if row["certain"] else "white"
    axes.plot(row["mean"], place, look.marker, color=look.color, markersize=5, markerfacecolor=face)


def _curve(axes: Axes, runs: pd.DataFrame, method: str, look: Look) -> None:
    by_step = runs.groupby("step")["value"].agg(["min", "mean", "max"])
    by_step = by_step.iloc[:: -max(1, len(by_step) // _STEPS)][::-1]
    steps = by_step.index.to_numpy()
    axes.fill_between(steps, by_step["min"], by_step["max"], color=look.color, alpha=0.15, linewidth=0)
    axes.plot(
        steps, by_step["mean"], color=look.color, linestyle=look.linestyle, linewidth=1.4, marker=look.marker,
        markersize=3.5, markevery=max(1, len(steps) // 6), label=short(method),
    )  # fmt: skip
