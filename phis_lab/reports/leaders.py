"""Who is the best by a metric, as far as the seeds can tell, and whether anyone is better than knowing nothing."""

import math

import numpy as np
import pandas as pd
from scipy import stats

from phis_lab.reports.intervals import t_interval

Values = dict[str, pd.Series]
"""Method -> its values of one metric, by seed."""

LEAST = 0.01
"""Of the way from the floor to a perfect score: who is nearer to the floor is at it."""


def by_seed(numbers: pd.DataFrame, metric: str) -> Values:
    """The values of one metric, from numbers as `measurements` gives them."""
    of_metric = numbers[numbers["metric"] == metric].set_index("seed")
    return {str(method): rows["value"] for method, rows in of_metric.groupby("method", sort=False)}


def leaders(values: Values, higher_is_better: bool) -> frozenset[str]:
    """The method with the best mean, and every other that the seeds do not tell from it.

    Two methods are told apart where the 95 % t interval of their paired difference over the seeds that both have
    excludes zero. A method with one seed, or one that diverged to NaN, is left out. Where fewer than two methods
    remain, nobody leads.
    """
    known = {
        method: series
        for method, series in values.items()
        if len(series) > 1 and not math.isnan(series.mean(skipna=False))
    }
    if len(known) < 2:
        return frozenset()
    sign = 1 if higher_is_better else -1
    best = max(known, key=lambda method: sign * known[method].mean())
    same = (method for method, series in known.items() if not _are_told_apart(known[best], series))
    return frozenset({best, *same})


def is_at_floor(values: Values, floor: float, higher_is_better: bool, perfect: float) -> bool:
    """Whether no method is better than knowing nothing.

    A method beats the floor where its mean m is further than 1 % of the way from the floor to a perfect score, and
    where, with several seeds, the bound m - t_{0.95, df} s / sqrt(n) is beyond the floor; s^2 is the variance
    over the n seeds of a method, pooled over the methods, which have df degrees of freedom together.

    Args:
        values: of one metric.
        floor: what knowing nothing scores.
        higher_is_better: the metric's direction.
        perfect: the best possible value; for one without a bound the way is as long as the floor is far from zero.
    """
    way = abs(perfect - floor) if np.isfinite(perfect) else abs(floor)
    sign = 1 if higher_is_better else -1
    gains = [sign * (series.to_numpy(dtype=float) - floor) for series in values.values()]
    if any(np.isposinf(gain).all() for gain in gains):
        return False
    finite = [gain for gain in gains if np.isfinite(gain).all()]
    freedom = sum(len(gain) - 1 for gain in finite)
    luck = 0.0
    if freedom:
        variance = sum(len(gain) * gain.var() for gain in finite) / freedom
        luck = float(stats.t.ppf(0.95, freedom) * math.sqrt(variance))
    return not any(gain.mean() > max(LEAST * way, luck / math.sqrt(len(gain))) for gain in finite)


def _are_told_apart(one: pd.Series, other: pd.Series) -> bool:
    shared = one.index.intersection(other.index)
    if len(shared) < 2:
        return False
    pair = one[shared].to_numpy(dtype=float), other[shared].to_numpy(dtype=float)
    if not np.isfinite(pair).all():
        return bool(pair[0].mean() != pair[1].mean())
    low, high = t_interval(pair[0] - pair[1])
    return low > 0 or high < 0
