"""Do students that match their teachers better also do better downstream: every run of a study as a point."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from phis_lab.reports.sheets import heading
from phis_lab.reports.style import RC, Look, legend_above, panels, short, title
from phis_lab.reports.tables import Column

CAPTION = (
    "Every dot is a run: the geometric mean over teachers of its fidelity (the teacher's variance over the mse, in the "
    "teacher's own space) against what it reaches downstream. rho is Spearman's rank correlation over all runs, and in "
    "brackets over the means of the methods; where lower is better a negative one says that fidelity helps. Runs of "
    "one method are near repeats of each other, so there is no test."
)
_FEWEST = 3
"""Fewer points are always in some order."""


def fidelity_and_downstream(
    numbers: pd.DataFrame, fidelities: Sequence[str], downstream: Sequence[Column]
) -> pd.DataFrame:
    """Columns method, seed, metric, fidelity, value; a row for every run and downstream metric that it has.

    Runs that lack the fidelity to a teacher, or diverged, are left out.

    Args:
        numbers: as `measurements` gives them.
        fidelities: a metric for every teacher.
        downstream: metrics with a better direction.
    """
    keys = ["method", "seed"]
    wide = numbers.set_index([*keys, "metric"])["value"].unstack("metric")
    wide = wide[np.isfinite(wide.reindex(columns=list(fidelities)).to_numpy(dtype=float)).all(axis=1)]
    logs = np.log(wide.reindex(columns=list(fidelities)).clip(lower=np.finfo(float).tiny))
    points = wide.reindex(columns=[column.metric for column in downstream]).assign(fidelity=np.exp(logs.mean(axis=1)))
    long = points.reset_index().melt([*keys, "fidelity"], var_name="metric", value_name="value")
    kept: pd.DataFrame = long[np.isfinite(long["value"].to_numpy(dtype=float))]
    return kept.reset_index(drop=True)


def rank_correlation(points: pd.DataFrame) -> float:
    """Spearman's between fidelity and value; NaN for fewer than three points, and where one of them never changes."""
    if len(points) < _FEWEST or (points[["fidelity", "value"]].nunique() == 1).any():
        return math.nan
    return float(stats.spearmanr(points["fidelity"], points["value"]).statistic)


def correlations(points: pd.DataFrame, metric: str) -> tuple[float, float]:
    """`rank_correlation` over the runs and over the methods' means."""
    of_metric = points[points["metric"] == metric]
    of_methods = of_metric.groupby("method", sort=False)[["fidelity", "value"]].mean()
    return rank_correlation(of_metric), rank_correlation(of_methods)


def downstream_figure(points: pd.DataFrame, shown: Sequence[Column], looks: Mapping[str, Look]) -> Figure:
    """A panel for every downstream metric; the gid of each dot is `run<place in points>`."""
    with mpl.rc_context(RC):
        figure, grid = panels(len(shown), height=2.3)
        for axes, column in zip(grid, shown, strict=True):
            of_metric = points[points["metric"] == column.metric]
            for method, look in looks.items():
                for place, row in of_metric[of_metric["method"] == method].iterrows():
                    (dot,) = axes.plot(
                        row["fidelity"], row["value"], look.marker, color=look.color, markersize=5, linestyle="none"
                    )
                    dot.set_gid(f"run{place}")
            axes.set_title(f"{title(heading(column))}\n{_said(points, column.metric)}", fontsize=9)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_major_locator(MaxNLocator(5))
        for method, look in looks.items():
            grid[0].plot([], [], look.marker, color=look.color, markersize=5, linestyle="none", label=short(method))
        figure.supxlabel("fidelity, geometric mean over teachers", fontsize=9)
        legend_above(figure, grid[0])
        return figure


def _said(points: pd.DataFrame, metric: str) -> str:
    texts = ["–" if math.isnan(rho) else f"{rho:+.2f}" for rho in correlations(points, metric)]
    return f"rho {texts[0]} ({texts[1]})"
