"""Bootstrap over seeds: what would other draws of the same seeds have said?"""

from collections.abc import Collection, Mapping
from functools import cache
from itertools import product

import numpy as np
import pandas as pd

from phis_lab.reports.cube import Cube
from phis_lab.reports.ranks import Category, stacked_ranks
from phis_lab.shapes import Float64, Int64

DRAWS = 9_999
BOOTSTRAP_SEEDS = 5
"""Reports show no bootstrap over fewer: resampling so few values cannot cover what its interval promises."""


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
