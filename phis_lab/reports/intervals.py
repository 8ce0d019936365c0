"""Differences between methods, paired by seed."""

import math

import pandas as pd
from scipy import stats


def paired_differences(numbers: pd.DataFrame, baseline: str, confidence: float = 0.95) -> pd.DataFrame:
    """Mean difference to the baseline with its t interval, over the seeds that both have.

    d = value(method) - value(baseline), by seed: mean(d) +- t_{(1 + confidence) / 2, n - 1} s(d) / sqrt(n).
    Runs of one seed share data order and initialisation, so what the seed does to both cancels, and a
    difference far smaller than the spread over seeds can still be told from zero.

    Args:
        numbers: as `measurements` gives them.
        baseline: the method to compare with.
        confidence: the interval's coverage, for one comparison; many at once need a stricter one.

    Returns:
        Columns method, metric, mean, low, high, seeds, baseline (its mean on the same seeds). With one
        shared seed there is no interval: `low` and `high` are NaN.

    Raises:
        ValueError: no method is called `baseline`.
    """
    methods = list(dict.fromkeys(numbers["method"]))
    if baseline not in methods:
        raise ValueError(f"no method is called {baseline!r}; there are {methods}")
    is_baseline = numbers["method"] == baseline
    pairs = numbers[~is_baseline].merge(numbers[is_baseline], on=["metric", "seed"], suffixes=("", "_baseline"))
    pairs["difference"] = pairs["value"] - pairs["value_baseline"]
    rows = [
        (*key, *_interval(group["difference"], confidence), float(group["value_baseline"].mean(skipna=False)))
        for key, group in pairs.groupby(["method", "metric"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["method", "metric", "mean", "low", "high", "seeds", "baseline"])


def _interval(values: pd.Series, confidence: float) -> tuple[float, float, float, int]:
    n = len(values)
    mean = float(values.mean(skipna=False))
    if n < 2:
        return mean, math.nan, math.nan, n
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * values.std(skipna=False) / math.sqrt(n))
    return mean, mean - half, mean + half, n
