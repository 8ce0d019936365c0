"""Parts of a data set, the same in every run: a balanced subset, or what is held out of training."""

import logging

import torch
from torch import Tensor

from phis_lab.data.source import UNLABELLED, ImageSource, NoImages, digest
from phis_lab.shapes import Int64

log = logging.getLogger(__name__)

SHARE = 10
MOST = 1000


class Part(ImageSource):
    """Some images of a source, in the source's order.

    Args:
        source: where the images come from.
        positions: which ones.
        name: what logs and records call them.
        rule: how they were chosen, for the fingerprint.
    """

    def __init__(self, source: ImageSource, positions: Int64[Tensor, "images"], name: str, rule: str) -> None:
        self.source, self.positions = source, positions.sort().values
        super().__init__(name, digest(source.fingerprint, rule), source.labels[self.positions], source.classes)

    def image(self, index: int) -> Tensor:  # noqa: D102
        return self.source.image(int(self.positions[index]))

    def image_name(self, index: int) -> str:  # noqa: D102
        return self.source.image_name(int(self.positions[index]))


class Subset(Part):
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
        super().__init__(source, _balanced_order(source.labels)[:count], source.name, f"{count} images")


class HeldOut(Part):
    """Stands for the test images of a data set that has none: teachers are matched on it, probes are not tested.

    Args:
        source: all training images.
        positions: which ones are kept from training.
        reason: why there are no test images.
    """

    def __init__(self, source: ImageSource, positions: Int64[Tensor, "images"], reason: str) -> None:
        super().__init__(source, positions, f"{source.name} (held out)", f"held out {len(positions)}")
        self.reason = reason


def hold_out(source: ImageSource, missing: NoImages) -> tuple[ImageSource, ImageSource]:
    """The images to train on, and those held out: every tenth in number, at least 1 and at most 1,000.

    Which ones depends on their number alone, not on the seed of a run or on its evaluation: they are the last of a
    fixed random order. So all runs on the same images train on the same ones.

    Args:
        source: all training images.
        missing: stands for the test images.

    Raises:
        ValueError: there is only one image.
    """
    if len(source) < 2:
        raise ValueError(f"{source.name} has one image and there is no test set ({missing.reason}); add images")
    count = min(MOST, max(1, len(source) // SHARE))
    log.info("%s, so %d of %d training images are held out in their place.", missing.reason, count, len(source))
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(0))
    kept, held = order[:-count], order[-count:]
    return Part(source, kept, source.name, f"without {count}"), HeldOut(source, held, missing.reason)


def _balanced_order(labels: Int64[Tensor, "images"]) -> Int64[Tensor, "images"]:
    """Shuffles all positions so that the classes take turns: an image of each, another of each, ..."""
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = (labels - UNLABELLED).bincount()
    turn = torch.cat([torch.arange(size) for size in sizes.tolist()])
    return by_class[turn.argsort(stable=True)]
