"""Reads rows of a table in any order from mapped shards."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.features import Features
from phis_lab.shapes import Int64
from phis_lab.teachers.store.encoding import DTYPES, decode
from phis_lab.teachers.store.shard import Bytes, as_bytes, open_shard
from phis_lab.teachers.store.table import Table

MOST_OPEN = 4096
"""Shards of a table that stay mapped; the system's usual limit is 65,530 mappings of a process."""


class _Open(NamedTuple):
    rows: dict[str, Bytes]
    missing: frozenset[int]
    scales: dict[str, Tensor]


class TableReader:
    """Rows of one table, decoded.

    Only the bytes of the rows asked for are touched. A shard is mapped when it is first needed, whoever wrote it.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._open = lru_cache(MOST_OPEN)(self._open_shard)

    def read(self, keys: Int64[Tensor, "batch 2"], device: torch.device) -> Features:
        """Features of (index, view) keys in their order, in float32 on a device.

        Raises:
            ValueError: a shard is gone, or has no features of an image because it did not decode.
        """
        pairs = keys.tolist()
        stored = {
            kind: torch.empty((len(pairs), *shape), dtype=DTYPES[self.table.dtype])
            for kind, shape in self.table.shapes.items()
        }
        targets = {kind: as_bytes(tensor) for kind, tensor in stored.items()}
        shards = []
        for position, (index, view) in enumerate(pairs):
            row = index % self.table.block_rows
            shard = self._open(view, index - row)
            if row in shard.missing:
                raise ValueError(self._no_row(index, view))
            for kind, target in targets.items():
                target[position] = shard.rows[kind][row]
            shards.append(shard)
        return Features(*(self._decode(kind, stored, shards, device) for kind in Features._fields))

    def _open_shard(self, view: int, first: int) -> _Open:
        block = self.table.block_of(view, first)
        shard = open_shard(self.table.path(block))
        rows = {kind: as_bytes(shard.tensors[kind]) for kind in self.table.shapes}
        scales = {name: tensor for name, tensor in shard.tensors.items() if name not in rows}
        return _Open(rows, frozenset(shard.facts["missing"]), scales)

    def _decode(self, kind: str, stored: dict[str, Tensor], shards: list[_Open], device: torch.device) -> Tensor | None:
        if kind not in stored:
            return None
        values = stored[kind].to(device)
        if self.table.dtype != "int8":
            return decode(values)
        scale, shift = (
            torch.stack([shard.scales[f"{kind}.{name}"] for shard in shards]).to(device) for name in ("scale", "shift")
        )
        per_row = (len(shards), *(1 for _ in values.shape[1:-1]), values.shape[-1])
        return decode(values, scale.view(per_row), shift.view(per_row))

    def _no_row(self, index: int, view: int) -> str:
        path = self.table.path(self.table.block_of(view, index))
        return (
            f"{path} has no features of image {index}: it did not decode when the shard was written, and does now; "
            "delete this file"
        )
