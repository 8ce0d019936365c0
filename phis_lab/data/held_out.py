"""Training images that are kept from training, for data sets without test images."""

import logging

import torch
from torch import Tensor

from phis_lab.data.source import ImageSource, NoImages, digest
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
