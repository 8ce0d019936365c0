"""Our average ranks beside the paper's."""

import math
from collections.abc import Sequence

import pandas as pd
from scipy import stats

from phis_lab.reports.reference import TABLES, paper_row, rank_table
from phis_lab.reports.sheets import MISSING, Cell, Sheet
from phis_lab.runs import RunRecord

_CAPTION = (
    "{source}: {caption}; one run per row, and other teachers, images and metrics than here. A rank depends on what "
    "else is ranked: compare the order, which is among the rows shown, and not the numbers.{agreement}"
)


def published_sheet(records: Sequence[RunRecord], ranks: pd.Series, seeds: str) -> Sheet | None:
    """The methods that repeat a row of PHI-S, with both average ranks; None where there is no such method.

    Args:
        records: runs of one study; the student's size decides which of the paper's tables stands beside them.
        ranks: average rank of every method, by its label.
        seeds: how many there are, said above the table.
    """
    rows = {record.method: paper_row(record.choices, record.overrides) for record in records}
    ours = {method: (row, ranks[method]) for method, row in rows.items() if row is not None}
    if not ours:
        return None
    students = {record.choices.get("student", "") for record in records}
    table = TABLES[rank_table({row for row, _ in ours.values()}, students)]
    frame = pd.DataFrame.from_dict(ours, orient="index", columns=["row", "rank"]).sort_values("rank", kind="stable")
    frame["paper"] = frame["row"].map(table.frame()["Avg"])
    order = frame[["rank", "paper"]].rank(method="min")
    texts = [
        [str(method) for method in frame.index],
        frame["row"].to_list(),
        _texts(frame["rank"], 2),
        _texts(frame["paper"], 2),
        _texts(order["rank"], 0),
        _texts(order["paper"], 0),
    ]
    cells = [tuple(map(Cell, row)) for row in zip(*texts, strict=True)]
    title = f"Average rank, beside the paper's (PHI-S, table {table.number})"
    caption = _CAPTION.format(source=table.title, caption=table.caption, agreement=_agreement(frame))
    columns = ("method", "paper's row", "avg rank ↓", "paper's avg rank ↓", "order", "paper's order")
    return Sheet(title, caption, columns, tuple(cells), seeds)


def _texts(numbers: pd.Series, places: int) -> list[str]:
    return [MISSING if math.isnan(number) else f"{number:.{places}f}" for number in numbers]


def _agreement(frame: pd.DataFrame) -> str:
    """How far the orders agree, where three methods or more have both and neither order is one big tie."""
    known = frame.dropna()
    if len(known) < 3 or (known[["rank", "paper"]].nunique() == 1).any():
        return ""
    tau = stats.kendalltau(known["rank"], known["paper"]).statistic
    return f" Kendall's tau of the two orders is {tau:.2f}: 1 the same, 0 unrelated, -1 reversed."
