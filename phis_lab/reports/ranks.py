"""Average ranks by the rule of PHI-S (tables 1, 4 and 12)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

import pandas as pd

Category = Sequence[str | Sequence[str]]
"""Metrics of a category; a group inside it (GQA val and testdev) counts as one: the mean of its ranks."""

_CLASSIFICATION = {"knn", "linear_probe", "zero_shot"}


def average_ranks(
    table: pd.DataFrame,
    categories: Mapping[str, Category],
    ties: Literal["min", "average"] = "min",
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
    named = {name for category in categories.values() for name in _flat(category)} | set(lower_is_better)
    if unknown := sorted(named - set(table.columns)):
        raise ValueError(f"no such metrics: {unknown}; the table has {sorted(table.columns)}")
    if empty := [name for name, category in categories.items() if not category] or not categories:
        raise ValueError(f"a category needs at least one metric; empty: {empty if categories else 'all'}")
    ranks = pd.DataFrame(
        {
            name: table[name].rank(method=ties, ascending=name in lower_is_better, na_option="bottom")
            for name in table.columns
        }
    )
    result = pd.DataFrame({name: _mean(ranks, category) for name, category in categories.items()})
    result["Avg"] = result.mean(axis=1)
    return result


def default_categories(metrics: Iterable[str], teachers: Collection[str]) -> dict[str, Category]:
    """The categories of a study: how well each teacher is matched, then one category per kind of evaluation.

    As in PHI-S, all classification tasks are one category. A teacher counts once: its spatial and its summary
    fidelity are averaged first. Fidelity ranks as MSE does, being the teacher's variance over it.
    """
    matching: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for metric in metrics:
        head, _, rest = metric.partition("/")
        if head in teachers:
            if rest.endswith("/fidelity"):
                matching.setdefault(head, []).append(metric)
        else:
            others.setdefault("classification" if head in _CLASSIFICATION else head, []).append(metric)
    first: dict[str, Category] = {"teachers": list(matching.values())} if matching else {}
    return first | others


def _flat(category: Category) -> list[str]:
    return [name for entry in category for name in ([entry] if isinstance(entry, str) else entry)]


def _mean(ranks: pd.DataFrame, category: Category) -> pd.Series:
    entries = [ranks[entry] if isinstance(entry, str) else _mean(ranks, entry) for entry in category]
    return pd.concat(entries, axis=1).mean(axis=1)
