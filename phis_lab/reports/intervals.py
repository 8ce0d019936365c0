"""Differences between methods, paired by seed."""

import math

import numpy as np
import pandas as pd
from scipy import special, stats

from phis_lab.reports.bootstrap import bootstrap_interval
from phis_lab.shapes import Float64

_COLUMNS = ["method", "metric", "mean", "low", "high", "bootstrap_low", "bootstrap_high", "g_z", "seeds", "baseline"]

EFFECT_SEEDS = 3
"""An effect size needs a spread, and its correction three seeds."""


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
