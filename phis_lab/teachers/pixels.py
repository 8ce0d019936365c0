"""From images in [0, 1] to what one network was trained on: its size, its channel order, its mean and std."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from phis_lab.shapes import Float

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
ROUNDING = 1e-3

Interpolation = Literal["bilinear", "bicubic"]


class Pixels(nn.Module):
    """Resizes (antialiased) to a square, orders the channels and returns (x - mean) / std.

    Args:
        image_size: side of the square in pixels; another aspect ratio is squashed, not cropped.
        mean: per channel, in units of [0, 1], in the order that the network sees.
        std: likewise. A network for pixels in [0, 255] has its mean and std divided by 255.
        bgr: the network sees blue first.
        interpolation: the filter that the network was trained with; bicubic overshoot is clipped.
        padded_cell: pixels of a cell of the features where smaller images are not enlarged but padded, right and below,
            with zeros after the normalisation, as SAM does; None enlarges them. Their sides become whole cells.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        image_size: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        bgr: bool = False,
        interpolation: Interpolation = "bilinear",
        padded_cell: int | None = None,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.bgr = bgr
        self.interpolation = interpolation
        self.padded_cell = padded_cell
        self.protocol = _protocol(mean, std, bgr, interpolation, padded_cell)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 size size"]:
        """Prepares images in [0, 1]."""
        x = self.resize(images)
        if self.bgr:
            x = x.flip(1)
        x = (x - self.mean) / self.std
        below, right = (self.image_size - side for side in x.shape[-2:])
        return functional.pad(x, (0, right, 0, below)) if below or right else x

    def resize(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """Does the first part of `forward`; images of the right size pass through."""
        images = images.float()
        size = self._extent(images.shape[-2]), self._extent(images.shape[-1])
        if images.shape[-2:] == size:
            return images
        resized = functional.interpolate(images, size, mode=self.interpolation, align_corners=False, antialias=True)
        return resized.clamp(0.0, 1.0) if self.interpolation == "bicubic" else resized

    def occupied(self, spatial: Float[Tensor, "b h w c"], images: Tensor) -> Float[Tensor, "b h2 w2 c"]:
        """Crops features to the cells that lie on the image and not on the padding."""
        if self.padded_cell is None:
            return spatial
        rows, columns = (self._extent(side) // self.padded_cell for side in images.shape[-2:])
        return spatial[:, :rows, :columns]

    def _extent(self, side: int) -> int:
        """Pixels that an image side of so many takes on the canvas."""
        if self.padded_cell is None:
            return self.image_size
        return min(self.image_size, max(1, round(side / self.padded_cell)) * self.padded_cell)


def _protocol(
    mean: Sequence[float], std: Sequence[float], bgr: bool, interpolation: Interpolation, padded_cell: int | None
) -> str:
    """What the pixels that a network sees depend on besides its image size, for the record."""
    numbers = (" ".join(f"{value:.4g}" for value in values) for values in (mean, std))
    extra = [word for word, used in (("bgr", bgr), ("padded", padded_cell is not None)) if used]
    return ", ".join([interpolation, "mean {}, std {}".format(*numbers), *extra])


def check_images(images: object, who: str = "a teacher", whole: bool = False) -> None:
    """Raises ValueError unless `images` is `[b, 3, h, w]` in [0, 1].

    Args:
        images: what was given.
        who: takes them, for the message.
        whole: read all of the batch, and not its first image alone.
    """
    if not isinstance(images, Tensor):
        raise ValueError(
            f"{who} takes images as a torch tensor, received {type(images).__name__}; see torch.from_numpy"
        )
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"{who} takes floating-point images [batch, 3, height, width], received {images.dtype} "
            f"{list(images.shape)}; convert with torchvision's ToDtype(torch.float32, scale=True)"
        )
    if images.numel() == 0:
        return
    low, high = torch.stack((images if whole else images[0]).aminmax()).tolist()
    if not (low >= -ROUNDING and high <= 1.0 + ROUNDING):
        raise ValueError(
            f"{who} takes images in [0, 1] and normalises them itself, received values from {low:.4g} to "
            f"{high:.4g}; leave mean and std out of the data transforms"
        )
