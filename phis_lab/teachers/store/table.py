"""One teacher's features of one set of images on one grid: a folder, named by its key, and the totals of its shards."""

import json
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch

from phis_lab.features import Grid
from phis_lab.teachers.store.encoding import DTYPES, Noise, StoreDtype
from phis_lab.teachers.store.shard import open_shard
from phis_lab.whole_files import sha256_of_json, write_text

FORMAT = 1
LARGEST_BLOCK = 1024
SMALLEST_BLOCK = 16
SHARD_BYTES = 128 * 1024**2
HEADER_BYTES = 4096

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of one row of `summary` [d] and `spatial` [h, w, c], for those that a teacher has."""


class Block(NamedTuple):
    """Rows `first` to `first + rows - 1` of a view: what one shard holds."""

    view: int
    first: int
    rows: int


class Table:
    """Where the shards of one teacher lie and what each of them holds.

    A block has a power of two of rows, at most 1,024 and 128 MB in float32, so that the blocks of several teachers
    nest, however large their features are.

    Args:
        root: folder of the store.
        teacher: name in its set.
        facts: what identifies the teacher's features: weights, layer, resolution, precision.
        images: what identifies the pixels.
        shapes: of one row.
        grid: to which the spatial features were resized; None where the teacher's own grid is kept.
        dtype: how values are kept.
        count: rows per view.
    """

    def __init__(
        self,
        root: Path,
        teacher: str,
        facts: Mapping[str, Any],
        images: Mapping[str, Any],
        shapes: Shapes,
        grid: Grid | None,
        dtype: StoreDtype,
        count: int,
    ) -> None:
        self.teacher, self.shapes, self.grid, self.dtype, self.count = teacher, dict(shapes), grid, dtype, count
        values = sum(prod(shape) for shape in shapes.values())
        fitting = SHARD_BYTES // (values * torch.float32.itemsize)
        self.block_rows = min(LARGEST_BLOCK, max(SMALLEST_BLOCK, 2 ** (fitting.bit_length() - 1)))
        self.row_bytes = values * DTYPES[dtype].itemsize
        self.key: dict[str, Any] = {
            "format": FORMAT,
            "teacher": {"name": teacher, **facts},
            "grid": "own" if grid is None else f"{grid[0]}x{grid[1]}",
            "shapes": {kind: list(shape) for kind, shape in shapes.items()},
            "dtype": dtype,
            "block_rows": self.block_rows,
            "images": dict(images),
        }
        digest = sha256_of_json(self.key)[:12]
        self.folder = root / f"{teacher}-{images['split']}-{self.key['grid']}-{dtype}-{digest}"

    def blocks(self, view: int, first: int = 0, rows: int | None = None) -> Iterator[Block]:
        """The blocks of a view, or those of the range of rows that begins at `first`."""
        end = self.count if rows is None else min(self.count, first + rows)
        for start in range(first, end, self.block_rows):
            yield Block(view, start, min(self.block_rows, self.count - start))

    def block_of(self, view: int, index: int) -> Block:
        """The block that holds an image."""
        return next(self.blocks(view, index - index % self.block_rows, 1))

    def path(self, block: Block) -> Path:
        """File of a block."""
        return self.folder / f"view{block.view:04}-{block.first:010}.safetensors"

    def facts(self, block: Block) -> dict[str, Any]:
        """What the shard of a block says about itself."""
        return {"key": self.key, "view": block.view, "first": block.first, "rows": block.rows}

    def layout(self, block: Block) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Dtype and shape of each tensor in the shard of a block."""
        layout: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
        for kind, shape in self.shapes.items():
            layout[kind] = (DTYPES[self.dtype], (block.rows, *shape))
            if self.dtype == "int8":
                layout |= {f"{kind}.{name}": (torch.float32, shape[-1:]) for name in ("scale", "shift")}
        return layout

    def bytes(self, block: Block) -> int:
        """Size of the shard of a block, rounded up."""
        payload = sum(prod(shape) * dtype.itemsize for dtype, shape in self.layout(block).values())
        return payload + HEADER_BYTES

    def write_key(self) -> None:
        """Leave the key readable beside the shards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "key.json"
        if not path.exists():
            write_text(path, json.dumps(self.key, indent=1) + "\n")


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
    write_text(table.folder / "summary.json", json.dumps(report._asdict() | {"folder": table.folder.name}, indent=1))
    return report
