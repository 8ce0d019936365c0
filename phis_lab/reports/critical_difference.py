"""Critical-difference diagrams: which methods the ranks tell apart."""

from collections.abc import Mapping

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scikit_posthocs import critical_difference_diagram

from phis_lab.reports.friedman import RankTest
from phis_lab.reports.numbers import p_value
from phis_lab.reports.style import INK, PAGE_WIDTH, RC, Look


def critical_difference_figure(test: RankTest, blocks: str, looks: Mapping[str, Look]) -> Figure:
    """A diagram of a test, best on the left; a bar joins methods that it does not tell apart.

    Args:
        test: over independent blocks.
        blocks: what they are, such as `4 seeds`.
        looks: how each method is drawn.

    Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), figure 1.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, 1.1 + 0.12 * len(looks)), layout="constrained")
        axes = figure.subplots()
        _diagram(axes, test, looks)
        axes.set_title(
            f"Over {blocks}: {p_value(test.p_value)}, W = {test.agreement:.2f}, CD = {test.critical_difference:.1f}"
        )
        return figure


def _diagram(axes: Axes, test: RankTest, looks: Mapping[str, Look]) -> None:
    count = len(test.ranks)
    margin = 0.012 * count
    drawn = critical_difference_diagram(
        test.ranks,
        test.pairs,
        alpha=test.alpha,
        ax=axes,
        label_fmt_left="{label}  {rank:.2f} ",
        label_fmt_right=" {rank:.2f}  {label}",
        label_props={"fontsize": 8},
        marker_props={"marker": "none"},
        elbow_props={"linewidth": 1.2},
        crossbar_props={"color": INK, "linewidth": 2.4, "solid_capstyle": "round"},
        color_palette={method: look.color for method, look in looks.items()},
        text_h_margin=margin,
    )
    for label in drawn["labels"]:
        label.set_color(INK)
    for method, rank in test.ranks.items():
        look = looks[str(method)]
        axes.plot(rank, 0, look.marker, color=look.color, markersize=5, zorder=4)
    axes.spines["top"].set_visible(True)
    axes.set_xlim(1 - margin, count + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="x", labeltop=True, labelbottom=False)
    axes.grid(visible=False)
