"""What seeds say of a mean, a rank and a difference: intervals of a t distribution and of the bootstrap."""

import math
from collections.abc import Collection, Mapping
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
from scipy import special, stats

from phis_lab.reports.ranks import Category, Cube, stacked_ranks
from phis_lab.shapes import Float64, Int64

DRAWS = 9_999
BOOTSTRAP_SEEDS = 5
"""Reports show no bootstrap over fewer: resampling so few values cannot cover what its interval promises."""
_COLUMNS = ["method", "metric", "mean", "low", "high", "bootstrap_low", "bootstrap_high", "g_z", "seeds", "baseline"]

EFFECT_SEEDS = 3
"""An effect size needs a spread, and its correction three seeds."""


@cache
def resamples(count: int) -> Int64[np.ndarray, "draws count"]:
    """Ways to draw `count` of `count` seeds with replacement, as indices.

    Up to five seeds every way, each as likely as any other, so that the bootstrap is exact; for more, 9,999
    random draws, always the same.
    """
    if count**count <= DRAWS:
        return np.array(list(product(range(count), repeat=count)), dtype=np.int64)
    return np.random.default_rng(0).integers(count, size=(DRAWS, count))


def bootstrap_interval(values: Float64[np.ndarray, " seeds"], confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean.

    It assumes no distribution, but knows no value beyond those it was given: of three seeds it is the range,
    and covers the true mean in at most three cases of four. NaN with one value, or where one is not finite.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return np.nan, np.nan
    low, high = np.quantile(values[resamples(len(values))].mean(axis=1), _tails(confidence), method="inverted_cdf")
    return float(low), float(high)


def bootstrap_ranks(
    cube: Cube,
    categories: Mapping[str, Category],
    lower_is_better: Collection[str] = (),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """How firmly the average ranks stand: the seeds are drawn again, averaged and ranked, many times.

    All methods share a draw, as they share seeds.

    Returns:
        Methods by rank (over all seeds), low, high (percentile interval), best (share of draws in which the method
        has the lowest average rank; methods that tie divide it).
    """

    def ranked(values: Float64[np.ndarray, "*stack methods metrics"]) -> Float64[np.ndarray, "*stack methods"]:
        return stacked_ranks(values, cube.metrics, categories, lower_is_better=lower_is_better)["Avg"]

    drawn = ranked(cube.values[resamples(len(cube.seeds))].mean(axis=1))
    low, high = np.quantile(drawn, _tails(confidence), axis=0, method="inverted_cdf")
    wins = np.isclose(drawn, drawn.min(axis=1, keepdims=True))
    best = (wins / wins.sum(axis=1, keepdims=True)).mean(axis=0)
    columns = {"rank": ranked(cube.values.mean(axis=0)), "low": low, "high": high, "best": best}
    return pd.DataFrame(columns, index=cube.methods)


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]


def paired_differences(numbers: pd.DataFrame, baseline: str, confidence: float = 0.95) -> pd.DataFrame:
    """Mean difference to the baseline with its intervals and its effect size, over the seeds that both have.

    d = value(method) - value(baseline), by seed: mean(d) +- t_{(1 + confidence) / 2, n - 1} s(d) / sqrt(n).
    Runs of one seed share data order and initialisation, so what the seed does to both cancels, and a
    difference far smaller than the spread over seeds can still be told from zero.

    Args:
        numbers: as `measurements` gives them.
        baseline: the method to compare with.
        confidence: the intervals' coverage, for one comparison; many at once need a stricter one.

    Returns:
        Columns method, metric, mean, low, high (t interval), bootstrap_low, bootstrap_high (`bootstrap_interval`),
        g_z (`paired_effect`), seeds, baseline (its mean on the same seeds). With one shared seed there is no interval
        and no effect size: they are NaN.

    Raises:
        ValueError: no method is called `baseline`.
    """
    methods = list(dict.fromkeys(numbers["method"]))
    if baseline not in methods:
        raise ValueError(f"no method is called {baseline!r}; there are {methods}")
    is_baseline = numbers["method"] == baseline
    pairs = numbers[~is_baseline].merge(numbers[is_baseline], on=["metric", "seed"], suffixes=("", "_baseline"))
    pairs["difference"] = pairs["value"] - pairs["value_baseline"]
    rows = []
    for key, group in pairs.groupby(["method", "metric"], sort=False):
        d = group["difference"].to_numpy(dtype=float)
        intervals = (*t_interval(d, confidence), *bootstrap_interval(d, confidence))
        rows.append((*key, d.mean(), *intervals, paired_effect(d), len(d), group["value_baseline"].to_numpy().mean()))
    return pd.DataFrame(rows, columns=_COLUMNS)


def t_interval(values: Float64[np.ndarray, " seeds"], confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean, mean(x) +- t_{(1 + confidence) / 2, n - 1} s(x) / sqrt(n); NaN for one value."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    quantile = stats.t.ppf((1 + confidence) / 2, n - 1)
    half = float(quantile * values.std(ddof=1) / math.sqrt(n))
    mean = float(values.mean())
    return mean - half, mean + half


def paired_effect(differences: Float64[np.ndarray, " seeds"]) -> float:
    """Hedges' g_z: the mean difference in standard deviations of the differences over seeds.

    g_z = J(n - 1) mean(d) / s(d), J(m) = Gamma(m / 2) / (sqrt(m / 2) Gamma((m - 1) / 2)). Without J it is Cohen's
    d_z, which is 1.8 times too large on average for three seeds, and has no mean for two. NaN with fewer than three
    seeds, for a diverged one, and where all seeds have the same difference.

    Source: Hedges, Distribution Theory for Glass's Estimator of Effect Size, J. Educ. Stat. 6 (1981).
    """
    m = len(differences) - 1
    if len(differences) < EFFECT_SEEDS or not (spread := differences.std(ddof=1)) > 0:
        return math.nan
    correction = math.exp(special.gammaln(m / 2) - special.gammaln((m - 1) / 2)) / math.sqrt(m / 2)
    return float(correction * differences.mean() / spread)
