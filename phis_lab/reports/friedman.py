"""Do independent blocks rank the methods alike, which do they tell apart, and the diagram that shows it."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scikit_posthocs import critical_difference_diagram, posthoc_nemenyi_friedman
from scipy import stats

from phis_lab.reports.ranks import Category, Cube, stacked_ranks
from phis_lab.reports.style import INK, PAGE_WIDTH, RC, Look, short
from phis_lab.spoken import p_value


@dataclass(frozen=True)
class RankTest:
    """Friedman's test with Nemenyi's comparison of all pairs.

    Args:
        blocks: number of blocks, n.
        ranks: mean rank of each of the k methods over the blocks; ties share their mean.
        p_value: of Friedman's test that no method ranks better than another (chi-squared with k - 1 degrees of freedom,
            which errs on the careful side for few blocks).
        agreement: Kendall's W, the effect size of that test: 0 where the blocks disagree, 1 where all rank the
            methods alike.
        alpha: error rate over all pairs together.
        critical_difference: mean ranks closer than this are not told apart.
        pairs: Nemenyi's p values, methods by methods.
    """

    blocks: int
    ranks: pd.Series
    p_value: float
    agreement: float
    alpha: float
    critical_difference: float
    pairs: pd.DataFrame


def friedman(blocks: pd.DataFrame, alpha: float = 0.05) -> RankTest:
    """Tests whether methods differ, from their order in every block alone.

    CD = q_alpha(k) sqrt(k (k + 1) / (6 n)), where q_alpha is the Studentised range over sqrt(2). Blocks count as
    independent.

    Args:
        blocks: blocks by methods, the lowest number of a block being its best.
        alpha: error rate over all pairs together.

    Raises:
        ValueError: fewer than three methods or two blocks: there the paired interval says all.

    Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), section 3.2.2.
    """
    n, k = blocks.shape
    if k < 3 or n < 2:
        raise ValueError(f"Friedman's test needs at least three methods and two blocks, got {k} and {n}")
    ranks = blocks.rank(axis=1, method="average")
    is_flat = bool(blocks.nunique(axis=1).max() == 1)
    statistic, p_value = (0.0, 1.0) if is_flat else stats.friedmanchisquare(*ranks.to_numpy().T)
    quantile = stats.studentized_range.ppf(1 - alpha, k, math.inf) / math.sqrt(2)
    return RankTest(
        blocks=n,
        ranks=ranks.mean(),
        p_value=float(p_value),
        agreement=float(statistic / (n * (k - 1))),
        alpha=alpha,
        critical_difference=float(quantile * math.sqrt(k * (k + 1) / (6 * n))),
        pairs=posthoc_nemenyi_friedman(ranks),
    )


def rank_test(cube: Cube, categories: Mapping[str, Category], lower_is_better: Collection[str] = ()) -> RankTest | None:
    """The test of a study, whose blocks are its seeds: each ranks the methods by their average rank over categories.

    Metrics are no blocks: those of the same runs share the luck of these runs. None for fewer than three methods or
    two seeds.
    """
    if len(cube.methods) < 3 or len(cube.seeds) < 2:
        return None
    return friedman(rank_blocks(cube, categories, lower_is_better))


def rank_blocks(cube: Cube, categories: Mapping[str, Category], lower_is_better: Collection[str] = ()) -> pd.DataFrame:
    """Blocks for `friedman`, seeds by methods: every method's average rank over categories. Ties survive rounding."""
    by_seed = stacked_ranks(cube.values, cube.metrics, categories, lower_is_better=lower_is_better)["Avg"]
    return pd.DataFrame(by_seed, columns=cube.methods).round(9)


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
        label.set_text(short(label.get_text()))
    for method, rank in test.ranks.items():
        look = looks[str(method)]
        axes.plot(rank, 0, look.marker, color=look.color, markersize=5, zorder=4)
    axes.spines["top"].set_visible(True)
    axes.set_xlim(1 - margin, count + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="x", labeltop=True, labelbottom=False)
    axes.grid(visible=False)
