"""What a table of the store holds, and what its encoding lost."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from phis_lab.teachers.store.encoding import Noise
from phis_lab.teachers.store.shard import open_shard
from phis_lab.teachers.store.table import Block, Table


class TableReport(NamedTuple):
    """Totals over the shards of a table.

    `relative_error` is the squared error over the variance, per kind of feature.
    """

    teacher: str
    split: str
    grid: str
    dtype: str
    rows: int
    bytes: int
    relative_error: dict[str, float]
    folder: Path

    def errors(self) -> str:
        """The relative errors in words."""
        return ", ".join(f"{kind} {value:.2g}" for kind, value in self.relative_error.items())


def describe(table: Table, views: int) -> TableReport:
    """Read the headers of a complete table's shards and leave their totals in `summary.json`."""
    blocks: Iterable[Block] = (block for view in range(views) for block in table.blocks(view))
    rows = size = 0
    lost = dict.fromkeys(table.shapes, Noise())
    for block in blocks:
        facts = open_shard(table.path(block)).facts
        rows += block.rows - len(facts["missing"])
        size += table.path(block).stat().st_size
        for kind, sums in facts["noise"].items():
            lost[kind] = lost[kind].plus(Noise(*sums))
    grid, split = table.key["grid"], table.key["images"]["split"]
    errors = {kind: total.relative for kind, total in lost.items()}
    report = TableReport(table.teacher, split, grid, table.dtype, rows, size, errors, table.folder)
    (table.folder / "summary.json").write_text(json.dumps(report._asdict() | {"folder": table.folder.name}, indent=1))
    return report
