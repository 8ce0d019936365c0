"""The tables of PHI-S (arXiv 2410.01680, first version) as published, printing errors included."""

import json
from importlib import resources
from typing import NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator


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
