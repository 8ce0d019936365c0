"""Random batches from a feature store against reading as many bytes of the same files from front to back."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from benchmarks.harness import Comparison, in_turns, timed
from benchmarks.memory_use import PeakMemory
from phis_lab.teachers.store.encoding import DTYPES, StoreDtype, decode, encode
from phis_lab.teachers.store.read import TableReader
from phis_lab.teachers.store.shard import open_shard, write_shard
from phis_lab.teachers.store.table import Table

ROWS, BATCH, BATCHES = 8192, 64, 40
SHAPES = {"summary": (1280,), "spatial": (4, 4, 1280)}
CPU = torch.device("cpu")
WHAT = {"float32": "", "bfloat16": " and decoded", "int8": " and decoded"}


def run() -> Iterator[Comparison]:
    """One row per dtype, on a store of the size of EfficientNet-Lite0's features of 8,192 views, in the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "bfloat16", "int8"):
            yield _compare(_filled(Path(folder), dtype))


def _compare(table: Table) -> Comparison:
    reader, order = TableReader(table), _batches()
    for keys in order[:3]:
        _check(table, reader, keys)
    size = table.row_bytes * BATCH

    def ours() -> None:
        for keys in order:
            reader.read(keys, CPU)

    def peer() -> None:
        for content in itertools.islice(_sequential(table, size), BATCHES):
            _decoded(content, table.dtype)

    def bare() -> None:
        for _ in itertools.islice(_sequential(table, size), BATCHES):
            pass

    share = min(timed(bare, PeakMemory()) for _ in range(5)) / min(timed(peer, PeakMemory()) for _ in range(5))
    what = WHAT[table.dtype]
    row = Comparison(
        "store",
        f"{BATCHES} batches of {BATCH} random rows of {table.row_bytes / 1e3:.0f} kB, {table.dtype}{what}",
        f"the same number of bytes read sequentially{what}",
        "at most 2",
        "rows are those of the shards, bit for bit",
        limit=f"the sequential read alone is {share:.2f} of the peer",
    )
    return in_turns(row, ours, peer)


def _filled(root: Path, dtype: StoreDtype) -> Table:
    table = Table(root, "teacher", {}, {"split": "train"}, SHAPES, None, dtype, ROWS)
    generator = torch.Generator().manual_seed(0)
    for block in table.blocks(view=0):
        tensors: dict[str, Tensor] = {}
        for kind, shape in SHAPES.items():
            encoded = encode(torch.randn(block.rows, *shape, generator=generator), dtype)
            named = {kind: encoded.values, f"{kind}.scale": encoded.scale, f"{kind}.shift": encoded.shift}
            tensors |= {name: tensor for name, tensor in named.items() if tensor is not None}
        write_shard(table.path(block), tensors, table.facts(block) | {"missing": [], "noise": {}})
    return table


def _batches() -> list[Tensor]:
    """Keys of distinct random rows of the one view."""
    generator = torch.Generator().manual_seed(1)
    views = torch.zeros(BATCH, dtype=torch.int64)
    return [torch.stack([torch.randperm(ROWS, generator=generator)[:BATCH], views], dim=1) for _ in range(BATCHES)]


def _check(table: Table, reader: TableReader, keys: Tensor) -> None:
    """Every row against the shard that holds it, decoded by itself."""
    read = reader.read(keys, CPU)
    for position, (index, view) in enumerate(keys.tolist()):
        block = table.block_of(view, index)
        tensors = open_shard(table.path(block)).tensors
        for kind in SHAPES:
            scales = (tensors.get(f"{kind}.{name}") for name in ("scale", "shift"))
            expected = decode(tensors[kind][index - block.first], *scales)
            assert torch.equal(getattr(read, kind)[position], expected), (table.dtype, kind, index)


def _sequential(table: Table, size: int) -> Iterator[Tensor]:
    """Pieces of `size` bytes of the shards, one file after the other and round again."""
    paths = itertools.cycle([table.path(block) for block in table.blocks(view=0)])
    with _Files(paths) as read_into:
        while True:
            content = torch.empty(size, dtype=torch.uint8)
            read_into(memoryview(content.numpy()))
            yield content


class _Files:
    """Unbuffered files as one endless stream."""

    def __init__(self, paths: Iterator[Path]) -> None:
        self.paths = paths
        self.file: BinaryIO = next(paths).open("rb", buffering=0)  # type: ignore[assignment]

    def __enter__(self) -> Callable[[memoryview], None]:
        return self._read_into

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def _read_into(self, target: memoryview) -> None:
        while target:
            count = self.file.readinto(target)  # type: ignore[attr-defined]
            if not count:
                self.file.close()
                self.file = next(self.paths).open("rb", buffering=0)  # type: ignore[assignment]
            target = target[count:]


def _decoded(content: Tensor, dtype: StoreDtype) -> Tensor:
    """As float32; int8 with one scale for all."""
    one = torch.ones(())
    return decode(content.view(DTYPES[dtype]), *((one, one) if dtype == "int8" else ()))
