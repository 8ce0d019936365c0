"""The published tables, and which of their rows repeats a method of ours."""

import json
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from typing import NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator

from phis_lab.groups import GROUPS
from phis_lab.runs.job import as_mapping

GROUPS_OF_ROW = ("normalizer", "loss", "balancer")
"""The choices that make a row of PHI-S."""

ROWS: dict[tuple[str, ...], str] = {
    ("identity", "mse", "uniform"): "MSE",
    ("identity", "cosine", "uniform"): "Cosine",
    ("identity", "hybrid_mse", "uniform"): "Hyb MSE",
    ("identity", "hybrid_smooth_l1", "uniform"): "Hyb SmL1",
    ("global_standardize", "mse", "uniform"): "Global Stdze",
    ("standardize", "mse", "uniform"): "Standardize",
    ("phis", "mse", "uniform"): "PHI-S",
    ("pca_whiten", "mse", "uniform"): "PCA-W",
    ("zca_whiten", "mse", "uniform"): "ZCA",
    ("hadamard_whiten", "mse", "uniform"): "HCA",
    ("identity", "mse", "adaloss"): "Ada-MSE",
    ("phis", "mse", "adaloss"): "Ada-PHI-S",
}
"""Options of these groups -> row of tables 1, 4 and 12 of PHI-S. A test writes `conf/experiment/phis` from it."""


class Column(NamedTuple):
    """What one column of a published table means; `higher_is_better` is None where better has no meaning."""

    name: str
    unit: str
    higher_is_better: bool | None


class UnprintedOrder(NamedTuple):
    """Two rows that print the same number in a column and that the paper ranks apart."""

    column: str
    better: str
    worse: str


class Table(BaseModel):
    """A published table.

    Args:
        number: as the paper counts; `3 and 11` where two of its tables are parts of one.
        caption: what the numbers are, in our words.
        source: paper and version.
        columns: in the paper's order.
        rows: method, model or teacher -> its numbers; None where the paper has none.
        errata: what the paper contradicts elsewhere. The numbers here are the printed ones.
        unprinted_order: what rounding hides and the paper's ranks show.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: str
    caption: str
    source: str
    columns: tuple[Column, ...]
    rows: dict[str, tuple[float | None, ...]]
    errata: tuple[str, ...] = ()
    unprinted_order: tuple[UnprintedOrder, ...] = ()

    @model_validator(mode="after")
    def _every_row_fills_every_column(self) -> "Table":
        short = [name for name, row in self.rows.items() if len(row) != len(self.columns)]
        if short:
            raise ValueError(f"table {self.number} has {len(self.columns)} columns; of other lengths are: {short}")
        return self

    @property
    def title(self) -> str:
        """`PHI-S, arXiv:2410.01680v1, table 1`."""
        return f"{self.source}, table {self.number}"

    @property
    def lower_is_better(self) -> list[str]:
        """Names of the columns where the smallest number is the best."""
        return [column.name for column in self.columns if column.higher_is_better is False]

    def frame(self) -> pd.DataFrame:
        """Rows by columns, NaN where the paper has no number."""
        names = [column.name for column in self.columns]
        return pd.DataFrame.from_dict(self.rows, orient="index", columns=names, dtype=float)


def _load() -> dict[str, Table]:
    text = resources.files(__package__).joinpath("phi_s.json").read_text(encoding="utf-8")
    content = json.loads(text)
    return {key: Table(source=content["source"], **table) for key, table in content["tables"].items()}


TABLES: dict[str, Table] = _load()
"""`table1` to `table18`; tables 3 and 11 are one (`table3`), table 10 holds hyperparameters and is not here."""


def paper_row(choices: Mapping[str, str], overrides: Sequence[str]) -> str | None:
    """The paper's name for a run's method; None for controls, and where an option of the method was changed.

    Args:
        choices: option chosen in each config group.
        overrides: the run's overrides, such as `seed=1` or `loss.cosine_weight=0.5`.
    """
    if any(key.partition(".")[0] in GROUPS_OF_ROW and "." in key for key in as_mapping(overrides)):
        return None
    usual = {group: GROUPS[group].usual or "" for group in GROUPS_OF_ROW if GROUPS[group].titles == "unusual"}
    return ROWS.get(tuple((usual | dict(choices)).get(group, "") for group in GROUPS_OF_ROW))


def rank_table(rows: Collection[str], students: Collection[str]) -> str:
    """The table of ranks to lay beside ours.

    Table 4 where all students are `vit_large`; else table 1, or table 12 as soon as a row with AdaLoss is among them.
    """
    if set(students) == {"vit_large"}:
        return "table4"
    return "table1" if set(rows) <= set(TABLES["table1"].rows) else "table12"
