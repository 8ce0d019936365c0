"""The tables of a report as text cells, before Markdown, LaTeX or the terminal give them a shape."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from phis_lab.reports.numbers import decimals, with_spread
from phis_lab.reports.tables import Column, Rows, by_method, summary

MISSING = "–"
_ARROWS = {True: " ↑", False: " ↓", None: ""}


class Cell(NamedTuple):
    """Text of one cell; `strong` cells are set in bold."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table ready to be set; its first column names the method."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def heading(column: Column, prefix: str = "") -> str:
    """`knn accuracy (%) ↑`, `xfeat fidelity ↑`: the arrow points to the better; spatial and `prefix` are unsaid."""
    name = column.metric.removeprefix(prefix).replace("/spatial/", "/").replace("/", " ").replace("_", " ")
    unit = f" ({column.unit})" if column.unit else ""
    return f"{name}{unit}{_ARROWS[column.higher_is_better]}"


def value_sheet(
    title: str,
    caption: str,
    numbers: pd.DataFrame,
    shown: Sequence[Column],
    ranks: pd.Series | None = None,
    prefix: str = "",
) -> Sheet:
    """Mean and spread per method and metric, and the average rank if given; the best is strong, if there is a better.

    Args:
        title: of the table.
        caption: below it.
        numbers: as `measurements` gives them.
        shown: the metrics, one column each.
        ranks: average rank of every method.
        prefix: of the metrics' names, left out of the headings because the title says it.
    """
    methods = list(dict.fromkeys(numbers["method"]))
    frame = summary(numbers)
    texts = [[Cell(method) for method in methods]]
    texts += [_values(by_method(frame, column.metric), methods, column) for column in shown]
    if ranks is not None:
        texts.append([Cell(f"{ranks[m]:.2f}", strong=ranks[m] == ranks.min()) for m in methods])
    names = [
        "method",
        *(heading(column, prefix) for column in shown),
        *(["avg rank ↓"] if ranks is not None else []),
    ]
    return Sheet(title, caption, tuple(names), tuple(zip(*texts, strict=True)))


def rank_sheet(title: str, caption: str, ranks: pd.DataFrame) -> Sheet:
    """Average ranks per category; the lowest of a column is strong."""
    rows = [
        (Cell(str(method)), *(Cell(f"{row[c]:.2f}", strong=row[c] == ranks[c].min()) for c in ranks.columns))
        for method, row in ranks.iterrows()
    ]
    return Sheet(title, caption, ("method", *(f"{c} ↓".replace("_", " ") for c in ranks.columns)), tuple(rows))


def difference_sheet(title: str, caption: str, differences: pd.DataFrame, shown: Sequence[Column]) -> Sheet:
    """Paired differences with their t intervals; a difference whose interval excludes zero is strong.

    They are printed with no more decimals than four significant digits of the baseline's value have.
    """
    return _paired_sheet(title, caption, differences, shown, _difference)


def interval_sheet(title: str, caption: str, differences: pd.DataFrame, shown: Sequence[Column]) -> Sheet:
    """Bootstrap intervals of paired differences; one that excludes zero is strong."""
    return _paired_sheet(title, caption, differences, shown, _bootstrap_interval)


def effect_sheet(title: str, caption: str, differences: pd.DataFrame, shown: Sequence[Column]) -> Sheet:
    """Effect sizes of paired differences."""
    return _paired_sheet(title, caption, differences, shown, _effect)


def _paired_sheet(
    title: str,
    caption: str,
    differences: pd.DataFrame,
    shown: Sequence[Column],
    cell: Callable[[Mapping[str, Any], int], Cell],
) -> Sheet:
    methods = list(dict.fromkeys(differences["method"]))
    texts = [[Cell(method) for method in methods]]
    for column in shown:
        rows = by_method(differences, column.metric)
        halves = [(row["high"] - row["low"]) / 2 for row in rows.values()]
        most = decimals([row["baseline"] for row in rows.values()], [])
        places = min(most, decimals([row["mean"] for row in rows.values()], halves, digits=2))
        texts.append([cell(rows[method], places) if method in rows else Cell(MISSING) for method in methods])
    names = ("method", *(heading(column) for column in shown))
    return Sheet(title, caption, names, tuple(zip(*texts, strict=True)))


def _values(rows: Rows, methods: Sequence[str], column: Column) -> list[Cell]:
    known = [row["mean"] for row in rows.values() if not math.isnan(row["mean"])]
    best = math.nan
    if column.higher_is_better is not None:
        best = (max if column.higher_is_better else min)(known, default=math.nan)
    places = decimals(known, [row["std"] for row in rows.values()])
    return [
        Cell(with_spread(rows[m]["mean"], rows[m]["std"], places), strong=rows[m]["mean"] == best)
        if m in rows
        else Cell(MISSING)
        for m in methods
    ]


def _difference(row: Mapping[str, Any], places: int) -> Cell:
    mean, low, high = row["mean"], row["low"], row["high"]
    return Cell(with_spread(mean, high - mean, places, sign="+"), strong=low > 0 or high < 0)


def _bootstrap_interval(row: Mapping[str, Any], places: int) -> Cell:
    low, high = row["bootstrap_low"], row["bootstrap_high"]
    if math.isnan(low):
        return Cell(MISSING)
    return Cell(f"{low:+.{places}f} to {high:+.{places}f}", strong=low > 0 or high < 0)


def _effect(row: Mapping[str, Any], places: int) -> Cell:
    return Cell(MISSING if math.isnan(row["g_z"]) else f"{row['g_z']:+.1f}")
