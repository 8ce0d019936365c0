"""Part of a data set, the same part in every run."""

import torch
from torch import Tensor

from phis_lab.data.source import UNLABELLED, ImageSource, digest
from phis_lab.shapes import Int64


class Subset(ImageSource):
    """`count` images of a source, balanced over its classes, in the source's order.

    The choice is the same in every run, whatever the seed of the sample order. A smaller subset is contained
    in a larger one, so results along a data-scaling curve are nested.

    Args:
        source: where the images come from.
        count: how many to keep, from 1 to all.
    """

    def __init__(self, source: ImageSource, count: int) -> None:
        if not 1 <= count <= len(source):
            raise ValueError(
                f"a subset of {source.name} has 1 to {len(source)} images, got {count}; null takes them all"
            )
        self.source = source
        self.positions = _balanced_order(source.labels)[:count].sort().values
        fingerprint = digest(source.fingerprint, f"{count} images")
        super().__init__(source.name, fingerprint, source.labels[self.positions], source.classes)

    def image(self, index: int) -> Tensor:  # noqa: D102
        return self.source.image(int(self.positions[index]))

    def image_name(self, index: int) -> str:  # noqa: D102
        return self.source.image_name(int(self.positions[index]))


def _balanced_order(labels: Int64[Tensor, "images"]) -> Int64[Tensor, "images"]:
    """Shuffles all positions so that the classes take turns: an image of each, another of each, ..."""
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = (labels - UNLABELLED).bincount()
    turn = torch.cat([torch.arange(size) for size in sizes.tolist()])
    return by_class[turn.argsort(stable=True)]
