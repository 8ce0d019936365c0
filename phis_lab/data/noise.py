"""Images of noise: what no class looks like."""

from dataclasses import dataclass

import torch

from phis_lab.bounds import Positive, Side
from phis_lab.data.datasource import DataSource
from phis_lab.data.source import UNLABELLED, TensorImages


@dataclass(frozen=True, kw_only=True)
class Noise(DataSource):
    """Every value of every pixel is drawn evenly from 0 to 255.

    Attributes:
        count: train images, and as many test images.
        size: side of an image in pixels.
    """

    count: Positive = 500
    size: Side = 64

    def read(self) -> tuple[TensorImages, TensorImages]:
        """Returns the train and the test images, the same in every run."""
        train, test = (
            TensorImages(f"noise/{split}", self._drawn(seed), torch.full((self.count,), UNLABELLED), ())
            for seed, split in enumerate(("train", "test"))
        )
        return train, test

    def _drawn(self, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(256, (self.count, 3, self.size, self.size), generator=generator).to(torch.uint8)
