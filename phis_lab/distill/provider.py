"""Teacher features on the students' grids, computed once per batch and remembered for fixed views."""

import logging
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from phis_lab.shapes import Float, Int64
from phis_lab.teachers import Features, Grid, TeacherPool, match_grid

log = logging.getLogger(__name__)


class FeatureProvider:
    """One teacher pass for all arms.

    Args:
        pool: the frozen teachers.
        grids: token grids of the students; spatial features are resized to each.
        images: number of training images.
        views: fixed augmented views per image; None when every epoch draws a fresh one, and nothing is remembered.
        memory_gb: features of fixed views are kept in memory when all of them fit into this many GB.
    """

    def __init__(
        self, pool: TeacherPool, grids: Iterable[Grid], images: int, views: int | None, memory_gb: float
    ) -> None:
        self.pool, self.grids, self.images, self.views = pool, sorted(set(grids)), images, views
        self.memory_gb = memory_gb
        self._store: _Store | None = None
        self._remembers = views is not None and memory_gb > 0

    def __call__(
        self, images: Float[Tensor, "b 3 h w"], keys: Int64[Tensor, "b 2"] | None = None
    ) -> dict[Grid, dict[str, Features]]:
        """Features of a batch per grid and teacher, in float32.

        Args:
            images: pixels in [0, 1], the very ones that the students see.
            keys: image index and view of each; None for images outside the training set.
        """
        rows = None if keys is None or not self._remembers else self._rows(keys)
        if rows is not None and self._store is not None and self._store.has(rows):
            return self._store.read(rows, images.device)
        native = self.pool(images)
        matched = {grid: {name: _match(features, grid) for name, features in native.items()} for grid in self.grids}
        if rows is not None:
            self._remember(rows, matched)
        return matched

    def _rows(self, keys: Int64[Tensor, "b 2"]) -> Int64[Tensor, "b"]:
        assert self.views is not None
        return (keys[:, 0] * self.views + keys[:, 1]).cpu()

    def _remember(self, rows: Int64[Tensor, "b"], matched: dict[Grid, dict[str, Features]]) -> None:
        if self._store is None:
            assert self.views is not None
            count = self.images * self.views
            need = count * _bytes_per_image(matched) / 1e9
            self._remembers = need <= self.memory_gb
            verdict = "kept in memory" if self._remembers else f"not kept: more than memory_gb={self.memory_gb:g}"
            log.info("Teacher features of %d views take %.2f GB: %s.", count, need, verdict)
            if not self._remembers:
                return
            self._store = _Store(count, matched)
        self._store.write(rows, matched)


class _Store:
    """Feature tensors in host memory, one row per (image, view)."""

    def __init__(self, count: int, like: Mapping[Grid, Mapping[str, Features]]) -> None:
        self._filled = torch.zeros(count, dtype=torch.bool)
        self._tables = {
            grid: {name: Features(*(_table(count, t) for t in features)) for name, features in by_teacher.items()}
            for grid, by_teacher in like.items()
        }

    def has(self, rows: Tensor) -> bool:
        return bool(self._filled[rows].all())

    def read(self, rows: Tensor, device: torch.device) -> dict[Grid, dict[str, Features]]:
        return {
            grid: {
                name: Features(*(None if table is None else table[rows].to(device) for table in tables))
                for name, tables in by_teacher.items()
            }
            for grid, by_teacher in self._tables.items()
        }

    def write(self, rows: Tensor, matched: Mapping[Grid, Mapping[str, Features]]) -> None:
        new = ~self._filled[rows]
        for grid, by_teacher in matched.items():
            for name, features in by_teacher.items():
                for table, tensor in zip(self._tables[grid][name], features, strict=True):
                    if table is not None and tensor is not None:
                        table[rows[new]] = tensor.cpu()[new]
        self._filled[rows] = True


def _table(count: int, like: Tensor | None) -> Tensor | None:
    return None if like is None else torch.empty((count, *like.shape[1:]), dtype=like.dtype)


def _match(features: Features, grid: Grid) -> Features:
    spatial = None if features.spatial is None else match_grid(features.spatial.float(), grid)
    return Features(None if features.summary is None else features.summary.float(), spatial)


def _bytes_per_image(matched: Mapping[Grid, Mapping[str, Features]]) -> int:
    tensors = [t for by in matched.values() for features in by.values() for t in features if t is not None]
    return sum(t[0].numel() * t.element_size() for t in tensors)
