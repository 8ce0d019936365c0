"""The tables of a report as text cells, before Markdown, LaTeX or the terminal give them a shape."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from phis_lab.reports.intervals import BOOTSTRAP_SEEDS
from phis_lab.reports.tables import Column, Rows, by_method, leading, summary
from phis_lab.runs.record import ARROWS
from phis_lab.spoken import decimals, interval, with_spread

MISSING = "–"
FLOOR = "(floor)"
MOST_NAMES = 6


class Cell(NamedTuple):
    """Text of one cell; `strong` cells are set in bold."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table ready to be set; its first column names the method.

    Attributes:
        title: what it shows.
        caption: how to read it, below the table.
        columns: headings.
        rows: cells.
        seeds: how many seeds the numbers come from, said above the table; empty where there are no seeds.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    seeds: str = ""


def seeds_of(numbers: pd.DataFrame) -> str:
    """`3 seeds per method.`, and which methods and metrics have other numbers of seeds.

    Args:
        numbers: as `measurements` gives them.
    """
    counts = numbers.groupby("method", sort=False)["seed"].nunique()
    if counts.empty:
        return ""
    usual = int(counts.mode().iloc[-1])
    others = [f"{method} {count}" for method, count in counts.items() if count != usual]
    sizes = numbers.groupby(["metric", "method"], sort=False).size().reset_index(name="seeds")
    short = sizes[sizes["seeds"] < sizes["method"].map(counts)]["metric"].unique()
    fewer = [f"fewer of {', '.join(short[:MOST_NAMES])}{' and more' if len(short) > MOST_NAMES else ''}"]
    exceptions = [*others, *(fewer if len(short) else [])]
    return f"{_count(usual)} per method{', but ' if exceptions else ''}{', '.join(exceptions)}."


def _count(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def heading(column: Column, prefix: str = "") -> str:
    """`knn accuracy (%) ↑`, `xfeat fidelity ↑`: the arrow points to the better; spatial and `prefix` are unsaid."""
    name = column.metric.removeprefix(prefix).replace("/spatial/", "/").replace("/", " ").replace("_", " ")
    unit = f" ({column.unit})" if column.unit else ""
    return f"{name}{unit}{ARROWS[column.higher_is_better]}"


def value_sheet(
    title: str,
    caption: str,
    numbers: pd.DataFrame,
    shown: Sequence[Column],
    ranks: pd.Series | None = None,
    prefix: str = "",
    first: Collection[str] = (),
) -> Sheet:
    """Mean and spread per method and metric, the average rank if given, and a row of floors where any is known.

    Strong are the best and all that the seeds do not tell from it (`leaders`), of metrics that compare methods.

    Args:
        title: of the table.
        caption: below it.
        numbers: as `measurements` gives them.
        shown: the metrics, one column each.
        ranks: average rank of every method.
        prefix: of the metrics' names, left out of the headings because the title says it.
        first: the methods whose average rank is strong.
    """
    methods = list(dict.fromkeys(numbers["method"]))
    frame = summary(numbers)
    has_floor = any(column.floor is not None for column in shown)
    texts = [[*(Cell(method) for method in methods), Cell(FLOOR)]]
    for column in shown:
        texts.append(_values(by_method(frame, column.metric), methods, column, leading(numbers, column)))
    if ranks is not None:
        texts.append([*(Cell(f"{ranks[m]:.2f}", strong=m in first) for m in methods), Cell(MISSING)])
    rows = tuple(zip(*texts, strict=True))
    names = [
        "method",
        *(heading(column, prefix) for column in shown),
        *(["avg rank ↓"] if ranks is not None else []),
    ]
    seeds = seeds_of(numbers[numbers["metric"].isin([column.metric for column in shown])])
    return Sheet(title, caption, tuple(names), rows if has_floor else rows[:-1], seeds)


def rank_sheet(
    title: str, caption: str, ranks: pd.DataFrame, first: Mapping[str, Collection[str]], seeds: str
) -> Sheet:
    """Average ranks per category.

    Args:
        title: of the table.
        caption: below it.
        ranks: methods by categories.
        first: the methods of every category whose rank is strong.
        seeds: said above it.
    """
    rows = [
        (Cell(str(method)), *(Cell(f"{row[c]:.2f}", strong=method in first.get(c, ())) for c in ranks.columns))
        for method, row in ranks.iterrows()
    ]
    names = ("method", *(f"{c} ↓".replace("_", " ") for c in ranks.columns))
    return Sheet(title, caption, names, tuple(rows), seeds)


def difference_sheet(title: str, caption: str, differences: pd.DataFrame, shown: Sequence[Column]) -> Sheet:
    """Paired differences with their t intervals; one whose interval excludes zero is strong.

    They are printed with no more decimals than four significant digits of the baseline's value have.
    """
    return _paired_sheet(title, caption, differences, shown, _difference)


def interval_sheet(title: str, caption: str, differences: pd.DataFrame, shown: Sequence[Column]) -> Sheet:
    """Bootstrap intervals of paired differences over enough seeds; one that excludes zero is strong."""
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
    return Sheet(title, caption, names, tuple(zip(*texts, strict=True)), _shared_seeds(differences))


def _shared_seeds(differences: pd.DataFrame) -> str:
    pairs = sorted({int(count) for count in differences["seeds"]})
    return f"{_count(pairs[-1]) if len(pairs) == 1 else f'{pairs[0]} to {pairs[-1]} seeds'} shared with the baseline."


def _values(rows: Rows, methods: Sequence[str], column: Column, best: Collection[str]) -> list[Cell]:
    known = [row["mean"] for row in rows.values() if not math.isnan(row["mean"])]
    places = decimals(known, [row["std"] for row in rows.values()])
    cells = [
        Cell(with_spread(rows[m]["mean"], rows[m]["std"], places), strong=m in best) if m in rows else Cell(MISSING)
        for m in methods
    ]
    return [*cells, Cell(MISSING if column.floor is None else f"{column.floor:.{places}f}")]


def _difference(row: Mapping[str, Any], places: int) -> Cell:
    mean, low, high = row["mean"], row["low"], row["high"]
    return Cell(with_spread(mean, high - mean, places, sign="+"), strong=low > 0 or high < 0)


def _bootstrap_interval(row: Mapping[str, Any], places: int) -> Cell:
    low, high = row["bootstrap_low"], row["bootstrap_high"]
    if math.isnan(low) or row["seeds"] < BOOTSTRAP_SEEDS:
        return Cell(MISSING)
    return Cell(interval(low, high, places), strong=low > 0 or high < 0)


def _effect(row: Mapping[str, Any], places: int) -> Cell:
    return Cell(MISSING if math.isnan(row["g_z"]) else f"{row['g_z']:+.1f}")
