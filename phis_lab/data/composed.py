"""A segmentation set without a download: small labelled images pasted on crops of photos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision.transforms.v2 import functional

from phis_lab.bounds import Positive, Seed, Side
from phis_lab.data.datasource import DataSource
from phis_lab.data.masks import Masked, MaskedData, MaskedImages
from phis_lab.data.source import ImageSource
from phis_lab.seeds import named_seed

_PHOTOS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "grass",
    "gravel",
    "hubble_deep_field",
    "retina",
    "rocket",
)
_TRAIN_SHARE = 2 / 3
_SMALLEST_CROP = 0.4
_FOREGROUND = 38

Size = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class Composed(MaskedData):
    """One or more items of a classified set, each on a random place of a random crop of a scikit-image photo.

    A pixel belongs to an item where the item is brighter than 38 of 255, and items come on a black ground, so the
    masks are known to the pixel. Later items cover earlier ones. An image is a function of the seed, the split and
    its index. Training images take the training items and the left two thirds of each photo, test images the test
    items and the right third: nothing is seen in both.

    Attributes:
        items: bright on black, such as Fashion-MNIST or the digits.
        image_size: side of the images in pixels.
        train_images: how many to train on.
        test_images: how many to test on.
        most_items: an image has 1 to so many items.
        item_size: smallest and largest side of an item, as a share of the image's.
        seed: of the images.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
        ValueError: `item_size` is no range.
    """

    items: DataSource
    image_size: Side = 64
    train_images: Positive = 1000
    test_images: Positive = 300
    most_items: Positive = 3
    item_size: tuple[Size, Size] = (0.35, 0.6)
    seed: Seed = 0

    def __post_init__(self) -> None:
        if find_spec("skimage") is None:
            raise ModuleNotFoundError("the composed set needs scikit-image's photos: pip install 'phis-lab[dense]'")
        if self.item_size[0] > self.item_size[1]:
            raise ValueError(f"item_size goes from the smallest to the largest share, got {self.item_size}")

    def read(self) -> tuple[MaskedImages, MaskedImages]:
        """Returns the training and the test images; they are composed when they are asked for.

        Raises:
            ValueError: an item has no class.
        """
        left, right = zip(*_photos(2 * self.image_size), strict=True)
        return (
            _ComposedImages("train", self.items.train, left, self.train_images, self),
            _ComposedImages("test", self.items.test, right, self.test_images, self),
        )


class _ComposedImages(MaskedImages):
    def __init__(self, split: str, items: ImageSource, photos: Sequence[Tensor], count: int, options: Composed) -> None:
        super().__init__(f"composed/{split}", ("background", *items.classes))
        if (items.labels < 0).any():
            raise ValueError(f"{items.name}: pasted items need a class each, and some images have none")
        self.split, self.items, self.photos, self.count, self.options = split, items, photos, count, options

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Masked:
        if not 0 <= index < self.count:
            raise IndexError(index)
        side = self.options.image_size
        generator = torch.Generator().manual_seed(named_seed("composed", self.options.seed, self.split, index))
        image = _crop(self.photos[_below(len(self.photos), generator)], side, generator)
        mask = torch.zeros(side, side, dtype=torch.uint8)
        low, high = (max(1, round(share * side)) for share in self.options.item_size)
        for _ in range(1 + _below(self.options.most_items, generator)):
            number, size = _below(len(self.items), generator), low + _below(high - low + 1, generator)
            top, left = _below(side - size + 1, generator), _below(side - size + 1, generator)
            item = functional.resize(self.items.image(number), [size, size], antialias=True)
            place = (slice(top, top + size), slice(left, left + size))
            shown = item.amax(dim=0) > _FOREGROUND
            image[:, *place] = torch.where(shown, item, image[:, *place])
            mask[place] = torch.where(shown, int(self.items.labels[number]) + 1, mask[place])
        return Masked(image, mask)


def _below(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _crop(photo: Tensor, side: int, generator: torch.Generator) -> Tensor:
    shorter = min(photo.shape[1:])
    smallest = max(1, round(_SMALLEST_CROP * shorter))
    size = smallest + _below(shorter - smallest + 1, generator)
    top, left = (_below(length - size + 1, generator) for length in photo.shape[1:])
    crop: Tensor = functional.resize(photo[:, top : top + size, left : left + size], [side, side], antialias=True)
    return crop


def _photos(shorter_side: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The part to train on and the part to test on of every photo, as uint8 [3, h, w]."""
    from skimage import data  # noqa: PLC0415

    for name in _PHOTOS:
        pixels = torch.from_numpy(np.array(getattr(data, name)()))
        photo = pixels.expand(3, -1, -1) if pixels.ndim == 2 else pixels[..., :3].permute(2, 0, 1)
        if min(photo.shape[1:]) > shorter_side:
            photo = functional.resize(photo, [shorter_side], antialias=True)
        middle = round(_TRAIN_SHARE * photo.shape[2])
        yield photo[:, :, :middle].contiguous(), photo[:, :, middle:].contiguous()
