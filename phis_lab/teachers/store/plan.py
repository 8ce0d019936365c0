"""What a store keeps of which images, in pieces of work that processes divide, and whether the disk can take it."""

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from phis_lab.shapes import Float, Int64
from phis_lab.teachers.store.shard import damage
from phis_lab.teachers.store.table import LARGEST_BLOCK, Block, Table

Key = tuple[int, int]
"""Index of an image and number of its view."""


Rendered = tuple[Float[Tensor, "batch 3 height width"], Int64[Tensor, "batch 2"]]
"""The images among the keys asked for that decode, and their keys."""

log = logging.getLogger(__name__)

BATCH = 64


@runtime_checkable
class FixedImages(Protocol):
    """Images that a run will see, each in the same few views."""

    split: str
    """Such as "train"; part of the key."""
    count: int
    views: int
    """How many views are visited; their numbers are 0 ... views - 1."""
    image_size: int

    def identity(self) -> dict[str, Any]:
        """Everything that the pixels depend on, as JSON values."""

    def image_name(self, index: int) -> str:
        """What an error calls an image."""

    def render(self, batches: Iterable[Sequence[Key]]) -> Iterator[Rendered]:
        """The images of each batch, in order; without those that do not decode, perhaps without any."""


class Entry(NamedTuple):
    """A shard to be: a block of a table."""

    table: Table
    block: Block

    @property
    def path(self) -> Path:
        """Its file."""
        return self.table.path(self.block)

    def covers(self, key: Key) -> bool:
        """Whether it holds this image in this view."""
        index, view = key
        return view == self.block.view and self.block.first <= index < self.block.first + self.block.rows


def units(tables: Sequence[Table], views: int, part: slice) -> list[list[Entry]]:
    """Every shard, those of the same 1,024 images together: one teacher pass fills them.

    Args:
        tables: all of the same images.
        views: views of each.
        part: the units that are this process's.
    """
    count = tables[0].count
    ranges = [(view, first) for view in range(views) for first in range(0, count, LARGEST_BLOCK)]
    return [
        [Entry(table, block) for table in tables for block in table.blocks(view, first, LARGEST_BLOCK)]
        for view, first in ranges[part]
    ]


def unusable(work: Sequence[Sequence[Entry]]) -> list[list[Entry]]:
    """The shards that are missing or damaged, unit by unit; a damaged one is named in the log."""
    entries = [entry for unit in work for entry in unit]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        sound = dict(zip((entry.path for entry in entries), threads.map(_is_sound, entries), strict=True))
    return [[entry for entry in unit if not sound[entry.path]] for unit in work]


def batches(unit: Sequence[Entry]) -> Iterator[list[Key]]:
    """Keys of the images that a unit needs, in batches that no shard's end divides."""
    size = min(BATCH, *(entry.table.block_rows for entry in unit)) if unit else BATCH
    starts = {
        (entry.block.view, first)
        for entry in unit
        for first in range(entry.block.first, entry.block.first + entry.block.rows, size)
    }
    for view, first in sorted(starts):
        yield [(index, view) for index in range(first, min(first + size, unit[0].table.count))]


def bytes_of(entries: Iterable[Entry]) -> int:
    """Their size on disk."""
    return sum(entry.table.bytes(entry.block) for entry in entries)


def free_bytes(folder: Path) -> int:
    """Free space where a folder is or would be."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def gigabytes(count: int | float) -> str:
    """A size in words."""
    return f"{count / 1e9:.2f} GB" if count >= 1e7 else f"{count / 1e6:.2f} MB"


def _is_sound(entry: Entry) -> bool:
    if not entry.path.exists():
        return False
    reason = damage(entry.path, entry.table.facts(entry.block), entry.table.layout(entry.block))
    if reason is not None:
        log.warning("%s is computed anew: %s.", entry.path, reason)
    return reason is None
