"""Average ranks by the rule of PHI-S (tables 1, 4 and 12)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from phis_lab.shapes import Float64

Category = Sequence[str | Sequence[str]]
"""Metrics of a category; a group inside it (GQA val and testdev) counts as one: the mean of its ranks."""

Ties = Literal["min", "average"]

_KINDS = {"accuracy": "classification", "miou": "segmentation"}
"""What a number is called -> the category of everything that measures it on one data set."""


def average_ranks(
    table: pd.DataFrame,
    categories: Mapping[str, Category],
    ties: Ties = "min",
    lower_is_better: Collection[str] = (),
) -> pd.DataFrame:
    """Ranks methods per metric (1 is best), averages ranks in each category, and categories in `Avg`.

    Each category weighs the same however many metrics it has. Ranks forget by how much a method wins: read
    them beside the values and their intervals. NaN ranks last.

    Args:
        table: methods by metrics.
        categories: category -> its metrics.
        ties: `min` gives equal values the lowest of their ranks, as the paper does; `average` their mean.
        lower_is_better: the metrics where the smallest value ranks first.

    Returns:
        Methods by categories, and the column `Avg`.

    Raises:
        ValueError: a category is empty, or a metric is not a column of the table.

    Source: PHI-S, tables 1 and 4; the tie rule is the one that reproduces them.
    """
    values = table.to_numpy(dtype=float)
    ranks = stacked_ranks(values, list(table.columns), categories, ties, lower_is_better)
    return pd.DataFrame(ranks, index=table.index)


def stacked_ranks(
    values: Float64[np.ndarray, "*stack methods metrics"],
    metrics: Sequence[str],
    categories: Mapping[str, Category],
    ties: Ties = "min",
    lower_is_better: Collection[str] = (),
) -> dict[str, Float64[np.ndarray, "*stack methods"]]:
    """`average_ranks` of a whole stack of tables at once: category -> ranks, and `Avg`."""
    named = {name for category in categories.values() for name in _flat(category)} | set(lower_is_better)
    if unknown := sorted(named - set(metrics)):
        raise ValueError(f"no such metrics: {unknown}; the table has {sorted(metrics)}")
    if empty := [name for name, category in categories.items() if not category or not all(category)] or not categories:
        raise ValueError(f"a category needs at least one metric; empty: {empty if categories else 'all'}")
    places = metric_ranks(values, [name in lower_is_better for name in metrics], ties)
    by_metric = {name: places[..., column] for column, name in enumerate(metrics)}
    ranks = {name: _mean(by_metric, category) for name, category in categories.items()}
    return ranks | {"Avg": np.mean(list(ranks.values()), axis=0)}


def metric_ranks(
    values: Float64[np.ndarray, "*stack methods metrics"], lower_is_better: Sequence[bool], ties: Ties = "min"
) -> Float64[np.ndarray, "*stack methods metrics"]:
    """The rank of every method by every metric: 1 is best, NaN last."""
    losses = np.where(lower_is_better, values, -values)
    ranks: np.ndarray = stats.rankdata(np.where(np.isnan(losses), np.inf, losses), method=ties, axis=-2)
    return ranks.astype(float)


def default_categories(metrics: Iterable[str], teachers: Collection[str]) -> dict[str, Category]:
    """The categories of a study: how well the teachers are matched, then one category per kind of evaluation.

    As in PHI-S, whose first category is the MSE of spatial features, in the teachers' own spaces, and whose
    classification (zero-shot, kNN) and segmentation tasks are a category each. Fidelity ranks as MSE does, being the
    teacher's variance over it. Summaries are not ranked: PHI-S trains them by cosine, which leaves their lengths free.
    """
    matching: list[str] = []
    others: dict[str, list[str]] = {}
    for metric in metrics:
        head, _, rest = metric.partition("/")
        if head not in teachers:
            others.setdefault(_KINDS.get(rest, head), []).append(metric)
        elif rest == "spatial/fidelity":
            matching.append(metric)
    first: dict[str, Category] = {"teachers": matching} if matching else {}
    return first | others


def _flat(category: Category) -> list[str]:
    return [name for entry in category for name in ([entry] if isinstance(entry, str) else entry)]


def _mean(ranks: Mapping[str, Float64[np.ndarray, "*shape"]], category: Category) -> Float64[np.ndarray, "*shape"]:
    entries = [ranks[entry] if isinstance(entry, str) else _mean(ranks, entry) for entry in category]
    mean: np.ndarray = np.mean(entries, axis=0)
    return mean


@dataclass(frozen=True)
class Cube:
    """Measurements without gaps: what is compared over it is compared on equal terms.

    Args:
        values: a number for every seed, method and metric; NaN where a run diverged.
        seeds: those that all these methods were run with.
        methods: those with enough seeds, in the order of `numbers`.
        metrics: those that every method has for all these seeds.
    """

    values: Float64[np.ndarray, "seeds methods metrics"]
    seeds: list[int]
    methods: list[str]
    metrics: list[str]

    @classmethod
    def of(cls, numbers: pd.DataFrame, fewest_seeds: int = 2) -> "Cube":
        """From numbers as `measurements` gives them; empty where no method has so many seeds."""
        seeds_of = numbers.groupby("method", sort=False)["seed"].agg(set)
        seeds_of = seeds_of[seeds_of.map(len) >= fewest_seeds]
        methods = [str(name) for name in seeds_of.index]
        seeds = sorted(set.intersection(*seeds_of)) if methods else []
        kept = numbers[numbers["seed"].isin(seeds) & numbers["method"].isin(methods)]
        count = kept.groupby("metric", sort=False).size()
        metrics = [str(name) for name in count.index[count == len(seeds) * len(methods)]]
        cells = pd.MultiIndex.from_product([seeds, methods, metrics])
        column = kept.set_index(["seed", "method", "metric"])["value"].reindex(cells)
        shape = (len(seeds), len(methods), len(metrics))
        return cls(column.to_numpy(dtype=float).reshape(shape), seeds, methods, metrics)
