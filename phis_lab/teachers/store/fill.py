"""Computes what is missing in a store: one teacher pass over the images, block by block."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from phis_lab.features import Features
from phis_lab.shapes import Bool, Float, Int64
from phis_lab.teachers.pool import TeacherPool
from phis_lab.teachers.store.encoding import Encoded, Noise, encode, noise
from phis_lab.teachers.store.plan import Entry, FixedImages, Rendered, batches
from phis_lab.teachers.store.shard import write_shard


def fill(
    work: Sequence[Sequence[Entry]],
    images: FixedImages,
    pool: TeacherPool,
    device: torch.device,
    advance: Callable[[int], None],
) -> None:
    """Write the shards of `work`; one that is written stays, whatever happens to the others.

    Args:
        work: unit by unit, the shards to be written.
        images: renders the views.
        pool: on `device`.
        device: where the teachers run.
        advance: told of the number of images after each batch.

    Raises:
        ValueError: features are not finite, or too large for the dtype; naming the teacher.
    """
    asked = ((unit, keys) for unit in work for keys in batches(unit))
    rendered = images.render(keys for unit in work for keys in batches(unit))
    open_blocks: dict[Entry, _OpenBlock] = {}
    for (unit, keys), batch in zip(asked, rendered, strict=True):
        wanted = [entry for entry in unit if entry.covers(keys[0])]
        for entry, features in _features(wanted, batch, pool, device):
            block = open_blocks.setdefault(entry, _OpenBlock(entry))
            block.add(features, batch[1])
        for entry in wanted:
            if entry.block.first + entry.block.rows <= keys[-1][0] + 1:
                open_blocks.pop(entry).write(images)
        advance(len(keys))


def _features(
    wanted: Sequence[Entry], batch: Rendered, pool: TeacherPool, device: torch.device
) -> Iterator[tuple[Entry, Features]]:
    images, _ = batch
    if not len(images):
        yield from ((entry, Features(None, None)) for entry in wanted)
        return
    part = copy.copy(pool)
    part.teachers = {entry.table.teacher: pool.teachers[entry.table.teacher] for entry in wanted}
    native = part(images.to(device))
    for entry in wanted:
        features: Features = native[entry.table.teacher]
        grid = entry.table.grid
        yield entry, features if grid is None else pool.on_grid(features, grid)


class _OpenBlock:
    """The rows of a shard in float32 until all are there."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        rows = entry.block.rows
        self.values = {kind: torch.zeros(rows, *shape) for kind, shape in entry.table.shapes.items()}
        self.present = torch.zeros(rows, dtype=torch.bool)

    def add(self, features: Features, keys: Int64[Tensor, "batch 2"]) -> None:
        rows = keys[:, 0] - self.entry.block.first
        self.present[rows] = True
        for kind, tensor in features._asdict().items():
            if tensor is not None:
                self.values[kind][rows] = tensor.float().cpu()

    def write(self, images: FixedImages) -> None:
        table, block = self.entry
        tensors: dict[str, Tensor] = {}
        lost: dict[str, Noise] = {}
        for kind, values in self.values.items():
            self._refuse_non_finite(kind, values, images)
            try:
                encoded, lost[kind] = _encode(values, self.present, self.entry)
            except ValueError as error:
                raise ValueError(f"teacher '{table.teacher}', {kind} features: {error}") from error
            named = {"": encoded.values, ".scale": encoded.scale, ".shift": encoded.shift}
            tensors |= {kind + name: tensor for name, tensor in named.items() if tensor is not None}
        facts: dict[str, Any] = {
            "missing": (~self.present).nonzero().flatten().tolist(),
            "noise": {kind: list(value) for kind, value in lost.items()},
        }
        table.write_key()
        write_shard(self.entry.path, tensors, table.facts(block) | facts)

    def _refuse_non_finite(self, kind: str, values: Tensor, images: FixedImages) -> None:
        finite = values.flatten(1).isfinite().all(dim=1)
        if not bool(finite.all()):
            index = self.entry.block.first + int((~finite).nonzero()[0])
            raise ValueError(
                f"teacher '{self.entry.table.teacher}': NaN or infinite values in its {kind} features of "
                f"{images.image_name(index)} (view {self.entry.block.view})"
            )


def _encode(
    values: Float[Tensor, "rows *tokens channels"], present: Bool[Tensor, "rows"], entry: Entry
) -> tuple[Encoded, Noise]:
    """The block encoded, with what that loses; rows of images that do not decode are zeros and count for nothing."""
    if not bool(present.any()):
        return encode(values, entry.table.dtype), Noise()
    sound = values if bool(present.all()) else values[present]
    encoded = encode(sound, entry.table.dtype)
    lost = noise(sound, encoded)
    if len(sound) < len(values):
        whole = torch.zeros(values.shape, dtype=encoded.values.dtype)
        whole[present] = encoded.values
        encoded = encoded._replace(values=whole)
    return encoded, lost
