"""Teacher features of fixed views in this process's memory."""

from functools import partial

import torch
from torch import Tensor

from phis_lab.features import Features, Grid, GridFeatures
from phis_lab.shapes import Int64


class MemoryStore:
    """Float32 tables with one row per (image, view), filled by the batches that pass.

    Args:
        images: number of images.
        views: views of each.
        like: features of any batch, for the shapes.
    """

    def __init__(self, images: int, views: int, like: GridFeatures) -> None:
        self.views = views
        self._filled = torch.zeros(images * views, dtype=torch.bool)
        self._tables = {
            grid: {name: features.map(partial(_table, len(self._filled))) for name, features in by.items()}
            for grid, by in like.items()
        }

    def has(self, keys: Int64[Tensor, "batch 2"]) -> bool:
        """Whether all of these (index, view) keys were written."""
        return bool(self._filled[self._rows(keys)].all())

    def read(self, keys: Int64[Tensor, "batch 2"], device: torch.device) -> dict[Grid, dict[str, Features]]:
        """What was written for these keys."""
        rows = self._rows(keys)
        return {
            grid: {name: tables.map(lambda table: table[rows].to(device)) for name, tables in by_teacher.items()}
            for grid, by_teacher in self._tables.items()
        }

    def write(self, keys: Int64[Tensor, "batch 2"], features: GridFeatures) -> None:
        """Keep the features of these keys; what is there already stays."""
        rows = self._rows(keys)
        new = ~self._filled[rows]
        for grid, by_teacher in features.items():
            for name, of_teacher in by_teacher.items():
                for table, tensor in zip(self._tables[grid][name], of_teacher, strict=True):
                    if table is not None and tensor is not None:
                        table[rows[new]] = tensor.cpu()[new]
        self._filled[rows] = True

    def _rows(self, keys: Tensor) -> Tensor:
        return (keys[:, 0] * self.views + keys[:, 1]).cpu()


def bytes_per_image(features: GridFeatures) -> int:
    """Memory that one row takes."""
    tensors = [t for by in features.values() for of_teacher in by.values() for t in of_teacher.kinds().values()]
    return sum(t[0].numel() * t.element_size() for t in tensors)


def _table(count: int, like: Tensor) -> Tensor:
    return torch.empty((count, *like.shape[1:]), dtype=like.dtype)
