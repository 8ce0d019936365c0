"""Data of your own: images that are read by position, with labels if there are any."""

from dataclasses import dataclass

import torch
from torch import Tensor

from phis_lab.data import DataSource, TensorImages


@dataclass(frozen=True, kw_only=True)
class Shapes(DataSource):
    """Grey images of 32 x 32 with a square or a disc, as many of each.

    Attributes:
        count: training images; a quarter as many test.
    """

    count: int = 400

    def read(self) -> tuple[TensorImages, TensorImages]:
        """Returns the train and the test images, the same in every run."""
        return self._drawn("train", self.count, 0), self._drawn("test", self.count // 4, 1)

    def _drawn(self, split: str, count: int, seed: int) -> TensorImages:
        draw = torch.Generator().manual_seed(seed)
        labels = torch.arange(count) % 2
        radius = torch.randint(4, 12, (count, 1, 1), generator=draw)
        y, x = (torch.randint(10, 22, (count, 1, 1), generator=draw) for _ in range(2))
        images = _shape(radius, torch.arange(32).view(1, -1, 1) - y, torch.arange(32).view(1, 1, -1) - x, labels)
        return TensorImages(f"shapes/{split}", images, labels, ("square", "disc"))


def _shape(radius: Tensor, down: Tensor, right: Tensor, labels: Tensor) -> Tensor:
    square = (down.abs() <= radius) & (right.abs() <= radius)
    disc = down**2 + right**2 <= radius**2
    return torch.where(labels.view(-1, 1, 1) == 0, square, disc).to(torch.uint8) * 200 + 20
