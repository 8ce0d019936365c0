"""Who is the best by a metric, as far as the seeds can tell, and whether anyone is better than knowing nothing."""

import numpy as np
import pandas as pd

from phis_lab.reports.intervals import t_interval
from phis_lab.shapes import Float64

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
    known = {method: series for method, series in values.items() if len(series) > 1 and not series.isna().any()}
    if len(known) < 2:
        return frozenset()
    sign = 1 if higher_is_better else -1
    best = max(known, key=lambda method: sign * known[method].mean())
    same = (method for method, series in known.items() if not _are_told_apart(known[best], series))
    return frozenset({best, *same})


def is_at_floor(values: Values, floor: float, higher_is_better: bool, perfect: float) -> bool:
    """Whether no method is better than knowing nothing.

    A method beats the floor where its mean is further than 1 % of the way from the floor to a perfect score, and
    where, with several seeds, the 95 % t interval of its mean is beyond the floor too.

    Args:
        values: of one metric.
        floor: what knowing nothing scores.
        higher_is_better: the metric's direction.
        perfect: the best possible value; for one without a bound the way is as long as the floor is far from zero.
    """
    way = abs(perfect - floor) if np.isfinite(perfect) else abs(floor)
    sign = 1 if higher_is_better else -1
    gains = (sign * (series.to_numpy(dtype=float) - floor) for series in values.values())
    return not any(_is_gain(gain, LEAST * way) for gain in gains)


def _is_gain(gain: Float64[np.ndarray, " seeds"], least: float) -> bool:
    if not np.isfinite(gain).all():
        return bool(gain.mean() == np.inf)
    low, _ = t_interval(gain)
    return bool(gain.mean() > least and not low <= 0)


def _are_told_apart(one: pd.Series, other: pd.Series) -> bool:
    shared = one.index.intersection(other.index)
    if len(shared) < 2:
        return False
    pair = one[shared].to_numpy(dtype=float), other[shared].to_numpy(dtype=float)
    if not np.isfinite(pair).all():
        return bool(pair[0].mean() != pair[1].mean())
    low, high = t_interval(pair[0] - pair[1])
    return low > 0 or high < 0
